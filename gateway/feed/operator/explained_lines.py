"""Format the output of `explain` for a person: value, rule, source, settings, and the values sent before.

https://www.rfc-editor.org/rfc/rfc6901 (JSON pointers); decision D39.
Proved by tests/gateway/feed/operator/test_explain.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Final

from gateway.feed.operator.shown import short
from mappings.values.printable import printable

_CELL: Final = 60
_INDENT: Final = " " * 12


def lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines about one field."""
    [explained] = answer["fields"]
    yield f"{explained['name']} of {answer['reportId']} {_for(answer)}"
    yield from _values(explained["values"])
    yield f"  rule      {_rule(explained['rule'])}"
    for source in explained["sources"]:
        yield from _text(f"  from      {source['pointer']} [{source['class']}] = ", _leaf(source["value"]))
    if not explained["sources"]:
        yield "  from      no single AutoScribe value changes it: see the rule"
    for setting in explained["settings"]:
        yield f"  setting   {setting['key']} = {setting['value']}"
    for issue in explained["issues"]:
        yield f"  issue     {issue['code']} at {issue['pointer']}: {issue['action']}"
    for row in answer.get("lines", ()):
        text = printable(row["text"])
        shown = text if len(text) <= _CELL else f"{text[:_CELL]}…"
        section, role = row["section"] or "no heading", row["role"] or "not in the conclusion"
        yield f"  line {row['number']:<4} {shown} -> {section} -> {role}"


def listed(answer: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each field: its values, its sources, and the settings that change it."""
    yield f"all fields of {answer['reportId']} {_for(answer)}"
    for explained in answer["fields"]:
        values = printable(", ".join(_counted(explained["values"])).replace("\n", " "))
        value = values if len(values) <= _CELL else f"{values[:_CELL]}…"
        pointers = " ".join(source["pointer"] for source in explained["sources"]) or "-"
        settings = " ".join(setting["key"] for setting in explained["settings"])
        yield f"  {explained['name']}  {value}  <- {pointers}{f'  ({settings})' if settings else ''}"


def sent_lines(sent: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the value in each version as a difference to the version before."""
    for target in sent:
        yield f"sent to {target['to']}" if "/" not in target["to"] else f"versions of {target['to']}"
        before: Sequence[str] | None = None
        for version in target["versions"]:
            yield f"  {version['at']}  {version['as']}"
            values = version["values"]
            if values is None:
                yield "    its text was deleted after feed.retention_days"
                continue
            yield from _difference(before, values)
            before = values
    if sent:
        yield "what AutoScribe said then is not kept: rule, pointers and settings are those of now"


def _difference(before: Sequence[str] | None, values: Sequence[str]) -> Iterator[str]:
    if before == values:
        yield "    the same"
        return
    was: list[str] = []
    now = list(values) if before is None else []
    for tag, first, last, start, end in SequenceMatcher(None, before or [], values, autojunk=False).get_opcodes():
        if before is not None and tag != "equal":
            was += before[first:last]
            now += values[start:end]
    for value in _counted(was):
        yield from _text("    - ", value)
    for value in _counted(now):
        yield from _text("    + " if before is not None else "    ", value)
    if not was and not now:
        yield "    (no value)"


def _for(said: Mapping[str, Any]) -> str:
    return f"for {said['destination']}" if said["destination"] else f"for a receiver of the profile {said['receiver']}"


def _values(values: Sequence[str]) -> Iterator[str]:
    for one in _counted(values):
        yield from _text("  value     ", one)
    if not values:
        yield "  value     none"


def _counted(values: Sequence[str]) -> list[str]:
    """Return the values, each once, with a count if it occurs more than once."""
    return [one if count == 1 else f"{one} ({count} times)" for one, count in Counter(values).items()]


def _rule(rule: Mapping[str, str] | None) -> str:
    if rule is None:
        return "a row of the segment's table, or a copy: see mappings/README.md"
    source = f", from {rule['from']}" if rule["from"] else ""
    clause = f", {rule['clause']}" if rule["clause"] else ""
    return f"{rule['name']} ({rule['place']}{clause}){source}"


def _leaf(value: Any) -> str:
    return value if isinstance(value, str) else "null" if value is None else str(value).lower()


def _text(head: str, text: str) -> Iterator[str]:
    """Yield the lines of a text, the first behind its heading."""
    first, *rest = short(text).split("\n")
    yield head + printable(first)
    yield from (f"{_INDENT}{printable(line)}" for line in rest)
