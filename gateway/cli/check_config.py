"""`autoscribe-gateway check-config`: print the faults of the settings, or the settings in force and notes about them.

Carries out no clause of a standard; gateway/checks finds the faults.
Proved by tests/gateway/cli/test_main.py.
"""

from __future__ import annotations

from pathlib import Path

from gateway.checks.config import effective, faults, warnings
from gateway.checks.database import of_database
from gateway.cli.command_line import Say, load
from gateway.feed.operator.planned import note_plans
from gateway.runtime.errors import ConfigError
from gateway.settings import Configuration


async def check_config(path: Path | None, say: Say, say_aside: Say, *, is_online: bool) -> int:
    """Say all faults aside, or say the settings in force, and notes aside; return 1 if there are faults.

    With `is_online`, connect to everything that the settings name.
    """
    found = faults(path)
    for fault in found:
        say_aside(str(fault))
    if found:
        return 1
    configuration = load(path)
    for line in effective(configuration):
        say(line)
    for warning in warnings(configuration):
        say_aside(f"note: {warning}")
    await note_plans(configuration, say_aside)
    code = await _check_database(configuration, say_aside)
    if is_online:
        from gateway.cli.check_online import check_online

        code = max(code, await check_online(configuration, say_aside))
    return code


async def _check_database(configuration: Configuration, say_aside: Say) -> int:
    """Say the findings about destinations in the database; return 1 if one is a fault."""
    results = [one async for one in of_database(configuration)]
    for one in results:
        say_aside(str(one) if isinstance(one, ConfigError) else f"note: {one}")
    return int(any(isinstance(one, ConfigError) for one in results))
