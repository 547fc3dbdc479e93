"""Apply the stored messages of one source, one after the other in the order of their commits, each in one transaction.

Carries out no clause of a standard; decision D48. Several processes may run this: the lock of the source lets one apply
a message, and only the message that comes next. A message that fails twice is settled as failed and kept. Later
messages about the same numbers fail with it, the others go on; all are tried again, in order, when a service starts.
Proved by tests/gateway/ingest/orders/test_apply.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from gateway.ingest.orders.apply_changes import apply_changes, change_subjects
from gateway.ingest.orders.apply_orders import apply_orders, order_subjects
from gateway.ingest.orders.apply_visits import apply_visit, visit_subjects
from gateway.ingest.orders.arrival import Arrival, MoreLocks, SettledMessage
from gateway.ingest.orders.sources import HospitalSource
from gateway.runtime import clock
from gateway.runtime.errors import StoreError, StoreValueRefused
from gateway.runtime.log import code_of, get_logger
from gateway.runtime.metrics import Metrics
from gateway.store.database.bell import INBOUND
from gateway.store.database.engine import Engine
from gateway.store.database.instants import instant, micros
from gateway.store.database.statements import Steps
from gateway.store.orders.inbound import (
    AFTER_FAILED,
    WaitingMessage,
    fail,
    is_blocked,
    is_first,
    settle,
    try_again,
    waiting_messages,
)
from gateway.store.orders.study_keys import lock_names
from gateway.store.studies import locks
from mappings.hl7v2.inbound import MERGE_TYPES, ORDER_TYPES, read_hospital_message
from mappings.hl7v2.received import read
from mappings.hospital.authorities import Authorities

MOST: Final = 100  # messages read at one time
POLL: Final = 2.0  # seconds
_PAUSE: Final = 2.0
_TRIES: Final = 2
_Apply = Callable[[Arrival, frozenset[str], int], Steps[SettledMessage | MoreLocks]]
_Subjects = Callable[[Arrival], frozenset[str]]


class Applying:
    """Loop that applies the messages of one source."""

    def __init__(self, source: HospitalSource, authorities: Authorities, engine: Engine, metrics: Metrics) -> None:
        self._source, self._authorities, self._engine, self._metrics = source, authorities, engine, metrics
        self._has_begun = False

    async def run(self) -> None:
        """Apply messages as soon as they are stored, until cancelled."""
        with self._engine.bell.listener(INBOUND) as listener:
            while True:
                try:
                    count = await self.turn()
                except Exception as error:
                    get_logger().warning(
                        "orders-not-applied", source=self._source.name, code=code_of(error), exc_info=error
                    )
                    await clock.sleep(_PAUSE)
                    continue
                if not count:
                    await listener.wait(POLL)

    async def turn(self) -> int:
        """Apply the messages that come next; return how many were settled.

        Raises:
            StoreUnavailable: the store cannot be reached; the messages wait.
        """
        if not self._has_begun:
            count = await self._engine.do(self._again)
            if count:
                get_logger().info("order-messages-tried-again", source=self._source.name, count=count)
            self._has_begun = True
        settled = 0
        for waiting in await waiting_messages(self._engine, self._source.name, MOST):
            if not await self._settled(waiting):
                break  # another process is ahead
            settled += 1
        return settled

    def _again(self) -> Steps[int]:
        yield from locks.take([self._lock])
        return (yield from try_again(self._source.name))

    async def _settled(self, waiting: WaitingMessage) -> bool:
        """Apply one message, or settle it as failed; return False if it does not come next."""
        for attempt in range(1, _TRIES + 1):
            try:
                done = await self._applied(waiting)
            except Exception as error:
                if isinstance(error, StoreError) and not isinstance(error, StoreValueRefused):
                    raise
                code = code_of(error)
                about = {"source": self._source.name, "code": code, "attempt": attempt}
                get_logger().error("order-message-failed", **about, exc_info=error)
                if attempt < _TRIES:
                    continue
                subjects = self._subjects_of(waiting)
                done = await self._engine.do(partial(self._failing, waiting.number, code, subjects))
            if done is not None:
                self._note(done)
            return done is not None
        return False

    def _note(self, done: SettledMessage) -> None:
        is_noted = done.state in {"applied", "nothing"}
        self._metrics.settled_order(self._source.name, done.state, done.code if is_noted else "")
        if done.state in {"held", "failed"}:
            get_logger().error(f"order-message-{done.state}", source=self._source.name, code=done.code)

    def _arrival(self, waiting: WaitingMessage) -> Arrival:
        message = read_hospital_message(read(waiting.payload), self._source.rules)
        received = instant(waiting.received)
        return Arrival(waiting.number, self._source, self._authorities, received, message)

    async def _applied(self, waiting: WaitingMessage) -> SettledMessage | None:
        """Apply one message; None if it does not come next."""
        arrival = self._arrival(waiting)
        locked = frozenset[str]()
        while True:
            done = await self._engine.do(partial(self._applying, arrival, locked))
            if not isinstance(done, MoreLocks):
                return done
            locked |= done.keys

    def _applying(self, arrival: Arrival, locked: frozenset[str]) -> Steps[SettledMessage | MoreLocks | None]:
        yield from locks.take([self._lock, *lock_names(locked)])
        if not (yield from is_first(self._source.name, arrival.number)):
            return None
        now = micros(clock.now())
        if arrival.message.taken != "taken":  # the settings changed since it came
            done: SettledMessage | MoreLocks = SettledMessage("nothing", arrival.message.taken, keeps_body=False)
        else:
            kind, apply, subjects_of = _work_of(arrival)
            subjects = _named(kind, subjects_of(arrival))
            if (yield from is_blocked(subjects)):
                yield from fail(arrival.number, AFTER_FAILED, subjects, now)
                return SettledMessage("failed", AFTER_FAILED)
            done = yield from apply(arrival, locked, now)
        if isinstance(done, SettledMessage):
            yield from settle(arrival.number, done.state, done.code, now, keeps_body=done.keeps_body)
        return done

    @property
    def _lock(self) -> str:
        return f"source {self._source.name}"

    def _subjects_of(self, waiting: WaitingMessage) -> frozenset[str]:
        """Return the numbers that a message concerns; none if it cannot even be read."""
        try:
            arrival = self._arrival(waiting)
            kind, _, subjects_of = _work_of(arrival)
            return _named(kind, subjects_of(arrival))
        except Exception as error:
            get_logger().error("order-message-unread", source=self._source.name, exc_info=error)
            return frozenset()

    def _failing(self, number: int, code: str, subjects: frozenset[str]) -> Steps[SettledMessage | None]:
        yield from locks.take([self._lock])
        if not (yield from is_first(self._source.name, number)):
            return None
        yield from fail(number, code, subjects, micros(clock.now()))
        return SettledMessage("failed", code)


def _work_of(arrival: Arrival) -> tuple[str, _Apply, _Subjects]:
    if arrival.message.structure in ORDER_TYPES:
        return "order", apply_orders, order_subjects
    if arrival.message.structure in MERGE_TYPES:
        return "merge", apply_changes, change_subjects
    return "visit", apply_visit, visit_subjects


def _named(kind: str, subjects: frozenset[str]) -> frozenset[str]:
    """Return the texts by which a failed message blocks later ones of its kind alone."""
    return frozenset(f"{kind} {one}" for one in subjects)
