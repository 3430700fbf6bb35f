"""Know the servers: how each is started and where its packages come from."""

import hashlib
import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
APPS = HERE / "apps"
REQUIREMENTS = HERE / "requirements.txt"
VENV = HERE.parent / ".venv-bench"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "bench-stamp.json"
PYPY_VENV = HERE.parent / ".venv-bench-pypy"
PYPY = PYPY_VENV / "bin" / "python"


@dataclass(frozen=True)
class Server:
    """Describe a server; {port} in its command becomes the port it listens on."""

    name: str
    command: tuple[str, ...]
    package: str | None = None
    counts_runs: bool = True
    unavailable: str | None = None


def peer(name: str, package: str, failed: dict[str, str], *command: str) -> Server:
    """Describe a server that runs in the peers' environment."""
    return Server(
        name,
        (str(PYTHON), *command),
        package,
        unavailable=failed.get(package) or failed.get("*"),
    )


def uvicorn(failed: dict[str, str]) -> Server:
    """Describe uvicorn with its fastest loop and parser."""
    options = "--port {port} --loop uvloop --http httptools --log-level critical"
    return peer(
        *("uvicorn", "uvicorn", failed),
        *("-m", "uvicorn", "asgi:app", "--no-access-log", "--lifespan", "off"),
        *options.split(),
    )


def granian(interface: str, failed: dict[str, str]) -> Server:
    """Describe granian with one worker on one of its two interfaces."""
    options = "--port {port} --workers 1 --runtime-threads 1 --http 1 --no-ws"
    return peer(
        *(f"granian-{interface}", "granian", failed),
        *("-m", "granian", f"{interface}:app", "--interface", interface),
        *(*options.split(), "--loop", "uvloop", "--log-level", "critical"),
    )


def ours() -> Server:
    """Describe our own server, which runs under this very interpreter."""
    found = importlib.util.find_spec("socketify_mw")
    return Server(
        "ours",
        (sys.executable, "ours.py", "{port}"),
        "socketify_mw",
        unavailable=None if found else "socketify_mw is not installed",
    )


def socketify_on_pypy() -> Server:
    """Describe socketify on PyPy, and install it there when needed."""
    command = (str(PYPY), "socketify_app.py", "{port}")
    reason = install_on_pypy()
    return Server("socketify-pypy", command, "socketify", unavailable=reason)


def install_on_pypy() -> str | None:
    """Install socketify for PyPy once; return why that failed."""
    if version(str(PYPY), "socketify") != "unknown":
        return None
    create = ["pypy3", "-m", "venv", "--clear", str(PYPY_VENV)]
    try:
        done = subprocess.run(create, capture_output=True, text=True)
    except FileNotFoundError:
        return "no pypy3; install it with: apt install pypy3 pypy3-venv"
    if done.returncode:
        return f"venv: {last_line(done.stdout + done.stderr)}"
    (requirement,) = (it for it in requirements() if it.startswith("socketify"))
    return pip_install(requirement, PYPY)


def ceiling(build: Path) -> Server:
    """Compile the C ceiling and describe it."""
    binary = build / "ceiling"
    command = ["cc", "-O2", "-o", str(binary), str(HERE / "ceiling.c")]
    reason = None
    try:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            reason = f"cc: {last_line(done.stderr)}"
    except FileNotFoundError:
        reason = "no cc; install it with: apt install gcc libc6-dev"
    return Server(
        "ceiling", (str(binary), "{port}"), counts_runs=False, unavailable=reason
    )


def all_servers(build: Path) -> dict[str, Server]:
    """Make the table of servers, installing the peers when needed."""
    failed = install()
    servers = [
        ours(),
        ceiling(build),
        peer("socketify", "socketify", failed, "socketify_app.py", "{port}"),
        socketify_on_pypy(),
        uvicorn(failed),
        granian("asgi", failed),
        granian("rsgi", failed),
        peer("bjoern", "bjoern", failed, "bjoern_app.py", "{port}"),
        peer("fastwsgi", "fastwsgi", failed, "fastwsgi_app.py", "{port}"),
    ]
    return {server.name: server for server in servers}


def install() -> dict[str, str]:
    """Install the pinned peers once; return why each failing package failed."""
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    if STAMP.exists() and json.loads(STAMP.read_text()) == key:
        return {}
    print(f"installing the peers into {VENV.name} ...", file=sys.stderr)
    create = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    done = subprocess.run(create, capture_output=True, text=True)
    if done.returncode:
        return {"*": f"venv: {last_line(done.stdout + done.stderr)}"}
    failed = {}
    # One by one, so that a peer that can't be built doesn't take the rest along.
    for requirement in requirements():
        if reason := pip_install(requirement):
            failed[requirement.partition("==")[0].partition("[")[0]] = reason
    if not failed:
        STAMP.write_text(json.dumps(key))
    return failed


def requirements() -> list[str]:
    """Read the pinned requirements without comments."""
    lines = REQUIREMENTS.read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pip_install(requirement: str, python: Path = PYTHON) -> str | None:
    """Install one requirement; return the reason when that fails."""
    command = [str(python), "-m", "pip", "install", "--quiet", requirement]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    return f"pip: {last_line(errors[-1] if errors else done.stderr)}"


def versions(servers: dict[str, Server]) -> dict[str, str]:
    """Ask each server's interpreter for the version of its package."""
    found = {}
    for server in servers.values():
        if server.package and not server.unavailable:
            found[server.name] = version(server.command[0], server.package)
    return found


def version(python: str, package: str) -> str:
    """Return the version of a package as installed for an interpreter."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def last_line(text: str) -> str:
    """Return the last line that says something, for a reason on one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
