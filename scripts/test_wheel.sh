#!/bin/sh
# Test an installed wheel: the C tests of the machine, and the Python tests that need no
# more than pytest, httpx and hypothesis. Usage: PROJECT
set -e
project=$1
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
cmake -S "$project" -B "$build" -DSMW_SANITIZE=OFF -DCMAKE_BUILD_TYPE=RelWithDebInfo
cmake --build "$build" -j 2
ctest --test-dir "$build" --output-on-failure
# Away from the checkout, so that the installed wheel is what is tested.
cd "$project/tests"
python -P -m pytest -q -c "$project/pyproject.toml" --rootdir "$project" \
    -p no:cacheprovider test_app.py test_bodies.py test_chain.py test_kernel.py \
    test_loop.py test_order.py test_response.py test_request.py test_wire.py
