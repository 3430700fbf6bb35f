"""Pages: the code that stands in Markdown, and the way its reader would run it."""

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from test_programs import ROOT, Program

_FENCE = re.compile(r"^(`{3,}|~{3,})\s*(.*?)\s*$")
_HEADING = re.compile(r"^#{1,6} (.*)$")
_LABEL = re.compile(r"^`([\w./-]+)`:$")
_ITEM = re.compile(r"^\s*([-*+]|\d+\.) ")


@dataclass(frozen=True)
class Block:
    """Code between two fences."""

    page: str
    line: int
    kind: str
    """What stands behind the fence, such as "python"."""
    text: str
    name: str
    """Of the file that it is, said in the line before: "`app.py`:"."""
    section: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line} {self.kind}"


def pages() -> list[Path]:
    """Return README.md and each page of the site."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(text: str, page: str = "page.md") -> list[Block]:
    """Return the code blocks of a page. What is merely indented is an error."""
    found = []
    section = label = ""
    lines = iter(enumerate(text.splitlines(), 1))
    was_blank, is_list = True, False
    for number, line in lines:
        if fence := _FENCE.match(line):
            ticks, kind = fence.groups()
            inner = []
            for _, code in lines:
                if code.startswith(ticks) and not code.strip(ticks[0]):
                    break
                inner.append(code + "\n")
            else:
                raise ValueError(f"{page}:{number}: the fence is not closed")
            block = Block(page, number, kind, "".join(inner), label, section)
            found.append(block)
            label = ""
        elif line.startswith("    ") and was_blank and not is_list:
            raise ValueError(f"{page}:{number}: code without a fence")
        elif heading := _HEADING.match(line):
            section = heading[1]
        if line.strip():
            label = named[1] if (named := _LABEL.match(line)) else ""
            is_list = bool(_ITEM.match(line)) or (is_list and line.startswith(" "))
        was_blank = not line.strip()
    return found


def blocks_in(path: Path) -> list[Block]:
    return blocks_of(path.read_text(), path.relative_to(ROOT).as_posix())


def pattern_of(shown: str) -> re.Pattern[str]:
    """Return what matches a text in which `...` stands for what varies.

    As a line of its own it stands for any number of lines.
    """
    lines = shown.rstrip().split("\n")
    found = (
        "(?s:.*)"
        if line == "..."
        else "[^\\n]*?".join(map(re.escape, line.split("...")))
        for line in lines
    )
    return re.compile("\n".join(found))


def commands_of(console: str) -> list[tuple[str, str]]:
    """Return the commands behind `$` in a console, each with what it prints.

    A command goes on behind a backslash, and in lines that begin with `>`.
    """
    found: list[list[str]] = []
    goes_on = False
    for line in console.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append([line[2:], ""])
        elif goes_on or (line.startswith("> ") and not found[-1][1]):
            found[-1][0] += line.removeprefix("> ")
        else:
            found[-1][1] += line
            continue
        goes_on = line.endswith("\\\n")
    return [(command, shown) for command, shown in found]


class Reader:
    """Somebody who writes the files that a page shows, and types its commands.

    The port 3000 of the page is a free one here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".curlrc").write_text("silent\nshow-error\n")  # as on a terminal
        shell = folder / ".bin"
        shell.mkdir()
        python = shell / "python"
        python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
        python.chmod(0o755)
        self.environment = {
            **os.environ,
            "APP_ENV": "testing",
            "CURL_HOME": str(folder),
            "PATH": f"{shell}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "80",
        }

    def read(self, blocks: Iterable[Block], program: str = "app.py") -> None:
        """Do all of a section: its files, its program, its commands."""
        consoles = []
        for block in blocks:
            if block.name:
                path = self.folder / block.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text.replace("3000", "0"))
            else:
                assert block.kind == "console", f"{block}: a file without a name"
                consoles.append(block)
        if not consoles:
            return
        if any("localhost:3000" in it.text for it in consoles):
            with self.started(program) as running:
                self.type(consoles, running.url.rpartition(":")[2])
        else:
            self.type(consoles)

    def started(self, program: str) -> "Running":
        return Running(self, program)

    def type(self, consoles: Iterable[Block], port: str = "3000") -> None:
        """Type the commands of all consoles in one shell, and compare."""
        pairs = [(it, *pair) for it in consoles for pair in commands_of(it.text)]
        end = "\x1e"
        script = "".join(f"{it}\nprintf '\\036'\n" for _, it, _ in pairs)
        done = subprocess.run(
            ["sh", "-c", script.replace("localhost:3000", f"localhost:{port}")],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=50,
            check=False,
        )
        answers = done.stdout.replace(f"localhost:{port}", "localhost:3000")
        printed = answers.replace("\r\n", "\n").split(end)
        assert len(printed) == len(pairs) + 1, done.stdout
        for (block, command, shown), text in zip(pairs, printed, strict=False):
            assert pattern_of(shown).fullmatch(text.rstrip()), (
                f"{block}\n$ {command}prints\n{text}"
            )


class Running:
    """A program of a page, while it runs."""

    def __init__(self, reader: Reader, program: str) -> None:
        self.reader, self.program = reader, program

    def __enter__(self) -> "Running":
        reader = self.reader
        self.process = Program(self.program, cwd=reader.folder, env=reader.environment)
        self.url = self.process.url
        return self

    def __exit__(self, *error: object) -> None:
        status, self.log = self.process.stop()
        self.process.process.communicate()
        assert status == 0, self.log


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
