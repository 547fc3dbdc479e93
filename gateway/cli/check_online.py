"""`autoscribe-gateway check-config --online`: print what the online check finds, and settings to paste.

Carries out no clause of a standard; gateway/checks/online.py asks, and gateway/checks/doctor advises.
Proved by tests/gateway/cli/test_operator.py.
"""

from __future__ import annotations

from gateway.checks.doctor.advice import advice
from gateway.checks.doctor.seen import Seen
from gateway.checks.online import count_seen, findings
from gateway.cli.command_line import Say
from gateway.routing import routes_of
from gateway.runtime.log import configure
from gateway.settings import Configuration


async def check_online(configuration: Configuration, say: Say) -> int:
    """Print the faults that `check-config --online` finds; return 1 if there are any."""
    configure(configuration.settings.log.level, configuration.settings.log.format)
    faults = [one async for one in findings(configuration)]
    for fault in faults:
        say(str(fault))
    if not faults:
        names = [one.name for one in routes_of(configuration).destinations if one.is_enabled]
        others = f"the database and {', '.join(names)} answer" if names else "and the database answer"
        say(f"online: AutoScribe, its PDF store{',' if names else ''} {others} as they should")
    advise(await count_seen(configuration), configuration, say)
    return 1 if faults else 0


def advise(seen: Seen, configuration: Configuration, say: Say) -> None:
    """Print notes on data in AutoScribe that the settings do not cover, and settings to paste."""
    given = advice(seen, configuration)
    if given.notes:
        say(f"In {len(seen.studies)} studies AutoScribe has what the settings do not know:")
    for note in given.notes:
        say(f"note: {note}")
    if given.paste:
        say(f"\nTo paste, with what only the site knows filled in:\n\n{given.paste}")
