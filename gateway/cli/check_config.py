"""`autoscribe-gateway check-config`: print the faults of the settings, or the settings in force and notes about them.

Carries out no clause of a standard; gateway/checks finds the faults.
Proved by tests/gateway/cli/test_main.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.checks.config import effective, faults, warnings
from gateway.checks.database import of_database
from gateway.cli.command_line import load
from gateway.feed.operator.arguments import CommandAnswer, Say, say_answer
from gateway.feed.operator.planned import foreseen_plans
from gateway.runtime.errors import ConfigError


@dataclass(frozen=True, slots=True)
class CheckedSettings(CommandAnswer):
    """Faults of the settings; or, without any, the settings in force, and what the database says against them."""

    faults: tuple[ConfigError, ...] = ()
    settings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    of_database: tuple[ConfigError | str, ...] = ()

    @property
    def exit_code(self) -> int:
        """1 if there is a fault."""
        return int(bool(self.faults) or any(isinstance(one, ConfigError) for one in self.of_database))

    def lines(self) -> tuple[str, ...]:
        """Return the settings in force."""
        return self.settings

    def lines_aside(self) -> Iterator[str]:
        """Yield the faults and notes."""
        yield from map(str, self.faults)
        yield from (f"note: {one}" for one in self.notes)
        yield from (str(one) if isinstance(one, ConfigError) else f"note: {one}" for one in self.of_database)


async def check_config(path: Path | None) -> CheckedSettings:
    """Return all faults, or the settings in force with notes."""
    if found := faults(path):
        return CheckedSettings(tuple(found))
    configuration = load(path)
    plans = [f"plan {one.line}" for one in await foreseen_plans(configuration)]
    return CheckedSettings(
        settings=tuple(effective(configuration)),
        notes=(*warnings(configuration), *plans),
        of_database=tuple([one async for one in of_database(configuration)]),
    )


async def say_check(path: Path | None, say: Say, say_aside: Say, *, is_online: bool) -> int:
    """Print the settings in force, and faults and notes aside; return 1 if there are faults.

    With `is_online`, connect to everything that the settings name.
    """
    checked = await check_config(path)
    code = say_answer(checked, say)
    for line in checked.lines_aside():
        say_aside(line)
    if is_online and not checked.faults:
        from gateway.cli.check_online import check_online

        code = max(code, say_answer(await check_online(load(path)), say_aside))
    return code
