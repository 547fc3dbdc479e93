"""Generate the documents of the mapping: the source of each element and field, losses, conformance statement.

Carries out no clause of a standard: `make check` compares mappings/README.md, docs/losses.md and
docs/hl7-conformance-statement.md with these tables.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Final

from generators.documents import table
from mappings.hl7v2 import msh, nte, obr, obx, obx_pdf, obx_uid, obx_vitals, orc, pid, pv1, tq1, zds
from mappings.hl7v2.judge import FieldFacts, field_facts
from mappings.life.status import STATUS
from mappings.model import Facts
from mappings.trace import defaulted
from mappings.trace.losses import FHIR_CHANGES, FHIR_LOSSES, HL7V2_CHANGES, HL7V2_LOSSES, SWITCHED_OFF
from mappings.trace.outputs import outputs
from mappings.trace.probes import leaves
from mappings.trace.rules import TraceRule, builder_of, rule_of
from mappings.trace.sample import document, everything, rows, site, sources

Segment = Mapping[int, str | Callable[..., str]]


@dataclass(frozen=True, slots=True)
class SegmentTable:
    """Field table of a segment, with its module, what it is, and the clause of its fields.

    `variable` is the name of the table in its module. `kind` is the code of its OBX in a trace, empty for the report's.
    """

    name: str
    title: str
    module: ModuleType
    fields: Segment
    clause: str
    variable: str = ""
    kind: str = ""

    def target(self, number: int) -> str:
        """Return a field's name in a trace."""
        return f"{self.name}({self.kind})-{number}" if self.kind else f"{self.name}-{number}"


_UID: Final = "observation: study instance UID, where the receiver's `uid` is `obx113014` or `both`"
_VIEWER: Final = "observation: address of the viewer, where the receiver's `viewer` is `rp`"
_VITALS: Final = "observation: height and weight, where the receiver's `vitals` is `on`"
_DOCUMENT: Final = "observation: the PDF, where the receiver's `pdf` is not `none`"
SEGMENTS: Final = (
    SegmentTable("MSH", "message header", msh, msh.MSH, "HL7 v2.5.1 §2.15.9"),
    SegmentTable("PID", "patient identification", pid, pid.PID, "HL7 v2.5.1 §3.4.2"),
    SegmentTable("PV1", "patient visit", pv1, pv1.PV1, "HL7 v2.5.1 §3.4.3"),
    SegmentTable("ORC", "common order", orc, orc.ORC, "HL7 v2.5.1 §4.5.1"),
    SegmentTable("OBR", "observation request", obr, obr.OBR, "HL7 v2.5.1 §4.5.3"),
    SegmentTable("TQ1", "timing", tq1, tq1.TQ1, "HL7 v2.5.1 §4.5.4"),
    SegmentTable("NTE", "notes and comments", nte, nte.NTE, "HL7 v2.5.1 §2.15.10"),
    SegmentTable("OBX", "observation: the report, line by line", obx, obx.OBX, "HL7 v2.5.1 §7.4.2"),
    SegmentTable("OBX", _VITALS, obx_vitals, obx_vitals.VITAL, "HL7 v2.5.1 §7.4.2", "VITAL", "8302-2"),
    SegmentTable("OBX", _UID, obx_uid, obx_uid.UID, "HL7 v2.5.1 §7.4.2", "UID", "113014"),
    SegmentTable("OBX", _VIEWER, obx_uid, obx_uid.VIEWER, "HL7 v2.5.1 §7.4.2", "VIEWER", "113014 RP"),
    SegmentTable("OBX", _DOCUMENT, obx_pdf, obx_pdf.PDF, "HL7 v2.5.1 §7.4.2", "PDF", "PDF"),
    SegmentTable("ZDS", "study instance UID (IHE)", zds, zds.ZDS, "IHE RAD TF-2 Table 4.4-6"),
)
_STATUS_COLUMNS: Final = ("diagnostic_report", "observation", "obr_25", "obx_11", "orc_5")
_TITLES: Final = {
    "MSH-7": "Date/Time of Message",
    "OBR-5": "Priority",
    "OBR-7": "Observation Date/Time",
    "OBR-22": "Results Rpt/Status Chng - Date/Time",
    "OBX-4": "Observation Sub-ID",
    "OBX-14": "Date/Time of the Observation",
    "OBX-15": "Producer's ID",
    "PID-7": "Date/Time of Birth",
    "ZDS-1": "Study Instance UID",
}
# Field -> its source, if that is neither a rule nor a constant
_ROWS: Final = {
    "MSH-3": "the site's `sending_application`",
    "MSH-5": "the receiver's own, else the site's `receiving_application`",
    "MSH-6": "the receiver's own, else the site's `receiving_facility`",
    "MSH-10": "a digest of the report, its version, the cause and the destination",
    "MSH-11": "the site's `processing_id`, table 0103",
    "MSH-12": "the receiver's `version`",
    "MSH-15": "the receiver's `ack_mode`, table 0155",
    "MSH-16": "the receiver's `ack_mode`, table 0155",
    "OBR-1": "counts the orders of the message from 1",
    "NTE-1": "counts the notes at one place from 1",
    "OBX-1": "counts all OBX of an order from 1",
    "OBX-4": "counts runs of lines with one code; with `tx_sections` the sections",
    "OBX(8302-2)-1": "counts all OBX of an order from 1",
    "OBX(8302-2)-3": "8302-2 Body height, 29463-7 Body weight (LN)",
    "OBX(8302-2)-5": "snapshot.height, snapshot.weight: the value as it came, ten digits",
    "OBX(8302-2)-6": "their unit, in UCUM",
    "OBX(113014)-1": "counts all OBX of an order from 1",
    "OBX(113014)-2": "the receiver's `uid_type`",
    "OBX(113014 RP)-1": "counts all OBX of an order from 1",
    "OBX(113014 RP)-5": "the facility's `viewer` with the study instance UID or the accession number in it, as RP",
    "OBX(PDF)-1": "counts all OBX of an order from 1",
    "OBX(PDF)-2": "the receiver's `pdf`, table 0125: ED or RP",
    "OBX(PDF)-4": "counts on from the report's",
    "OBX(PDF)-5": "the PDF as the receiver's `pdf` has it: ED in Base64 without line breaks, or its address as RP",
}
# Fields that are in every message, or in every such OBX, although the standard does not require them
_ALWAYS: Final = frozenset(
    {
        *(
            "MSH-18",
            "OBR-1",
            "OBR-3",
            "OBR-21",
            "OBR-25",
            "ORC-3",
            "ORC-5",
            "NTE-1",
            "NTE-3",
            "OBX-1",
            "OBX-2",
            "OBX-5",
        ),
        *("OBX(8302-2)-1", "OBX(8302-2)-5", "OBX(8302-2)-6", "OBX(113014)-1", "OBX(113014)-2", "OBX(113014)-5"),
        *("OBX(113014 RP)-1", "OBX(113014 RP)-5"),
        *("OBX(PDF)-1", "OBX(PDF)-2", "OBX(PDF)-4", "OBX(PDF)-5", "ZDS-1"),
    }
)


