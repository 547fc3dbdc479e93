"""Settings that are in force as though they always had been: no change of them makes a plan."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from gateway.destinations import Destination
from gateway.destinations.filter import Ignore
from gateway.pipeline.in_force import wanted
from gateway.store.engine import Engine
from gateway.store.in_force import in_force_of, plan_made, put_in_force


async def always_in_force(
    engine: Engine, destinations: Iterable[Destination], ignores: tuple[Ignore, ...] = (), *, changes: bool = True
) -> None:
    """Have the settings of destinations in force since 1970; without `changes` where none are."""
    for one in destinations:
        own, known = wanted(one.terms, ignores), await in_force_of(engine, one.name)
        if known is not None and (not changes or (known.digest, known.planned is None) == (own.digest, False)):
            continue
        standing = await engine.do(partial(put_in_force, None, own, 1, since=0))
        await engine.do(partial(plan_made, None, standing.number, 1))
