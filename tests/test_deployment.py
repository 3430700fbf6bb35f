"""docs/deployment.md: its program behind a real nginx, its unit, its image."""

import datetime
import os
import re
import shutil
import socket
import subprocess
import sys
import time

import httpx
import pytest
from pages import ROOT, Reader, blocks_in, free_port
from test_programs import run  # noqa: F401

BLOCKS = blocks_in(ROOT / "docs" / "deployment.md")


def text_of(kind, number=0):
    return [it.text for it in BLOCKS if it.kind == kind][number]


def test_each_block_of_the_page_has_its_test_here():
    kinds = [it.kind for it in BLOCKS if it.kind != "console"]
    assert kinds == ["python", "ini", "nginx", "nginx", "dockerfile"]


@pytest.fixture
def reader(tmp_path):
    return Reader(tmp_path)


# ---- the program ----


def test_the_console_prints_what_the_page_shows(reader):
    pytest.importorskip("cryptography", reason="the extra `sessions` is missing")
    reader.environment.pop("APP_KEY", None)
    reader.read(it for it in BLOCKS if it.name == "shop.py" or it.kind == "console")


# ---- nginx ----

needs_nginx = pytest.mark.skipif(
    shutil.which("nginx") is None, reason="nginx is not installed"
)


def start_shop(reader, run):  # noqa: F811
    """Start the page's program, which prints no URL, and wait until it listens."""
    code = (reader.folder / "shop.py").read_text()
    assert code.count("    app.run(") == 1
    told = '    print("http://localhost:0", flush=True)\n    app.run('
    (reader.folder / "told.py").write_text(code.replace("    app.run(", told))
    return run("told.py", cwd=reader.folder, env=reader.environment)