def fhir_index() -> str:
    """Table of every FHIR element that the sample fills: its source, the input fields that change it, and its rule."""
    return table(("element", "comes from", "moved by", "rule", "clause", "test"), _fhir_rows())


def hl7v2_index() -> str:
    """Table of every HL7 field: its source, the input fields that change it, and its rule."""
    head = ("field", "comes from", "moved by", "rule", "clause", "test")
    return table(head, (row for segment in SEGMENTS for row in _hl7v2_rows(segment)))


def segment_sections(after: str = "", to: str = "") -> str:
    """Sections of the conformance statement: each segment with its fields, from behind one segment up to another."""
    names = [one.name for one in SEGMENTS]
    first, last = names.index(after) + 1 if after else 0, names.index(to) + 1 if to else len(names)
    return "\n\n".join(f"### {one.name}, {one.title}\n\n{_segment_table(one)}" for one in SEGMENTS[first:last])


def _segment_table(segment: SegmentTable) -> str:
    """Table of the fields of a segment: usage, cardinality, source, rule, clause."""
    return table(("field", "name", "type", "usage", "card.", "source", "rule", "clause"), _statement_rows(segment))


def state_table() -> str:
    """Table of report states with their codes in FHIR and in HL7 v2."""
    return table(
        ("state", "DiagnosticReport.status", "section Observation.status", "OBR-25", "OBX-11", "ORC-5"),
        (
            (state.replace("_", " "), *(getattr(row, name) or "not sent" for name in _STATUS_COLUMNS))
            for state, row in STATUS.items()
        ),
    )


def loss_table(language: str) -> str:
    """Table of input fields that a language (`fhir`, `hl7v2`) lacks, with the reason."""
    losses = {"fhir": FHIR_LOSSES, "hl7v2": HL7V2_LOSSES}[language]
    return table(("leaf", "why it is not there"), ((f"`{pattern}`", reason) for pattern, reason in losses.items()))


