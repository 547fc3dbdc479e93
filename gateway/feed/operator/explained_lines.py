"""Answer of `explain`: value, rule, source and settings of each field, and the values sent before, with its lines.

https://www.rfc-editor.org/rfc/rfc6901 (JSON pointers); decisions D39, D49.
Proved by tests/gateway/feed/operator/test_explain.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import SequenceMatcher
from typing import Any, Final

from gateway.feed.fate import ReportFate
from gateway.feed.operator.arguments import LEFT_OUT, CommandAnswer, at, json_of
from gateway.feed.operator.explained import Explained
from gateway.feed.operator.order_of_study import HeldAt, OrderMatch
from gateway.feed.operator.shown import short
from mappings.study.conclusion import CutLine
from mappings.trace.rules import TraceRule
from mappings.values.text import printable

_CELL: Final = 60
_INDENT: Final = " " * 12


@dataclass(frozen=True, slots=True)
class SentVersion:
    """Values of a field in one version sent; None if the version's text was deleted after the retention time."""

    at: datetime
    name: str = field(metadata={"key": "as"})
    values: tuple[str, ...] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class SentVersions:
    """Values of a field in all versions sent `to` a destination, or of a FHIR resource with that address."""

    to: str
    versions: tuple[SentVersion, ...]


@dataclass(frozen=True, slots=True)
class Explanation(CommandAnswer):
    """Explanation of one field of a report (`is_of_one`), or of all.

    `cut` are the lines of the text, for a field that depends on where it was cut; `sent` was asked for.
    """

    report_id: str
    study_id: str
    receiver: str
    destination: str | None
    fates: tuple[ReportFate, ...]
    fields: tuple[Explained, ...]
    cut: tuple[CutLine, ...] | None = field(default=None, metadata={"key": "lines", **LEFT_OUT})
    sent: tuple[SentVersions, ...] | None = field(default=None, metadata=LEFT_OUT)
    order: OrderMatch | None = field(default=None, metadata=LEFT_OUT)
    held: tuple[HeldAt, ...] | None = field(default=None, metadata=LEFT_OUT)
    is_of_one: bool = True

    @property
    def document(self) -> Any:
        """The explanation as JSON."""
        return {key: value for key, value in json_of(self).items() if key != "isOfOne"}

    @property
    def exit_code(self) -> int:
        """1 if no field has a value, and none had one in a version sent."""
        return 0 if any(one.values for one in self.fields) or any(one.versions for one in self.sent or ()) else 1

    def lines(self) -> Iterator[str]:
        """Yield the explanation, the values sent, the fates, and what the study waits for."""
        yield from (one_field(self) if self.is_of_one else every_field(self))
        yield from sent_lines(self.sent or ())
        for one in self.fates:
            yield f"fate at {one.place.label}: {one.fate}"
        if self.order is not None:
            yield f"order: {self.order}"
        for held in self.held or ():
            yield f"held at {held.destination}: {held.reason}"


def one_field(answer: Explanation) -> Iterator[str]:
    """Yield the lines about one field."""
    [explained] = answer.fields
    yield f"{explained.name} of {answer.report_id} {_for(answer)}"
    yield from _values(explained.values)
    yield f"  rule      {_rule(explained.rule)}"
    for pointer, value, kind in explained.sources:
        yield from _text(f"  from      {pointer} [{kind}] = ", _leaf(value))
    if not explained.sources:
        yield "  from      no single AutoScribe value changes it: see the rule"
    for setting in explained.settings:
        yield f"  setting   {setting.key} = {setting.value}"
    for issue in explained.issues:
        yield f"  issue     {issue.code} at {issue.pointer}: {issue.action}"
    for row in answer.cut or ():
        text = printable(row.text)
        shown = text if len(text) <= _CELL else f"{text[:_CELL]}…"
        section, role = row.section or "no heading", row.role or "not in the conclusion"
        yield f"  line {row.number:<4} {shown} -> {section} -> {role}"


def every_field(answer: Explanation) -> Iterator[str]:
    """Yield a line for each field: its values, its sources, and the settings that change it."""
    yield f"all fields of {answer.report_id} {_for(answer)}"
    for explained in answer.fields:
        values = printable(", ".join(_counted(explained.values)).replace("\n", " "))
        value = values if len(values) <= _CELL else f"{values[:_CELL]}…"
        pointers = " ".join(pointer for pointer, _, _ in explained.sources) or "-"
        settings = " ".join(setting.key for setting in explained.settings)
        yield f"  {explained.name}  {value}  <- {pointers}{f'  ({settings})' if settings else ''}"


def sent_lines(sent: Sequence[SentVersions]) -> Iterator[str]:
    """Yield the value in each version as a difference to the version before."""
    for target in sent:
        yield f"sent to {target.to}" if "/" not in target.to else f"versions of {target.to}"
        before: Sequence[str] | None = None
        for version in target.versions:
            yield f"  {at(version.at)}  {version.name}"
            if version.values is None:
                yield "    its text was deleted after feed.retention_days"
                continue
            yield from _difference(before, version.values)
            before = version.values
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


def _for(answer: Explanation) -> str:
    return f"for {answer.destination}" if answer.destination else f"for a receiver of the profile {answer.receiver}"


def _values(values: Sequence[str]) -> Iterator[str]:
    for one in _counted(values):
        yield from _text("  value     ", one)
    if not values:
        yield "  value     none"


def _counted(values: Sequence[str]) -> list[str]:
    """Return the values, each once, with a count if it occurs more than once."""
    return [one if count == 1 else f"{one} ({count} times)" for one, count in Counter(values).items()]


def _rule(rule: TraceRule | None) -> str:
    if rule is None:
        return "a row of the segment's table, or a copy: see mappings/README.md"
    source = f", from {rule.source}" if rule.source else ""
    clause = f", {rule.clause}" if rule.clause else ""
    return f"{rule.name} ({rule.path}:{rule.line}{clause}){source}"


def _leaf(value: Any) -> str:
    return value if isinstance(value, str) else "null" if value is None else str(value).lower()


def _text(head: str, text: str) -> Iterator[str]:
    """Yield the lines of a text, the first behind its heading."""
    first, *rest = short(text).split("\n")
    yield head + printable(first)
    yield from (f"{_INDENT}{printable(line)}" for line in rest)
