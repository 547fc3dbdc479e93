"""List the values in a study's JSON, and make changed copies of the study with another value of the same kind.

Carries out no clause of a standard; the kinds are those of `mappings.study.wire`.
Proved by tests/mappings/trace/test_trace.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from itertools import zip_longest
from typing import Any, Final

from mappings.sections import cut
from mappings.values.dates import fhir_instant, parse_date, parse_instant

Json = Mapping[str, Any]
Value = str | int | float | bool | None

# Key -> other allowed values
_CODES: Final[dict[str, tuple[Value, ...]]] = {
    "isAddendum": (True, False),
    "isCancelled": (True, False),
    "isCritical": (True, False, None),
    "modality": ("CT", "MR", "US"),
    "npiNumber": ("1234567893", "1245319599"),
    "severity": ("normal", "high", "stat"),
    "sex": ("male", "female", "other"),
    "status": ("in_progress", "completed"),
    "studyReportStatus": ("unassigned", "assigned", "in_progress", "completed", "addendum_active"),
    "studyTime": ("09:41", "22:07"),
    "studyType": ("standard", "external"),
    "unit": ("in", "cm", "lbs", "kg"),
}
_DATES: Final = ("1961-03-14", "1985-11-30")
_STUDY_DATES: Final = ("2026-01-04", "2025-11-30")
_SOME_SECONDS: Final = timedelta(seconds=7)
_IDS: Final = frozenset({"studyId", "reportId", "userId"})
_ABSENT: Final = object()
_UNCHANGED: Final = object()
# Pattern of a leaf -> the leaves that outrank it, with the values that let it through (None: absent)
_OUTRANKED: Final[dict[str, tuple[tuple[str, Value], ...]]] = {
    "/studyDescription": (("/reports/*/snapshotMetadata/procedure", None),),
    "/externalPatientId": (("/reports/*/snapshotMetadata/mrn", None),),
    "/isCancelled": (("/reports/*/status", "in_progress"),),
    "/reports/*/signedAt": (("/reports/*/snapshotMetadata/studyDate", None), ("/reports/*/updatedAt", None)),
    "/reports/*/createdAt": (("/reports/*/updatedAt", None), ("/reports/*/signedAt", None)),
}
_QUALIFYING: Final = frozenset({"/expressCustomer/expressCustomerId"})  # whose number /externalPatientId is


@dataclass(frozen=True, slots=True)
class Leaf:
    """One scalar of the document: its JSON pointer, the pointer with `*` for array indices, and its value."""

    pointer: str
    pattern: str
    value: Value

    @property
    def key(self) -> str:
        """Last key of the pointer that is not an array index."""
        return next(part for part in reversed(self.pattern.split("/")) if part != "*")

    @property
    def is_id(self) -> bool:
        """True for an id, which stands in several places."""
        return self.key in _IDS

    @property
    def is_alone(self) -> bool:
        """True if its probes change no other leaf, none outranks it, and it does not describe another leaf."""
        return not self.is_id and self.pattern not in _OUTRANKED and self.pattern not in _QUALIFYING


Trial = tuple[Leaf, tuple[Any, ...]]
"""A leaf, and the values of its probes."""


def leaves(node: Any, pointer: str = "", pattern: str = "") -> Iterator[Leaf]:
    """Yield every scalar of a document in order (RFC 6901 pointers)."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            step = "/" + str(key).replace("~", "~0").replace("/", "~1")
            yield from leaves(value, pointer + step, pattern + ("/*" if pattern == "/metadata" else step))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from leaves(value, f"{pointer}/{index}", f"{pattern}/*")
    else:
        yield Leaf(pointer, pattern, node)


def probes(document: Json, leaf: Leaf) -> Iterator[Json]:
    """Yield the document with other values in place of the leaf, and without it; an id is only `renamed`.

    The id of a user, which joins reports and users, is changed in this place alone too.
    """
    if leaf.is_id:
        if leaf.pattern in ("/reports/*/userId", "/users/*/userId"):
            yield _changed(document, leaf.pointer, _other_id(str(leaf.value)))
        return
    for value in _tried_values(leaf):
        yield _changed(document, leaf.pointer, value)


def valid_values(document: Json, leaf: Leaf, is_valid: Callable[[Json], bool]) -> Iterator[Any]:
    """Yield the values of a leaf's probes with which the document is valid; one of the same kind always is."""
    for value in _tried_values(leaf):
        is_same_kind = leaf.value is not None and value is not _ABSENT
        if is_same_kind or is_valid(_changed(document, leaf.pointer, value)):
            yield value


