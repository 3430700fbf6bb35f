"""The pages for those who come from elsewhere: both programs get the same requests."""

import json
import sys

import pytest
from pages import ROOT, Reader, blocks_in

KEY = {"x-key": "secret"}
JSON = "application/json"

# Method, path, headers, a form, a value as JSON.
ASKED_OF_FLASK = [
    ("GET", "/notes/1", {}, None, None),
    ("POST", "/notes", KEY, {"text": "buy tea"}, None),
    ("POST", "/notes", KEY, {}, None),
    ("GET", "/notes/1", KEY, None, None),
    ("GET", "/notes/2", KEY, None, None),
    ("GET", "/notes/3", KEY, None, None),
    ("GET", "/notes/x", KEY, None, None),
    ("GET", "/nothing", KEY, None, None),
]

ASKED_OF_FASTAPI = [
    ("GET", "/notes/1", {}, None, None),
    ("POST", "/notes", KEY, None, {"text": "buy tea"}),
    ("GET", "/notes/1", KEY, None, None),
    ("GET", "/notes/2", KEY, None, None),
    ("GET", "/nothing", KEY, None, None),
    ("POST", "/notes", {}, None, {"text": "buy tea"}),
    ("DELETE", "/notes/1", KEY, None, None),
]


def run_files(name):
    """Run both programs of a page; return their names, by file."""
    blocks = blocks_in(ROOT / "docs" / f"coming-from-{name}.md")
    found = {}
    for block in blocks:
        if block.kind == "python":
            # As modules: annotations and names are looked up there.
            module = type(sys)(block.name.removesuffix(".py"))
            sys.modules[module.__name__] = module
            exec(compile(block.text, block.name, "exec"), vars(module))
            found[block.name] = vars(module)
    return found


@pytest.fixture(autouse=True)
def forget_modules():
    yield
    for name in ("app", "with_flask", "with_fastapi"):
        sys.modules.pop(name, None)


def answers_here(app, asked):
    client = app.test_client()
    for method, path, headers, form, value in asked:
        answer = client.request(method, path, headers=headers, form=form, json=value)
        yield answer.status, answer.header, answer.text


def assert_same(asked, here, there):
    for question, (status, header, _), (status_2, header_2, _) in zip(
        asked, here, there, strict=True
    ):
        assert status == status_2, question
        assert header("X-App") == header_2("X-App") == "notes", question
        assert header("Location") == header_2("Location"), question


def test_the_flask_program_and_ours_answer_alike():
    pytest.importorskip("flask", reason="flask is not installed: it is not compared")
    programs = run_files("flask")
    client = programs["with_flask.py"]["app"].test_client()

    def there():
        for method, path, headers, form, _ in ASKED_OF_FLASK:
            answer = client.open(path, method=method, headers=headers, data=form)
            yield answer.status_code, answer.headers.get, answer.text
            if answer.is_json:
                values.append(answer.json)

    values = []
    here = [*answers_here(programs["app.py"]["app"], ASKED_OF_FLASK)]
    assert_same(ASKED_OF_FLASK, here, [*there()])
    missing = {"error": "not found"}
    assert values == [
        {"id": 1, "text": "buy tea"},
        {"id": 2, "text": ""},
        *[missing] * 3,
    ]
    ours = [text for _, header, text in here if header("content-type") == JSON]
    assert [*map(json.loads, ours)] == values


def test_the_fastapi_program_and_ours_answer_alike():
    pytest.importorskip("fastapi", reason="fastapi is not installed: not compared")
    testclient = pytest.importorskip("fastapi.testclient")
    programs = run_files("fastapi")
    with testclient.TestClient(programs["with_fastapi.py"]["app"]) as client:
        there = []
        for method, path, headers, _, value in ASKED_OF_FASTAPI:
            answer = client.request(method, path, headers=headers, json=value)
            there.append((answer.status_code, answer.headers.get, answer.text))
    here = [*answers_here(programs["app.py"]["app"], ASKED_OF_FASTAPI)]
    assert_same(ASKED_OF_FASTAPI, here, there)
    for (*_, ours), (*_, theirs) in list(zip(here, there, strict=True))[:4]:
        assert ours.replace(" ", "") == theirs.replace(" ", "")


@pytest.mark.parametrize("name", ["flask", "fastapi"])
def test_the_console_of_the_page_shows_what_our_program_answers(name, tmp_path):
    Reader(tmp_path).read(blocks_in(ROOT / "docs" / f"coming-from-{name}.md"))
