"""Generate the tables of docs/ from the code that they describe.

Carries out no clause of a standard: `make check` compares docs/ with these tables.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import Field, fields
from typing import Any, Literal

import typer.main

from gateway.cli import main
from gateway.feed.alerts.conditions import ROWS
from gateway.fhir_api.http.query import RESULT_PARAMETERS
from gateway.fhir_api.served import facade_rows
from gateway.index.parameter_lookup import EVERY, PARAMETERS, TYPES
from gateway.index.sorting import sort_keys_of
from gateway.runtime.metrics import metric_rows
from gateway.sandbox.faults import BEHAVIOURS
from gateway.sandbox.manners import MANNERS
from gateway.sandbox.switches import Switches
from gateway.settings import rows, table_rows
from mappings.profile import RECEIVERS, Receiver, receiver
from mappings.profile import switches as receiver_switches
from mappings.profile.receiver import written_as


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Render a Markdown table; pipes in cells are escaped."""
    lines = [list(head), ["---"] * len(head), *[[_cell(text) for text in row] for row in body]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def command_table() -> str:
    """Table of every command with its options and help, read from the command line itself."""
    return table(("command", "does"), _commands(typer.main.get_command(main.app), ""))


def alert_meaning(code: str) -> str:
    """Return the meaning of an alert, for its runbook."""
    return ROWS[code].meaning


def runbooks(text: str) -> str:
    """Write the runbooks as a template of the console: by `code`, with `name` in place of `NAME`."""
    lines: list[str] = []
    for code, section in re.findall(r"^## ([\w-]+)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE):
        lines.append(f'{{% {"elif" if lines else "if"} code == "{code}" %}}')
        parts = re.findall(r"^- \*\*([^*]+?)\.?\*\*(.*?)(?=^- \*\*|\Z)", section, re.DOTALL | re.MULTILINE)
        lines += [f"<dt>{title}</dt><dd>{_html(said)}</dd>" for title, said in parts]
    return "\n".join([*lines, "{% endif %}"])


def _html(said: str) -> str:
    """Write Markdown of one paragraph as HTML; a link becomes its text."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", html.escape(" ".join(said.split()), quote=False))
    return re.sub(r"\bNAME\b", "{{ name }}", re.sub(r"`([^`]*)`", r"<code>\1</code>", text))


def settings_table(*, experts: bool = False) -> str:
    """Table of the settings of a site, or of experts, read from the settings model."""
    return table(
        ("setting", "environment", "type", "default", "meaning"),
        (
            (f"`{row.key}`", f"`{row.env}`" if row.env else "", row.type, row.default, row.description)
            for row in rows()
            if row.is_expert is experts
        ),
    )


def destination_table(
    section: Literal["destination", "ignore", "source", "feed.escalate"], *, experts: bool = False
) -> str:
    """Table of the keys of a list of tables, those of a site or of experts, read from the settings model."""
    return table(
        ("key", "type", "default", "meaning"),
        (
            (f"`{row.key.rpartition('.')[2]}`", row.type, row.default, row.description)
            for row in table_rows(section)
            if row.is_expert is experts
        ),
    )


def facade_table() -> str:
    """Table of every interaction of the facade, read from the tables that the code uses."""
    return table(("request", "answers"), facade_rows())


def search_table() -> str:
    """Table of every search parameter, read from the table that the code uses."""
    return table(
        ("type", "parameter", "kind", "modifiers", "finds"),
        (
            (one.resource_type, f"`{one.name}`", one.type, ", ".join(one.modifiers), one.documentation)
            for one in PARAMETERS
            if one.name not in EVERY
        ),
    )


def result_parameter_table() -> str:
    """Table of the result parameters of a search."""
    return table(("parameter", "means"), ((f"`{name}`", said) for name, said in RESULT_PARAMETERS.items()))


def sort_table() -> str:
    """Table of the sort keys of each resource type."""
    return table(("type", "keys"), ((kind, ", ".join(f"`{key}`" for key in sort_keys_of(kind))) for kind in TYPES))


def metric_table() -> str:
    """Table of every metric."""
    return table(("metric", "kind", "labels", "counts"), metric_rows())


def fault_table() -> str:
    """Table of every fault of the sandbox upstream."""
    return table(
        ("fault", "options with defaults", "does"),
        (
            (f"`{name}`", ", ".join(f"`{key}={value:g}`" for key, value in fault.options.items()), fault.doc)
            for name, fault in BEHAVIOURS.items()
        ),
    )


def manner_table() -> str:
    """Table of every manner in which the sandbox receiver answers."""
    rows = (
        (
            f"`{name}`",
            ", ".join(one.faults),
            ", ".join(f"`{key}={value:g}`" for key, value in one.options.items()),
            one.about,
        )
        for name, one in MANNERS.items()
    )
    return table(("manner", "fault", "options with defaults", "does"), rows)


def switch_table() -> str:
    """Table of every switch of the sandbox upstream; the first value is the default."""
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


def receiver_switch_table() -> str:
    """Table of every switch of a receiver profile; the first value is the default."""
    return table(
        ("switch", "values", "decides"),
        ((f"`{name}`", _switch_values(one), one.metadata["doc"]) for name, one in receiver_switches().items()),
    )


def receiver_table() -> str:
    """Table of every built-in receiver profile: its proof, and the switches that differ from their defaults."""
    profiles = map(receiver, RECEIVERS)
    return table(
        ("profile", "proved", "sets", "rules"),
        (
            (f"`{one.name}`", one.proof, ", ".join(_set_switches(one)) or "the defaults", str(len(one.rules)))
            for one in profiles
        ),
    )


def rule_table(name: str) -> str:
    """Table of the rules of a receiver profile, with their sources."""
    return table(
        ("rule", "level", "says", "source"),
        ((f"`{rule.name}`", rule.level, str(rule), rule.source) for rule in receiver(name).rules),
    )


def _switch_values(one: Field[Any]) -> str:
    if "range" in one.metadata:
        lowest, highest = one.metadata["range"]
        return f"`{one.default}`, from {lowest} to {highest}"
    if "keys" in one.metadata:
        alike: dict[tuple[str, ...], list[str]] = {}
        for key, values in one.metadata["keys"].items():
            alike.setdefault(values, []).append(key)
        return f"a table of {'; '.join(f'{_quoted(keys)} as {_quoted(values)}' for values, keys in alike.items())}"
    return _quoted(one.metadata.get("values", ())) or "any text"


def _quoted(texts: Iterable[str]) -> str:
    return ", ".join(f"`{text}`" for text in texts)


def _set_switches(profile: Receiver) -> Iterator[str]:
    for name, one in receiver_switches().items():
        value = getattr(profile, name)
        if value != one.default:
            yield f"`{name} = {written_as(value)}`"


def _commands(command: Any, prefix: str) -> Iterator[tuple[str, str]]:
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        yield from _commands(inner, f"{prefix}{name} ")
        if not hasattr(inner, "commands") or inner.invoke_without_command:
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
