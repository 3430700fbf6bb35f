"""Start and stop servers, and read the CPU time of all their processes."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import client
from peers import APPS, Server, last_line

START_LIMIT = 20.0
STOP_LIMIT = 2.0
TICKS = os.sysconf("SC_CLK_TCK")


class ServerError(Exception):
    """Tell that a server did not start or does not answer as it should."""


@dataclass(frozen=True)
class Cpu:
    """Hold seconds of CPU time."""

    total: float
    user: float
    system: float

    def __sub__(self, other: "Cpu") -> "Cpu":
        """Return the CPU time between two readings."""
        return Cpu(
            self.total - other.total,
            self.user - other.user,
            self.system - other.system,
        )


@dataclass
class Running:
    """Hold a server that is up."""

    server: Server
    port: int
    busy: bool
    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    def last_words(self) -> str:
        """Return the last line the server wrote to its standard error."""
        self.errors.seek(0)
        return last_line(self.errors.read().decode(errors="replace"))


@contextlib.contextmanager
def pinned(cpus: set[int]) -> Iterator[None]:
    """Let processes started inside inherit a set of CPUs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind((client.HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(server: Server, cpus: set[int], *, busy: bool = False) -> Iterator[Running]:
    """Start a server, wait until it answers and stop it at the end."""
    port = free_port()
    with tempfile.TemporaryFile() as errors:
        with pinned(cpus):
            process = subprocess.Popen(
                [part.format(port=port) for part in server.command],
                cwd=APPS,
                env={**os.environ, "BUSY": "1" if busy else "0"},
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        live = Running(server, port, busy, process, errors)
        try:
            wait_until_up(live)
            yield live
        except (ServerError, OSError, http.client.HTTPException) as error:
            if process.poll() is None:
                raise
            # What the caller saw is only how the end of the server showed.
            reason = f"ended with {process.returncode}: {live.last_words()}"
            raise ServerError(reason) from error
        finally:
            stop(process)


def wait_until_up(live: Running) -> None:
    """Wait for the first answer."""
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        if live.process.poll() is not None:
            raise ServerError("did not start")
        with contextlib.suppress(OSError, http.client.HTTPException):
            client.get(live.port, "/")
            return
        time.sleep(0.01)
    raise ServerError(f"no answer in {START_LIMIT:.0f} s: {live.last_words()}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server and whatever it started."""
    signal_session(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_LIMIT)
    signal_session(process.pid, signal.SIGKILL)
    process.wait()


def signal_session(session: int, number: signal.Signals) -> None:
    """Signal every process of a session."""
    for pid in session_pids(session):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat that follow the command's name."""
    text = Path(f"/proc/{pid}/stat").read_text()
    return text.rpartition(")")[2].split()


def session_pids(session: int) -> list[int]:
    """List the processes of a session: a server and all it started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if int(stat_fields(int(entry.name))[3]) == session:
                    found.append(int(entry.name))
    return found


def cpu_time(session: int) -> Cpu:
    """Add up the CPU time of every process of a session."""
    total = user = system = 0.0
    for pid in session_pids(session):
        with contextlib.suppress(OSError):
            fields = stat_fields(pid)
            in_user = int(fields[11]) / TICKS
            in_system = int(fields[12]) / TICKS
            total += scheduler_seconds(pid) or in_user + in_system
            user += in_user
            system += in_system
    return Cpu(total, user, system)


def machine_seconds() -> float:
    """Return the CPU time that processes took on the whole machine."""
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    with Path("/proc/stat").open() as stat:
        ticks = dict(zip(names, map(int, stat.readline().split()[1:9]), strict=True))
    # Interrupts are left out: the load itself causes them.
    return sum(ticks[name] for name in ("user", "nice", "system", "steal")) / TICKS


def scheduler_seconds(pid: int) -> float:
    """Add up the scheduler's nanoseconds of a process; 0 where it keeps none."""
    nanoseconds = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            nanoseconds += int((thread / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9
