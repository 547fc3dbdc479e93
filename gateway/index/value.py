"""One value of a search parameter, and what its meaning depends on beside itself.

https://hl7.org/fhir/R4/search.html#ptypes
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import NamedTuple

from gateway.index.parameter import Parameter


@dataclass(frozen=True, slots=True)
class Circumstances:
    """`zone` is that of a date without an offset, `now` what `ap` is measured from, `base` the facade's own address."""

    zone: tzinfo
    now: datetime
    base: str


class Value(NamedTuple):
    """One alternative of what is asked of a parameter, still escaped; `modifier` is empty where there is none."""

    parameter: Parameter
    modifier: str
    text: str
    circumstances: Circumstances
