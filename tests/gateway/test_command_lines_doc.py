"""The command lines of the documents: each command and option that they name is one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import typer.main

from gateway.cli.main import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted((*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))
ROOT_COMMAND = typer.main.get_command(app)
CHANGING = ("ack", "apply", "backload", "pause", "replay", "resume", "retire")


def lines(text: str) -> Iterator[str]:
    """Yield the code spans of a document, and the lines of its blocks that call the program."""
    blocks = re.findall(r"^ *```[a-z]*\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            if called := re.search(r"autoscribe-gateway (.*)", line):
                yield called[1]
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    for span in re.findall(r"`([^`]+)`", prose):
        yield re.sub(r"\s+", " ", span.replace("\\|", "|")).removeprefix("autoscribe-gateway ")


def commands(line: str) -> Iterator[tuple[str, Any, list[str]]]:
    """The commands that a line names, `feed resume|replay` being two, with the options beside them."""
    command_line = re.split(r" [;&<>#|] | && ", line)[0]
    words = command_line.split()
    options = re.findall(r"(?<![\w-])--[a-z][a-z-]*", command_line)
    for chosen in product(*(word.split("|") for word in words[:3])):
        found = ROOT_COMMAND
        path: list[str] = []
        for word in chosen:
            if word not in below(found):
                break
            found, path = below(found)[word], [*path, word]
        if path:
            yield " ".join(path), found, options


def below(command: Any) -> dict[str, Any]:
    """The commands of a group; none of a command."""
    return getattr(command, "commands", {})


def known(command: Any) -> set[str]:
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_option_that_a_document_names_beside_a_command_is_one_of_it(path):
    text = path.read_text("utf-8")
    named = [found for line in lines(text) for found in commands(line)]
    wrong = [(name, option) for name, command, options in named for option in options if option not in known(command)]
    assert wrong == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_in_a_block_of_a_document_is_one(path):
    for block in re.findall(r"^ *```[a-z]*\n(.*?)^ *```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE):
        for called in re.findall(r"(?:^|[ /])autoscribe-gateway ([a-z].*)", block, re.MULTILINE):
            found = ROOT_COMMAND
            for word in re.split(r"\s-|\s#", called)[0].split():
                if not below(found):
                    break
                assert word in below(found), called
                found = below(found)[word]


def test_the_documents_name_enough_command_lines_to_judge_by():
    text = "\n".join(path.read_text("utf-8") for path in DOCUMENTS)
    named = {name for line in lines(text) for name, _, options in commands(line) if options}
    assert named >= {*(f"feed {name}" for name in CHANGING), "identity link", "identity separate", "explain", "serve"}
    assert [(name, options) for name, _, options in commands("feed resume|replay NAME [--a …] | tee --b")] == [
        ("feed resume", ["--a"]),
        ("feed replay", ["--a"]),
    ]


@pytest.mark.parametrize("name", [*(f"feed {one}" for one in CHANGING), "identity link", "identity separate"])
def test_whatever_changes_something_by_hand_takes_a_reason(name):
    group, _, command = name.partition(" ")
    assert "--reason" in known(ROOT_COMMAND.commands[group].commands[command])
