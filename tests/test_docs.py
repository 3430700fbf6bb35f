"""What the documents state as facts."""

import inspect
import json
import re
import sys
from dataclasses import fields

import pytest
from test_programs import ROOT, run_in

from socketify_mw import Limits
from socketify_mw.middlewares import (
    EncryptCookies,
    HashIDMiddleware,
    SessionMiddleware,
    ThrottleMiddleware,
    VerifyCsrfToken,
)
from socketify_mw.stores import MemoryStore
from socketify_mw.stores.redis import RedisStore
from socketify_mw.stores.sqlite import SqliteStore


def test_the_table_of_limits_has_every_one_with_its_default():
    text = (ROOT / "docs" / "limits.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)`:.*?\| (\S+)[^|]*\| (?:yes|no)", text, re.M))
    expected = {
        field.name: f"{field.default:g}"
        if isinstance(field.default, float)
        else str(field.default)
        for field in fields(Limits)
    }
    assert rows == expected


def test_the_table_of_limits_tells_which_may_be_none():
    text = (ROOT / "docs" / "limits.md").read_text()
    told = dict(re.findall(r"^\| `(\w+)`:.*\| (yes|no) \|", text, re.M))
    for field in fields(Limits):
        assert told[field.name] == ("yes" if "None" in str(field.type) else "no")


# ---- docs/middleware.md ----

PAGE = (ROOT / "docs" / "middleware.md").read_text()
(PROGRAM,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)


@pytest.mark.parametrize(
    "row", re.findall(r"^\| `(\w+) (\S+)`(.*?) \| `(\d+) (.*)` \|", PAGE, re.M), ids=str
)
def test_the_page_on_middleware_tells_what_its_program_answers(row):
    method, path, condition, status, body = row
    names = {}
    exec(PROGRAM, names)  # as its reader would
    headers = {"authorization": "Bearer x"} if "authorization" in condition else {}
    found = names["app"].test_client().request(method, path, headers=headers)
    assert found.status == int(status)
    if body.startswith("{"):
        assert found.json() == json.loads(body)
    else:
        assert found.text == body


def test_the_page_on_middleware_shows_what_the_command_line_prints(tmp_path):
    (tmp_path / "shop.py").write_text(PROGRAM)
    found = run_in(tmp_path, sys.executable, "-m", "socketify_mw", "routes", "shop:app")
    printed = re.sub(r"\S+miss\.py:\d+", "...", found.stdout)
    assert PAGE.endswith(f"```\n{printed}```\n")


# ---- docs/kernel.md ----


def test_the_page_on_kernels_shows_the_example_as_it_is():
    page = (ROOT / "docs" / "kernel.md").read_text()
    shown = re.findall(r"^`(\S+)`:\n\n```python\n(.*?)```", page, re.M | re.S)
    assert len(shown) >= 7
    for name, text in shown:
        assert text == (ROOT / "examples" / "kernel_app" / name).read_text()


# ---- the pages on what is built in ----

BUILT_IN = {
    "encrypted-cookies": EncryptCookies,
    "sessions": SessionMiddleware,
    "csrf": VerifyCsrfToken,
    "hashed-ids": HashIDMiddleware,
    "throttling": ThrottleMiddleware,
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_programs_of_a_page_do_what_they_say(name, monkeypatch, tmp_path):
    monkeypatch.setenv("APP_ENV", "testing")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / f"{name}.md").read_text()
    programs = re.findall(r"```python\n(.*?)```", page, re.S)
    assert programs
    names = {}
    for program in programs:
        exec(program, names)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_page_has_every_option(name):
    page = (ROOT / "docs" / f"{name}.md").read_text()
    _, _, section = page.partition("## Options\n")
    rows = re.findall(r"^\| `(\w+)` \|", section, re.M)
    assert sorted(rows) == sorted(BUILT_IN[name].options())


# ---- docs/stores.md ----

STORES = (ROOT / "docs" / "stores.md").read_text()


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", STORES, re.S))
def test_the_page_on_stores_shows_code_that_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)  # as its reader would
    assert callable(names["store"].hit)
    if "app" in names:
        client = names["app"].test_client()
        for n in range(1, 101):
            assert client.get("/").text == f"visit {n}\n"
        refused = client.get("/")
        assert refused.status == 429
        assert 1 <= int(refused.header("Retry-After")) <= 60


def test_the_page_on_stores_tells_every_option_with_its_default():
    stores = [MemoryStore, SqliteStore, RedisStore]
    for part, store in zip(STORES.split("\n## ")[2:5], stores, strict=True):
        rows = re.findall(r"^\| `(\w+)` \| (.*?) ?\|", part, re.M)
        told = {name: default.replace(",", "").strip("`") for name, default in rows}
        expected = {}
        for name, option in inspect.signature(store).parameters.items():
            default = option.default
            if default is option.empty:
                expected[name] = ""
            elif name == "timeout":
                expected[name] = f"{default:g} s"
            else:
                expected[name] = "time.monotonic" if callable(default) else str(default)
        assert told == expected
