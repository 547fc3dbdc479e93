"""`feed pause`, `feed resume`: stop or restart sending to a destination, or send a study that waits for an operator.

Carries out no clause of a standard; decisions D13, D32. Messages of a paused destination are composed and queued.
Proved by tests/gateway/cli/test_feed.py and tests/gateway/cli/test_restored.py.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from gateway.feed.operator.arguments import Say, counted, destination_named, id_of
from gateway.feed.operator.preview import Consent, is_agreed
from gateway.ingest.assembly import store_for_command
from gateway.runtime import clock
from gateway.runtime.words import HeldAs
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, Steps, ask, micros
from gateway.store.database.operator_acts import noted
from gateway.store.feed.destinations import seen_there
from gateway.store.feed.lanes import FreedLane, close_breaker, release_lane
from gateway.store.feed.leases import PAUSED, paused
from gateway.store.feed.ledger import held_for, stock
from gateway.store.feed.messages import IN_DOUBT, REFUSED
from gateway.store.feed.outbox import ToSend, to_send, tried
from gateway.store.feed.restoring import also_paused, paused_beside, resume_overridden, rows_held_for
from gateway.store.feed.states import BREAKER_REASONS, FOR_NOW, HOLD_FEED, MAY_HAVE_BEEN_SENT, RESTORED

_HELD_AS: Final[dict[str, tuple[str, ...]]] = {"refused": (REFUSED, FOR_NOW), "indeterminate": (IN_DOUBT,)}


async def pause(configuration: Configuration, name: str, reason: str, say: Say) -> int:
    """Stop sending to a destination from the next message on; always return 0.

    Raises:
        ConfigError: no destination has that name.
    """
    destination_named(configuration, name, enabled=False)
    now = micros(clock.now())

    def work() -> Steps[tuple[bool, str]]:
        yield from noted("feed-pause", name, reason, now)
        own = f"by hand: {reason}" if reason in {*BREAKER_REASONS, RESTORED, HOLD_FEED} else reason
        if (yield from paused(name, own, now)):
            return True, ""
        ((was,),) = yield from ask(PAUSED, name=name)
        if was in {RESTORED, HOLD_FEED}:  # ending that pause must not end the operator's own
            yield from also_paused(name, own)
            return False, str(was)
        return False, ""

    async with store_for_command(configuration) as engine:
        is_new, first = await engine.do(work)
    if first:
        say(f"{name} is paused as {first}, and stays paused for your reason after that")
        return 0
    say(f"{name} is paused: messages are made and wait" if is_new else f"{name} was paused already, and stays so")
    return 0


async def resume(configuration: Configuration, name: str, reason: str, consent: Consent, say: Say) -> int:
    """Resume sending to a destination; held studies stay held.

    Return 1 if it is paused as `restored`, or if the operator declined.

    Raises:
        ConfigError: no destination has that name, or consent to send was not given.
    """
    destination_named(configuration, name, enabled=False)
    now = micros(clock.now())

    def work() -> Steps[str]:
        yield from noted("feed-resume", name, reason, now)
        if (yield from close_breaker(name, now)):
            return ""
        return (yield from resume_overridden(name, now))

    async with store_for_command(configuration, writes=not consent.dry_run) as engine:
        paused_as = next((str(one) for (one,) in await engine.fetch(PAUSED, name=name)), "")
        if paused_as == RESTORED:
            say(f"{name} is paused as restored: `feed resume {name} --restored` replays the journal of what was sent;")
            say("without a journal, `serve --hold-feed --restored-from INSTANT` holds what may have been sent")
            return 1
        stays = bool(await engine.do(partial(paused_beside, name)))
        would = await tried(engine, partial(to_send, name)) if paused_as and not stays else ToSend()
        if not is_agreed(would, name, consent, say):
            return int(not consent.dry_run)
        still = await engine.do(work)
        lanes = (await stock(engine, name, 0)).lane_count
    if still:
        say(f"{name} stays paused, as it was before: {still}; another `feed resume {name}` resumes sending")
        return 0
    say(f"{name} is sent to again" if paused_as else f"{name} was not paused")
    if lanes:
        say(f"still held: {counted(lanes, 'study')}; `feed resume {name} --study ID` lets one go on")
    return 0


async def resume_study(  # noqa: PLR0913, PLR0917 (the command's arguments)
    configuration: Configuration,
    name: str,
    study_id: str,
    reason: str,
    consent: Consent,
    say: Say,
    *,
    is_corrected: bool,
) -> int:
    """Release one held study at a destination; return 1 if nothing of it was held, or the operator declined.

    `is_corrected`: the chart of the former patient was corrected by hand, so nothing is withdrawn there.

    Raises:
        ConfigError: no destination has that name, or consent to send was not given.
    """
    destination_named(configuration, name, enabled=False)
    study_id = id_of(study_id)
    async with store_for_command(configuration, writes=not consent.dry_run) as engine:
        would = await _would_go(engine, name, study_id, is_corrected=is_corrected)
        if not is_agreed(would, name, consent, say):
            return int(not consent.dry_run)
        return 0 if await _let_go(engine, name, study_id, reason, say, is_corrected=is_corrected) else 1


async def resume_held(  # noqa: PLR0913, PLR0917 (the command's arguments)
    configuration: Configuration, name: str, held_as: HeldAs, reason: str, consent: Consent, say: Say
) -> int:
    """Release all studies held at a destination for that reason; return 1 if there are none, or the operator declined.

    Raises:
        ConfigError: no destination has that name, or consent to send was not given.
    """
    destination_named(configuration, name, enabled=False)
    async with store_for_command(configuration, writes=not consent.dry_run) as engine:
        lanes = [one for held in _HELD_AS.get(held_as, (held_as,)) for one in await held_for(engine, name, held)]
        study_ids = sorted({*lanes, *await rows_held_for(engine, name, held_as)})
        would = ToSend()
        for study_id in study_ids:
            would += await _would_go(engine, name, study_id)
        if not is_agreed(would, name, consent, say):
            return int(not consent.dry_run)
        for study_id in study_ids:
            await _let_go(engine, name, study_id, reason, say)
    say(f"{counted(len(study_ids), 'study')} went on" if study_ids else f"no study is held at {name} as {held_as}")
    return 0 if study_ids else 1


async def leave(configuration: Configuration, name: str, study_id: str | None, reason: str, say: Say) -> int:
    """Close messages that may have been sent, since the receiver has them; return 1 if none is held for that reason.

    `study_id` limits this to one study.

    Raises:
        ConfigError: no destination has that name.
    """
    destination_named(configuration, name, enabled=False)
    now = micros(clock.now())
    async with store_for_command(configuration) as engine:
        lanes = await held_for(engine, name, MAY_HAVE_BEEN_SENT)
        study_ids = sorted({*lanes, *await rows_held_for(engine, name, MAY_HAVE_BEEN_SENT)})
        if study_id is not None:
            study_ids = [held_id for held_id in study_ids if held_id == id_of(study_id)]
        for held_id in study_ids:
            rows, messages = await engine.do(partial(seen_there, name, held_id, reason, now))
            close_breaker = f"{counted(rows, 'row')} and {counted(messages, 'message')}"
            say(f"{held_id} goes on at {name}: {close_breaker} left unsent, since they are there")
    if not study_ids:
        say(f"nothing of {study_id or 'any study'} is held at {name} as {MAY_HAVE_BEEN_SENT}")
    return 0 if study_ids else 1


async def _would_go(engine: Engine, name: str, study_id: str, *, is_corrected: bool = False) -> ToSend:
    """Count the messages that would be sent if a study were released; nothing if nothing of it is held."""
    now = micros(clock.now())

    def work() -> Steps[ToSend]:
        freed = yield from release_lane(name, study_id, now, is_corrected=is_corrected)
        return ToSend() if freed.is_nothing else (yield from to_send(name, study_id))

    return await tried(engine, work)


async def _let_go(  # noqa: PLR0913 (the command's arguments)
    engine: Engine, name: str, study_id: str, reason: str, say: Say, *, is_corrected: bool = False
) -> bool:
    """Release a study and print what happens to its messages; return False if nothing of it was held."""
    now = micros(clock.now())
    verb = "feed-resume-chart-corrected" if is_corrected else "feed-resume"

    def work() -> Steps[FreedLane]:
        yield from noted(verb, f"{name} {study_id}", reason, now)
        return (yield from release_lane(name, study_id, now, is_corrected=is_corrected))

    freed = await engine.do(work)
    if freed.is_nothing:
        say(f"nothing of {study_id} is held at {name}")
        return False
    counts = {
        "queued again": freed.queued,
        "in doubt and sent again": freed.sent_again,
        "superseded by what was sent since": freed.superseded,
        "given up": freed.given_up,
        "to be made": freed.waiting,
    }
    parts = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    say(f"{study_id} goes on at {name}: {parts}")
    return True
