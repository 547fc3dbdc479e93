"""Loops of the room: a listener and an applying loop for each source, a count of what waits, and the deletion.

Carries out no clause of a standard; decision D48.
Proved by tests/keeping_up/test_killed_inbox.py.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Final

from gateway.ingest.orders.apply import Applying
from gateway.ingest.orders.inbox import source_listener
from gateway.ingest.orders.retention import OrderRetention
from gateway.ingest.orders.sources import HospitalSource, sources_of
from gateway.runtime.loops import forever
from gateway.runtime.metrics import Metrics
from gateway.settings import Configuration
from gateway.store.database.engine import Engine
from gateway.store.orders.inbound import backlog
from mappings.hospital.authorities import Authorities

EVERY: Final = 10.0  # seconds between two counts of what waits


def order_loops(configuration: Configuration, engine: Engine, metrics: Metrics) -> list[Coroutine[Any, Any, None]]:
    """Return the loops of the sources of the settings, and the deletion of what is old.

    Raises:
        ConfigError: a faulty source.
    """
    sources, authorities = sources_of(configuration), Authorities(configuration.site)
    loops = [OrderRetention(engine, metrics).run()]
    for source in sources:
        loops.append(source_listener(source, engine, metrics).run())
        loops.append(Applying(source, authorities, engine, metrics).run())
    if sources:
        loops.append(_counting(sources, engine, metrics))
    return loops


async def _counting(sources: Sequence[HospitalSource], engine: Engine, metrics: Metrics) -> None:
    async def once() -> None:
        for source in sources:
            metrics.waiting_orders(source.name, (await backlog(engine, source.name))[0])

    await forever(once, EVERY, not_done="orders-not-counted")
