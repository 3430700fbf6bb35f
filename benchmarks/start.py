"""Measure the time to import the package, and to a program's first answer."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import client

_IMPORT = """
import time
started = time.process_time()
import {module}
print(time.process_time() - started)
"""

_HELLO = """
import sys
from socketify_mw import App

app = App()
app.get("/", lambda res, req: res.end("Hello, World!"))
app.listen(int(sys.argv[1]))
app.run()
"""

_ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def import_ms(module: str, times: int = 7) -> float:
    """Return the least CPU milliseconds of some imports, each in a new interpreter."""
    command = [sys.executable, "-c", _IMPORT.format(module=module)]
    found = [
        float(subprocess.run(command, env=_ENVIRONMENT, capture_output=True).stdout)
        for _ in range(times)
    ]
    return min(found) * 1000


def first_answer_ms(port: int) -> float:
    """Return the milliseconds from a program's start to its first answer."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "hello.py"
        program.write_text(_HELLO)
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, str(program), str(port)], env=_ENVIRONMENT
        )
        try:
            _wait_for_answer(port, started + 20)
            return (time.perf_counter() - started) * 1000
        finally:
            process.terminate()
            process.wait(10)


def _wait_for_answer(port: int, deadline: float) -> None:
    while True:
        try:
            with socket.create_connection((client.HOST, port), timeout=10) as it:
                it.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
                if not it.recv(4096).startswith(b"HTTP/1.1 200"):
                    raise ValueError("an answer that is not 200")
                return
        except ConnectionRefusedError:
            if time.perf_counter() > deadline:
                raise
            time.sleep(0.001)
