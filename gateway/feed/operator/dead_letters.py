"""`feed dead-letters`: list messages given up for good, with the reason and the broken rule of the receiver's profile.

Carries out no clause of a standard; decisions D9, D32, D34.
Proved by tests/gateway/cli/test_feed.py.
"""

from __future__ import annotations

import json
from typing import Any, Final

from gateway.feed.operator.arguments import Say, counted, destination_named
from gateway.ingest.assembly import store_for_command
from gateway.routing import Destination, routes_of
from gateway.settings import Configuration
from gateway.store.database.engine import instant_text
from gateway.store.feed.destinations import known_as
from gateway.store.feed.ledger import DeadLetter
from gateway.store.feed.ledger import dead_letters as given_up

_RULE: Final = "rule-"


async def dead_letters(configuration: Configuration, name: str | None, say: Say, *, as_json: bool = False) -> int:
    """List the dead letters of one destination or all, oldest first; always return 0.

    Raises:
        ConfigError: no such destination.
    """
    routes = routes_of(configuration).destinations
    asked = routes if name is None else (destination_named(configuration, name, enabled=False),)
    async with store_for_command(configuration, writes=False) as engine:
        letters = [
            _entry(destination, row)
            for destination in asked
            for row in await given_up(engine, await known_as(engine, destination.name, destination.formerly))
        ]
    if as_json:
        say(json.dumps(letters, indent=2))
        return 0
    for letter in letters:
        critical = "  CRITICAL" if letter["isCritical"] else ""
        rule = f"  ({letter['rule']}; {letter['source']})" if letter["rule"] else ""
        ids = f"{letter['destination']}  {letter['reportId']}  {letter['studyId']}"
        say(f"{ids}  {letter['reason']}{rule}  since {letter['since']}{critical}")
    say(counted(len(letters), "dead letter"))
    return 0


def _entry(destination: Destination, letter: DeadLetter) -> dict[str, Any]:
    rules = {one.name: one for one in destination.receiver.rules}
    rule = rules.get(letter.reason.removeprefix(_RULE)) if letter.reason.startswith(_RULE) else None
    return {
        "destination": destination.name,
        "reportId": letter.report_id,
        "studyId": letter.study_id,
        "cause": letter.kind,
        "reason": letter.reason,
        "rule": str(rule) if rule else None,
        "source": rule.source if rule else None,
        "isCritical": letter.is_critical,
        "since": instant_text(letter.since),
    }
