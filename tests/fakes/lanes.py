"""Lanes of a destination with a held lease, and messages that a test stores and settles itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from fakes.store import rows

from gateway.store.database.engine import Statement, Steps, ask, micros
from gateway.store.database.locks import Outdated
from gateway.store.feed import messages
from gateway.store.feed.leases import Lease
from gateway.store.feed.messages import Messages, SendResult
from gateway.store.feed.outbox import ComposedStudy, NewMessage, store_composed

NOW = datetime(2026, 1, 5, tzinfo=UTC)
AT = micros(NOW)
STUDY = Statement(
    "INSERT INTO study (study_id, revision, is_external, has_signed, has_warnings, listed_digest, received_digest,"
    " received, kept, fetched, listed) VALUES (:study_id, 1, 0, 1, 0, '', '', :empty, :empty, 1, 1)"
)


def new(number: int, *, restates: str = "F1/", **more) -> NewMessage:
    usual = NewMessage(
        outbox=number,
        report_id=f"rep_{number}",
        kind="signed",
        content_version="v",
        control_id=f"ID{number}",
        restates=restates,
        filler_order_numbers=("F1",),
        report_ids=(f"rep_{number}",),
        patient_id="pat-1",
        is_whole=False,
        is_draft=False,
        is_critical=False,
        priority=1,
        signed=None,
        body=f"body {number}".encode(),
    )
    return replace(usual, **more)


def stored(lease: Lease, made: ComposedStudy, now: int) -> Steps[list[int]]:
    """Store the messages composed for one study; raise `Outdated` if they must be composed again."""
    (numbers,) = yield from store_composed(lease, [made], now)
    if numbers is None:
        raise Outdated
    return numbers


class Scene:
    """A destination with a held lease and messages of studies."""

    def __init__(self, engine, lease):
        self.engine, self.lease, self.messages = engine, lease, Messages(engine)

    async def add(self, lane: str, *more: NewMessage, revision: int = 1) -> list[int]:
        await self.study(lane)
        return await self.engine.do(partial(stored, self.lease, ComposedStudy(lane, revision, [], more), AT))

    async def study(self, lane: str) -> None:
        if not await rows(self.engine, "SELECT 1 FROM study WHERE study_id = ?", lane):
            await self.engine.do(lambda: ask(STUDY, study_id=lane, empty=b""))

    async def heads(self, most: int = 10, now: datetime = NOW):
        return await self.messages.candidates("ehr", now, most)

    async def step(self, results=(), claims=(), now: datetime = NOW):
        claimed = await self.engine.do(partial(messages.step, self.lease, results, claims, micros(now)))
        return [one.number for one in claimed]

    async def states(self) -> list[tuple[str, str, str]]:
        found = await rows(self.engine, "SELECT control_id, state, reason FROM message ORDER BY number")
        return [tuple(one) for one in found]

    async def deliver(self, now: datetime = NOW) -> None:
        """Send the first message, and have it committed."""
        head, *_ = await self.heads(now=now)
        assert await self.step(claims=[head], now=now)
        await self.step([SendResult(head, "delivered", ack="CA", committed=AT)])
