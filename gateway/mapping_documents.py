"""The generated documents of the mapping: where each element and field comes from, what is lost, what a receiver gets.

Carries out no clause of a standard: `make check` holds mappings/README.md, docs/losses.md and
docs/hl7-conformance-statement.md against these.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from gateway.documents import table
from mappings.hl7v2 import msh, nte, obr, obx, orc, pid, pv1, tq1, zds
from mappings.hl7v2.judge import FieldFacts, field_facts
from mappings.model import Facts
from mappings.status import STATUS
from mappings.trace import defaulted
from mappings.trace.losses import FHIR_CHANGES, FHIR_LOSSES, HL7V2_CHANGES, HL7V2_LOSSES, SWITCHED_OFF
from mappings.trace.outputs import outputs
from mappings.trace.probes import leaves
from mappings.trace.rules import Rule, builder_of, rule_of
from mappings.trace.sample import document, everything, rows, site, sources

Segment = Mapping[int, str | Callable[..., str]]


@dataclass(frozen=True, slots=True)
class SegmentTable:
    """A segment's table with the module that it stands in and the clause of its fields; empty for no standard field."""

    name: str
    module: ModuleType
    fields: Segment
    clause: str


SEGMENTS: Final = (
    SegmentTable("MSH", msh, msh.MSH, "HL7 v2.5.1 §2.15.9"),
    SegmentTable("PID", pid, pid.PID, "HL7 v2.5.1 §3.4.2"),
    SegmentTable("PV1", pv1, pv1.PV1, "HL7 v2.5.1 §3.4.3"),
    SegmentTable("ORC", orc, orc.ORC, "HL7 v2.5.1 §4.5.1"),
    SegmentTable("OBR", obr, obr.OBR, "HL7 v2.5.1 §4.5.3"),
    SegmentTable("TQ1", tq1, tq1.TQ1, "HL7 v2.5.1 §4.5.4"),
    SegmentTable("NTE", nte, nte.NTE, "HL7 v2.5.1 §2.15.10"),
    SegmentTable("OBX", obx, obx.OBX, "HL7 v2.5.1 §7.4.2"),
    SegmentTable("ZDS", zds, zds.ZDS, "IHE RAD TF-2 Table 4.4-6"),
)
_STATUS_COLUMNS: Final = ("diagnostic_report", "observation", "obr_25", "obx_11", "orc_5")
_TITLES: Final = {"ZDS-1": "Study Instance UID"}


def fhir_index() -> str:
    """Every FHIR element that the sample fills: what it comes from, what moves it, and the rule."""
    return table(("element", "comes from", "moved by", "rule", "clause", "test"), _fhir_rows())


def hl7v2_index() -> str:
    """Every field of the segment tables: what it comes from, what moves it, and the rule."""
    head = ("field", "comes from", "moved by", "rule", "clause", "test")
    return table(head, (row for segment in SEGMENTS for row in _hl7v2_rows(segment)))


def segment_table(name: str) -> str:
    """A segment as the conformance statement has it: field, usage, cardinality, source, rule and clause."""
    segment = next(one for one in SEGMENTS if one.name == name)
    return table(("field", "name", "type", "usage", "card.", "source", "rule", "clause"), _statement_rows(segment))


def state_table() -> str:
    """What each state of a report is called in FHIR and in HL7 v2."""
    return table(
        ("state", "DiagnosticReport.status", "section Observation.status", "OBR-25", "OBX-11", "ORC-5"),
        (
            (state.replace("_", " "), *(getattr(row, name) or "not sent" for name in _STATUS_COLUMNS))
            for state, row in STATUS.items()
        ),
    )


def loss_table(language: str) -> str:
    """What does not reach a language (`fhir`, `hl7v2`), and why."""
    losses = {"fhir": FHIR_LOSSES, "hl7v2": HL7V2_LOSSES}[language]
    return table(("leaf", "why it is not there"), ((f"`{pattern}`", reason) for pattern, reason in losses.items()))


def change_table(language: str) -> str:
    """What reaches a language (`fhir`, `hl7v2`) otherwise than it was said, when, and why it cannot be undone."""
    changes = {"fhir": FHIR_CHANGES, "hl7v2": HL7V2_CHANGES}[language]
    leaves = {one: f"`{one.leaf}`" if one.leaf.startswith("/") else one.leaf for one in changes}
    rows = ((f"`{one.code}`", leaf, one.when, one.reason) for one, leaf in leaves.items())
    return table(("code", "leaf", "when", "why"), rows)


def switched_off_table() -> str:
    """What a receiver's profile leaves out of HL7 v2."""
    return table(
        ("leaf", "left out where"),
        (
            (f"`{pattern}`", f"`{switch}` is {' or '.join(f'`{value}`' for value in sorted(values))}")
            for pattern, (switch, values) in SWITCHED_OFF.items()
        ),
    )


