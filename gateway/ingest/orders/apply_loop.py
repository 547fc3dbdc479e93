"""Apply the stored messages of one hospital source in order, several in one transaction while many wait.

Carries out no clause of a standard; decision D48. Several processes may run this: the lock of the source lets one apply
messages, and only those that come next. If messages fail together, each is applied alone. One that fails twice alone is
settled as failed and kept. Later messages about the same numbers fail with it, the others go on; all are tried again,
in order, when a service starts.
Proved by tests/gateway/ingest/orders/test_apply_loop.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from gateway.ingest.orders.apply_changes import apply_changes, change_subjects
from gateway.ingest.orders.apply_orders import OTHER_PATIENT, apply_orders, order_subjects, uid_texts
from gateway.ingest.orders.apply_visits import apply_visit, visit_subjects
from gateway.ingest.orders.arrival import Arrival, Batch, MoreLocks
from gateway.ingest.orders.sources import HospitalSource
from gateway.runtime import clock
from gateway.runtime.errors import StoreError, StoreValueRefused
from gateway.runtime.log import code_of, get_logger
from gateway.runtime.metrics import Metrics
from gateway.store.database import locks
from gateway.store.database.engine import INBOUND, Engine, Steps, instant, micros
from gateway.store.orders.hospital import add_visits, texts_of_orders
from gateway.store.orders.inbound import (
    AFTER_FAILED,
    SettledMessage,
    WaitingMessage,
    are_next,
    block,
    is_blocked,
    settle,
    source_lock,
    try_again,
    waiting_messages,
)
from gateway.store.orders.numbers import lock_names, refresh_studies
from mappings.hl7v2.inbound import MERGE_TYPES, ORDER_TYPES, read_hospital_message
from mappings.hl7v2.received import read
from mappings.hospital.authorities import Authorities

MOST: Final = 96  # messages read at one time
TOGETHER: Final = 16  # messages of one transaction
POLL: Final = 2.0  # seconds
_PAUSE: Final = 2.0
_TRIES: Final = 2
_MOST_LOCKED: Final = 500  # numbers of several messages; PostgreSQL has room for 6,400 locks of all transactions


class MessageWork(NamedTuple):
    """Work that a message means: the function that applies it, and the key texts of its numbers."""

    arrival: Arrival
    apply: Callable[[Arrival, Batch], Steps[SettledMessage | MoreLocks]]
    kind: str = ""
    subjects: frozenset[str] = frozenset()

    @property
    def blocking(self) -> frozenset[str]:
        """Key texts under which the message, if it fails, blocks later messages; only those of its kind."""
        return frozenset(f"{self.kind} {one}" for one in self.subjects)


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
        """Apply the next messages; return how many were settled.

        Raises:
            StoreUnavailable: the store cannot be reached; the messages wait.
        """
        if not self._has_begun:
            count = await self._engine.do(self._again)
            if count:
                get_logger().info("order-messages-tried-again", source=self._source.name, count=count)
            self._has_begun = True
        waiting, settled = await waiting_messages(self._engine, self._source.stored_name, MOST), 0
        while count := await self._settled(waiting[settled : settled + TOGETHER]):
            settled += count
        return settled

    def _again(self) -> Steps[int]:
        yield from locks.take([self._lock])
        return (yield from try_again(self._source.stored_name))

    async def _settled(self, waiting: Sequence[WaitingMessage]) -> int:
        """Apply and settle messages; return how many: 0 if another process was first."""
        if len(waiting) > 1:
            try:
                return await self._applied(waiting)
            except Exception as error:
                _raise_unreachable(error)
                get_logger().warning("order-messages-one-by-one", source=self._source.name, code=code_of(error))
        count = 0
        for one in waiting:
            if not await self._settled_alone(one):
                break
            count += 1
        return count

    async def _settled_alone(self, waiting: WaitingMessage) -> int:
        """Apply one message, or settle it as failed; return 0 if it is no longer the next."""
        for attempt in range(1, _TRIES + 1):
            try:
                return await self._applied([waiting])
            except Exception as error:
                _raise_unreachable(error)
                code = code_of(error)
                about = {"source": self._source.name, "code": code, "attempt": attempt}
                get_logger().error("order-message-failed", **about, exc_info=error)
        keys = self._blocking(waiting)
        return self._noted(await self._engine.do(partial(self._failing, waiting.number, code, keys)))

    async def _applied(self, waiting: Sequence[WaitingMessage]) -> int:
        """Apply the first of these messages in one transaction; return how many: 0 if they are no longer the next."""
        works = [self.work(one) for one in waiting]
        locked = await self._foreseen(works)
        while len(locked) > _MOST_LOCKED and len(works) > 1:
            works = works[: len(works) // 2]
            locked = await self._foreseen(works)
        while True:
            done = await self._engine.do(partial(self._applying, works, locked))
            if not isinstance(done, MoreLocks):
                return self._noted(done)
            locked |= done.keys

    def _noted(self, settled: Sequence[SettledMessage]) -> int:
        for one in settled:
            is_noted = one.state in {"applied", "nothing"}
            self._metrics.settled_order(self._source.name, one.state, one.code if is_noted else "")
            if one.state in {"held", "failed"}:
                get_logger().error(f"order-message-{one.state}", source=self._source.name, code=one.code)
            elif one.code == OTHER_PATIENT:
                get_logger().warning("visit-news-refused", source=self._source.name, code=one.code)
        return len(settled)

    def work(self, waiting: WaitingMessage) -> MessageWork:
        """Read a message, and return the work that it means.

        Raises:
            RowUnreadable: its row is damaged.
        """
        message = read_hospital_message(read(waiting.payload), self._source.rules)
        received = instant(waiting.received)
        arrival = Arrival(waiting.number, self._source, self._authorities, received, message, waiting.is_again)
        if message.taken != "taken":
            return MessageWork(arrival, _leave)
        if message.structure in ORDER_TYPES:
            return MessageWork(arrival, apply_orders, "order", order_subjects(arrival))
        if message.structure in MERGE_TYPES:
            return MessageWork(arrival, apply_changes, "merge", change_subjects(arrival))
        return MessageWork(arrival, apply_visit, "visit", visit_subjects(arrival))

    async def _foreseen(self, works: Sequence[MessageWork]) -> frozenset[str]:
        """Return the numbers that applying these messages will have to lock, as far as can be foreseen."""
        named = frozenset().union(*[one.subjects for one in works])
        of_orders = frozenset().union(*[one.subjects for one in works if one.kind != "merge"])
        uids = frozenset().union(*[uid_texts(one.arrival) for one in works])
        return named | uids | (await texts_of_orders(self._engine, of_orders) if of_orders else frozenset())

    def _applying(
        self, works: Sequence[MessageWork], locked: frozenset[str]
    ) -> Steps[list[SettledMessage] | MoreLocks]:
        yield from locks.take([self._lock, *lock_names(locked)])
        if not (yield from are_next(self._source.stored_name, [one.arrival.number for one in works])):
            return []
        return (yield from self.applied_here(works, locked))

    def applied_here(
        self, works: Sequence[MessageWork], locked: frozenset[str]
    ) -> Steps[list[SettledMessage] | MoreLocks]:
        """Apply messages up to the first that needs more locks; that one begins the next transaction.

        The transaction holds the locks of the source and of these numbers.
        """
        batch, settled = Batch(set(locked), micros(clock.now())), dict[int, SettledMessage]()
        blocking = frozenset().union(*[one.blocking for one in works])
        yield from batch.orders.read(frozenset().union(*[one.subjects for one in works]))
        may_be_blocked = yield from is_blocked(blocking)
        for work in works:
            number = work.arrival.number
            if may_be_blocked and (yield from is_blocked(work.blocking)):
                yield from block(number, work.blocking)
                settled[number] = SettledMessage("failed", AFTER_FAILED)
                continue
            done = yield from work.apply(work.arrival, batch)
            if not isinstance(done, MoreLocks):
                settled[number] = done
            elif settled:
                break
            else:
                return done
        yield from add_visits(batch.visits)
        yield from refresh_studies(batch.altered, batch.now)
        yield from settle(settled, batch.now)
        return list(settled.values())

    @property
    def _lock(self) -> str:
        return source_lock(self._source.stored_name)

    def _blocking(self, waiting: WaitingMessage) -> frozenset[str]:
        """Return the key texts by which a failed message blocks others; none if it cannot even be read."""
        try:
            return self.work(waiting).blocking
        except Exception as error:
            get_logger().error("order-message-unread", source=self._source.name, exc_info=error)
            return frozenset()

    def _failing(self, number: int, code: str, keys: frozenset[str]) -> Steps[list[SettledMessage]]:
        yield from locks.take([self._lock])
        if not (yield from are_next(self._source.stored_name, [number])):
            return []
        failed = SettledMessage("failed", code)
        yield from block(number, keys)
        yield from settle({number: failed}, micros(clock.now()))
        return [failed]


def _leave(arrival: Arrival, _: Batch) -> Steps[SettledMessage | MoreLocks]:
    """Settle a message that the settings no longer accept, since they changed after it came."""
    yield from ()
    return SettledMessage("nothing", arrival.message.taken, keeps_body=False)


def _raise_unreachable(error: Exception) -> None:
    """Raise an error that is no message's fault, so that messages wait until the store can be reached."""
    if isinstance(error, StoreError) and not isinstance(error, StoreValueRefused):
        raise error
