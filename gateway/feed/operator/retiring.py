"""`feed retire`: close everything unsent for a destination removed from the settings, and record the reason.

Carries out no clause of a standard; decision D31. Nothing is sent, and nothing is deleted.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from gateway.feed.operator.arguments import Say, counted, wrong
from gateway.ingest.assembly import store_for_command
from gateway.ingest.settings_in_force import SettingsInForce, wanted
from gateway.routing import InForce, routes_of
from gateway.runtime import clock
from gateway.settings import Configuration
from gateway.store.database import locks
from gateway.store.database.engine import Engine, Steps, micros
from gateway.store.feed.destinations import ClosedWork, StillServed, known, now_called, retired
from gateway.store.feed.plans import WantedSettings, plan_made, put_in_force


async def retire(configuration: Configuration, name: str, reason: str, say: Say) -> int:
    """Close what is open for a destination; return 1 while another process still sends there.

    Raises:
        ConfigError: it is in the settings and enabled, the database does not know it, or there is no reason.
    """
    if any(one.name == name and one.is_enabled for one in routes_of(configuration).destinations):
        remedy = "Remove its [[destination]] table, or write enabled = false, and restart the gateway."
        raise wrong(name, "this destination is in the settings", remedy)
    for destination in routes_of(configuration).destinations:
        if destination.formerly == name:
            raise wrong(name, f"this destination is called {destination.name} since", "Write that name.")
    if not reason.strip():
        raise wrong("--reason", "empty", "Write why the open messages are not sent any more: the reason is kept.")
    async with store_for_command(configuration, writes=False) as engine:  # so that no destination is renamed here
        if name_now := await now_called(engine, name):
            raise wrong(name, f"this destination is called {name_now} since", "Write that name.")
        names = await known(engine)
        if name not in names:
            remedy = f"It knows {', '.join(names) or 'none'}."
            raise wrong(name, "the database knows no destination of this name", remedy)
        try:
            closed = await close(engine, name, reason)
        except StillServed:
            say(f"{name} is served by a gateway with other settings: stop or restart that gateway, and try again")
            return 1
    say(f"{name} is retired: {counted(closed.untold, 'report')} not made, {counted(closed.unsent, 'message')} not sent")
    if closed.in_doubt:
        say(f"{counted(closed.in_doubt, 'message')} may have arrived there; the ledger goes on saying so")
    return 0


async def close(engine: Engine, name: str, reason: str) -> ClosedWork:
    """Close what is open for a destination, and let nothing new be queued for it.

    Raises:
        StillServed: another process sends there.
        StoreUnavailable: the store cannot be reached.
    """
    off = _owed_nothing(await SettingsInForce(engine).current(), name)
    return await engine.do(partial(_retired, name, reason, off, micros(clock.now()), await engine.now()))


def _owed_nothing(in_force: InForce, name: str) -> WantedSettings | None:
    """Return settings under which a destination is owed nothing, a move neither; None if none ever were in force."""
    revisions = in_force.revisions.get(name)
    if not revisions:
        return None
    return wanted(replace(revisions[-1].terms, is_enabled=False, moves_merges=False), revisions[-1].ignores)


def _retired(name: str, reason: str, off: WantedSettings | None, now: int, at: int) -> Steps[ClosedWork]:
    """Close what is open, and put settings in force under which nothing new is queued, while nobody ingests."""
    yield from locks.take_alone()
    closed = yield from retired(name, reason, now, at)
    if off is not None:
        standing = yield from put_in_force(None, off, now)
        yield from plan_made(None, standing.number, now)
    return closed
