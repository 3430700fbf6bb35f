"""Listening on unix sockets: who gets in, and what becomes of the file."""

import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from socketify_mw import App


def hello(res, req):
    res.end("Hello, World!")


@pytest.fixture
def path():
    """A path in a new folder; pytest's own folders can be too deep for a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield os.path.join(folder, "app.sock")


@pytest.fixture
def serve_at(serve):
    """Give a function that serves at paths, besides the port of `serve`."""

    def start(*paths, **options):
        def setup(app):
            app.get("/", hello)
            for path in paths:
                app.listen(path=path, **options)

        return serve(setup)

    return start


@pytest.fixture
def app():
    app = App()
    yield app
    app.close()


def leave_stale(path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


# ---- serving ----


def test_requests_over_a_unix_socket_are_answered(serve_at, path):
    client = serve_at(path).client(path)
    for _ in range(3):
        answer = client.ask("/")
        assert (answer.status, answer.body) == (200, b"Hello, World!")
    assert client.ask("/nowhere").status == 404
    assert client.ask("/", "GET", "Connection: close").status == 200
    assert client.is_closed_by_server()


def test_a_large_answer_passes_a_unix_socket_whole(serve, path):
    body = bytes(range(256)) * 40_000
    server = serve(
        lambda app: app.get("/", lambda res, req: res.end(body)).listen(path=path)
    )
    client = server.client(path)
    client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n" * 2)
    assert client.read().body == body
    assert client.read().body == body


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_reaches_a_unix_socket(serve_at, path):
    serve_at(path)
    command = ["curl", "-sS", "--max-time", "10", "--unix-socket", path]
    done = subprocess.run(
        [*command, "http://localhost/"], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("Hello, World!", "")


def test_an_app_listens_at_ports_and_paths_at_once(serve_at, path):
    paths = [path, path + "2"]
    server = serve_at(*paths)
    for address in (server.port, *paths):
        assert server.client(address).ask("/").body == b"Hello, World!"
    server.stop()
    assert not any(map(os.path.lexists, paths))


@pytest.mark.parametrize("kind", [str, os.fsencode, Path])
def test_the_handler_of_listen_is_told_the_path(app, path, kind):
    configs = []
    app.listen(handler=configs.append, path=kind(path))
    assert [(it.port, it.host, it.path) for it in configs] == [(0, None, path)]
    app.listen(0, configs.append)
    assert configs[1].path is None


def test_a_path_that_is_no_text_is_told_as_os_fsdecode_gives_it(app, path):
    configs = []
    name = os.fsencode(path) + b"\xff"
    app.listen(handler=configs.append, path=name)
    assert stat.S_ISSOCK(os.lstat(name).st_mode)
    assert os.fsencode(configs[0].path) == name


# ---- the mode ----


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
@pytest.mark.parametrize("mode", [None, 0o600, 0o660, 0o666])
def test_the_mode_is_the_one_asked_for_or_what_the_umask_leaves(app, path, umask, mode):
    before = os.umask(umask)
    try:
        app.listen(path=path, mode=mode)
    finally:
        os.umask(before)
    assert mode_of(path) == (0o777 & ~umask if mode is None else mode)


# ---- what stands there already ----


def test_a_stale_file_is_replaced(serve_at, path):
    leave_stale(path)
    server = serve_at(path)
    assert server.client(path).ask("/").body == b"Hello, World!"


def test_the_file_of_a_killed_process_is_replaced(serve_at, path):
    program = (
        "import os, signal, sys; from socketify_mw import App;"
        "App().listen(path=sys.argv[1]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program, path], timeout=30)
    assert done.returncode == -9
    assert os.path.lexists(path)
    assert serve_at(path).client(path).ask("/").status == 200


def test_a_path_in_use_raises_an_error_that_names_it(serve_at, app, path):
    server = serve_at(path)
    with pytest.raises(OSError, match="in use.*" + re.escape(path)) as caught:
        app.listen(path=path)
    assert caught.value.filename == path
    assert server.client(path).ask("/").status == 200


def test_a_file_that_is_no_socket_is_left_alone(app, path):
    Path(path).write_text("precious")
    with pytest.raises(FileExistsError, match=re.escape(path)):
        app.listen(path=path, mode=0o600)
    assert Path(path).read_text() == "precious"


def test_a_missing_folder_raises_an_error_that_names_the_path(app, path):
    missing = os.path.join(path, "missing", "app.sock")
    with pytest.raises(FileNotFoundError, match=re.escape(missing)):
        app.listen(path=missing)


def test_a_path_too_long_for_a_socket_raises_an_error_that_names_it(app, path):
    longest = path.ljust(107, "x")
    with pytest.raises(OSError, match="too long.*" + longest + "x"):
        app.listen(path=longest + "x")
    app.listen(path=longest)


# ---- what cannot be meant ----


@pytest.mark.parametrize("path", ["", b"", "/tmp/a\0b", b"\0abstract"])
def test_what_is_no_path_is_an_error_that_names_it(app, path):
    with pytest.raises(ValueError, match="not " + re.escape(repr(path))):
        app.listen(path=path)


@pytest.mark.parametrize("path", [3, True, ["/tmp/a"]])
def test_a_path_is_text_or_bytes(app, path):
    with pytest.raises(TypeError):
        app.listen(path=path)


@pytest.mark.parametrize(
    "options",
    [
        {"port_or_options": 3000},
        {"port_or_options": 0},
        {"host": "127.0.0.1"},
        {"reuse_port": True},
    ],
)
def test_a_path_stands_alone(app, path, options):
    with pytest.raises(ValueError, match="path without port, host and reuse_port"):
        app.listen(path=path, **options)
    assert not os.path.lexists(path)


@pytest.mark.parametrize("mode", [0, -1, 0o1777, 0o660 + 0.0, "660", True])
def test_what_is_no_mode_is_an_error_that_names_it(app, path, mode):
    with pytest.raises(ValueError, match="not " + re.escape(repr(mode))):
        app.listen(path=path, mode=mode)
    assert not os.path.lexists(path)


def test_a_port_has_no_mode(app):
    with pytest.raises(ValueError, match="give its path"):
        app.listen(0, mode=0o660)


# ---- whose file it is in the end ----


def test_closing_the_app_removes_the_file(path):
    app = App().listen(path=path)
    assert os.path.lexists(path)
    app.close()
    assert not os.path.lexists(path)


SUCCESSOR = """
import os, socket, sys
path = sys.argv[1]
with socket.socket(socket.AF_UNIX) as successor:
    successor.bind(path + ".new")
    os.rename(path + ".new", path)
"""


def test_a_file_that_another_process_put_there_is_left_alone(path):
    app = App().listen(path=path)
    subprocess.run([sys.executable, "-c", SUCCESSOR, path], check=True, timeout=30)
    theirs = os.lstat(path).st_ino
    app.close()
    assert os.lstat(path).st_ino == theirs


FORK = """
import os, socket, sys
from socketify_mw import App

path = sys.argv[1]
app = App()
app.get("/", lambda res, req: res.end("parent"))
app.listen(path=path)
pid = os.fork()
if pid == 0:
    %s
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
with socket.socket(socket.AF_UNIX) as client:
    client.connect(path)  # the file and the listener behind it are still there
app.close()
assert not os.path.lexists(path)
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("leave", ["sys.exit(0)", "os._exit(0)"])
def test_a_child_of_fork_that_exits_leaves_the_file(leave, path):
    done = subprocess.run(
        [sys.executable, "-c", FORK % leave, path],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout == "done\n", done.stderr[-2000:]
