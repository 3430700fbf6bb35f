"""What the documents state as facts, and the code that stands in them."""

import inspect
import json
import re
import sys
import tomllib
from dataclasses import fields
from itertools import groupby

import pytest
from pages import Block, Reader, blocks_in, blocks_of, commands_of, pages, pattern_of
from test_programs import ROOT, run_in

import socketify_mw
import socketify_mw.middlewares
import socketify_mw.stores
from socketify_mw import App, Limits, Request, Response
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

# ---- the code of all pages ----

BLOCKS = {path.relative_to(ROOT).as_posix(): blocks_in(path) for path in pages()}

# Pages whose blocks are programs of their own, or files that belong together, and what
# runs them. All other pages have theirs run from top to bottom in one namespace.
RUN_ELSEWHERE = {
    ("README.md", "python"): "test_programs.py",
    ("docs/middleware.md", "python"): "below",
    ("docs/kernel.md", "python"): "below, and test_examples.py",
    ("docs/stores.md", "python"): "below",
    ("docs/tutorial.md", "python"): "below",
    ("docs/tutorial.md", "console"): "below",
    ("docs/coming-from-flask.md", "python"): "test_coming_from.py",
    ("docs/coming-from-flask.md", "console"): "test_coming_from.py",
    ("docs/coming-from-fastapi.md", "python"): "test_coming_from.py",
    ("docs/coming-from-fastapi.md", "console"): "test_coming_from.py",
    ("docs/deployment.md", "python"): "test_deployment.py",
    ("docs/deployment.md", "console"): "test_deployment.py",
    ("docs/deployment.md", "nginx"): "test_deployment.py",
    ("docs/deployment.md", "ini"): "test_deployment.py",
}

# What is not run, how often it stands there, and why not.
NOT_RUN = {
    ("README.md", "sh"): (1, "it builds the package, and runs these tests"),
    ("docs/deployment.md", "dockerfile"): (
        1,
        "it needs a container engine; test_deployment.py looks for what it copies",
    ),
    ("docs/kernel.md", "text"): (1, "a drawing"),
    ("docs/middleware.md", "text"): (
        2,
        "a drawing, and what a command prints, which is compared below",
    ),
}

# Of the site: no code.
DIRECTIVES = {
    "{toctree}",
    "{eval-rst}",
    "{include} ../CHANGELOG.md",
    "{include} ../benchmarks/README.md",
}


def problems_of(blocks):
    """Return the blocks that nothing runs, and nobody has excused."""
    found = []
    for (page, kind), group in groupby(
        sorted(blocks, key=lambda it: (it.page, it.kind)),
        key=lambda it: (it.page, it.kind),
    ):
        count = len([*group])
        if kind == "python" or kind in DIRECTIVES or (page, kind) in RUN_ELSEWHERE:
            continue
        if NOT_RUN.get((page, kind), (0,))[0] != count:
            found.append(f"{page}: {count} of {kind!r} are neither run nor excused")
    return found


def test_every_code_block_is_run_or_excused():
    found = [it for blocks in BLOCKS.values() for it in blocks]
    assert problems_of(found) == []
    there = {(it.page, it.kind) for it in found}
    assert there >= RUN_ELSEWHERE.keys() | NOT_RUN.keys()  # none is out of date


@pytest.mark.parametrize(
    "text", ["```ruby\nputs 1\n```\n", "```\n1\n```\n", "~~~sh\nls\n~~~\n"]
)
def test_a_page_with_another_kind_of_block_is_noticed(text):
    assert problems_of(blocks_of(text, "docs/new.md")) != []
    assert problems_of(blocks_of(text, "docs/kernel.md")) != []


@pytest.mark.parametrize("text", ["text\n\n    code\n", "```python\n1\n"])
def test_code_without_fences_is_noticed(text):
    with pytest.raises(ValueError):
        blocks_of(text)


def test_what_varies_is_masked_and_nothing_else():
    shown = pattern_of("Date: ...\n...\nend ... of it\n")
    assert shown.fullmatch("Date: today\na\nb\nend x of it")
    assert not shown.fullmatch("Date: today\nend x of it")
    assert not pattern_of("a ...").fullmatch("a b\nc")
    assert not pattern_of("a.b").fullmatch("a-b")


def test_commands_are_told_from_what_they_print():
    assert commands_of("$ a \\\n    b\nc\n$ for\n> d\n> done\n> e\n") == [
        ("a \\\n    b\n", "c\n"),
        ("for\nd\ndone\ne\n", ""),
    ]
    (block,) = blocks_of("# A\n\n`a/b.py`:\n\n```python\n1\n```\n")
    assert block == Block("page.md", 5, "python", "1\n", "a/b.py", "A")


