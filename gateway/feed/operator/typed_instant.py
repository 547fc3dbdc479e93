"""Parse an instant typed by an operator: a day or a local time in the site's zone, or a time with an offset.

https://www.rfc-editor.org/rfc/rfc3339#section-5.6 (with an offset), https://peps.python.org/pep-0495/ (local times that
a clock change skips or repeats). Decision D39. An ambiguous time is an error, never a guess.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, tzinfo
from typing import Final

from gateway.runtime.errors import ConfigError
from mappings.values.dates import parse_instant

_FORM: Final = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})"
    r"([T ](?P<minute>\d{2}:\d{2})(?P<second>:\d{2}(\.\d{1,6})?)?\s?(?P<offset>Z|[+-]\d{2}:?\d{2})?)?",
    re.ASCII | re.IGNORECASE,
)
_SUCH_AS: Final = "Write a day or a time, such as 2026-03-01, 2026-03-01 14:30 or 2026-03-01T14:30:00-05:00."


def typed_instant(option: str, text: str, zone: tzinfo) -> datetime:
    """Return the instant that an option's text means; without an offset it is local in that zone; a day is its start.

    The instant as understood is printed on stderr.

    Raises:
        ConfigError: it is not an instant, or a clock change in the zone skips or repeats it.
    """
    match = _FORM.fullmatch(text.strip())
    moment = None
    if match is not None:
        moment = _with_offset(match) if match["offset"] else _local(option, match, zone)
    if moment is None:
        raise ConfigError("command line", option, "neither a day nor a time that a calendar has", _SUCH_AS)
    sys.stderr.write(f"{option} is {moment.astimezone(zone).isoformat()} ({zone})\n")
    return moment


def _with_offset(match: re.Match[str]) -> datetime | None:
    return parse_instant(f"{match['day']}T{match['minute']}{match['second'] or ':00'}{match['offset']}")


def _local(option: str, match: re.Match[str], zone: tzinfo) -> datetime | None:
    """Return the only instant of a local time in the zone; None if the date or time is invalid.

    Raises:
        ConfigError: a clock change skips or repeats that time.
    """
    text = f"{match['day']}T{match['minute'] or '00:00'}{match['second'] or ':00'}"
    try:
        local = datetime.fromisoformat(text)
        first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    except (ValueError, OverflowError):
        return None
    if first == second:
        return first
    readings = [one.astimezone(zone) for one in sorted((first, second))]
    is_repeated = all(one.replace(tzinfo=None) == local for one in readings)
    problem = f"the clocks of {zone} {'show' if is_repeated else 'skip'} {text.replace('T', ' ')}"
    problem += " twice on that day" if is_repeated else ": that local time does not exist"
    raise ConfigError("command line", option, problem, f"Write {' or '.join(one.isoformat() for one in readings)}.")
