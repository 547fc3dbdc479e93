"""`explain`: show where the value of a report's field comes from, and the field's value in each version sent.

https://www.rfc-editor.org/rfc/rfc6901 (JSON pointers); decisions D6, D39. The output holds patient data. Each use is
therefore recorded in the audit, by ids only, before anything is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from difflib import SequenceMatcher
from functools import partial
from typing import Any, Final

from gateway.feed.fate import ReportFate, fates, places
from gateway.feed.operator.arguments import (
    LEFT_OUT,
    CommandAnswer,
    RefusedCommand,
    Shows,
    at,
    destination_named,
    id_of,
    json_of,
    unnoted,
    wrong,
)
from gateway.feed.operator.field_sources import (
    ExplainedMapping,
    FieldExplanation,
    MappedFor,
    explain_every_field,
    explain_field,
    map_and_trace,
)
from gateway.feed.operator.show import HeldAt, OrderMatch, order_matches, short
from gateway.routing import routes_of
from gateway.routing.preview import PreviewRequest
from gateway.runtime import clock
from gateway.runtime.computing import computed
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, instant, micros
from gateway.store.database.facts import noted
from gateway.store.feed.destinations import known_as
from gateway.store.feed.ledger import messages_of_study, versions_of
from gateway.store.feed.outbox import held_rows_of
from gateway.store.stored_reports import Pdfs, StoredStudy, stored_study
from mappings.patient.identifiers import fhir_id
from mappings.study.conclusion import CutLine
from mappings.trace.outputs import element_values, field_values, is_element, is_field
from mappings.trace.rules import TraceRule
from mappings.values.text import printable

_CELL: Final = 60
_INDENT: Final = " " * 12


@dataclass(frozen=True, slots=True)
class SentVersion:
    """Values of a field in one version sent; None if the text was deleted after the retention time."""

    at: datetime
    name: str = field(metadata={"key": "as"})
    values: tuple[str, ...] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class SentVersions:
    """Values of a field in all versions sent: `to` a destination, or as a FHIR resource with that address."""

    to: str
    versions: tuple[SentVersion, ...]


@dataclass(frozen=True, slots=True)
class Explanation(CommandAnswer):
    """Explanation of one field of a report (`is_of_one`), or of all its fields.

    `cut` are the lines of the text, for a field that depends on where it was cut; `sent` was asked for.
    """

    report_id: str
    study_id: str
    receiver: str
    destination: str | None
    fates: tuple[ReportFate, ...]
    fields: tuple[FieldExplanation, ...]
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
        """Yield the lines: explanation, values sent, fates, and what the study waits for."""
        yield from (one_field(self) if self.is_of_one else every_field(self))
        yield from sent_lines(self.sent or ())
        for one in self.fates:
            yield f"fate at {one.place.label}: {one.fate}"
        if self.order is not None:
            yield f"order: {self.order}"
        for held in self.held or ():
            yield f"held at {held.destination}: {held.reason}"


def one_field(answer: Explanation) -> Iterator[str]:
    """Yield the lines about the one field."""
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
    for row in answer.fields:
        values = printable(", ".join(_counted(row.values)).replace("\n", " "))
        value = values if len(values) <= _CELL else f"{values[:_CELL]}…"
        pointers = " ".join(pointer for pointer, _, _ in row.sources) or "-"
        settings = " ".join(setting.key for setting in row.settings)
        yield f"  {row.name}  {value}  <- {pointers}{f'  ({settings})' if settings else ''}"


def sent_lines(sent: Sequence[SentVersions]) -> Iterator[str]:
    """Yield the field's value in each version sent, as a difference to the version before."""
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
    """Return each value once, with the number of times it occurs if more than one."""
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
    """Yield the lines of a text; its first line stands behind the heading."""
    first, *rest = short(text).split("\n")
    yield head + printable(first)
    yield from (f"{_INDENT}{printable(line)}" for line in rest)


_VERB: Final = "explain"
_USUAL: Final = "generic"
_CONCLUSION: Final = "DiagnosticReport.conclusion"
# Fields that depend on the place at which the text was cut
_CUT: Final = frozenset({"OBX-3", "OBX-8", _CONCLUSION})


@dataclass(frozen=True, slots=True)
class Question:
    """Question about a report: one field, or all (`name` empty), as mapped for the destination `at`.

    With `sent`, the field's value in each version sent is shown too. `conclusion` is short for the element.
    """

    report_id: str
    name: str = ""
    at: str | None = None
    sent: bool = False
    reason: str = ""

    def __post_init__(self) -> None:
        if self.name == "conclusion":
            object.__setattr__(self, "name", _CONCLUSION)
        if self.name and not (is_field(self.name) or is_element(self.name)):
            remedy = "Write a field such as PID-5, or an element such as DiagnosticReport.conclusion."
            raise wrong("FIELD", "neither a field of HL7 v2 nor an element of FHIR", remedy)
        if self.sent and not self.name:
            raise wrong("--sent", "without a field", "Write one; `feed show REPORT` has all that differs.")


