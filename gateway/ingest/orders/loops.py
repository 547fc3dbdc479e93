"""Loops for hospital messages: for each source a listener and an applying loop; a watch, renumbering, and deletion.

Carries out no clause of a standard; decision D48: messages are kept 7 days, orders that no study has 90 days after they
were last heard of, and matched ones as long as their study. What waits of a source without settings has 90 days, too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from gateway.ingest.orders.apply_loop import Applying
from gateway.ingest.orders.inbox import source_listener
from gateway.ingest.orders.rekeying import NOT_READ, OrderKeys
from gateway.ingest.orders.sources import HospitalSource, sources_of
from gateway.runtime import clock
from gateway.runtime.log import get_logger
from gateway.runtime.loops import forever, resting
from gateway.runtime.metrics import Metrics
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, Steps, micros
from gateway.store.orders.hospital import left_merges
from gateway.store.orders.inbound import backlogs, present_names, trouble_of
from gateway.store.orders.upkeep import (
    OldOrder,
    matched_orders,
    old_orders,
    purge_bodies,
    purge_left,
    purge_messages,
    purge_orders,
    purge_unsettled,
    purge_visits,
)
from mappings.hospital.authorities import Authorities

EVERY_HOUR: Final = 3_600.0  # seconds
SOURCE_GONE: Final = "order-source-gone"
MESSAGES: Final = timedelta(days=7)
ORDERS: Final = timedelta(days=90)
_ORDERS_EVERY: Final = timedelta(days=1)  # it looks at every old order
MOST: Final = 50  # rows of one transaction, since messages that arrive wait for it


class OrderRetention:
    """Hourly deletion of old hospital data; it goes on after all sources left the settings.

    `sources` are those of the settings by their first names: what waits of others is reported, and deleted last of all.
    """

    def __init__(self, engine: Engine, metrics: Metrics, sources: Collection[str]) -> None:
        self._engine, self._metrics, self._sources = engine, metrics, sources
        self._next_orders = clock.now()

    async def run(self) -> None:
        """Delete what is old every hour, until cancelled."""
        await forever(self.once, EVERY_HOUR, not_done="orders-not-deleted")

    async def once(self) -> None:
        """Delete hospital data that is past its time.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        now = clock.now()
        recent, long_ago, at = micros(now - MESSAGES), micros(now - ORDERS), micros(now)
        await self._each("message", partial(purge_messages, recent, MOST))
        await self._each("body", partial(purge_bodies, recent, MOST))
        await self._each("message", partial(purge_unsettled, long_ago, MOST, at))
        await self._left(long_ago, at)
        if now >= self._next_orders:
            await self._orders(long_ago, at)
            await self._each("visit", partial(purge_visits, long_ago, MOST, at))
            self._next_orders = now + _ORDERS_EVERY

    async def _each(self, kind: str, purge: Callable[[], Steps[int]]) -> None:
        """Run a deletion in batches until nothing is left."""
        while count := await resting(self._engine.do(purge)):
            self._metrics.deleted_orders(kind, count)

    async def _left(self, before: int, now: int) -> None:
        """Report sources that left the settings while messages wait, and delete what waited for months."""
        await self._each("message", partial(purge_left, self._sources, before, MOST, now))
        names = await present_names(self._engine)
        for source, count in (await backlogs(self._engine)).items():
            if source not in self._sources:
                get_logger().warning(SOURCE_GONE, source=names.get(source, source), count=count)

    async def _orders(self, before: int, now: int) -> None:
        after, matched = OldOrder(0, 0), None
        while found := await resting(old_orders(self._engine, before, after, MOST)):
            after = found[-1]
            matched = await matched_orders(self._engine) if matched is None else matched
            free = [one.number for one in found if one.is_free and one.number not in matched]
            if free:
                count = await resting(self._engine.do(partial(purge_orders, free, before, now)))
                self._metrics.deleted_orders("order", count)


EVERY: Final = 10.0  # seconds between two looks
NO_NAMES: Final[Mapping[str, str]] = MappingProxyType({})
_RECENT: Final = timedelta(days=1)


class OrderLoops:
    """All loops for hospital messages; `trouble` and `merge_trouble` are alert codes, or empty; `about` says of what.

    `first_names` are those under which the store knows renamed sources, by their present ones.

    Raises:
        ConfigError: a faulty source.
    """

    def __init__(
        self, configuration: Configuration, engine: Engine, metrics: Metrics, first_names: Mapping[str, str] = NO_NAMES
    ) -> None:
        self._sources = [one.as_stored(first_names) for one in sources_of(configuration)]
        self._authorities = Authorities(configuration.site)
        self._engine, self._metrics = engine, metrics
        self.trouble = self.merge_trouble = self.about = ""

    def loops(self) -> list[Coroutine[Any, Any, None]]:
        """Return the loops of the sources; without any source, only the deletion."""
        made = [OrderRetention(self._engine, self._metrics, [one.stored_name for one in self._sources]).run()]
        for source in self._sources:
            made += self._of(source)
        if self._sources:
            made.append(forever(self.look, EVERY, not_done="orders-not-counted"))
            rules = {source.stored_name: source.rules for source in self._sources}
            made.append(OrderKeys(self._engine, self._authorities, rules).run())
        return made

    async def look(self) -> None:
        """Count waiting messages, and note trouble: a failed message, nobody applying, or one held within the last day.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        waiting = await backlogs(self._engine)
        for source in self._sources:
            self._metrics.waiting_orders(source.name, waiting.pop(source.stored_name, 0))
        state, self.about = await trouble_of(self._engine, micros(clock.now() - _RECENT))
        self.trouble = f"order-message-{state}" if state else ""
        if waiting and state != "failed":
            self.trouble, self.about = SOURCE_GONE, ", ".join(f"{count} of {name}" for name, count in waiting.items())
        left = await left_merges(self._engine, micros(clock.now() - _RECENT))
        self.merge_trouble = NOT_READ if left else ""

    def _of(self, source: HospitalSource) -> list[Coroutine[Any, Any, None]]:
        applying = Applying(source, self._authorities, self._engine, self._metrics)
        return [source_listener(source, self._engine, self._metrics).run(), applying.run()]
