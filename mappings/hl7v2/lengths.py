"""Table of the maximum length of each field that we write, in each HL7 v2 version.

HL7 v2.5.1 §2.5.3.2 (length), the attribute tables of §2.15.9 (MSH), §3.4.2 (PID), §3.4.3 (PV1), §4.5.1 (ORC),
§4.5.3 (OBR), §4.5.4 (TQ1), §7.4.2 (OBX), §2.15.10 (NTE), and those of the other versions; ZDS is not in the standard.

A length counts one repetition as written, with delimiters and escape sequences. A longer value is sent whole, with an
issue: nothing is ever cut.
"""

from __future__ import annotations

from typing import Final

from mappings.hl7v2.versions import VERSIONS

# HL7 v2.5.1: field -> maximum length. Order numbers are counted on EI.1: with `^AUTOSCRIBE` the field has 33
LENGTHS: Final[dict[str, dict[int, int]]] = {
    "MSH": {2: 4, 3: 227, 4: 227, 5: 227, 6: 227, 7: 26, 9: 15, 10: 20, 11: 3, 12: 60, 15: 2, 16: 2, 18: 16},
    "PID": {1: 4, 2: 20, 3: 250, 5: 250, 7: 26, 8: 1, 18: 250},
    "PV1": {1: 4, 2: 1, 3: 80, 7: 250, 8: 250, 19: 250, 51: 1},
    "ORC": {1: 2, 2: 22, 3: 22, 5: 2, 7: 200, 12: 250},
    "OBR": {
        **{1: 4, 2: 22, 3: 22, 4: 250, 5: 2, 7: 26, 13: 300, 16: 250, 18: 60, 20: 60, 21: 60, 22: 26, 24: 10},
        **{25: 1, 27: 200, 29: 200, 31: 250, 32: 200, 44: 250},
    },
    "TQ1": {1: 4, 9: 250},
    "OBX": {1: 4, 2: 2, 3: 250, 4: 20, 5: 99999, 6: 250, 8: 5, 11: 1, 14: 26, 15: 250, 16: 250},
    "NTE": {1: 4, 2: 8, 3: 65536},
}
# Differences of other versions, from their attribute tables: HL7 v2.3 §2.24.1, §3.3.2, §3.3.3, §4.3.1, §7.3.1, §7.3.3,
# v2.3.1 §2.24.1, §3.3.2, §3.3.3, §4.3.1, §4.5.1, §7.3.3; v2.4 §2.16.9, §7.4.2. The length of MSH-9 in v2.3.1 (7) has no
# room for the third component of its data type, that of PV1-3 in v2.3 (12) none for its nine components: both are
# counted by the next version.
OTHERWISE: Final[dict[str, dict[str, dict[int, int]]]] = {
    "2.3": {
        "MSH": {3: 180, 4: 180, 5: 180, 6: 180, 9: 7, 12: 8, 18: 6},
        "PID": {3: 20, 5: 48, 18: 20},
        "PV1": {7: 60, 8: 60, 19: 20},
        "ORC": {12: 120},
        "OBR": {4: 200, 16: 120, 29: 150, 31: 300},
        "OBX": {3: 590, 5: 65536, 6: 60, 15: 60, 16: 80},
    },
    "2.3.1": {
        "MSH": {3: 180, 4: 180, 5: 180, 6: 180},
        "PID": {3: 20, 5: 48, 18: 20},
        "PV1": {7: 60, 8: 60, 19: 20},
        "ORC": {12: 120},
        "OBR": {4: 200, 16: 120, 31: 300, 44: 80},
        "OBX": {2: 3, 3: 80, 5: 65536, 6: 60, 15: 60, 16: 80},
    },
    "2.4": {"MSH": {3: 180, 4: 180, 5: 180, 6: 180}, "OBX": {5: 65536}},
}
# HL7 v2.7 §2.5.5.2: only these fields have a maximum length, all others are unlimited
LENGTHS_2_7: Final[dict[str, dict[int, int]]] = {
    "MSH": {2: 5, 10: 199, 15: 2, 16: 2, 18: 15},
    "PID": {1: 4},
    "PV1": {1: 4},
    "ORC": {1: 2, 5: 2},
    "OBR": {1: 4, 24: 3, 25: 1},
    "TQ1": {1: 4},
    "OBX": {1: 4, 2: 3, 11: 1},
    "NTE": {2: 1},
}
NO_MAXIMUM: Final = 2**31
COUNTED_ON_FIRST_COMPONENT: Final = frozenset({("ORC", 2), ("ORC", 3), ("OBR", 2), ("OBR", 3)})
# The 20 characters of a CX before v2.4 count only the number (CX.1): with authority and type no number would fit
_NUMBERS: Final = frozenset({("PID", 3), ("PID", 18), ("PV1", 19)})
COUNTED_ON_NUMBER: Final = dict.fromkeys(("2.3", "2.3.1"), COUNTED_ON_FIRST_COMPONENT | _NUMBERS)


def _lengths(version: str) -> dict[str, dict[int, int]]:
    if version == "2.7":
        unlimited = {segment: dict.fromkeys(fields, NO_MAXIMUM) for segment, fields in LENGTHS.items()}
        return {segment: fields | LENGTHS_2_7[segment] for segment, fields in unlimited.items()}
    return {segment: fields | OTHERWISE.get(version, {}).get(segment, {}) for segment, fields in LENGTHS.items()}


LENGTHS_OF: Final = {version: _lengths(version) for version in VERSIONS}


def excess(segment: str, number: int, repetition: str, version: str = "2.5.1") -> int:
    """Number of characters by which one repetition of a field exceeds the version's maximum; 0 if it fits."""
    if (segment, number) in COUNTED_ON_NUMBER.get(version, COUNTED_ON_FIRST_COMPONENT):
        repetition = repetition.split("^", 1)[0]
    return max(0, len(repetition) - LENGTHS_OF[version][segment][number])
