"""Instants as the store has them: whole microseconds since 1970, in UTC.

https://hl7.org/fhir/R4/datatypes.html#instant
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(microseconds=1)


def micros(instant: datetime) -> int:
    """An instant as microseconds; what is finer is cut off."""
    return (instant - _EPOCH) // _TICK


def instant(microseconds: int) -> datetime:
    """Microseconds as an instant."""
    return _EPOCH + timedelta(microseconds=microseconds)


def instant_text(microseconds: int) -> str:
    """Microseconds as a FHIR instant, always with six digits, so that texts compare as the instants do."""
    return instant(microseconds).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
