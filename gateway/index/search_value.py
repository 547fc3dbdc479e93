"""Types for search parsing: a parameter's value, and the time zone, current time and base URL to read the value by.

https://hl7.org/fhir/R4/search.html#ptypes
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import NamedTuple

from gateway.index.parameter import Parameter


class Circumstances(NamedTuple):
    """Context for reading search values: `zone` of dates without an offset, `now` for `ap`, `base` of the facade.

    `has_words`: the words of reports are kept, so that `_content` is offered.
    """

    zone: tzinfo
    now: datetime
    base: str
    has_words: bool = False


class Value(NamedTuple):
    """One alternative of a search value, still escaped; `modifier` is empty if there is none."""

    parameter: Parameter
    modifier: str
    text: str
    circumstances: Circumstances