def change_table(language: str) -> str:
    """Table of values that a language (`fhir`, `hl7v2`) gets changed: when, and why it cannot be reversed."""
    changes = {"fhir": FHIR_CHANGES, "hl7v2": HL7V2_CHANGES}[language]
    leaves = {one: f"`{one.leaf}`" if one.leaf.startswith("/") else one.leaf for one in changes}
    rows = ((f"`{one.code}`", leaf, one.when, one.reason) for one, leaf in leaves.items())
    return table(("code", "leaf", "when", "why"), rows)


def switched_off_table() -> str:
    """Table of input fields that a switch of the receiver profile leaves out of HL7 v2."""
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
    """Describe the source of an element without a rule: a copy, a reference, a constant, or computed."""
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
    """Return the element of a path, as a rule names it: `Patient.name` for `Patient.name.family`."""
    rule = rule_of(target)
    kind, element = target.split(".")[:2]
    made = next((one for one in rule.targets if one.startswith(kind)), "") if rule else ""
    return made if made.count(".") > 1 else f"{kind}.{re.sub(r'[(].*', '', element)}"


def _hl7v2_rows(segment: SegmentTable) -> Iterator[tuple[str, ...]]:
    for number in segment.fields:
        target, rule = segment.target(number), _rule(segment, number)
        yield (target, rule.source, _leaves(target), *_place(rule))


def _statement_rows(segment: SegmentTable) -> Iterator[tuple[str, ...]]:
    facts = field_facts(segment.name, "2.5.1")
    for number in segment.fields:
        field, rule = f"{segment.name}-{number}", _rule(segment, number)
        known = facts.get(number, FieldFacts("", "", 0, 1))
        most = "*" if known.most < 0 else str(known.most)
        name = f"`{rule.name}`" if rule.name else "table row"
        usage = _usage(segment.target(number), segment.fields[number], known)
        title = _TITLES.get(field) or _title(known.name)
        yield (field, title, known.datatype, usage, f"{known.least}..{most}", rule.source, name, rule.clause)


def _title(name: str) -> str:
    """Convert a field's name in the library to the standard's spelling."""
    spelled = re.sub(r"\bSet Id \w+", "Set ID", name).replace("Quantity Timing", "Quantity/Timing")
    return re.sub(r"\bId\b", "ID", spelled)


def _usage(target: str, row: str | Callable[..., str], known: FieldFacts) -> str:
    """Return the usage: R if in every message (or every such OBX), RE if only when AutoScribe or the site gives it."""
    is_said = target in _ALWAYS or (isinstance(row, str) and row != obx.PER_LINE)
    return "R" if known.least or is_said else "RE"


def _rule(segment: SegmentTable, number: int) -> TraceRule:
    """Return the rule of a field: its function, else its row in the segment's table."""
    target, row = segment.target(number), segment.fields[number]
    said = _ROWS.get(target) or (f"`{row}`" if isinstance(row, str) and row != obx.PER_LINE else "")
    rule = rule_of(target)
    clause = f"{segment.clause}.{number}" if segment.clause.startswith("HL7") else segment.clause
    if rule and not said:
        return rule if rule.name.startswith(f"{segment.name.lower()}_{number}_") else replace(rule, clause=clause)
    place = _line(segment, number)
    return TraceRule((target,), "", said, segment.module.__name__.replace(".", "/") + ".py", place, clause)


def _line(segment: SegmentTable, number: int) -> int:
    """Return the line of a field's row in its module."""
    lines = inspect.getsource(segment.module).split("\n")
    start = next(index for index, text in enumerate(lines) if text.startswith(f"{segment.variable or segment.name}: "))
    row = re.compile(rf"(?:^    |[{{ ]){number}: ")
    return next(index for index, text in enumerate(lines[start:], start + 1) if row.search(text))


def _place(rule: TraceRule) -> tuple[str, str, str]:
    """Return the link, clause and test of a rule."""
    name = f"`{rule.name}` " if rule.name else ""
    path = rule.path.removeprefix("mappings/")
    folder, _, module = rule.path.rpartition("/")
    return f"{name}[{path}:{rule.line}]({path}#L{rule.line})", rule.clause, f"tests/{folder}/test_{module}"


def _leaves(target: str) -> str:
    """List the input fields that change a target, as measured, without their report or user index."""
    short = dict.fromkeys(
        re.sub(r"^/(?:reports|users)/[0-9]+|/[0-9]+", "", pointer).strip("/") for pointer in sources(target)
    )
    return ", ".join(short)
