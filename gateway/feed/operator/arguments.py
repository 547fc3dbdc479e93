"""Check the arguments of the feed commands: destination names, ids, spans between instants (read by typed_instant.py).

Carries out no clause of a standard; instants are read by `gateway.feed.operator.typed_instant`.
Proved by tests/gateway/cli/test_feed.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final

from gateway.feed.operator.typed_instant import typed_instant
from gateway.routing import Destination, routes_of
from gateway.runtime.errors import ConfigError
from gateway.settings import Configuration
from gateway.store.database.engine import instant_text, micros
from mappings.patient.identifiers import upstream_id

Say = Callable[[str], object]
# Gets the addresses of the resources, and the ids of the patients, that a command is about to show
Shows = Callable[[Collection[str], Collection[str]], None]
_SOURCE: Final = "command line"
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = datetime(9999, 12, 31, tzinfo=UTC)


def unnoted(_: Collection[str], __: Collection[str]) -> None:
    """Note nothing of what a command shows."""


def wrong(argument: str, problem: str, remedy: str) -> ConfigError:
    """Return the error about an argument of a command."""
    return ConfigError(_SOURCE, argument, problem, remedy)


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """Span of time from one instant, inclusive, to another, exclusive; both in microseconds."""

    since: int
    until: int

    def __str__(self) -> str:
        first = "the beginning" if self.since == micros(_BEGINNING) else instant_text(self.since)
        return f"{first} to {'now' if self.until == micros(_END) else instant_text(self.until)}"


EVER: Final = TimeSpan(micros(_BEGINNING), micros(_END))


def destination_named(configuration: Configuration, name: str, *, enabled: bool = True) -> Destination:
    """Return the destination of that name.

    Raises:
        ConfigError: there is none, `enabled` is required and it is not, or the settings are wrong.
    """
    known = {one.name: one for one in routes_of(configuration).destinations}
    if name not in known:
        names = ", ".join(known) or "none: write a [[destination]] table"
        raise wrong(name, "no destination has this name", f"Destinations are {names}.")
    if enabled and not known[name].is_enabled:
        key = f"{known[name].place}.enabled"
        raise ConfigError(configuration.source, key, "false: nothing is queued for it", "Write true, and try again.")
    return known[name]


def counted(number: int, thing: str) -> str:
    """Return a count with its noun, such as `2 studies`."""
    if number == 1:
        return f"1 {thing}"
    return f"{number} {thing[:-1]}ies" if thing.endswith("y") else f"{number} {thing}s"


def id_of(text: str) -> str:
    """Return an AutoScribe id; accepts an id in its FHIR form too (`stu-…`)."""
    return upstream_id(text) or text


def span_of(since: str | None, until: str | None, zone: tzinfo) -> TimeSpan:
    """Return the span between two typed instants; without a bound where one is None.

    Raises:
        ConfigError: one is not an instant, or does not exist in the zone, or the second is not after the first.
    """
    first = typed_instant("--from", since, zone) if since is not None else _BEGINNING
    last = typed_instant("--to", until, zone) if until is not None else _END
    if first >= last:
        raise wrong("--to", "not after --from", "Write the earlier instant first.")
    return TimeSpan(micros(first), micros(last))


def numbers_of(patient: str, beside: str) -> tuple[str, ...]:
    """Read patient numbers from standard input, one a line, if `patient` is `-`.

    Raises:
        ConfigError: the option holds a number itself, nothing is chosen, or more than one thing is.
    """
    if bool(patient) is bool(beside):
        problem = "more than one thing is chosen" if patient else "nothing is chosen"
        raise wrong("--patient", problem, "Write an MSH-10, a report, an accession number, or --patient -.")
    if not patient:
        return ()
    if patient != "-":
        remedy = "Write `--patient -`, and the numbers to standard input, a line each."
        raise wrong("--patient", "a number here is kept by the shell and seen by all users of the machine", remedy)
    if sys.stdin.isatty():
        sys.stderr.write("numbers of patients, a line each; Ctrl-D ends them\n")
    numbers = tuple(line.strip() for line in sys.stdin if line.strip())
    if not numbers:
        raise wrong("--patient", "no number came", "Write the numbers to standard input, a line each.")
    return numbers
