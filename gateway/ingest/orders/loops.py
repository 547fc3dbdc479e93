"""Loops of the room: a listener and an applying loop for each source, a watch over all, the numbers, and the deletion.

Carries out no clause of a standard; decision D48.
Proved by tests/keeping_up/test_killed_inbox.py and tests/gateway/ingest/orders/test_loops.py.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from gateway.ingest.orders.apply import Applying
from gateway.ingest.orders.inbox import source_listener
from gateway.ingest.orders.rekeying import NOT_READ, OrderKeys
from gateway.ingest.orders.retention import SOURCE_GONE, OrderRetention
from gateway.ingest.orders.sources import HospitalSource, sources_of
from gateway.runtime import clock
from gateway.runtime.loops import forever
from gateway.runtime.metrics import Metrics
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, micros
from gateway.store.orders.hospital import left_merges
from gateway.store.orders.inbound import backlogs, trouble_of
from mappings.hospital.authorities import Authorities

EVERY: Final = 10.0  # seconds between two looks
NO_NAMES: Final[Mapping[str, str]] = MappingProxyType({})
_RECENT: Final = timedelta(days=1)


class OrderLoops:
    """Everything that works on hospitals' messages; `trouble` and `merge_trouble` are codes of alerts, or empty.

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
        self.trouble = self.merge_trouble = ""

    def loops(self) -> list[Coroutine[Any, Any, None]]:
        """Return the loops of the sources; without sources only the deletion of what is old."""
        made = [OrderRetention(self._engine, self._metrics, [one.stored_name for one in self._sources]).run()]
        for source in self._sources:
            made += self._of(source)
        if self._sources:
            made.append(forever(self.look, EVERY, not_done="orders-not-counted"))
            rules = {source.stored_name: source.rules for source in self._sources}
            made.append(OrderKeys(self._engine, self._authorities, rules).run())
        return made

    async def look(self) -> None:
        """Count what waits, and note if a message failed, nobody applies it, or it was held within the last day.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        waiting = await backlogs(self._engine)
        for source in self._sources:
            self._metrics.waiting_orders(source.name, waiting.pop(source.stored_name, 0))
        state = await trouble_of(self._engine, micros(clock.now() - _RECENT))
        self.trouble = f"order-message-{state}" if state else ""
        if waiting and state != "failed":
            self.trouble = SOURCE_GONE
        left = await left_merges(self._engine, micros(clock.now() - _RECENT))
        self.merge_trouble = NOT_READ if left else ""

    def _of(self, source: HospitalSource) -> list[Coroutine[Any, Any, None]]:
        applying = Applying(source, self._authorities, self._engine, self._metrics)
        return [source_listener(source, self._engine, self._metrics).run(), applying.run()]