class Nginx:
    def __init__(self, folder, configuration, port):
        head = "daemon off; pid nginx.pid; error_log stderr;"
        if os.geteuid() == 0:  # or its workers could not reach the socket
            head += " user root root;"
        paths = " ".join(
            f"{name}_temp_path {name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        text = f"{head} events {{}} http {{ access_log off; {paths}\n{configuration} }}"
        (folder / "nginx.conf").write_text(text)
        self.process = subprocess.Popen(
            ["nginx", "-e", "stderr", "-p", str(folder), "-c", "nginx.conf"],
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            if self.process.poll() is not None:
                pytest.fail(self.process.stderr.read())
            time.sleep(0.01)
        pytest.fail("nginx does not listen")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.terminate()
        self.log = self.process.communicate(timeout=10)[1]


def write_certificate(folder):
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "shop.example.com")]
    )
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "shop.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "shop.key").write_bytes(
        key.private_bytes(
            pem,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@pytest.fixture(params=["unix socket", "TCP"])
def site(request, reader, run):  # noqa: F811
    """The page's program behind the page's nginx: its URL."""
    write_certificate(reader.folder)
    reader.read(it for it in BLOCKS if it.name == "shop.py")
    configuration = text_of("nginx")
    if request.param == "TCP":
        tcp = text_of("nginx", 1)
        configuration, count = re.subn(
            r"upstream .*?^}\n", tcp, configuration, flags=re.S | re.M
        )
        assert count == 1
        inner = str(free_port())
        reader.environment |= {"PORT": inner}
        configuration = configuration.replace("127.0.0.1:3000", f"127.0.0.1:{inner}")
    else:
        path = str(reader.folder / "http.sock")
        reader.environment |= {"LISTEN_PATH": path}
        configuration = configuration.replace("/run/shop/http.sock", path)
    port = free_port()
    for name in ("shop.pem", "shop.key"):
        configuration = configuration.replace(
            f"/etc/ssl/{name}", str(reader.folder / name)
        )
    configuration = configuration.replace("listen 443", f"listen 127.0.0.1:{port}")
    program = start_shop(reader, run)
    with Nginx(reader.folder, configuration, port) as nginx:
        yield f"https://127.0.0.1:{port}"
    status, errors = program.stop()
    assert status == 0, errors
    assert "[error]" not in nginx.log and "[emerg]" not in nginx.log, nginx.log
    address = "-" if request.param == "unix socket" else "127.0.0.1"
    assert f"INFO socketify_mw.access {address} GET / 200 " in errors


@needs_nginx
def test_nginx_serves_the_program_as_the_page_says(site):
    with httpx.Client(base_url=site, verify=False) as client:
        host = {"host": "shop.example.com"}
        first = client.get("/", headers=host)
        assert first.text == "visit 1 at shop.example.com\n"
        assert "; Secure" in first.headers["set-cookie"]
        cookie = first.headers["set-cookie"].partition(";")[0]
        again = client.get("/", headers=host | {"cookie": cookie})
        assert again.text == "visit 2 at shop.example.com\n"
        # An address that a client makes up does not help it.
        statuses = [
            client.get("/", headers={"x-real-ip": f"192.0.2.{n}"}).status_code
            for n in range(40)
        ]
        assert statuses == [200] * 28 + [429] * 12


PARTS = """
import asyncio
from socketify_mw import App

was_read = asyncio.Event()
asked = 0

async def stream(res, req):
    res.write("one ")
    await was_read.wait()
    res.end("two")

async def upload(res, req):
    global asked
    asked += 1
    res.end((await res.get_data()).read())

app = App()
app.get("/", stream)
app.post("/", upload)
app.get("/read", lambda res, req: (was_read.set(), res.end()))
app.get("/asked", lambda res, req: res.end(asked))
app.listen(0, lambda it: print(f"http://localhost:{it.port}", flush=True))
app.run()
"""


@needs_nginx
def test_streams_pass_through_nginx_as_they_are_written_and_bodies_whole(tmp_path):
    reader = Reader(tmp_path)
    (tmp_path / "app.py").write_text(PARTS)
    port = free_port()
    with reader.started("app.py") as program:
        inner = program.url.replace("localhost", "127.0.0.1")
        place = f"location / {{ proxy_pass {inner}; proxy_http_version 1.1; }}"
        server = f"server {{ listen 127.0.0.1:{port}; {place} }}"
        with Nginx(tmp_path, server, port), socket.socket() as client:
            with httpx.stream("GET", f"http://127.0.0.1:{port}/") as answer:
                parts = answer.iter_raw()
                assert next(parts) == b"one "
                httpx.get(f"{program.url}/read")  # which lets the handler go on
                assert b"".join(parts) == b"two"
            client.connect(("127.0.0.1", port))
            client.sendall(b"POST / HTTP/1.0\r\nContent-Length: 8\r\n\r\nhalf")
            time.sleep(0.2)  # for what is not to happen
            assert httpx.get(f"{program.url}/asked").json() == 0
            client.sendall(b"half")
            assert b"200 OK" in client.recv(65536)
            assert httpx.get(f"{program.url}/asked").json() == 1


# ---- systemd ----


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)
def test_systemd_understands_the_unit(tmp_path):
    (unit,) = (it for it in BLOCKS if it.kind == "ini")
    assert unit.name == "shop.service"
    text = unit.text.replace("/srv/shop/.venv/bin/python", sys.executable)
    assert text != unit.text
    path = tmp_path / unit.name
    path.write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_the_unit_leaves_the_program_time_to_stop():
    grace = int(re.search(r"grace=(\d+)", BLOCKS[0].text)[1])
    assert int(re.search(r"TimeoutStopSec=(\d+)", text_of("ini"))[1]) >= grace + 5
    most = re.search(r"max_connections=([\d_]+)", BLOCKS[0].text)[1]
    assert int(re.search(r"LimitNOFILE=(\d+)", text_of("ini"))[1]) > int(most)


# ---- the image ----


def test_what_the_image_copies_is_there():
    lines = text_of("dockerfile").splitlines()
    assert {it.split()[0] for it in lines if it} <= {
        *("FROM", "RUN", "COPY", "WORKDIR", "USER", "EXPOSE", "CMD")
    }
    copied = [it.split()[1:-1] for it in lines if it.startswith("COPY ")]
    sources = [it for names in copied for it in names if names[0][:2] != "--"]
    assert len(sources) >= 8
    for name in sources:
        assert (ROOT / name).exists(), name
    assert (ROOT / "examples" / "login_app" / "app.py").exists()
    assert 'CMD ["python", "app.py"]' in lines
