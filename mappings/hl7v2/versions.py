"""Table of differences between HL7 v2.5.1 and other versions, for the segments and fields that we write.

HL7 v2.5.1 §4.5.3, §4.5.4, §3.4.2, §2.A.86, §2.A.88; the clause of every other version is in its row. hl7apy's
tables of each version agree (tests/mappings/hl7v2/test_versions.py).

No information is lost in an older or newer version: each row names the field that replaces the missing one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

from mappings.hl7v2.er7 import Layout, Table, layout

Context = TypeVar("Context")
VERSIONS: Final = ("2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.7")


@dataclass(frozen=True, slots=True)
class Missing:
    """Field (0: whole segment) missing in `versions` by `clause`; `said_by` names the field used instead."""

    segment: str
    field: int
    versions: tuple[str, ...]
    clause: str
    said_by: str


MISSING: Final = (
    Missing("TQ1", 0, ("2.3", "2.3.1", "2.4"), "HL7 v2.5 §4.5.4: a new segment", "OBR-27"),
    Missing("PID", 2, ("2.7",), "HL7 v2.7 §3.4.2.2: withdrawn", "PID-3"),
    Missing("ORC", 7, ("2.7",), "HL7 v2.7 §4.5.1.7: withdrawn", "TQ1-9"),
    Missing("OBR", 44, ("2.3",), "HL7 v2.3.1 §4.5.1.44: a new field", "OBR-4"),
    Missing("OBR", 5, ("2.7",), "HL7 v2.7 §4.5.3.5: withdrawn", "TQ1-9"),
    Missing("OBR", 27, ("2.7",), "HL7 v2.7 §4.5.3.27: withdrawn", "TQ1-9"),
)

# HL7 v2.3 §2.24.1.9: CM of message type and trigger event; message structure was added in v2.3.1
WITHOUT_MESSAGE_STRUCTURE: Final = frozenset({"2.3"})
# HL7 v2.3 §3.3.2.5 (PID-5) and §3.3.3.8 (PV1-8): they repeat from v2.3.1
ONE_PATIENT_NAME: Final = frozenset({"2.3"})
ONE_REFERRING_DOCTOR: Final = frozenset({"2.3"})
# HL7 v2.3 §4.3.1: ORC-7 and OBR-27 are required; they are optional from v2.3.1
QUANTITY_REQUIRED: Final = frozenset({"2.3"})
# HL7 v2.7 §4.5.3.44: a CNE, with a code or empty; OBR-4 always has the text
PROCEDURE_CODE_OR_NOTHING: Final = frozenset({"2.7"})
# HL7 v2.7 §2.A.88 (XPN.6) and §2.A.86 (XCN.7) are withdrawn; a degree is a professional suffix (XPN.14, XCN.21)
DEGREE_IS_PROFESSIONAL_SUFFIX: Final = frozenset({"2.7"})


def has(version: str, segment: str, field: int = 0) -> bool:
    """False if the version lacks the field, or (0) the segment."""
    return not any(
        (row.segment, row.field) in {(segment, field), (segment, 0)} and version in row.versions for row in MISSING
    )


def rows(table: Table[Context], segment: str, version: str) -> Table[Context]:
    """Rows of a segment's table that a version has."""
    return {number: row for number, row in table.items() if has(version, segment, number)}


def layouts(table: Table[Context], segment: str) -> dict[str, Layout[Context]]:
    """Compile the layout of a segment in each version that has it."""
    return {version: layout(rows(table, segment, version), segment) for version in VERSIONS if has(version, segment)}
