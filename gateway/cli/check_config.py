"""`autoscribe-gateway check-config`: print the faults of the settings, or what differs from the defaults, with notes.

Carries out no clause of a standard; gateway/checks finds the faults. With `--online`, gateway/checks/online.py asks,
gateway/checks/doctor advises, and settings to paste are printed.
Proved by tests/gateway/cli/test_main.py and tests/gateway/cli/test_operator.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.checks.config import effective, faults, warnings
from gateway.checks.database import database_findings
from gateway.checks.doctor.advice import Advice, advice
from gateway.checks.doctor.seen import Seen
from gateway.checks.online import count_seen, findings
from gateway.cli.command_line import load
from gateway.feed.operator.arguments import CommandAnswer, Say, say_answer
from gateway.feed.operator.plan_and_apply import foreseen_plans
from gateway.routing import routes_of
from gateway.runtime.errors import ConfigError
from gateway.runtime.log import configure
from gateway.settings import Configuration


@dataclass(frozen=True, slots=True)
class CheckedSettings(CommandAnswer):
    """Settings in force, and notes about them."""

    settings: tuple[str, ...]
    notes: tuple[str, ...]

    def lines(self) -> tuple[str, ...]:
        """Return the settings in force."""
        return self.settings


@dataclass(frozen=True, slots=True)
class CheckedDatabase(CommandAnswer):
    """Plans that the settings would make, and faults and notes of the database about them."""

    plans: tuple[str, ...]
    findings: tuple[ConfigError | str, ...]

    @property
    def exit_code(self) -> int:
        """1 if there is a fault."""
        return int(any(isinstance(one, ConfigError) for one in self.findings))

    def lines(self) -> Iterator[str]:
        """Yield the plans, the faults and the notes."""
        yield from (f"note: plan {one}" for one in self.plans)
        yield from (str(one) if isinstance(one, ConfigError) else f"note: {one}" for one in self.findings)


async def check_config(configuration: Configuration) -> CheckedSettings:
    """Return the settings in force, which have no fault, with notes."""
    return CheckedSettings(tuple(effective(configuration)), tuple(warnings(configuration)))


async def check_database(configuration: Configuration) -> CheckedDatabase:
    """Return what the database says against the settings."""
    plans = tuple([one.line for one in await foreseen_plans(configuration)])
    return CheckedDatabase(plans, tuple([one async for one in database_findings(configuration)]))


async def say_check(path: Path | None, say: Say, say_aside: Say, *, is_online: bool) -> int:
    """Print the settings in force, and faults and notes aside; return 1 if there are faults.

    With `is_online`, connect to everything that the settings name.
    """
    if found := faults(path):
        for fault in found:
            say_aside(str(fault))
        return 1
    configuration = load(path)
    checked = await check_config(configuration)
    say_answer(checked, say)
    for note in checked.notes:
        say_aside(f"note: {note}")
    code = say_answer(await check_database(configuration), say_aside)
    if is_online:
        code = max(code, say_answer(await check_online(configuration), say_aside))
    return code


@dataclass(frozen=True, slots=True)
class SeenData(CommandAnswer):
    """Values in `studies` of AutoScribe that the settings do not name, with settings to paste."""

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
    """Answer of `check-config --online`: the faults found; `destinations` are those it connected to."""

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
    """Connect to everything that the settings name, and return the faults."""
    configure(configuration.settings.log.level, configuration.settings.log.format)
    faults = tuple([one async for one in findings(configuration)])
    names = tuple(one.name for one in routes_of(configuration).destinations if one.is_enabled)
    return CheckedOnline(faults, names, unknown_data(await count_seen(configuration), configuration))


def unknown_data(seen: Seen, configuration: Configuration) -> SeenData:
    """Return the values in the studies seen that the settings do not name."""
    return SeenData(len(seen.studies), advice(seen, configuration))