def joint_probes(document: Json, trials: Sequence[Trial]) -> Iterator[Json]:
    """Yield the document with all these independent leaves changed at once; each value is used in one of them.

    The last leaves are changed first: so no removal moves a place that is still to be changed.
    """
    leaves_of, values_of = zip(*reversed(trials), strict=True) if trials else ((), ())
    for values in zip_longest(*values_of, fillvalue=_UNCHANGED):
        changed = document
        for leaf, value in zip(leaves_of, values, strict=True):
            changed = changed if value is _UNCHANGED else _changed(changed, leaf.pointer, value)
        yield changed


def contexts(document: Json, leaf: Leaf) -> Iterator[tuple[str, Json]]:
    """Yield documents in which an outranked leaf takes effect, each with the pattern of the outranking leaves.

    Leaves that outrank a leaf of a report are in the same report.
    """
    report = re.match(r"/reports/[0-9]+", leaf.pointer)
    scope = f"{report[0]}/" if report else "/"
    outranking = _OUTRANKED.get(leaf.pattern, ())
    known = tuple(leaves(document)) if outranking else ()
    for pattern, value in outranking:
        changed = document
        for other in known:
            if other.pattern == pattern and other.pointer.startswith(scope):
                changed = _changed(changed, other.pointer, _ABSENT if value is None else value)
        yield pattern, changed


def _tried_values(leaf: Leaf) -> Iterator[Any]:
    """Yield the values of a leaf's probes: other ones of its kind, and absence."""
    yield from _other_values(leaf)
    yield _ABSENT


def _other_values(leaf: Leaf) -> Iterator[Value]:
    """Yield other values of a leaf's kind: one for all that travel the same way through the mappings.

    The letters of a patient's name are changed one by one: other given and family names at once are another person.
    """
    value, key = leaf.value, leaf.key
    if key in _CODES:
        yield from (other for other in _CODES[key] if other != value)
    elif isinstance(value, bool) or value is None:
        yield not value
    elif isinstance(value, int | float):
        yield value + 1
    elif key == "reportPlainText":
        yield "".join([section.heading + _with_other_letters(section.body) for section in cut(value)])
    elif (moment := parse_instant(value)) is not None:
        yield fhir_instant(moment + _SOME_SECONDS)
    elif key in ("studyDate", "dateOfBirth") and parse_date(value):
        yield from (other for other in (_STUDY_DATES if key == "studyDate" else _DATES) if other != value)
    elif key == "patientName":
        yield from (_with_other_letter(value, place) for place in _letters(value))
    elif _letters(value):
        yield _with_other_letters(value)


def _letters(text: str) -> tuple[int, ...]:
    """Positions of the last and the first letter or digit, if there are any."""
    places = [place for place, letter in enumerate(text) if letter.isascii() and letter.isalnum()]
    return tuple(dict.fromkeys((places[-1], places[0]))) if places else ()


def _with_other_letters(text: str) -> str:
    """Change the first and the last letter or digit of a text."""
    return reduce(_with_other_letter, _letters(text), text)


def _with_other_letter(text: str, place: int) -> str:
    letter = text[place]
    other = str((int(letter) + 1) % 10) if letter.isdigit() else chr(ord(letter) ^ 1)
    if not other.isalnum():
        other = "q" if letter.islower() else "Q"
    return text[:place] + other + text[place + 1 :]


def _other_id(name: str) -> str:
    return name[:-1] + ("0" if name[-1] != "0" else "1")


def renamed(document: Json, name: str) -> Json:
    """Replace an id by another name everywhere in the document."""
    other = _other_id(name)

    def rename(node: Any) -> Any:
        if isinstance(node, Mapping):
            return {key: rename(value) for key, value in node.items()}
        if isinstance(node, list | tuple):
            return [rename(value) for value in node]
        return other if node == name else node

    changed: Json = rename(document)
    return changed


def _changed(document: Json, pointer: str, value: Any) -> Json:
    """Return the document with a value at a pointer, or without that place if the value is `_ABSENT`."""
    changed, node, key = _opened(document, pointer)
    if value is _ABSENT:
        del node[key]
    else:
        node[key] = value
    return changed


def _opened(document: Json, pointer: str) -> tuple[Json, Any, Any]:
    """Copy a document as far as the target of a pointer; return it, the copied object or array there, and the key."""
    *steps, last = (step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])
    changed = copy(document)
    node: Any = changed
    for step in steps:
        place = int(step) if isinstance(node, list) else step
        node[place] = copy(node[place])
        node = node[place]
    return changed, node, int(last) if isinstance(node, list) else last