@pytest.mark.parametrize(
    "page",
    [
        page
        for page, blocks in BLOCKS.items()
        if (page, "python") not in RUN_ELSEWHERE
        and any(it.kind == "python" for it in blocks)
    ],
)
def test_the_programs_of_a_page_do_what_they_say(page, monkeypatch, tmp_path):
    monkeypatch.setenv("APP_ENV", "testing")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in BLOCKS[page]:
        if block.kind == "python":
            exec(compile(block.text, str(block), "exec"), names)


def test_the_readmes_commands_are_targets_of_the_makefile():
    (block,) = (it for it in BLOCKS["README.md"] if it.kind == "sh")
    makefile = (ROOT / "Makefile").read_text()
    for line in block.text.splitlines():
        target = re.match(r"make ([\w-]+)", line)[1]
        assert re.search(rf"^{target}:", makefile, re.M), line


TUTORIAL = "docs/tutorial.md"
STEPS = list(dict.fromkeys(it.section for it in BLOCKS[TUTORIAL]))


def test_the_tutorial_has_ten_steps():
    assert [it.partition(".")[0] for it in STEPS] == [str(n) for n in range(1, 11)]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_of_the_tutorial_prints_what_it_shows(step, tmp_path):
    reader = Reader(tmp_path)
    if step == STEPS[-1]:  # the program is that of the step before
        reader.read(
            it for it in BLOCKS[TUTORIAL] if it.section == STEPS[-2] and it.name
        )
    blocks = [it for it in BLOCKS[TUTORIAL] if it.section == step]
    assert {it.kind for it in blocks} == {"python", "console"}
    reader.read(blocks)


# ---- links and names ----


@pytest.mark.parametrize("path", pages(), ids=lambda it: it.name)
def test_links_lead_somewhere(path):
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.S | re.M)
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", text):
        if target.startswith("https://"):
            continue
        there = path.parent / target if target else path
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text(), re.M)
            assert anchor in [
                re.sub(r"[^\w -]", "", it).lower().replace(" ", "-") for it in headings
            ]


PARTS = {"req": Request, "request": Request, "res": Response, "response": Response}
PARTS["app"] = App


@pytest.mark.parametrize("path", pages(), ids=lambda it: it.name)
def test_members_that_a_page_names_are_there(path):
    """In text and tables; of what is compared with others, in the column for here."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.S | re.M)
    if path.name.startswith("coming-from-"):
        rows = (re.split(r" (?<!\\)\| ", it) for it in text.splitlines())
        here = 2 if path.name.endswith(("masonite.md", "socketify.md")) else 1
        text = "\n".join(it[here] for it in rows if len(it) > here)
    for code in re.findall(r"`([^`]+)`", text):
        for name, member in re.findall(
            r"\b(req|request|res|response|app)\.(\w+)", code
        ):
            assert member == "py" or hasattr(PARTS[name], member), code


# ---- docs/compatibility.md, docs/reference ----


def test_the_page_on_compatibility_has_what_the_package_needs():
    page = (ROOT / "docs" / "compatibility.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    rows = dict(re.findall(r"^\| `(\w+)` \| `?([^`|;]*)`?[^|]*\|$", page, re.M))
    extras = project["optional-dependencies"]
    assert rows.keys() == extras.keys()
    for name in extras.keys() - {"all"}:
        assert extras[name] == [rows[name]]
    assert all(f"`{it}`" in page for it in project["dependencies"])
    versions = re.findall(r"Python :: (3\.\d+)", "".join(project["classifiers"]))
    assert f"CPython {', '.join(versions)}" in page


@pytest.mark.parametrize(
    "module",
    [socketify_mw, socketify_mw.middlewares, socketify_mw.stores],
    ids=lambda it: it.__name__,
)
def test_the_reference_has_every_public_name(module):
    folder = ROOT / "docs" / "reference"
    text = "".join(it.read_text() for it in folder.glob("*.md"))
    for name in module.__all__:
        assert re.search(rf"auto\w+:: ([\w.]*\.)?{name}$|`{name}`", text, re.M), name


# ---- docs/limits.md ----


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
    assert PAGE.endswith(f"```text\n{printed}```\n")


# ---- docs/kernel.md ----


def test_the_page_on_kernels_shows_the_example_as_it_is():
    page = (ROOT / "docs" / "kernel.md").read_text()
    shown = re.findall(r"^`(\S+)`:\n\n```python\n(.*?)```", page, re.M | re.S)
    assert len(shown) == page.count("```python") >= 7
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
