"""Delete what hospitals sent once it serves no more: messages after days, orders and visits after months.

Carries out no clause of a standard; decision D48: messages are kept 7 days, orders that no study has 90 days after they
were last heard of, and matched ones as long as their study. What waits of a source without settings has 90 days, too.
Proved by tests/contract/test_order_retention.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from functools import partial
from typing import Final

from gateway.runtime import clock
from gateway.runtime.log import get_logger
from gateway.runtime.loops import forever, resting
from gateway.runtime.metrics import Metrics
from gateway.store.database.engine import Engine, Steps, micros
from gateway.store.orders.inbound import backlogs, present_names
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

EVERY: Final = 3_600.0  # seconds
SOURCE_GONE: Final = "order-source-gone"
MESSAGES: Final = timedelta(days=7)
ORDERS: Final = timedelta(days=90)
_ORDERS_EVERY: Final = timedelta(days=1)  # it looks at every old order
MOST: Final = 50  # rows of one transaction, since messages that arrive wait for it


class OrderRetention:
    """Hourly deletion of what hospitals sent; also after all sources were taken out of the settings.

    `sources` are those of the settings by their first names: what waits of others is reported, and deleted last of all.
    """

    def __init__(self, engine: Engine, metrics: Metrics, sources: Collection[str]) -> None:
        self._engine, self._metrics, self._sources = engine, metrics, sources
        self._next_orders = clock.now()

    async def run(self) -> None:
        """Delete what is old every hour, until cancelled."""
        await forever(self.once, EVERY, not_done="orders-not-deleted")

    async def once(self) -> None:
        """Delete what is old.

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
        """Repeat a batch until nothing is left."""
        while count := await resting(self._engine.do(purge)):
            self._metrics.deleted_orders(kind, count)

    async def _left(self, before: int, now: int) -> None:
        """Report sources that are in no settings although messages of them wait, and delete what waited for months."""
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
