"""Compare two messages about the same result, field by field.

HL7 v2.5.1 §2.5 (segments and fields). Fields that name or count (MSH-7, MSH-10, set ids) differ in any two messages and
are left out. Values stay escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Final

from mappings.hl7v2.received import Segment, placed, read

# Fields that count a segment, and fields that name the message
_COUNTED: Final = frozenset({"OBX-1", "OBX-4", "OBR-1", "NTE-1", "PID-1", "PV1-1", "TQ1-1", "MSH-7", "MSH-10"})
_Placed = tuple[str, Segment]


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that differs: `place` is `OBR-25`, or `OBX[3]-5` for the third OBX; `was` or `now` may be empty.

    For a segment in only one of the two messages, place and text are those of the whole segment.
    """

    place: str
    was: str = field(repr=False)
    now: str = field(repr=False)


def differences(before: bytes, after: bytes) -> tuple[Difference, ...]:
    """Return the fields in which a message differs from one before it, in the order of its segments.

    Raises:
        Unreadable: one of the two is no HL7 v2 message.
    """
    old, new = list(placed(read(before))), list(placed(read(after)))
    matched = SequenceMatcher(None, [_key(one) for one in old], [_key(one) for one in new], autojunk=False)
    return tuple(
        found
        for tag, first, last, start, end in matched.get_opcodes()
        if tag != "equal"
        for found in _replaced(old[first:last], new[start:end])
    )


def text_of(segment: Segment) -> str:
    """Return a segment in its original text."""
    head, rest = (segment.fields[:1], segment.fields[2:]) if segment.name == "MSH" else ((), segment.fields)
    return "|".join((*head, *rest))


def _key(one: _Placed) -> tuple[str, ...]:
    """Return a segment's fields without those that count or name it."""
    _, segment = one
    return tuple("" if f"{segment.name}-{n}" in _COUNTED else text for n, text in enumerate(segment.fields))


def _replaced(old: Sequence[_Placed], new: Sequence[_Placed]) -> Iterator[Difference]:
    """Yield the differences of two stretches: segments of one name in order, unmatched ones as a whole."""
    names = dict.fromkeys(segment.name for _, segment in (*new, *old))
    for name in names:
        was = [one for one in old if one[1].name == name]
        now = [one for one in new if one[1].name == name]
        for before, after in zip_longest(was, now):
            if before is not None and after is not None:
                yield from _fields(before[1], after)
            elif after is not None:
                yield Difference(after[0], "", text_of(after[1]))
            elif before is not None:
                yield Difference(before[0], text_of(before[1]), "")


def _fields(old: Segment, new: _Placed) -> Iterator[Difference]:
    place, segment = new
    for number in range(1, max(len(old.fields), len(segment.fields))):
        was, now = old.field(number), segment.field(number)
        if was != now and f"{segment.name}-{number}" not in _COUNTED:
            yield Difference(f"{place}-{number}", was, now)
