"""Keys: which ones are taken, and where they come from."""

import base64
import logging
import os
import subprocess
import sys

import pytest

from socketify_mw import App, ConfigError, RouteError, keys
from socketify_mw.__main__ import main
from socketify_mw.keys import application_key, derive, give_key, new_key, parse_key
from socketify_mw.middlewares import EncryptCookies

# 32 bytes that have each of "+", "/" and "=" in base64.
RAW = bytes.fromhex("fbeffe0123456789abcdef1032547698badcfe00112233445566778899aabbff")
PADDED = base64.b64encode(RAW).decode()
OTHER = bytes(range(100, 132))

MASONITE = "-RkDOqXojJIlsF_I8wWiUq_KRZ0PtGWTOZ676u5HtLg="


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("APP_ENV", raising=False)
    monkeypatch.delenv("APP_KEY", raising=False)
    monkeypatch.setattr(keys, "_given", None)
    monkeypatch.setattr(keys, "_generated", None)


SPELLINGS = [
    PADDED,
    PADDED.rstrip("="),
    PADDED.replace("+", "-").replace("/", "_"),
    PADDED.replace("+", "-").replace("/", "_").rstrip("="),
    f"base64:{PADDED}",
    f"base64:{PADDED.rstrip('=')}",
    f"  {PADDED}\n",
    PADDED.encode(),
    PADDED.encode() + b"\n",
    b"base64:" + PADDED.encode(),
]


@pytest.mark.parametrize("text", SPELLINGS, ids=repr)
def test_a_key_has_several_spellings(text):
    assert "+" in PADDED and "/" in PADDED and PADDED.endswith("=")
    assert parse_key(text) == RAW


BAD = [
    ("short", "32 bits|not base64|needs 256"),
    (base64.b64encode(RAW[:31]).decode(), "248 bits, and needs 256"),
    ("not base64 at all!", "not base64"),
    ("schl\xfcssel", "not base64"),
    ("\u20ac" * 43, "not base64"),
    ("base64:", "0 bits"),
    (" ", "0 bits"),
    ("A" * 43, "easy to guess"),
    (base64.b64encode(bytes(32)).decode(), "easy to guess"),
    (base64.b64encode(b"\xff" * 64).decode(), "easy to guess"),
    (base64.b64encode(b"password" * 4).decode(), "easy to guess"),
    (MASONITE, "stands in public"),
    (MASONITE.rstrip("="), "stands in public"),
    (f"base64:{MASONITE}", "stands in public"),
    (MASONITE.replace("-", "+").replace("_", "/"), "stands in public"),
    (f" {MASONITE} ", "stands in public"),
    (MASONITE.encode(), "stands in public"),
    (MASONITE.encode() + b"\n", "stands in public"),
    (None, "is text, not NoneType"),
    (7, "is text, not int"),
]


@pytest.mark.parametrize(("text", "words"), BAD, ids=lambda it: repr(it)[:20])
def test_a_bad_key_is_refused_with_the_cure(text, words):
    with pytest.raises(ConfigError, match=words) as error:
        parse_key(text)
    assert "python -m socketify_mw key" in str(error.value)
    if isinstance(text, str) and len(text) > 6 and text.strip():
        assert text not in str(error.value)  # it may be a secret nevertheless


@pytest.mark.parametrize("env", [None, "", "production", "prod", "staging", "Live"])
def test_production_needs_a_key(monkeypatch, env):
    if env is not None:
        monkeypatch.setenv("APP_ENV", env)
    with pytest.raises(ConfigError, match="no key") as error:
        application_key()
    assert "APP_ENV=development" in str(error.value)
    for text, words in BAD:
        if isinstance(text, str):
            monkeypatch.setenv("APP_KEY", text)
            with pytest.raises(ConfigError, match=words):
                application_key()
    monkeypatch.setenv("APP_KEY", PADDED)
    assert application_key() == RAW


