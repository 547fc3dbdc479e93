"""`feed backload`: send reports from before a destination's start date; store/feed/outbox.py sets order and pace.

Carries out no clause of a standard; decision D31.
Proved by tests/gateway/cli/test_feed.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from gateway.feed.operator.arguments import CommandAnswer, TimeSpan, counted, destination_named
from gateway.feed.operator.preview import Foreseen
from gateway.runtime import clock
from gateway.runtime.progress import Progress
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, micros
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

    def span_at(self, name: str, rate: float) -> BackloadSpan:
        """Return the span at a destination."""
        return BackloadSpan(name, self.times.since, self.times.until, int(_SECOND / rate), self.missing)


@dataclass(frozen=True, slots=True)
class Backloaded(CommandAnswer):
    """History that a destination is sent, at `rate` studies a second; `seconds` is the shortest time that it takes.

    `undated` counts reports from before its start that no span includes, since their time of signing is not known.
    """

    name: str
    reports: int
    studies: int
    rate: float
    seconds: int
    undated: int

    def lines(self) -> Iterator[str]:
        """Yield how much is sent, and how long that takes."""
        total = f"{counted(self.reports, 'report')} of {counted(self.studies, 'study')}"
        pace = f"{self.rate:g} studies a second: {counted(self.seconds, 'second')} at least"
        yield f"{self.name} is sent {total}, {pace}"
        if self.undated:
            undated_reports = counted(self.undated, "report")
            yield f"{undated_reports} from before its start without a time of signing: no span includes them"


async def foresee_backload(engine: Engine, configuration: Configuration, name: str, asked: BackloadRequest) -> Foreseen:
    """Count the history of a span.

    Raises:
        ConfigError: no such destination.
        StoreUnavailable: the store cannot be reached.
    """
    destination_named(configuration, name)
    return Foreseen(await to_backload(engine, asked.span_at(name, _rate(configuration, asked))))


async def backload(engine: Engine, configuration: Configuration, name: str, asked: BackloadRequest) -> Backloaded:
    """Queue the history of a span at the requested rate, or at `feed.backload_rate` without one.

    Raises:
        ConfigError: no such destination.
        StoreUnavailable: the store cannot be reached.
    """
    destination_named(configuration, name)
    rate, studies, reports = _rate(configuration, asked), 0, 0
    span = asked.span_at(name, rate)
    would = await to_backload(engine, span)
    await engine.do(partial(noted, "feed-backload", f"{name} {asked.times}", asked.reason, micros(clock.now())))
    with Progress("backload", "studies") as progress:
        while queued := await engine.do(partial(queue_backload, span, micros(clock.now()), BATCH)):
            studies, reports = studies + queued[0], reports + queued[1]
            progress(studies, would.studies)
            if queued[0] < BATCH:
                break
    seconds = studies * span.apart // _SECOND
    return Backloaded(name, reports, studies, rate, seconds, await undated(engine, name))


def _rate(configuration: Configuration, asked: BackloadRequest) -> float:
    return asked.rate or configuration.settings.feed.backload_rate
