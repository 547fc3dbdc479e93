"""How long a field may be: the fields that we write, with the maximum length of each.

HL7 v2.5.1 §2.5.3.2 (length), the attribute tables of §2.15.9 (MSH), §3.4.2 (PID), §3.4.3 (PV1), §4.5.1 (ORC),
§4.5.3 (OBR), §4.5.4 (TQ1), §7.4.2 (OBX); ZDS is no segment of the standard.

A length is that of one repetition as written, delimiters and escape sequences counted. What is longer goes out whole,
with an issue: nothing is ever cut.
"""

from __future__ import annotations

from typing import Final

# Field -> maximum length. Filler order numbers are counted on EI.1: with `^AUTOSCRIBE` the field has 33.
LENGTHS: Final[dict[str, dict[int, int]]] = {
    "MSH": {2: 4, 3: 227, 4: 227, 5: 227, 6: 227, 7: 26, 9: 15, 10: 20, 11: 3, 12: 60, 18: 16},
    "PID": {1: 4, 3: 250, 5: 250, 7: 26, 8: 1},
    "PV1": {1: 4, 2: 1, 3: 80, 8: 250},
    "ORC": {1: 2, 3: 22, 5: 2, 12: 250},
    "OBR": {
        1: 4,
        3: 22,
        4: 250,
        5: 2,
        7: 26,
        13: 300,
        16: 250,
        18: 60,
        21: 60,
        22: 26,
        24: 10,
        25: 1,
        27: 200,
        31: 250,
        32: 200,
        44: 250,
    },
    "TQ1": {1: 4, 9: 250},
    "OBX": {1: 4, 2: 2, 3: 250, 4: 20, 5: 99999, 6: 250, 8: 5, 11: 1, 14: 26, 16: 250},
}
COUNTED_ON_FIRST_COMPONENT: Final = frozenset({("ORC", 3), ("OBR", 3)})


def excess(segment: str, number: int, repetition: str) -> int:
    """By how many characters one repetition of a field is longer than the standard has it; 0 if it is not."""
    if (segment, number) in COUNTED_ON_FIRST_COMPONENT:
        repetition = repetition.split("^", 1)[0]
    return max(0, len(repetition) - LENGTHS[segment][number])