@pytest.mark.parametrize(
    "env", ["development", "dev", "local", "test", "testing", " Development\n", "DEV"]
)
@pytest.mark.parametrize("text", [None, "", "short", MASONITE, "A" * 43])
def test_in_development_one_is_made_and_the_log_tells(monkeypatch, caplog, env, text):
    monkeypatch.setenv("APP_ENV", env)
    if text is not None:
        monkeypatch.setenv("APP_KEY", text)
    with caplog.at_level(logging.WARNING, "socketify_mw"):
        key = application_key()
    assert len(key) == 32 and key == application_key()
    (record,) = caplog.records
    assert record.levelname == "WARNING" and "made for this run" in record.message
    monkeypatch.setattr(keys, "_generated", None)
    assert application_key() != key


def test_a_good_key_counts_in_development_too(monkeypatch, caplog):
    monkeypatch.setenv("APP_ENV", "development")
    monkeypatch.setenv("APP_KEY", PADDED)
    assert application_key() == RAW and caplog.records == []


def test_a_kernels_key_beats_the_environment(monkeypatch):
    class Kernel:
        key = base64.b64encode(OTHER).decode()
        http_middleware = [EncryptCookies]

    monkeypatch.setenv("APP_KEY", PADDED)
    app = App()
    app.kernel(Kernel)
    assert application_key() == OTHER
    app.get("/", lambda res, req: res.set_cookie("a", "1").json(req.get_cookies()))
    client = app.test_client()
    client.get("/")
    other = App().use(EncryptCookies.using(keys=[Kernel.key]))
    other.get("/", lambda res, req: res.json(req.get_cookies()))
    cookie = {"Cookie": f"a={client.cookies['a']}"}
    assert other.test_client().get("/", headers=cookie).json() == {"a": "1"}


@pytest.mark.parametrize("text", ["short", MASONITE, 7])
def test_a_kernels_bad_key_is_told_and_forgotten(monkeypatch, text):
    class Kernel:
        key = text

    monkeypatch.setenv("APP_KEY", PADDED)
    with pytest.raises(RouteError, match=r"Kernel\.key: "):
        App().kernel(Kernel)
    # The next app has a key of its own.
    assert application_key() == RAW


def test_a_kernels_bad_key_is_told_once_with_the_others(monkeypatch):
    class Kernel:
        key = "short"
        http_middleware = [EncryptCookies, "unknown"]

    monkeypatch.setenv("APP_KEY", PADDED)
    with pytest.raises(RouteError, match="2 things are wrong") as error:
        App().kernel(Kernel)
    text = str(error.value)
    assert text.count("Kernel.key: ") == 1 and "'unknown'" in text


def test_a_key_that_was_given_holds_for_the_process(monkeypatch):
    monkeypatch.setenv("APP_KEY", PADDED)
    give_key(base64.b64encode(OTHER))
    assert application_key() == OTHER


def test_new_keys_are_good_and_not_the_same(capsys):
    found = {new_key() for _ in range(200)}
    assert len(found) == 200
    assert all(len(parse_key(it)) == 32 for it in found)


def test_what_the_command_prints_is_taken(monkeypatch, capsys):
    assert not main(["key"])
    monkeypatch.setenv("APP_KEY", capsys.readouterr().out)
    assert len(application_key()) == 32


def test_the_command_needs_no_key_itself():
    command = [sys.executable, "-m", "socketify_mw", "key"]
    found = subprocess.run(command, capture_output=True, text=True, env={**os.environ})
    assert found.returncode == 0 and found.stderr == ""
    assert len(parse_key(found.stdout)) == 32


def test_derived_keys_tell_nothing_of_each_other():
    purposes = ["cookies", "hashids ", "hashids a", ""]
    found = {derive(RAW, it) for it in purposes} | {derive(OTHER, "cookies"), RAW}
    assert len(found) == 6 and {len(it) for it in found} == {32}


def test_derivation_is_that_of_rfc_5869():
    hkdf = pytest.importorskip("cryptography.hazmat.primitives.kdf.hkdf")
    hashes = pytest.importorskip("cryptography.hazmat.primitives.hashes")
    other = hkdf.HKDF(hashes.SHA256(), length=32, salt=None, info=b"cookies")
    assert derive(RAW, "cookies") == other.derive(RAW)
