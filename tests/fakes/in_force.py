"""Settings in force as if they always had been: a change makes no plan."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from gateway.feed.plan.planner import Planner, apply_plan
from gateway.ingest.settings_in_force import wanted
from gateway.routing import Destination
from gateway.routing.filter import Ignore
from gateway.settings.feed import Feed
from gateway.store.database.engine import Engine
from gateway.store.feed.leases import Leases
from gateway.store.feed.plans import in_force_of, plan_made, plan_rows, put_in_force


async def always_in_force(
    engine: Engine, destinations: Iterable[Destination], ignores: tuple[Ignore, ...] = (), *, changes: bool = True
) -> None:
    """Put the settings of destinations in force since 1970; without `changes` only where none are in force."""
    for one in destinations:
        own, known = wanted(one.terms, ignores), await in_force_of(engine, one.name)
        if known is not None and (not changes or (known.digest, known.planned is None) == (own.digest, False)):
            continue
        standing = await engine.do(partial(put_in_force, None, own, 1, since=0))
        await engine.do(partial(plan_made, None, standing.number, 1))


async def plan_applied(engine: Engine, destination: Destination) -> None:
    """Put the settings of a destination in force, and apply their plan as an operator does."""
    leases = Leases(engine, "planner", 6.0)
    lease = await leases.take(destination.name)
    assert lease is not None
    await Planner(engine, destination, (), Feed(unasked_messages=0)).begin(lease)
    await leases.give_back(lease)
    await apply_plan(engine, destination.name, await plan_rows(engine, destination.name))
