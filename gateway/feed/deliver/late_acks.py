"""Store late acknowledgements: application ACKs after a commit ACK, also on connections that the receiver opens.

HL7 v2.5.1 §2.9.3 (enhanced mode), table 0155, over HL7 Transport Specification: MLLP, Release 1; decision D32. An
application ACK is matched by control id to a committed message that awaits it, also after a restart or over another
connection. One that matches no message is logged and changes nothing. An acknowledgement is answered after it was
stored, and only if it asks for an answer. If it cannot be stored yet, the connection is closed without an answer, and
the receiver sends it again. Anyone who knows a message's control id could acknowledge it. Therefore only the peers in
the settings are let in (`ack_peers`, or a certificate).
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from random import Random
from typing import Final

from gateway.feed.deliver.circuit_breaker import CircuitBreaker
from gateway.feed.deliver.delivery_results import DeliveryResults
from gateway.feed.deliver.feed_journal import UNKEPT, Journal
from gateway.feed.deliver.outcome import SendOutcomes
from gateway.feed.payload import Acknowledgement, NotAnAcknowledgement, PayloadKind, Receipt
from gateway.mllp.caller import Caller
from gateway.mllp.framing import Event, Frame, encode
from gateway.mllp.listener import ListenAddress, MllpListener
from gateway.routing import Destination, Mllp
from gateway.runtime import clock
from gateway.runtime.log import get_logger
from gateway.runtime.metrics import Metrics
from gateway.settings.feed import Feed
from gateway.store.database.engine import Engine, micros
from gateway.store.feed import lanes
from gateway.store.feed.lanes import AckOutcome, StoredAck
from gateway.store.feed.messages import Attempt, Head, SendResult, late_answer

_IN_HAND: Final = 10.0  # seconds to wait until the message's immediate result is stored
_MOMENT: Final = 0.05
_SAID: Final = {"repeated": "ack-repeated", "unmatched": "ack-matches-nothing", "too_early": "ack-too-early"}


class LateAcks:
    """Late acknowledgements of one destination, queued and stored in order."""

    def __init__(  # noqa: PLR0913 (its collaborators)
        self,
        engine: Engine,
        destination: Destination,
        settings: Feed,
        metrics: Metrics,
        breaker: CircuitBreaker,
        *,
        journal: Journal = UNKEPT,
    ) -> None:
        self._engine, self._destination, self._metrics = engine, destination, metrics
        self._journal = journal
        self._results = DeliveryResults(engine, destination.name, settings, metrics, breaker)
        self._outcomes = SendOutcomes(destination, Random())  # noqa: S311 (spreads tries)
        self._waiting: deque[tuple[Acknowledgement, str]] = deque()
        self._news = asyncio.Event()

    def queue(self, ack: Acknowledgement, where: str = "") -> None:
        """Queue an acknowledgement from a connection to the receiver; `where` describes it (gateway/mllp/link.py)."""
        self._waiting.append((ack, where))
        self._news.set()

    async def run(self) -> None:
        """Store the queued acknowledgements in order, until cancelled.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        while True:
            self._news.clear()
            await self.settle()
            await self._news.wait()

    async def settle(self, *, within: float = _IN_HAND) -> None:
        """Store the queued acknowledgements; each leaves the queue only after it was stored.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        while self._waiting:
            ack, where = self._waiting[0]
            await self.store(ack, where, within=within)
            self._waiting.popleft()

    async def store(self, ack: Acknowledgement, where: str = "", *, within: float = _IN_HAND) -> AckOutcome:
        """Store an acknowledgement and report the result; wait up to `within` seconds for the message's commit result.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        stored = await self._stored_when_settled(ack, where, clock.monotonic() + within)
        name, result = self._destination.name, stored.result
        if result is None:
            self._metrics.heard_late(name, stored.outcome)
            get_logger().warning(_SAID[stored.outcome], destination=name, code=ack.code)
        else:
            self._metrics.heard_late(name, "refused" if result.is_refused else "accepted")
            self._journal.note(name, result.head, result)
            await self._results.count(result, is_late=True)
        return stored.outcome

    def unreadable(self, code: str) -> None:
        """Count and log a frame that is no acknowledgement; `code` says why."""
        self._metrics.heard_late(self._destination.name, "unreadable")
        get_logger().warning("ack-unreadable", destination=self._destination.name, code=code)

    def turned_away(self) -> None:
        """Count a connection that was closed before anything was read."""
        self._metrics.heard_late(self._destination.name, "turned_away")

    async def _stored_when_settled(self, ack: Acknowledgement, where: str, until: float) -> StoredAck:
        name = self._destination.name
        while not (is_settled := await lanes.is_settled(self._engine, name, ack.control_id)):
            if is_settled is None:
                return StoredAck("unmatched")
            if clock.monotonic() >= until:
                return StoredAck("too_early")
            await clock.sleep(_MOMENT)
        now = micros(clock.now())
        decide = partial(self._decided, ack, late_answer(where, ack.raw), now)
        return await self._engine.do(partial(lanes.store_ack, name, ack.control_id, ack.code, decide, now))

    def _decided(self, ack: Acknowledgement, attempt: Attempt, now: int, head: Head) -> SendResult:
        """Return the message's new result: as for an immediate answer, but without counting the attempt again."""
        result = self._outcomes.of_answer(replace(head, attempts=head.attempts - 1), ack, now)
        return replace(result, attempt=attempt)


_ANSWER_IN_HAND: Final = (
    5.0  # seconds to wait until the message's immediate result is stored: less than a frame may take
)


def ack_listener(destination: Destination, payload: PayloadKind, late: LateAcks) -> Iterator[MllpListener]:
    """Yield the listener of a destination, if its settings have one."""
    transport = destination.transport
    if isinstance(transport, Mllp) and transport.ack_listen is not None:
        host, port = transport.ack_listen
        names = {"destination": destination.name}
        where = (host, port, transport.ack_peers, transport.ack_tls, destination.place, "ack_listen")
        yield MllpListener(ListenAddress(*where, "ack", names), _LateAcknowledgements(payload, late))


class _LateAcknowledgements:
    """Listener's host: stores each frame as an acknowledgement; see `gateway.mllp.listener.Host`."""

    def __init__(self, payload: PayloadKind, late: LateAcks) -> None:
        self._payload, self._late = payload, late

    def turned_away(self) -> None:
        """Count a connection that was refused."""
        self._late.turned_away()

    async def take(self, event: Event, caller: Caller) -> bool:
        """Store one acknowledgement and answer it; return True if the connection stays open.

        Raises:
            StoreUnavailable: the store cannot be reached; nothing was answered.
        """
        if not isinstance(event, Frame):
            self._late.unreadable(event.code)
            return event.code != "frame-too-large"
        try:
            ack = self._payload.acknowledgement(event.payload)
        except NotAnAcknowledgement as error:
            self._late.unreadable(error.code)
            return self._answered(caller, event.payload, "unreadable")
        outcome = await self._late.store(ack, caller.where, within=_ANSWER_IN_HAND)
        if outcome == "too_early":
            return False
        return self._answered(caller, event.payload, "unmatched" if outcome == "unmatched" else "stored")

    def _answered(self, caller: Caller, frame: bytes, receipt: Receipt) -> bool:
        """Answer a frame that asks for an answer; True if the connection stays open."""
        answer = self._payload.receipt(frame, receipt, secrets.token_hex(10), clock.now())
        return True if answer is None else caller.say(encode(answer))
