"""Commands that the documents show: in blocks of shell, and in the text between backticks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import typer.main

from gateway.cli.main import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "mappings" / "README.md"]
    if path.name != "CHANGELOG.md"  # it tells of former commands
)
PROGRAM = re.compile(r"^(?:\S*/)?(?:autoscribe-gateway|asg) ")
# Other programs whose calls in the text are commands
PROGRAMS = frozenset(
    {
        *("make", "curl", "pip", "pg_dump", "pg_restore", "sqlite3", "docker", "systemctl", "useradd", "chmod"),
        *("sha256sum", "grep", "install", "df", "journalctl", ".venv/bin/pytest"),
    }
)
LONG_RUNNING = frozenset({"serve", "sandbox", "listen", "demo"})
_SHELL = re.compile(r"[|<>$&;()]|^\w+=")


@dataclass(frozen=True, slots=True)
class Shown:
    """A command of a document, as it is written, with its place and the output that the document shows."""

    document: str
    line: int
    text: str
    heading: str
    is_in_block: bool
    output: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Document and line, for a message."""
        return f"{self.document}:{self.line}"

    @property
    def is_program(self) -> bool:
        """True if the command calls the gateway's own program, and needs no shell for more than its input."""
        return bool(words_of(self)) and not (self.is_in_block and _SHELL.search(re.sub(r" - < \S+\s*$", "", self.bare)))

    @property
    def bare(self) -> str:
        """The text without comment and quoted values."""
        return re.sub(r"\"[^\"]*\"|'[^']*'", "x", re.sub(r"\s#\s.*$", "", self.text))


def shown(path: Path) -> Iterator[Shown]:
    """Yield every command of a document."""
    name, heading, lines = str(path.relative_to(ROOT)), "", path.read_text("utf-8").splitlines()
    prose: list[tuple[int, str]] = []
    number = 0
    while number < len(lines):
        fence = re.match(r" *```(\w*)", lines[number])
        if fence:
            end = next(one for one in range(number + 1, len(lines)) if lines[one].strip() == "```")
            indent = len(lines[number]) - len(lines[number].lstrip())
            block = [(one + 1, lines[one][indent:]) for one in range(number + 1, end)]
            yield from _of_prose(name, heading, prose)
            yield from _of_block(name, heading, fence[1], block)
            prose, number = [], end
        elif title := re.match(r"#+ (.*)", lines[number]):
            yield from _of_prose(name, heading, prose)
            prose, heading = [], title[1]
        else:
            prose.append((number + 1, lines[number]))
        number += 1
    yield from _of_prose(name, heading, prose)


def _of_block(name: str, heading: str, language: str, block: list[tuple[int, str]]) -> Iterator[Shown]:
    """Yield the commands of a block: a line each, with the lines that continue it; or one command with its output."""
    if language == "console":
        [(number, line), *said] = block
        output = tuple(one for _, one in said)
        yield Shown(name, number, line.removeprefix("$ "), heading, is_in_block=True, output=output)
    elif language == "sh":
        whole, first = "", 0
        for number, line in block:
            first = first if whole else number
            whole = f"{whole}\n{line}" if whole else line
            if _is_complete(whole):
                if whole.strip() and not whole.startswith("#"):
                    yield Shown(name, first, whole.replace("\\\n", " "), heading, is_in_block=True)
                whole = ""
        assert not whole, f"{name}:{first}: a command that does not end: {whole}"


def _is_complete(text: str) -> bool:
    """Return False if a quote, a parenthesis of the shell or a backslash continues the command."""
    if text.endswith("\\"):
        return False
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        return False
    unquoted = " ".join(re.sub(r"\"[^\"]*\"|'[^']*'", "x", text).split("\n"))
    return not words or unquoted.count("(") == unquoted.count(")")


def _of_prose(name: str, heading: str, prose: list[tuple[int, str]]) -> Iterator[Shown]:
    """Yield the spans of code that are commands; a span of one word names a command and shows none."""
    text = "\n".join(line for _, line in prose)
    text = re.sub(r"<!--.*?-->", lambda comment: "\n" * comment[0].count("\n"), text, flags=re.DOTALL)
    for span in re.finditer(r"`([^`]+)`", text):
        command = " ".join(span[1].replace("\\|", "|").split())
        first = command.split()[0]
        is_called = PROGRAM.match(command) or (first in PROGRAMS and " " in command)
        if is_called or (" " in command and " = " not in command and _path(first.split("|")[0])):
            line = prose[text.count("\n", 0, span.start())][0]
            yield Shown(name, line, command, heading, is_in_block=False)


def words_of(command: Shown) -> list[str]:
    """Return the words after the program's name; none for a command of another program."""
    text = command.text if command.is_in_block else command.text.replace("|", "\x00")
    called = PROGRAM.match(text)
    rest = text[called.end() :] if called else text
    if not called and (command.is_in_block or not _path(rest.split()[0].split("\x00")[0])):
        return []
    words = shlex.split(rest.replace("'", "\x01") if not command.is_in_block else rest, comments=True)
    return [word.replace("\x00", "|").replace("\x01", "'") for word in words]


@cache
def _root() -> Any:
    return typer.main.get_command(app)


def below(command: Any) -> dict[str, Any]:
    """Return the commands of a group; none of a command."""
    return getattr(command, "commands", {})


def _path(*words: str) -> list[str]:
    return command_of(list(words))[0]


def command_of(words: list[str]) -> tuple[list[str], Any]:
    """Return the names of the command that words begin with, and the command."""
    found, names = _root(), []
    for word in words:
        if word not in below(found):
            break
        found, names = below(found)[word], [*names, word]
    return names, found


def leaves() -> set[str]:
    """Return the names of all commands that do something."""

    def of(command: Any, path: tuple[str, ...]) -> Iterator[str]:
        for name, inner in below(command).items():
            yield from of(inner, (*path, name))
        if path and (not below(command) or command.invoke_without_command):
            yield " ".join(path)

    return set(of(_root(), ()))


def variants(words: list[str]) -> list[list[str]]:
    """Write out a synopsis: `A|B` as one and the other, `[…]` without and with what it holds."""
    text = "\x00".join(words)
    optional = re.sub(r"\[([^\]]*)\]", r"\1", text)
    required = re.sub(r"\x00?\[[^\]]*\]", "", text)
    made = []
    for one in dict.fromkeys((required, optional)):
        chosen = [word.split("|") if " " not in word else [word] for word in one.split("\x00") if word]
        made += [list(each) for each in product(*chosen)]
    return made
