"""Send a destination's messages one by one: claim, send, store the result; destination_worker.py starts and stops it.

HL7 v2.5.1 §2.9.2; decisions D32, D33. The result of a message and the claim of the next are written in one transaction.
A destination with a window has that many connections, each with a message of another lane in hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Final

from gateway.feed.deliver.channel import Channel
from gateway.feed.deliver.delivery_results import UnwrittenResults
from gateway.feed.deliver.feed_journal import UNKEPT, Journal
from gateway.feed.deliver.lease_guard import LeaseGuard
from gateway.feed.deliver.lookahead import Lookahead
from gateway.feed.deliver.outcome import SendOutcomes
from gateway.feed.payload import Acknowledgement
from gateway.mllp.link import numbered
from gateway.mllp.permit import PermitEnded
from gateway.routing import Destination
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError, ConnectFailed, FeedError, StoreError
from gateway.runtime.log import get_logger, is_debugging
from gateway.store.database.engine import Engine, micros
from gateway.store.feed import messages
from gateway.store.feed.leases import LeaseLost
from gateway.store.feed.messages import Attempt, Head, SendResult
from gateway.store.feed.states import MessageState

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Pacing:
    """Pace of sending to one destination: gap, rate limit, and quiet hours."""

    def __init__(self, destination: Destination) -> None:
        rate = destination.receiver.rate_limit
        self._apart = timedelta(seconds=max(destination.gap, 1 / rate if rate else 0))
        self._quiet = destination.quiet
        self._last = _LONG_AGO

    def used(self, at: datetime) -> None:
        """Note the instant at which a message was sent or answered, on any connection."""
        self._last = at

    def wait(self, now: datetime) -> float:
        """Return the seconds until the next message may go; 0 or less: now. A clock set back costs at most one gap."""
        next_one = self._last + self._apart if self._last <= now else now
        ends = self._quiet.until(now)
        until = max(next_one, ends) if ends is not None else next_one
        return (until - now).total_seconds()


_LONGEST: Final = 60.0  # seconds between two tries to connect
_MOMENT: Final = 0.05
_LEASE_ENDED: Final = "lease-ended"  # the reason of a message in hand that was not sent
Report = Callable[[SendResult], None]


class Sender:
    """Sender to a destination while its lease is valid; `report` is called with every stored result."""

    def __init__(  # noqa: PLR0913 (its collaborators)
        self,
        engine: Engine,
        destination: Destination,
        guard: LeaseGuard,
        lookahead: Lookahead,
        *,
        report: Report,
        unwritten: UnwrittenResults,
        journal: Journal = UNKEPT,
    ) -> None:
        self._engine, self._destination, self._guard = engine, destination, guard
        self._lookahead, self._report, self._unwritten, self._journal = lookahead, report, unwritten, journal
        self._outcomes = SendOutcomes(destination, Random())  # noqa: S311 (spreads tries)
        self._pacing = Pacing(destination)

    async def run(self, channel: Channel, number: int = 1) -> None:
        """Send over one channel until the lookahead is closed; `number` (from 1) is its connection within the window.

        Raises:
            LeaseLost: another process holds the destination's lease.
            StoreUnavailable: the store cannot be reached.
        """
        done: SendResult | None = None
        failures = 0
        try:
            while not self._lookahead.is_closed:
                await self._lookahead.refill()
                head = self._taken(done)
                in_hand, done = await self._write(done, head), None
                if in_hand is None:
                    await self._idle(channel, is_for_want=head is None)
                    continue
                done = await self._sent(channel, in_hand, number)
                is_failure = (done.unsent or done.state == "indeterminate") and done.reason != _LEASE_ENDED
                failures = failures + 1 if is_failure else 0
                # The receiver is down or does not answer: wait longer after each failure
                backoffs = failures if done.unsent else failures - 1
                if backoffs > 0:
                    await self._write(done, None)
                    done = None
                    seconds = self._destination.retry.first * 2.0 ** min(backoffs - 1, 10)
                    await self._lookahead.pause(min(seconds, _LONGEST))
        finally:
            try:
                await asyncio.shield(self._write(done, None))
            except (StoreError, LeaseLost):
                if done is not None:
                    self._unwritten.keep(self._guard.lease.fence, done)
                raise
            finally:
                await channel.close()

    def _taken(self, done: SendResult | None) -> Head | None:
        """Take the next message that may be sent now; the lane of `done` continues if its result allows."""
        if self._guard.permit.left <= 0:
            return None
        now = clock.now()
        lane = done.head.study_id if done is not None and _goes_on(done) else ""
        head = self._lookahead.take(lane) if self._pacing.wait(now) <= 0 else None
        if head is not None:
            self._pacing.used(now)
        return head

    async def _idle(self, channel: Channel, *, is_for_want: bool) -> None:
        """Wait for a message to send; only briefly if one was there but could not be claimed."""
        if not is_for_want or self._guard.permit.left <= 0:
            await clock.sleep(_MOMENT)
            return
        await channel.rest()
        seconds = self._pacing.wait(clock.now())
        if seconds > 0:
            await clock.sleep(min(seconds, 1.0))
        else:
            await self._lookahead.wait()

    async def _write(self, done: SendResult | None, head: Head | None) -> Head | None:
        """Store a result and claim another message in one transaction; return that message if it was claimed."""
        if done is None and head is None:
            return None
        results, claims = [done] if done else [], [head] if head else []
        now = micros(clock.now())
        claimed = await self._engine.do(partial(messages.step, self._guard.lease, results, claims, now))
        for one in claimed:
            self._journal.note(self._destination.name, one)
        if done is not None:
            if head is None or head.study_id != done.head.study_id:
                self._lookahead.done(done.head.study_id, goes_on=_goes_on(done))
            self._report(done)
        if head is not None and not claimed:  # it waits behind another message, or was cancelled; other lanes go on
            self._lookahead.done(head.study_id, goes_on=False)
        return claimed[0] if claimed else None

    async def _sent(self, channel: Channel, head: Head, number: int) -> SendResult:
        """Send a message in hand; journal its result at once, and return it with the details of the attempt."""
        begun, began = micros(clock.now()), clock.monotonic()
        self._trace("message-sending", head, head.state)
        result = await self._result(channel, head)
        self._journal.note(self._destination.name, head, result)
        milliseconds = round((clock.monotonic() - began) * 1000, 1)
        self._trace("message-sent", head, result.state, code=result.reason or None, ms=milliseconds)
        where = numbered(channel.where, number, self._destination.receiver.window)
        return replace(result, attempt=Attempt(begun, micros(clock.now()), where, channel.received))

    def _trace(self, event: str, head: Head, state: str, **more: Any) -> None:
        """Log the state of a message, by its ids, at debug level."""
        if not is_debugging():
            return
        ids = {"study_id": head.study_id, "report_id": head.report_id, "control_id": head.control_id}
        name, attempt = self._destination.name, head.attempts + 1
        get_logger().debug(event, destination=name, **ids, operation=head.kind, attempt=attempt, state=state, **more)

    async def _result(self, channel: Channel, head: Head) -> SendResult:
        try:
            ack = await self._exchanged(channel, head)
        except PermitEnded:
            get_logger().warning("lease-ended", destination=self._destination.name, study_id=head.study_id)
            return _unsent(head)
        except ConfigError as error:
            failed: FeedError = ConnectFailed(str(self._destination.transport), error.key)
        except FeedError as error:
            failed = error
        else:
            self._pacing.used(clock.now())
            return self._outcomes.of_answer(head, ack, micros(clock.now()))
        get_logger().warning(
            "message-not-acknowledged",
            destination=self._destination.name,
            study_id=head.study_id,
            control_id=head.control_id,
            code=failed.code,
            attempt=head.attempts + 1,
        )
        return self._outcomes.of_failure(head, failed, micros(clock.now()))

    async def _exchanged(self, channel: Channel, head: Head) -> Acknowledgement | None:
        """Exchange a message for its acknowledgement; report one that may have been written after the permit ended."""
        try:
            return await channel.exchange(head)
        finally:
            if channel.is_late:
                self._unwritten.wrote_late(head)


def _unsent(head: Head) -> SendResult:
    """Return the result of a message not sent because the lease had ended; its state is as before the claim."""
    state: MessageState = "indeterminate" if head.state == "indeterminate" else "queued"
    return SendResult(head, state, _LEASE_ENDED, doubts=head.doubts, unsent=True)


def _goes_on(done: SendResult) -> bool:
    """True if the next message of the lane may be sent after this result."""
    return done.state in {"delivered", "dead_letter"} and not done.holds
