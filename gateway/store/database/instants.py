"""Convert instants to and from the stored form: whole microseconds since 1970, in UTC.

https://hl7.org/fhir/R4/datatypes.html#instant
Proved by tests/contract/test_engines.py.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(microseconds=1)


def micros(instant: datetime) -> int:
    """Return an instant as microseconds, cutting off finer digits."""
    return (instant - _EPOCH) // _TICK


def instant(microseconds: int) -> datetime:
    """Return the instant of a number of microseconds."""
    return _EPOCH + timedelta(microseconds=microseconds)


def instant_text(microseconds: int) -> str:
    """Return microseconds as a FHIR instant, always with six digits, so that texts sort as the instants do."""
    second, fraction = divmod(microseconds, 1_000_000)
    return f"{_second_text(second)}.{fraction:06d}Z"


@lru_cache(maxsize=1024)
def _second_text(second: int) -> str:
    """Return a second since 1970; what is served together was often stored in the same one."""
    return instant(second * 1_000_000).isoformat(timespec="seconds").removesuffix("+00:00")
