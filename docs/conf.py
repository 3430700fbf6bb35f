"""The documentation site, built by `make docs`."""

import inspect
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import socketify_mw  # noqa: E402

project = "socketify_mw"
release = version = socketify_mw.__version__
html_title = f"{project} {version}"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_show_copyright = False
html_show_sphinx = False
highlight_language = "text"
smartquotes = False
maximum_signature_line_length = 120
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
# Docstrings have code in single backticks; what is documented here becomes a link.
default_role = "py:obj"

nitpick_ignore_regex = [
    ("py:obj", ".*"),
    # Of the standard library, whose inventory would have to be fetched.
    ("py:.*", r"(_?asyncio|collections|contextvars|http|io|os|types|typing)\..*"),
    # Not public.
    ("py:.*", r"socketify_mw\..*\b(_[A-Z]|Chain|Lifetimes)"),
]
# `method` and the like are words, and not links, where several things have the name.
suppress_warnings = ["ref.python"]

# Links beyond docs/, as a code-hosting site has them, and what the site has for each.
# It has no folders.
ELSEWHERE = {
    "../README.md": "index.md",
    "../CHANGELOG.md": "changelog.md",
    "../benchmarks/README.md": "benchmarks.md",
}
LINK = re.compile(r"\[([^\]]*)\]\((\.\./[^)#]*)(#[^)]*)?\)")


def resolve_links(app: Any, page: str, source: list[str]) -> None:
    """Have links that leave docs/ lead to pages of the site."""

    def resolved(found: re.Match[str]) -> str:
        text, target, anchor = found.groups()
        if target in ELSEWHERE:
            return f"[{text}]({ELSEWHERE[target]}{anchor or ''})"
        return text if (ROOT / "docs" / target).is_dir() else found[0]

    source[0] = LINK.sub(resolved, source[0])


# What docstrings have as people write it, and reStructuredText has otherwise.
PLURAL = re.compile(r"(`[^`]+`)(?=\w)")
STAR = re.compile(r'(?<=")\*|\*(?=")')
ITEM = re.compile(r"(\w+(?:, \w+)*): (.*)")


def read_docstring(
    app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Make a list of what is said of arguments and fields, as `name: text`."""
    known = names_of(thing)
    written: list[str] = []
    is_item = False
    for line in lines:
        line = STAR.sub(r"\\*", PLURAL.sub(r"\1\\ ", line))
        item = ITEM.fullmatch(line)
        if item and known.issuperset(item[1].split(", ")):
            if not is_item and written and written[-1]:
                written.append("")
            names = ", ".join(f"``{it}``" for it in item[1].split(", "))
            written.append(f"- {names}: {item[2]}")
            is_item = True
        elif is_item and line.strip():
            written.append(f"  {line.strip()}")
        else:
            written.append(line)
            is_item = False
    lines[:] = written


def names_of(thing: Any) -> set[str]:
    """Return the names of a function's arguments, or of a class's fields and those that
    its methods have.
    """
    functions = [thing]
    if inspect.isclass(thing):
        functions += filter(inspect.isfunction, vars(thing).values())
    found = {*getattr(thing, "__annotations__", {})}
    for function in functions:
        with suppress(TypeError, ValueError):
            found |= {*inspect.signature(function).parameters}
    return found


def setup(app: Any) -> None:
    """Connect what is above."""
    app.connect("source-read", resolve_links)
    app.connect("autodoc-process-docstring", read_docstring)
