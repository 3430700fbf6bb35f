# make demo: build and run the example.   make test: everything that guards main.
PYTHON ?= python3
CC ?= cc
PORT ?= 3000

BIN := .venv/bin
EXTENSION := socketify_mw/_native.abi3.so
NATIVE := $(wildcard native/src/*.c native/src/*.h native/include/*.h)
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: build demo test lint types test-c test-py test-other-pythons cross fuzz \
	fuzz-python bench bench-router docs dist format clean

build: $(EXTENSION)

.venv/build:
	@sh scripts/check_machine.sh "$(PYTHON)" "$(CC)"
	"$(PYTHON)" -m venv .venv
	$(PIP) install -q 'setuptools>=77' 'cffi>=1.17'
	@touch $@

.venv/ready: .venv/build requirements-dev.txt
	$(PIP) install -q -r requirements-dev.txt
	@touch $@

$(EXTENSION): .venv/build $(NATIVE) setup.py build_native.py pyproject.toml
	$(PIP) install -q --no-build-isolation --no-deps -e .
	@touch $@

demo: build
	$(BIN)/python examples/hello.py $(PORT)

test: lint types docs test-c test-py test-other-pythons
	@echo "All tests have passed."

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy

# With AddressSanitizer and UndefinedBehaviorSanitizer, on each back end.
POLLS := $(if $(filter Linux,$(shell uname -s)),epoll,kqueue) poll
test-c: .venv/ready
	for poll in $(POLLS); do \
		$(BIN)/cmake -S . -B build/test-$$poll -DCMAKE_C_COMPILER="$(CC)" \
			-DSMW_WERROR=ON -DSMW_POLL=$$poll && \
		$(BIN)/cmake --build build/test-$$poll -j 2 && \
		$(BIN)/ctest --test-dir build/test-$$poll --output-on-failure || exit 1; \
	done

test-py: .venv/ready build
	$(BIN)/python -m pytest -rs

# One wheel for all: that is what abi3 promises.
test-other-pythons: .venv/ready
	rm -rf build/wheel
	$(PIP) wheel -q --no-build-isolation --no-deps -w build/wheel .
	sh scripts/test_other_pythons.sh build/wheel/socketify_mw-*.whl 3.12 3.13

.venv-cross/ready: requirements-cross.txt
	"$(PYTHON)" -m venv .venv-cross
	.venv-cross/bin/python -m pip --disable-pip-version-check install -q -r $<
	@touch $@

# The C tests for ARM run under qemu. What is built for macOS is only linked: nothing here
# could run it.
cross: .venv/ready .venv-cross/ready
	@command -v qemu-aarch64 >/dev/null || { echo "missing: qemu-aarch64; Debian, \
	Ubuntu: apt-get install qemu-user; Fedora: dnf install qemu-user" >&2; exit 1; }
	for target in aarch64-linux-musl aarch64-macos x86_64-macos; do \
		$(BIN)/cmake -S . -B build/cross-$$target -DSMW_TARGET=$$target \
			-DCMAKE_TOOLCHAIN_FILE=native/cross/zig.cmake \
			-DSMW_SANITIZE=OFF -DSMW_WERROR=ON && \
		$(BIN)/cmake --build build/cross-$$target -j 2 || exit 1; \
	done
	$(BIN)/ctest --test-dir build/cross-aarch64-linux-musl --output-on-failure

FUZZ_SECONDS ?= 60
fuzz: .venv/ready
	@command -v clang >/dev/null || { echo "missing: clang with libFuzzer; Debian, \
	Ubuntu: apt-get install clang libclang-rt-dev" >&2; exit 1; }
	$(BIN)/cmake -S . -B build/fuzz -DCMAKE_C_COMPILER=clang -DSMW_FUZZ=ON
	$(BIN)/cmake --build build/fuzz -j 2
	for name in http_chunked http_parser router; do \
		mkdir -p build/fuzz/corpus/$$name && \
		build/fuzz/fuzz_$$name -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 \
			build/fuzz/corpus/$$name native/fuzz/corpus/$$name || exit 1; \
	done

# Of tests/fuzz_awaits.py. Its server alone runs with the sanitizers; what CPython itself
# leaves allocated at its end is not looked at.
FUZZ_SEQUENCES ?= 100000
FUZZ_SEED ?= $(shell date +%s)
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer -g
fuzz-python: .venv/ready
	CC="$(CC)" CFLAGS="$(SANITIZE) -O1" LDFLAGS="$(SANITIZE)" $(BIN)/python setup.py -q \
		build --build-lib build/asan/lib --build-temp build/asan/temp
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
		$(BIN)/python tests/fuzz_awaits.py --package build/asan/lib \
		--preload "$$($(CC) -print-file-name=libasan.so)" \
		--sequences $(FUZZ_SEQUENCES) --seed $(FUZZ_SEED)

bench: .venv/ready build
	$(BIN)/python benchmarks/run.py $(BENCH)

bench-router:
	@mkdir -p build
	$(CC) -std=gnu11 -O2 -D_GNU_SOURCE -Inative/include -iquote native/src \
		benchmarks/router.c native/src/router.c -o build/bench-router
	build/bench-router

.venv-docs/ready: requirements-docs.txt
	"$(PYTHON)" -m venv .venv-docs
	.venv-docs/bin/python -m pip --disable-pip-version-check install -q -r $<
	@touch $@

# The site in build/docs. A warning is an error, and so is a name that leads nowhere.
docs: .venv-docs/ready build
	.venv-docs/bin/sphinx-build -W --keep-going -n -q -E docs build/docs
	@echo "build/docs/index.html"

.venv-dist/ready: requirements-dist.txt
	"$(PYTHON)" -m venv .venv-dist
	.venv-dist/bin/python -m pip --disable-pip-version-check install -q -r $<
	@touch $@

dist: .venv-dist/ready .venv-cross/ready
	sh scripts/make_dist.sh

format: .venv/ready
	$(BIN)/ruff check -q --fix-only .
	$(BIN)/ruff format .

clean:
	rm -rf build dist .venv .venv-* *.egg-info $(EXTENSION)
