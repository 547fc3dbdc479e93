"""`feed backload`: send reports from before a destination's start date; store/feed/outbox.py sets order and pace.

Carries out no clause of a standard; decision D31.
Proved by tests/gateway/cli/test_feed.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from gateway.feed.operator.arguments import Say, TimeSpan, counted, destination_named
from gateway.feed.operator.preview import Consent, is_agreed
from gateway.ingest.assembly import store_for_command
from gateway.runtime import clock
from gateway.runtime.progress import Progress
from gateway.settings import Configuration
from gateway.store.database.engine import micros
from gateway.store.database.operator_acts import noted
from gateway.store.feed.outbox import BackloadSpan, queue_backload, to_backload, undated

BATCH: Final = 500
_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class BackloadRequest:
    """Backload request: a span of signing times, the rate in studies a second, and `missing`: only reports never sent.

    `reason` is kept in the audit.
    """

    times: TimeSpan
    rate: float | None = None
    missing: bool = False
    reason: str = ""


async def backload(configuration: Configuration, name: str, asked: BackloadRequest, consent: Consent, say: Say) -> int:
    """Queue the history of a span at the requested rate, or at `feed.backload_rate` without one.

    Return 1 if the operator declined.

    Raises:
        ConfigError: no such destination, or consent to send was not given.
    """
    destination_named(configuration, name)
    rate, times = asked.rate or configuration.settings.feed.backload_rate, asked.times
    span = BackloadSpan(name, times.since, times.until, int(_SECOND / rate), asked.missing)
    studies = reports = 0
    async with store_for_command(configuration, writes=not consent.dry_run) as engine:
        would = await to_backload(engine, span)
        if not is_agreed(would, name, consent, say):
            return int(not consent.dry_run)
        await engine.do(partial(noted, "feed-backload", f"{name} {times}", asked.reason, micros(clock.now())))
        with Progress("backload", "studies") as progress:
            while queued := await engine.do(partial(queue_backload, span, micros(clock.now()), BATCH)):
                studies, reports = studies + queued[0], reports + queued[1]
                progress(studies, would.studies)
                if queued[0] < BATCH:
                    break
        left = await undated(engine, name)
    seconds = studies * span.apart // _SECOND
    total = f"{counted(reports, 'report')} of {counted(studies, 'study')}"
    say(f"{name} is sent {total}, {rate:g} studies a second: {counted(seconds, 'second')} at least")
    if left:
        say(f"{counted(left, 'report')} from before its start without a time of signing: no span includes them")
    return 0