async def explain(
    engine: Engine, configuration: Configuration, question: Question, *, shows: Shows = unnoted
) -> Explanation | RefusedCommand:
    """Explain a field of a report, or all; refused if the report is not stored.

    `shows` gets the report and its patient before anything is returned.

    Raises:
        ConfigError: no such destination.
        StoreUnavailable: the store cannot be reached; nothing is returned, since the audit could not be written.
    """
    to = _mapped_for(configuration, question.at)
    report_id = id_of(question.report_id)
    if to.destination is not None and question.at:
        question = replace(question, at=await known_as(engine, to.destination.name, to.destination.formerly))
    study = await stored_study(engine, report_id)
    if study is None:
        return RefusedCommand(("no such report is stored",))
    argument = " ".join(filter(None, (report_id, question.name, question.at and f"at {question.at}")))
    await engine.do(partial(noted, _VERB, argument, question.reason, micros(clock.now())))
    mapping = await _made(engine, study, to, question.name)
    patients = [str(one["id"]) for one in mapping.resources if one["resourceType"] == "Patient"]
    shows([f"DiagnosticReport/{fhir_id(report_id)}"], patients)
    held = [HeldAt(*one) for one in await held_rows_of(engine, study.study_id) if question.at in {None, one[0]}]
    return Explanation(
        report_id,
        study.study_id,
        to.receiver.name,
        to.destination.name if to.destination else None,
        tuple(await _fates(configuration, engine, study, question.at)),
        (explain_field(mapping, question.name),) if question.name else tuple(explain_every_field(mapping)),
        tuple(mapping.cut) if question.name in _CUT else None,
        await _sent(engine, study, mapping, question) if question.sent else None,
        (await order_matches(engine, [study.study_id])).get(study.study_id),
        tuple(held) or None,
        is_of_one=bool(question.name),
    )


async def _fates(configuration: Configuration, engine: Engine, stored: StoredStudy, at: str | None) -> list[ReportFate]:
    """Return the fates of the report, at each destination or at one."""
    every = await fates(engine, [stored.study_id], await places(engine, routes_of(configuration).destinations))
    return [one for one in every if one.report_id == stored.report_id and at in {None, one.place.name}]


def _mapped_for(configuration: Configuration, at: str | None) -> MappedFor:
    """Return the named destination, or the only enabled one; else a receiver with the generic profile."""
    enabled = [one for one in routes_of(configuration).destinations if one.is_enabled]
    destination = (
        destination_named(configuration, at, enabled=False) if at else enabled[0] if len(enabled) == 1 else None
    )
    if destination is None:
        return MappedFor(configuration.site.receiver(_USUAL), configuration.site, None)
    return MappedFor(destination.receiver, destination.site(configuration.site), destination)


async def _made(engine: Engine, stored: StoredStudy, to: MappedFor, name: str) -> ExplainedMapping:
    """Map the stored study for the receiver, and trace the report's fields: all, or those of a language."""
    kept = stored.kept()
    facts = kept.facts
    if to.receiver.takes_pdf:
        facts = replace(facts, pdf=await Pdfs(engine).with_data(facts.pdf, to.receiver.pdf_max))
    asked = PreviewRequest(kept.study, facts, stored.report_id)
    return await computed(map_and_trace, asked, stored.document(), to, clock.now(), name)


async def _sent(
    engine: Engine, stored: StoredStudy, mapping: ExplainedMapping, question: Question
) -> tuple[SentVersions, ...]:
    """Return the field's values in each version sent: messages by destination, or versions of FHIR resources."""
    if is_field(question.name):
        return await _messages(engine, stored, question)
    kind = question.name.partition(".")[0]
    by_resource = []
    for resource in mapping.resources:
        if resource["resourceType"] == kind:
            address = f"{kind}/{resource['id']}"
            versions = [
                SentVersion(instant(updated), f"version {number}", tuple(element_values(body, question.name)))
                for number, updated, body in await versions_of(engine, address)
            ]
            by_resource.append(SentVersions(address, tuple(versions)))
    return tuple(by_resource)


async def _messages(engine: Engine, stored: StoredStudy, question: Question) -> tuple[SentVersions, ...]:
    """Return the field's values in each message sent, by destination."""
    by_destination: dict[str, list[SentVersion]] = {}
    for message in await messages_of_study(engine, stored.study_id):
        report_ids = {message.report_id, *message.report_ids}
        is_meant = question.at in {None, message.destination} and stored.report_id in report_ids
        if is_meant and message.sent is not None:
            values = None if message.body is None else tuple(field_values(message.body, question.name))
            name = f"{message.control_id}, {message.kind}, {message.state}"
            by_destination.setdefault(message.destination, []).append(SentVersion(instant(message.sent), name, values))
    return tuple(SentVersions(name, tuple(versions)) for name, versions in by_destination.items())
