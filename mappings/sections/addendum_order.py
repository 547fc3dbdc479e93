"""Order the addenda that stand in one text, the newest first, by their labels: ADDENDUM 2 (06-Jan-2026 14:02).

Carries out no clause of a standard: radiologists number and date addenda as they like. Decision D36. Numbers decide,
else dates and times, else the author's order below the report: what stands later is newer. Above the report, addenda
without number and date may stand in either order. The order is not known either where numbers and dates disagree, or
where a date reads differently with day and month exchanged: nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from mappings.sections.correcting_words import plainly

_NAMED_DATE: Final = re.compile(
    r"(?P<day>\d{1,2})(?:st|nd|rd|th|[.\u00ba])?[\s-](?:de\s)?(?P<month>[^\W\d_]{3,10})\.?[,\s-]{1,2}(?:de\s|del\s)?"
    r"(?P<year>\d{4})|(?P<first>[^\W\d_]{3,10})\.?\s(?P<second>\d{1,2})(?:st|nd|rd|th)?,?\s(?P<third>\d{4})",
    re.IGNORECASE,
)
_ISO_DATE: Final = re.compile(r"(\d{4})[-/.]?(\d{2})[-/.]?(\d{2})(?!\d)")
_DATE: Final = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d{2})(?!\d)")
_TIME: Final = re.compile(r"(\d{1,2})[:.h](\d{2})(?:[:.]\d{2})?\s?([ap])?", re.IGNORECASE)
_NUMBER: Final = re.compile(r"\b\d{1,2}(?!\d)")
_MONTHS: Final = (
    *("jan ene gen", "feb fev", "mar mrt maa", "apr abr avr", "may mai mag mei", "jun juin giu", "jul juil lug"),
    *("aug ago aou", "sep set", "oct okt ott out", "nov", "dec dez dic"),
)
_ORDINALS: Final = (
    "i one first erste primer premi prime primo eerste",
    "ii two second zweite segund deuxi tweede",
    "iii three third dritte tercer troisi terz derde",
    "iv four fourth vierte cuart quatri quart vierde",
)
_SHORT: Final = 3  # letters; a shorter word must be whole: II
_Key = tuple[int, ...]


def newest_first(labels: Sequence[str], *, is_below: bool) -> list[int] | None:
    """Places of the labels, the newest first; None if the order is not known. `is_below`: they follow the report."""
    read = [_read(label) for label in labels]
    by_number, by_day, by_month = ([keys[kind] for keys in read] for kind in range(3))
    if by_day != by_month and _order(by_day) != _order(by_month):
        by_day = [None] * len(labels)
    orders = [order for order in (_order(by_number), _order(by_day)) if order]
    if orders:
        return orders[0] if all(order == orders[0] for order in orders) else None
    is_as_written = is_below and all(map(_never_falls, (by_number, by_day, by_month)))
    return [*range(len(labels))][::-1] if is_as_written else None


def _order(keys: Sequence[_Key | None]) -> list[int] | None:
    """Places by their keys, the greatest first; None unless all have different ones."""
    known = [(key, place) for place, key in enumerate(keys) if key]
    if len({key for key, _ in known}) < len(keys):
        return None
    return [place for _, place in sorted(known, reverse=True)]


def _never_falls(keys: Sequence[_Key | None]) -> bool:
    return all(one <= other for one, other in pairwise(key for key in keys if key))


def _read(label: str) -> tuple[_Key | None, _Key | None, _Key | None]:
    """Read the number of a label, and its date and time: with the day first, and with the month first."""
    rest = label
    days = months = None
    if (named := _NAMED_DATE.search(label)) and (month := _listed(named["month"] or named["first"], _MONTHS)):
        days = months = (int(named["year"] or named["third"]), month, int(named["day"] or named["second"]))
        rest = label.replace(named[0], " ", 1)
    elif iso := _ISO_DATE.search(label):
        days = months = (int(iso[1]), int(iso[2]), int(iso[3]))
        rest = label.replace(iso[0], " ", 1)
    elif date := _DATE.search(label):
        one, other, year = int(date[1]), int(date[2]), int(date[3]) % 100
        days, months = (year, other, one), (year, one, other)
        if max(one, other) > len(_MONTHS):
            days = months = (year, min(one, other), max(one, other))
        rest = label.replace(date[0], " ", 1)
    if time := _TIME.search(rest):
        hour = int(time[1]) % 12 + 12 * (time[3] in "pP") if time[3] else int(time[1])
        days, months = (*(days or ()), hour, int(time[2])), (*(months or ()), hour, int(time[2]))
        rest = rest.replace(time[0], " ", 1)
    number = _NUMBER.search(rest)
    found = int(number[0]) if number else next(filter(None, (_listed(word, _ORDINALS) for word in rest.split())), 0)
    return ((found,) if found else None), days, months


def _listed(word: str, rows: Sequence[str]) -> int:
    """Number of the row that has a beginning of the word, from 1; 0 for none."""
    plain = plainly(word).strip("()[]:.,#*-")
    for number, row in enumerate(rows, start=1):
        if any(plain == one or (len(one) >= _SHORT and plain.startswith(one)) for one in row.split()):
            return number
    return 0
