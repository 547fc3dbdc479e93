"""The generated tables of the documents, made from the very things they describe.

Carries out no clause of a standard: `make check` holds README.md and docs/ against these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any

import typer.main

from gateway import cli
from gateway.fhir_api.search_params import facade_rows
from gateway.sandbox.faults import BEHAVIOURS
from gateway.sandbox.switches import Switches
from gateway.settings import rows


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A Markdown table; pipes in cells are escaped."""
    lines = [list(head), ["---"] * len(head), *[[_cell(text) for text in row] for row in body]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def command_table() -> str:
    """Every command with its options and what it does, read off the command line itself."""
    return table(("command", "does"), _commands(typer.main.get_command(cli.app), ""))


def settings_table() -> str:
    """Every setting, read off the settings model."""
    return table(
        ("setting", "environment", "type", "default", "meaning"),
        ((f"`{row.key}`", f"`{row.env}`" if row.env else "", row.type, row.default, row.description) for row in rows()),
    )


def facade_table() -> str:
    """Every interaction of the facade, read off the tables the code runs on."""
    return table(("request", "answers"), facade_rows())


def fault_table() -> str:
    """Every fault of the sandbox upstream."""
    return table(
        ("fault", "options with defaults", "does"),
        (
            (f"`{name}`", ", ".join(f"`{key}={value:g}`" for key, value in fault.options.items()), fault.doc)
            for name, fault in BEHAVIOURS.items()
        ),
    )


def switch_table() -> str:
    """Every switch of the sandbox upstream; the first value is the default."""
    return table(
        ("switch", "values", "decides"),
        (
            (
                f"`{switch.name}`",
                ", ".join(f"`{value}`" for value in switch.metadata["choices"]),
                switch.metadata["doc"],
            )
            for switch in fields(Switches)
        ),
    )


def _commands(command: Any, prefix: str) -> Iterator[tuple[str, str]]:
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        if hasattr(inner, "commands"):
            yield from _commands(inner, f"{prefix}{name} ")
        else:
            options = " ".join(_option(parameter) for parameter in inner.params if parameter.name != "help")
            yield f"`{prefix}{name} {options}`".replace(" `", "`"), (inner.help or "").strip()


def _option(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar)
    name = parameter.opts[0]
    if parameter.is_flag:
        return f"[{name}]"
    return f"{name} …" if parameter.required else f"[{name} …]"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
