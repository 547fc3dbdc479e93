"""An instant as it is typed: a day or a local time in the site's zone, or with an offset of its own.

https://www.rfc-editor.org/rfc/rfc3339#section-5.6 (with an offset), https://peps.python.org/pep-0495/ (local times that
a clock change skips or repeats). Decision D39. Which of two readings is meant is never guessed.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, tzinfo
from typing import Final

from gateway.runtime.errors import ConfigError
from mappings.dates import parse_instant

_FORM: Final = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})"
    r"([T ](?P<minute>\d{2}:\d{2})(?P<second>:\d{2}(\.\d{1,6})?)?\s?(?P<offset>Z|[+-]\d{2}:?\d{2})?)?",
    re.ASCII | re.IGNORECASE,
)
_SUCH_AS: Final = "Write a day or a time, such as 2026-03-01, 2026-03-01 14:30 or 2026-03-01T14:30:00-05:00."


def typed_instant(option: str, text: str, zone: tzinfo) -> datetime:
    """The instant that the text of an option means; without an offset it is a time of that zone, a day its start.

    How it was understood is said on stderr.

    Raises:
        ConfigError: it is none, or a clock change in the zone skips or repeats it.
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
    """The one moment that the zone has of a local time; None where no calendar has it.

    Raises:
        ConfigError: there is none, or there are two.
    """
    said = f"{match['day']}T{match['minute'] or '00:00'}{match['second'] or ':00'}"
    try:
        local = datetime.fromisoformat(said)
        first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    except (ValueError, OverflowError):
        return None
    if first == second:
        return first
    readings = [one.astimezone(zone) for one in sorted((first, second))]
    is_repeated = all(one.replace(tzinfo=None) == local for one in readings)
    problem = f"the clocks of {zone} {'show' if is_repeated else 'skip'} {said.replace('T', ' ')}"
    problem += " twice on that day" if is_repeated else ": that local time does not exist"
    raise ConfigError("command line", option, problem, f"Write {' or '.join(one.isoformat() for one in readings)}.")
