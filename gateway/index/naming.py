"""Find the AutoScribe studies and reports that a search names, so that the caller can fetch missing ones.

Decision D3: a resource id begins with the id of its report or study, with `-` in place of `_`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from gateway.index.criteria import At, Clause, Criterion, Is, Refers, Starts
from gateway.index.keys import MOST, SEPARATOR, key
from mappings.codes import DICOM_UID, SID_STUDY, SID_STUDY_UID_ODD

_OWNED: Final = re.compile(r"[A-Za-z]+/(rep|stu)-([0-9a-f]{32})(?:-[a-z0-9]+)?")
_OWNER: Final[dict[str, Literal["report", "study"]]] = {"rep": "report", "stu": "study"}
_STUDY_IDENTIFIER: Final = key("ImagingStudy", "identifier")
_URN_OID: Final = "urn:oid:"


class Name(NamedTuple):
    """AutoScribe id of a report or study, or DICOM UID of a study, as a search names it."""

    by: Literal["report", "study", "uid"]
    value: str


def named(clauses: Iterable[Clause]) -> frozenset[Name]:
    """Collect the reports and studies that the clauses name; negated criteria (`:not`, `:missing`) name none."""
    return frozenset().union(*map(_names_in, clauses))


@lru_cache(maxsize=4096)
def _names_in(clause: Clause) -> frozenset[Name]:
    return frozenset(name for criterion in clause for name in _names(criterion))


def _names(criterion: Criterion) -> Iterator[Name]:
    if isinstance(criterion, Refers):
        yield from _names(criterion.criterion)
    elif isinstance(criterion, At):
        yield from _owner(criterion.address)
    elif isinstance(criterion, Is | Starts) and criterion.key == _STUDY_IDENTIFIER:
        value, system = criterion.value.split(SEPARATOR)
        yield from _study(value, system if isinstance(criterion, Is) else None)
    elif isinstance(criterion, Is):
        yield from _owner(criterion.value)


def _owner(address: str) -> Iterator[Name]:
    if match := _OWNED.fullmatch(address):
        yield Name(_OWNER[match[1]], f"{match[1]}_{match[2]}")


def _study(value: str, system: str | None) -> Iterator[Name]:
    """Yield the study that an identifier names; without a system, the value may be a UID, even a malformed one."""
    if system == SID_STUDY:
        yield Name("study", value)
    elif system in {DICOM_UID, SID_STUDY_UID_ODD, None} and len(value) <= MOST:
        yield Name("uid", value.removeprefix(_URN_OID))
