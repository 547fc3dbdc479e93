"""Validate our HL7 v2 messages with hl7apy: field positions, cardinality, datatypes, and message structure.

HL7 v2.5.1 §2.5, §7.3.1, and the same clauses of every version we write. Lengths are checked by
mappings/hl7v2/lengths.py, since hl7apy's tables have none (decision D2).

An issue names the field (`OBX[3]-5`) in its pointer and the kind of fault, never the value. hl7apy's own exceptions
hold values and are not passed on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from hl7apy import load_reference
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.exceptions import ChildNotFound, HL7apyException
from hl7apy.parser import parse_message
from hl7apy.validation import Validator

from mappings.codes import CHARSETS
from mappings.hl7v2.er7 import NULL
from mappings.hl7v2.lengths import LENGTHS_OF, excess
from mappings.hl7v2.received import Delimiters, Received, Segment, Unreadable, placed, read
from mappings.hl7v2.versions import VERSIONS
from mappings.issues import MappingIssue, Severity

# Form of a primitive type's value (HL7 v2.5.1 §2.A.47 NM, §2.A.70 SI, §2.A.21 DT, §2.A.22 DTM, §2.A.75 TM)
_OFFSET: Final = r"(?:[+-][0-9]{4})?"
_CLOCK: Final = r"(?:[01][0-9]|2[0-3])(?:[0-5][0-9](?:[0-5][0-9](?:\.[0-9]{1,4})?)?)?"
_DAY: Final = r"[0-9]{4}(?:(?:0[1-9]|1[0-2])(?:(?:0[1-9]|[12][0-9]|3[01])%s)?)?"
PRIMITIVES: Final[dict[str, re.Pattern[str]]] = {
    "DT": re.compile(_DAY % ""),
    "DTM": re.compile(_DAY % f"(?:{_CLOCK})?" + _OFFSET),
    "NM": re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?"),
    "SI": re.compile(r"[0-9]+"),
    "TM": re.compile(_CLOCK + _OFFSET),
}
# Waived: values that hl7apy's tables refuse and the standard or a receiver requires, by versions and field. They are
# judged as the text on the right; each waiver has a test.
_ALL: Final = frozenset(VERSIONS)
_V2_7: Final = frozenset({"2.7"})
WAIVED_TEXT: Final[dict[tuple[str, int], tuple[frozenset[str], re.Pattern[str], str]]] = {
    # HL7 v2.5.1 §7.1.3: a suffix as sub-component of OBX-3.1 (`59776-5&GDT`; VistA's `&R`, `&I`), for which CE.1 has
    # no room
    ("OBX", 3): (_ALL, re.compile(r"^([^&^]+)&(?:[A-Z]{3}|[IR])(?=\^|$)"), r"\1"),
    # IHE RAD-128: a critical result is coded in OBX-8, which is an IS until v2.6
    ("OBX", 8): (_ALL, re.compile(r"^(AA)\^[^~^&]*\^HL70078$"), r"\1"),
    # Receivers that read no authority get a bare number; those that read no message structure get none: required in
    # v2.7
    ("PID", 3): (_V2_7, re.compile(r"^([^~^&]+)$"), r"\1^^^^U"),
    ("MSH", 9): (_V2_7, re.compile(r"^(ORU\^R01)$"), r"\1^ORU_R01"),
}
# Waived: conditional on several OBX of one code, but required by hl7apy (§7.4.2.4)
WAIVED_ABSENCE: Final = frozenset({("2.3.1", "OBX", 4), ("2.7", "OBX", 4)})
# Waived: required, but empty if another field has the number, for a receiver that would misread it there:
# VistA reads a Social Security number in PID-3, station-DFN in PID-2 (RAHLTCPX)
WAIVED_FOR: Final = {("PID", 3): 2}
# Waived: hl7apy's own reference of the field is broken, so its parser fails
UNPARSED: Final = frozenset({("2.7", "TQ1", 1)})
# Waived: in STRICT mode hl7apy refuses components of more than 199 characters (20 for IS) in any field. So it parses
# TOLERANT and then validates, which finds the same faults; long values are cut for it. Our table judges lengths.
_LONG: Final = re.compile(r"[^|^~&]{151,}")
WITHDRAWN: Final = "WD"  # hl7apy's data type for a withdrawn field
_CONTROL: Final = re.compile(rb"[\x00-\x0c\x0e-\x1f\x7f]")


def judge_message(message: bytes) -> tuple[MappingIssue, ...]:
    """Find the faults of one of our messages; empty if there are none.

    It is slow (milliseconds per segment): for `convert --validate`, `check-config` and tests, in a worker thread.
    """
    try:
        charset = read(message).msh.field(18) or "ASCII"
        received = read(_as_utf_8(message, charset))
    except Unreadable as error:
        return (_fault("unreadable", "MSH", f"no HL7 v2 message ({error.code})"),)
    version = received.components(received.msh.field(12))[0]
    if version not in VERSIONS:
        return (_fault("version-unknown", "MSH-12", "a version that the judge has no tables of"),)
    received = replace(received, segments=tuple(_waived(one, version) for one in received.segments))
    faults = [*_byte_faults(message, charset)]
    for place, segment in placed(received):
        faults += _segment_faults(segment, place, version, received.delimiters)
    if not any(fault.severity == "error" for fault in faults):
        faults += _whole_faults(received, version)
    return tuple(faults)


def _as_utf_8(message: bytes, charset: str) -> bytes:
    return message.decode(CHARSETS.get(charset, "utf-8"), "replace").encode()


def _waived(segment: Segment, version: str) -> Segment:
    """Apply the waivers: replace fields that hl7apy's tables refuse by text that they accept."""
    fields = list(segment.fields)
    for number, text in enumerate(fields):
        waiver = WAIVED_TEXT.get((segment.name, number))
        if text and waiver and version in waiver[0]:
            fields[number] = waiver[1].sub(waiver[2], text)
        elif not text and (version, segment.name, number) in WAIVED_ABSENCE:
            fields[number] = "1"
        elif not text and (segment.name, number) in WAIVED_FOR:
            fields[number] = fields[WAIVED_FOR[segment.name, number]]
    return replace(segment, fields=tuple(fields))


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """A field in the standard: its name, datatype, and allowed repetitions (`most` -1: any number)."""

    name: str
    datatype: str
    least: int
    most: int


