"""Scaffold: files that a program's author goes on with."""

import re
from pathlib import Path

_CLASS = '''"""{name}: say in a line what it does."""

from socketify_mw import Middleware


class {name}(Middleware):
    def before(self, request, response):
        # Answer here, and return something else, to keep a request out.
        return request

    def after(self, request, response):
        # The answer is made: status, fields and cookies may still be changed.
        return request
'''

_TEST = '''"""Tests of {name}; run them with: python -m pytest"""

from {folder}.{module} import {name}

from socketify_mw import App


def home(res, req):
    res.end("home")


def test_it_lets_requests_through():
    client = App().use({name}).get("/", home).test_client()
    assert client.get("/").text == "home"
'''


def make_middleware(name: str, folder: str = "middlewares") -> list[Path]:
    """Write a middleware class and a test for it; return both paths.

    Raises ValueError for what is no name of a class, or of a folder that can be
    imported, and FileExistsError instead of overwriting anything.
    """
    if not name.isidentifier() or not name[0].isupper():
        raise ValueError(f"{name!r} is not the name of a class, such as RequestLog")
    if not folder.isidentifier():
        raise ValueError(
            f"{folder!r} is not the name of a folder beside the program, such as "
            "middlewares: a single word, without / and ."
        )
    module = re.sub(
        r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name
    ).lower()
    texts = {
        Path(folder, f"{module}.py"): _CLASS,
        Path("tests", f"test_{module}.py"): _TEST,
    }
    for path in texts:
        if path.exists():
            raise FileExistsError(f"{path} is there already, and is left as it is")
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        with path.open("x") as file:
            file.write(text.format(name=name, module=module, folder=folder))
    return list(texts)
