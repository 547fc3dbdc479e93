"""Feed whose receiver refuses for a while: the real worker over a store in memory, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

from fakes.fed import destination
from fakes.inline import Inline
from fakes.lanes import STUDY, new
from fakes.store import rows

from gateway.feed.compose.hl7v2_payload import HL7V2
from gateway.feed.deliver import destination_worker, lookahead
from gateway.feed.deliver.destination_worker import DestinationWorker
from gateway.feed.payload import Acknowledgement
from gateway.routing import Retry
from gateway.runtime import clock
from gateway.runtime.errors import ConnectFailed
from gateway.runtime.metrics import Metrics
from gateway.settings.feed import Feed
from gateway.store.database.engine import ask, micros
from gateway.store.feed.leases import Leases
from gateway.store.feed.outbox import add_message

ERRORS = {"AR": "207", "CR": "207", "AE": "101"}
DOWN = "down"
RETRY = Retry(first=5.0, cap=300.0, jitter=0.0)


class Try(NamedTuple):
    """A message that reached the receiver, or failed to: the time, the message, and the answer."""

    at: float
    lane: str
    number: int
    control_id: str
    body: bytes
    answer: str


class _Nothing:
    """Composer that makes no messages: the test stores them."""

    payload = HL7V2

    def __init__(self, engine: Any, to: Any) -> None:
        self.engine, self.destination = engine, to

    async def see_settings(self, _: Any) -> None: ...

    async def once(self, _: Any) -> int:
        return 0


class Refusing:
    """Destination that answers `answer`, and the messages it was sent."""

    where, received, is_late = "", b"", False

    def __init__(self, engine: Inline, monkeypatch: Any, settings: Feed | None = None, **more: Any) -> None:
        self.engine, self.answer, self.tries = engine, "AA", list[Try]()
        self.settings = settings or Feed(lease=60)
        self._to = destination(1, retry=more.pop("retry", RETRY), **more)
        self.metrics, self._count, self._lanes = Metrics(), 0, set[str]()
        monkeypatch.setattr(destination_worker, "channel", lambda *_: self)
        monkeypatch.setattr(destination_worker, "_LOOK", 5.0)
        monkeypatch.setattr(lookahead, "_IDLE", 2.0)

    async def exchange(self, head: Any) -> Acknowledgement:
        """Answer like a channel."""
        answer = self.answer
        tried = Try(clock.monotonic(), head.study_id, head.number, head.control_id, head.body, answer)
        self.tries.append(tried)
        await clock.sleep(0.05)
        if answer == DOWN:
            raise ConnectFailed("receiver")
        errors = (ERRORS[answer],) if answer in ERRORS else ()
        return Acknowledgement(answer, head.control_id, errors=errors)

    async def rest(self) -> None: ...

    async def close(self) -> None: ...

    async def add(self, lane: str, *, is_critical: bool = False) -> str:
        """Add a message of a study; return its MSH-10."""
        if lane not in self._lanes:
            self._lanes.add(lane)
            await self.engine.do(lambda: ask(STUDY, study_id=lane, empty=b""))
        self._count += 1
        priority = 0 if is_critical else 1
        message = new(self._count, restates=f"F{self._count}/", is_critical=is_critical, priority=priority)
        await self.engine.do(partial(add_message, "ehr", lane, message, micros(clock.now())))
        return message.control_id

    @asynccontextmanager
    async def serving(self, name: str = "one") -> AsyncIterator[None]:
        """Serve by that worker while the block runs."""
        making: Any = _Nothing(self.engine, self._to)
        leases = Leases(self.engine, name, self.settings.lease)
        task = asyncio.create_task(DestinationWorker(making, leases, self.settings, self.metrics).run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def states(self) -> set[str]:
        """States of the messages."""
        return {str(state) for (state,) in await rows(self.engine, "SELECT DISTINCT state FROM message")}

    async def paused(self) -> str:
        """Reason of the pause, or of the open breaker."""
        return str((await rows(self.engine, "SELECT paused FROM destination WHERE name = 'ehr'"))[0][0])

    async def held(self) -> list[tuple[Any, ...]]:
        """Lanes that are held, with reasons."""
        return await rows(self.engine, "SELECT study_id, reason FROM lane ORDER BY study_id")

    def since(self, at: float) -> Sequence[Try]:
        """Tries from then on."""
        return [one for one in self.tries if one.at >= at]