def field_facts(segment: str, version: str) -> dict[int, FieldFacts]:
    """Fields of a standard segment by number; empty for a segment that the standard lacks."""
    numbered = enumerate(_field_table(segment, version) or (), 1)
    return {
        number: FieldFacts(reference[3].replace("_", " ").title(), reference[2] or "", least, most)
        for number, (_, reference, (least, most), _) in numbered
    }


def _fault(code: str, place: str, action: str, severity: Severity = "error") -> MappingIssue:
    return MappingIssue(code, severity, place, action)


def _byte_faults(message: bytes, charset: str) -> Iterator[MappingIssue]:
    control = _CONTROL.search(message)
    if control:
        yield _fault("control-character", "", f"a control character at offset {control.start()}")
    if charset not in CHARSETS:
        yield _fault("charset-unknown", "MSH-18", "a character set that the judge cannot read")
        return
    try:
        message.decode(CHARSETS[charset])
    except UnicodeDecodeError as error:
        yield _fault("charset", "MSH-18", f"not of this character set at offset {error.start}")


@cache
def _field_table(name: str, version: str) -> tuple[Any, ...] | None:
    try:
        return tuple(load_reference(name, "Segment", version)[1])
    except ChildNotFound:
        return None


@cache
def _components(datatype: str, version: str) -> tuple[str | None, ...] | None:
    """Datatypes of a datatype's components; None for a primitive one."""
    try:
        types = tuple(row[1][2] if row[1] else None for row in load_reference(datatype, "Datatypes_Structs", version))
    except ChildNotFound:
        return None
    return ("DTM", *types[1:]) if datatype == "TS" else types