def _fhir_rows() -> Iterator[tuple[str, ...]]:
    own = defaulted(document(), rows(), site(), everything())
    found = {target for row in rows() for target in row.fhir if "." in target} | {one for one in own if "." in one}
    for element in sorted({_element(target) for target in found}):
        rule = rule_of(element) or builder_of(element)
        moved = _leaves(element)
        yield (
            f"`{element}`",
            rule.source or _made(element),
            moved,
            *_place(rule),
        )


def _made(element: str) -> str:
    """How an element comes about that has no rule of its own: a copy where all that moves it stands as it came."""
    made = outputs(document(), site(), everything(), Facts())
    within = {one for one in made.fhir_targets() if one == element or one.startswith((f"{element}.", f"{element}("))}
    moving = set(sources(element))
    is_copy = all(made.holds(leaf.value, within) for leaf in leaves(document()) if leaf.pointer in moving)
    if f"{element}.reference" in within:
        return "a reference, its display a copy" if moving and is_copy else "a reference"
    if not moving:
        return "a constant"
    return "a copy" if is_copy else "computed in the resource"


def _element(target: str) -> str:
    """The element that a path stands in, as a rule names it: `Patient.name` of `Patient.name.family`."""
    rule = rule_of(target)
    kind, element = target.split(".")[:2]
    made = next((one for one in rule.targets if one.startswith(kind)), "") if rule else ""
    return made if made.count(".") > 1 else f"{kind}.{re.sub(r'[(].*', '', element)}"


def _hl7v2_rows(segment: SegmentTable) -> Iterator[tuple[str, ...]]:
    for number in segment.fields:
        target = f"{segment.name}-{number}"
        rule = _rule(segment, number)
        yield (target, rule.source, _leaves(target), *_place(rule))


def _statement_rows(segment: SegmentTable) -> Iterator[tuple[str, ...]]:
    facts = field_facts(segment.name, "2.5.1")
    for number in segment.fields:
        target = f"{segment.name}-{number}"
        known = facts.get(number, FieldFacts(_TITLES.get(target, ""), "", 0, 1))
        rule = _rule(segment, number)
        most = "*" if known.most < 0 else str(known.most)
        name = f"`{rule.name}`" if rule.name else "table row"
        usage = _usage(target, segment.fields[number], known)
        yield (target, known.name, known.datatype, usage, f"{known.least}..{most}", rule.source, name, rule.clause)


def _usage(target: str, row: str | Callable[..., str], known: FieldFacts) -> str:
    """R: in every message; RE: where AutoScribe or the site says it."""
    is_constant = isinstance(row, str) and not row.startswith("differs")
    return "R" if known.least or is_constant else "RE"


def _rule(segment: SegmentTable, number: int) -> Rule:
    """The rule of a field: its function, else the row of the segment's table."""
    target = f"{segment.name}-{number}"
    if rule := rule_of(target):
        return rule
    row = segment.fields[number]
    source = f"`{row}`" if isinstance(row, str) else f"`{_expression(row)}`"
    place = _line(segment, number)
    clause = f"{segment.clause}.{number}" if segment.clause.startswith("HL7") else segment.clause
    return Rule((target,), "", source, segment.module.__name__.replace(".", "/") + ".py", place, clause)


def _line(segment: SegmentTable, number: int) -> int:
    """The line of a module in which the row of a field stands."""
    lines = inspect.getsource(segment.module).split("\n")
    start = next(index for index, text in enumerate(lines) if text.startswith(f"{segment.name}: "))
    row = re.compile(rf"(?:^    |[{{ ]){number}: ")
    return next(index for index, text in enumerate(lines[start:], start + 1) if row.search(text))


def _expression(row: Callable[..., str]) -> str:
    """What a row of a table says, as it is written there."""
    written = inspect.getsource(row).strip().rstrip(",")
    return re.sub(r"^\d+: ", "", written).partition(": ")[2].split("  #")[0].rstrip(",") or written


def _place(rule: Rule) -> tuple[str, str, str]:
    """Rule, clause and test of a rule."""
    name = f"`{rule.name}` " if rule.name else ""
    path = rule.path.removeprefix("mappings/")
    folder, _, module = rule.path.rpartition("/")
    return f"{name}[{path}:{rule.line}]({path}#L{rule.line})", rule.clause, f"tests/{folder}/test_{module}"


def _leaves(target: str) -> str:
    """The leaves that move a target, measured, without the report or user that they stand in."""
    short = dict.fromkeys(
        re.sub(r"^/(?:reports|users)/[0-9]+|/[0-9]+", "", pointer).strip("/") for pointer in sources(target)
    )
    return ", ".join(short)
