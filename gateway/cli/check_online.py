"""`autoscribe-gateway check-config --online`: print what the online check finds, and settings to paste.

Carries out no clause of a standard; gateway/checks/online.py asks, and gateway/checks/doctor advises.
Proved by tests/gateway/cli/test_operator.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.checks.doctor.advice import Advice, advice
from gateway.checks.doctor.seen import Seen
from gateway.checks.online import count_seen, findings
from gateway.feed.operator.arguments import CommandAnswer
from gateway.routing import routes_of
from gateway.runtime.errors import ConfigError
from gateway.runtime.log import configure
from gateway.settings import Configuration


@dataclass(frozen=True, slots=True)
class SeenData(CommandAnswer):
    """Data in AutoScribe that the settings do not cover, found in so many `studies`, with settings to paste."""

    studies: int
    advice: Advice

    def lines(self) -> Iterator[str]:
        """Yield the notes, and the settings to paste."""
        if self.advice.notes:
            yield f"In {self.studies} studies AutoScribe has what the settings do not know:"
        yield from (f"note: {note}" for note in self.advice.notes)
        if self.advice.paste:
            yield f"\nTo paste, with what only the site knows filled in:\n\n{self.advice.paste}"


@dataclass(frozen=True, slots=True)
class CheckedOnline(CommandAnswer):
    """Faults that `check-config --online` finds; `destinations` are those that were asked."""

    faults: tuple[ConfigError, ...]
    destinations: tuple[str, ...]
    seen: SeenData

    @property
    def exit_code(self) -> int:
        """1 if there is a fault."""
        return int(bool(self.faults))

    def lines(self) -> Iterator[str]:
        """Yield the faults, or that there are none; then what was seen."""
        yield from map(str, self.faults)
        if not self.faults:
            names = self.destinations
            others = f"the database and {', '.join(names)} answer" if names else "and the database answer"
            yield f"online: AutoScribe, its PDF store{',' if names else ''} {others} as they should"
        yield from self.seen.lines()


async def check_online(configuration: Configuration) -> CheckedOnline:
    """Ask everything that the settings name, and return the faults."""
    configure(configuration.settings.log.level, configuration.settings.log.format)
    faults = tuple([one async for one in findings(configuration)])
    names = tuple(one.name for one in routes_of(configuration).destinations if one.is_enabled)
    return CheckedOnline(faults, names, unknown_data(await count_seen(configuration), configuration))


def unknown_data(seen: Seen, configuration: Configuration) -> SeenData:
    """Return what the settings do not cover of the studies seen."""
    return SeenData(len(seen.studies), advice(seen, configuration))