def _segment_faults(segment: Segment, place: str, version: str, delimiters: Delimiters) -> Iterator[MappingIssue]:
    if segment.name.startswith("Z"):
        return
    table = _field_table(segment.name, version)
    if table is None:
        yield _fault("segment-unknown", place, f"no segment of HL7 v{version}")
        return
    if len(segment.fields) - 1 > len(table):
        yield _fault("position-unknown", f"{place}-{len(table) + 1}", f"the segment of HL7 v{version} ends before it")
    for number, (_, reference, (least, most), _) in enumerate(table, 1):
        text, where = segment.field(number), f"{place}-{number}"
        if not text and least:
            yield _fault("field-required", where, "required and empty")
        if not text or (segment.name == "MSH" and number <= 2):
            continue
        repeated = text.split(delimiters.repetition)
        if 0 <= most < len(repeated):
            yield _fault("repetition", where, f"{len(repeated)} repetitions, {most} allowed")
        separators = delimiters.component + delimiters.subcomponent
        datatype = segment.field(2) if reference[2] == "varies" else reference[2]
        for repetition in repeated:
            yield from _length_faults(segment.name, number, repetition, where, version)
            yield from _type_faults(datatype, repetition, where, version, separators)


def _length_faults(segment: str, number: int, repetition: str, where: str, version: str) -> Iterator[MappingIssue]:
    if number in LENGTHS_OF[version].get(segment, ()) and (over := excess(segment, number, repetition, version)):
        yield _fault("length-exceeded", where, f"{over} characters longer than HL7 v{version} has it", "warning")


def _type_faults(datatype: str | None, text: str, where: str, version: str, separators: str) -> Iterator[MappingIssue]:
    """Check a value against its datatype; `separators` are those that may still divide it, the outer one first."""
    if not text or text == NULL or datatype is None:
        return
    if datatype == WITHDRAWN:
        yield _fault("withdrawn", where, f"withdrawn in HL7 v{version}")
        return
    types = _components(datatype, version)
    if types is None or not separators:
        primitive = types[0] if types else datatype
        if any(separator in text for separator in separators):
            yield _fault("datatype", where, f"{datatype} has no components")
        elif primitive in PRIMITIVES and not PRIMITIVES[primitive].fullmatch(text):
            yield _fault("datatype", where, f"no {primitive}")
        return
    parts = text.split(separators[0])
    if len(parts) > len(types):
        yield _fault("datatype", where, f"{len(parts)} components, {datatype} has {len(types)}")
    for number, (part, inner) in enumerate(zip(parts, types, strict=False), 1):
        yield from _type_faults(inner, part, f"{where}.{number}", version, separators[1:])


def _whole_faults(received: Received, version: str) -> Iterator[MappingIssue]:
    """Parse and validate the whole message with hl7apy: order and groups of its segments."""
    text = "\r".join(_shortened_segments(received, version))
    try:
        Validator.validate(parse_message(text, validation_level=VALIDATION_LEVEL.TOLERANT))
    except HL7apyException as error:
        yield _fault("structure", "", f"hl7apy refuses the message ({type(error).__name__})")


def _shortened_segments(received: Received, version: str) -> Iterator[str]:
    """Yield the segments with long values cut; OBX of an order that differ only in number and value come once."""
    seen: set[tuple[str, ...]] = set()
    for segment in received.segments:
        fields = tuple(
            "" if (version, segment.name, number) in UNPARSED else text for number, text in enumerate(segment.fields)
        )
        if segment.name == "MSH":
            fields = ("MSH", *fields[2:])
        elif segment.name == "OBR":
            seen.clear()
        elif segment.name == "OBX":
            alike = fields[2:5] + fields[6:]
            if alike in seen:
                continue
            seen.add(alike)
        yield _LONG.sub(_cut, received.delimiters.separator.join(fields))


def _cut(long: re.Match[str]) -> str:
    """Return the first characters of a value, with no escape sequence cut in two."""
    start = long[0][:150]
    return start[: start.rindex("\\")] if start.count("\\") % 2 else start
