"""Whole programs: the example, the README's code, signals, the package itself."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import httpx
import pytest

import socketify_mw

ROOT = Path(__file__).resolve().parent.parent
URL = re.compile(r"http://localhost:\d+")


class Program:
    """A Python program that prints its URL, as ours do."""

    def __init__(self, *arguments, **options):
        self.process = subprocess.Popen(
            [sys.executable, "-X", "dev", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.printed = ""
        for line in self.process.stdout:
            self.printed += line
            if found := URL.search(line):
                self.url = found[0]
                return
        pytest.fail(self.process.stderr.read())

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.printed += self.process.stdout.read()
        return self.process.wait(10), self.process.stderr.read()


def run_in(folder, *arguments):
    """Run a command in a folder, where this package can be imported."""
    return subprocess.run(
        arguments,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def run():
    programs = []

    def start(*arguments, **options):
        programs.append(Program(*arguments, **options))
        return programs[-1]

    yield start
    for program in programs:
        if program.process.poll() is None:
            program.process.kill()
        program.process.communicate()


def test_the_hello_example_does_what_it_prints(run):
    program = run(str(ROOT / "examples" / "hello.py"), "0")
    assert httpx.get(f"{program.url}/").text == "Hello, World!"
    assert httpx.get(f"{program.url}/hello/you?greeting=Servus").text == "Servus, you!"
    assert "user-agent" in httpx.get(f"{program.url}/agent").json()
    assert program.stop() == (0, "")
    assert program.printed.count("curl ") == 2


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_printed_curl_lines_work(run):
    program = run(str(ROOT / "examples" / "hello.py"), "0")
    lines = [program.process.stdout.readline().strip() for _ in range(2)]
    answers = [
        subprocess.run(line, shell=True, capture_output=True, text=True).stdout
        for line in lines
    ]
    assert answers[0].startswith("HTTP/1.1 200 OK")
    assert answers[0].endswith("Hello, World!")
    assert answers[1] == "Servus, you!"


def test_the_readmes_program_runs(run, tmp_path):
    page = (ROOT / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    assert len(code.strip().splitlines()) <= 8
    path = tmp_path / "app.py"
    path.write_text(code.replace("3000", "0"))
    assert httpx.get(run(str(path)).url).text == "Hello, World!"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_program_cleanly(run, number):
    program = run(str(ROOT / "examples" / "hello.py"), "0")
    with httpx.Client() as client:
        client.get(program.url)  # and keep the connection open
        assert program.stop(number) == (0, "")


SLOW = """
import sys, time
from socketify_mw import App

def slow(res, req):
    print("in the handler", flush=True)
    time.sleep(0.3)
    res.end("slow but whole")

app = App()
app.get("/", slow)
app.listen(0, lambda config: print(f"http://localhost:{config.port}", flush=True))
app.run()
"""


def test_what_is_in_flight_at_the_signal_is_answered(run, tmp_path):
    path = tmp_path / "slow.py"
    path.write_text(SLOW)
    program = run(str(path))
    answers = []
    thread = threading.Thread(target=lambda: answers.append(httpx.get(program.url)))
    thread.start()
    assert program.process.stdout.readline() == "in the handler\n"
    status, log = program.stop()
    assert status == 0
    assert "everybody waited" in log and "GET / (slow)" in log
    thread.join(10)
    assert answers[0].text == "slow but whole"


BLOCKED = """
import time
from socketify_mw import App

def block(res, req):
    print("blocked", flush=True)
    time.sleep(60)

app = App()
app.on_shutdown(lambda: print("the end"))
app.get("/", block)
app.listen(0, lambda it: print(f"http://localhost:{it.port}", flush=True))
app.run()
"""


def test_a_second_signal_ends_a_handler_that_blocks(run):
    program = run("-c", BLOCKED)
    with socket.create_connection(("localhost", int(program.url.split(":")[-1]))) as it:
        it.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert program.process.stdout.readline() == "blocked\n"
        program.process.send_signal(signal.SIGTERM)
        code, errors = program.stop(signal.SIGINT)
    assert code != 0
    assert "KeyboardInterrupt" in errors and "in block" in errors
    assert program.printed.endswith("the end\n")


def test_the_version_is_said_once():
    found = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{socketify_mw.__version__}]" in found or "## [Unreleased]" in found
    assert re.fullmatch(r"\d+\.\d+\.\d+", socketify_mw.__version__)


def test_everything_public_is_documented():
    for name in socketify_mw.__all__:
        thing = getattr(socketify_mw, name)
        if not isinstance(thing, type):
            continue
        assert thing.__doc__, name
        for key, member in vars(thing).items():
            if callable(member) and not key.startswith("_"):
                documented = any(
                    getattr(vars(t).get(key), "__doc__", None) for t in thing.__mro__
                )
                assert documented, f"{name}.{key}"


def extension():
    return Path(sys.modules["socketify_mw._native"].__file__)


def test_the_extension_is_abi3():
    assert extension().name == "_native.abi3.so"


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm (binutils) is not installed")
def test_only_the_init_symbol_is_exported():
    arguments = ["nm", "-D", "--defined-only", str(extension())]
    listed = subprocess.run(arguments, capture_output=True, text=True, check=True)
    names = {line.split()[-1] for line in listed.stdout.splitlines()}
    assert {name for name in names if name not in ("_init", "_fini")} == {
        "PyInit__native"
    }


@pytest.mark.skipif(not (ROOT / "native").is_dir(), reason="not in a checkout")
def test_an_edited_c_file_is_rebuilt(tmp_path):
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("the limited API does not exist without the GIL")
    pytest.importorskip("setuptools")
    copy = tmp_path / "project"
    shutil.copytree(
        ROOT,
        copy,
        ignore=shutil.ignore_patterns(".git", ".venv*", "build", "*.so", "*.egg-info"),
    )

    def build():
        command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
        subprocess.run(command, cwd=copy, check=True, capture_output=True)
        code = "from socketify_mw import _native; print(_native.lib.SMW_W_ODD,"
        code += " _native.ffi.string(_native.lib.smw_header_name(0)).decode())"
        environment = {**os.environ, "PYTHONPATH": str(copy)}
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            env=environment,
            cwd=copy,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.split()

    assert build() == ["1", "host"]
    source = copy / "native" / "src" / "http_fields.c"
    source.write_text(source.read_text().replace('NAME("host")', 'NAME("HOST")'))
    assert build() == ["1", "HOST"]
    header = copy / "native" / "include" / "smw.h"
    header.write_text(header.read_text().replace("SMW_W_ODD = 1", "SMW_W_ODD = 2"))
    assert build() == ["2", "HOST"]
