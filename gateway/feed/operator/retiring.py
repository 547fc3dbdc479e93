"""`feed retire`: close everything unsent for a destination removed from the settings, and record the reason.

Carries out no clause of a standard; decision D31. Nothing is sent, and nothing is deleted.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from gateway.feed.operator.arguments import Say, counted, wrong
from gateway.ingest.assembly import store_for_command
from gateway.ingest.settings_in_force import SettingsInForce, wanted
from gateway.routing import routes_of
from gateway.runtime import clock
from gateway.settings import Configuration
from gateway.store.database.engine import Engine
from gateway.store.database.instants import micros
from gateway.store.feed.in_force import plan_made, put_in_force
from gateway.store.feed.leaving import StillServed, known, retired
from gateway.store.feed.renaming import now_called


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
        work = partial(retired, name, reason, micros(clock.now()), await engine.now())
        try:
            closed = await engine.do(work)
            await _put_off(engine, name)
        except StillServed:
            say(f"{name} is served by a gateway with other settings: stop or restart that gateway, and try again")
            return 1
    say(f"{name} is retired: {counted(closed.untold, 'report')} not made, {counted(closed.unsent, 'message')} not sent")
    if closed.in_doubt:
        say(f"{counted(closed.in_doubt, 'message')} may have arrived there; the ledger goes on saying so")
    return 0


async def _put_off(engine: Engine, name: str) -> None:
    """Put settings in force under which the destination is owed nothing, so that nothing new is queued for it."""
    revisions = (await SettingsInForce(engine).current()).revisions.get(name)
    if revisions:
        terms = replace(revisions[-1].terms, is_enabled=False, moves_merges=False)
        off = wanted(terms, revisions[-1].ignores)
        standing = await engine.do(partial(put_in_force, None, off, micros(clock.now())))
        await engine.do(partial(plan_made, None, standing.number, micros(clock.now())))
