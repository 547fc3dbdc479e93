"""`feed pause`, `feed resume`, `feed retire`: stop, restart or close a destination, or free a study that waits.

Carries out no clause of a standard; decisions D13, D31, D32. Messages of a paused destination are composed and queued.
Of a retired one, nothing is sent, and nothing is deleted.
Proved by tests/gateway/cli/test_feed.py and tests/gateway/feed/operator/test_retiring.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from gateway.feed.operator.arguments import (
    CommandAnswer,
    Foreseen,
    RefusedCommand,
    Say,
    counted,
    destination_named,
    id_of,
    wrong,
)
from gateway.ingest.assembly import store_for_command
from gateway.ingest.settings_in_force import SettingsInForce, wanted
from gateway.routing import InForce, routes_of
from gateway.runtime import clock
from gateway.runtime.command_words import HeldAs
from gateway.runtime.progress import through
from gateway.settings import Configuration
from gateway.store.database import locks
from gateway.store.database.engine import Engine, Steps, ask, micros
from gateway.store.database.facts import noted
from gateway.store.feed.destinations import ClosedWork, StillServed, known, now_called, retired, seen_there
from gateway.store.feed.lanes import FreedLane, close_breaker, release_lane
from gateway.store.feed.leases import PAUSED, lock_destination, paused
from gateway.store.feed.ledger import held_for, stock
from gateway.store.feed.messages import IN_DOUBT, REFUSED
from gateway.store.feed.outbox import ToSend, to_send, tried
from gateway.store.feed.plans import WantedSettings, plan_made, put_in_force
from gateway.store.feed.restoring import also_paused, paused_beside, resume_overridden, rows_held_for
from gateway.store.feed.states import BREAKER_REASONS, FOR_NOW, HOLD_FEED, MAY_HAVE_BEEN_SENT, RESTORED

_HELD_AS: Final[dict[str, tuple[str, ...]]] = {"refused": (REFUSED, FOR_NOW), "indeterminate": (IN_DOUBT,)}


@dataclass(frozen=True, slots=True)
class Paused(CommandAnswer):
    """Answer of `feed pause`; `first` is the reason of an earlier pause that goes on (then not `is_new`)."""

    name: str
    is_new: bool
    first: str

    def lines(self) -> Iterator[str]:
        """Yield the lines about what the destination does now."""
        if self.first:
            yield f"{self.name} is paused as {self.first}, and stays paused for your reason after that"
        elif self.is_new:
            yield f"{self.name} is paused: messages are made and wait"
        else:
            yield f"{self.name} was paused already, and stays so"


async def pause(engine: Engine, configuration: Configuration, name: str, reason: str) -> Paused:
    """Stop sending to a destination from the next message on.

    Raises:
        ConfigError: no such destination.
        StoreUnavailable: the store cannot be reached.
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

    return Paused(name, *(await engine.do(work)))


@dataclass(frozen=True, slots=True)
class Resumed(CommandAnswer):
    """Answer of `feed resume`: the destination sends again, or `stays_paused`; `held` counts its held studies."""

    name: str
    was_paused: bool
    stays_paused: str
    held: int

    def lines(self) -> Iterator[str]:
        """Yield the lines about what the destination does now, and what is still held."""
        name = self.name
        if self.stays_paused:
            again = f"another `feed resume {name}` resumes sending"
            yield f"{name} stays paused, as it was before: {self.stays_paused}; {again}"
            return
        yield f"{name} is sent to again" if self.was_paused else f"{name} was not paused"
        if self.held:
            yield f"still held: {counted(self.held, 'study')}; `feed resume {name} --study ID` lets one go on"


async def foresee_resume(engine: Engine, configuration: Configuration, name: str) -> Foreseen | RefusedCommand:
    """Count the messages that would be sent if a destination were resumed; refused if it is paused as `restored`.

    Raises:
        ConfigError: no such destination.
        StoreUnavailable: the store cannot be reached.
    """
    destination_named(configuration, name, enabled=False)
    if (paused_as := await _paused_as(engine, name)) == RESTORED:
        return _restored(name)
    agreed = await engine.do(partial(_pauses, name))
    stays = await engine.do(partial(paused_beside, name))
    amount = await tried(engine, partial(to_send, name)) if paused_as and not stays else ToSend()
    return Foreseen(amount, agreed=agreed)


def _pauses(name: str) -> Steps[str]:
    """Return in words why a destination is paused, and what pauses it after that."""
    rows = yield from ask(PAUSED, name=name)
    stays = yield from paused_beside(name)
    return f"paused as {str(rows[0][0]) if rows else ''!r}, then {stays!r}"


async def resume(
    engine: Engine, configuration: Configuration, name: str, reason: str, agreed: str | None = None
) -> Resumed | RefusedCommand:
    """Resume sending to a destination; held studies stay held. Refused if it is paused as `restored`.

    Refused, too, if it is paused otherwise by now than the operator `agreed` to resume.

    Raises:
        ConfigError: no such destination.
        StoreUnavailable: the store cannot be reached.
    """
    destination_named(configuration, name, enabled=False)
    now = micros(clock.now())

    def work() -> Steps[str | None]:
        yield from lock_destination(name)
        if agreed is not None and (yield from _pauses(name)) != agreed:
            return None
        yield from noted("feed-resume", name, reason, now)
        if (yield from close_breaker(name, now)):
            return ""
        return (yield from resume_overridden(name, now))

    if (paused_as := await _paused_as(engine, name)) == RESTORED:
        return _restored(name)
    still = await engine.do(work)
    if still is None:
        return RefusedCommand((f"{name} is paused otherwise by now: nothing is done. Look at it, and try again",))
    return Resumed(name, bool(paused_as), still, (await stock(engine, name, 0)).lane_count)


async def _paused_as(engine: Engine, name: str) -> str:
    return next((str(one) for (one,) in await engine.fetch(PAUSED, name=name)), "")


def _restored(name: str) -> RefusedCommand:
    return RefusedCommand(
        (
            f"{name} is paused as restored: `feed resume {name} --restored` replays the journal of what was sent;",
            "without a journal, `serve --hold-feed --restored-from INSTANT` holds what may have been sent",
        )
    )


@dataclass(frozen=True, slots=True)
class HeldWork:
    """Held studies of a destination: one study, or all held for a reason.

    `is_corrected`: the chart of the former patient was corrected by hand, so nothing is withdrawn there.
    """

    name: str
    study_id: str | None = None
    held_as: HeldAs | None = None
    is_corrected: bool = False

    async def study_ids(self, engine: Engine) -> list[str]:
        """Return the ids of the held studies."""
        if self.held_as is None:
            return [id_of(self.study_id or "")]
        reasons = _HELD_AS.get(self.held_as, (self.held_as,))
        lanes = [one for held in reasons for one in await held_for(engine, self.name, held)]
        return sorted({*lanes, *await rows_held_for(engine, self.name, self.held_as)})


@dataclass(frozen=True, slots=True)
class ReleasedStudy:
    """Study released at a destination, with the counts of its messages."""

    study_id: str
    freed: FreedLane


@dataclass(frozen=True, slots=True)
class Released(CommandAnswer):
    """Answer of `feed resume` for held studies that were released."""

    work: HeldWork
    studies: tuple[ReleasedStudy, ...]

    @property
    def exit_code(self) -> int:
        """1 if nothing was held."""
        is_one = self.work.held_as is None
        return int(not self.studies or (is_one and self.studies[0].freed.is_nothing))

    def lines(self) -> Iterator[str]:
        """Yield what happens to the messages of each study."""
        name, held_as, count = self.work.name, self.work.held_as, len(self.studies)
        yield from (_released_line(one, name) for one in self.studies)
        if held_as is not None:
            yield f"{counted(count, 'study')} went on" if count else f"no study is held at {name} as {held_as}"


async def foresee_release(engine: Engine, configuration: Configuration, work: HeldWork) -> Foreseen:
    """Count the messages that would be sent if held studies were released.

    Raises:
        ConfigError: no such destination.
        StoreUnavailable: the store cannot be reached.
    """
    destination_named(configuration, work.name, enabled=False)
    would, study_ids = ToSend(), await work.study_ids(engine)
    for study_id in study_ids:
        would += await _would_go(engine, work.name, study_id, is_corrected=work.is_corrected)
    return Foreseen(would, studies=dict.fromkeys(study_ids))


async def release(
    engine: Engine,
    configuration: Configuration,
    work: HeldWork,
    reason: str,
    studies: Collection[str] | None = None,
) -> Released:
    """Release held studies at a destination; `studies` are those that the operator agreed to.

    Raises:
        ConfigError: no such destination.
        StoreUnavailable: the store cannot be reached.
    """
    destination_named(configuration, work.name, enabled=False)
    study_ids = await work.study_ids(engine) if studies is None else studies
    released = [ReleasedStudy(one, await _let_go(engine, work, one, reason)) for one in through("resume", study_ids)]
    return Released(work, tuple(released))


@dataclass(frozen=True, slots=True)
class LeftStudies(CommandAnswer):
    """Studies whose messages were closed since the receiver has them, with counts of rows and messages."""

    name: str
    study_id: str | None
    studies: Mapping[str, tuple[int, int]]

    @property
    def exit_code(self) -> int:
        """1 if none was held for that reason."""
        return int(not self.studies)

    def lines(self) -> Iterator[str]:
        """Yield the counts of each study."""
        for held_id, (rows, messages) in self.studies.items():
            closed = f"{counted(rows, 'row')} and {counted(messages, 'message')}"
            yield f"{held_id} goes on at {self.name}: {closed} left unsent, since they are there"
        if not self.studies:
            yield f"nothing of {self.study_id or 'any study'} is held at {self.name} as {MAY_HAVE_BEEN_SENT}"


async def leave(  # noqa: PLR0913 (what leaving is)
    engine: Engine, configuration: Configuration, name: str, study_id: str | None, reason: str, *, dry_run: bool = False
) -> LeftStudies:
    """Close a study's messages that may have been sent, since an operator saw them at the receiver.

    With `dry_run` they are only counted.

    Raises:
        ConfigError: no such destination.
        StoreUnavailable: the store cannot be reached.
    """
    destination_named(configuration, name, enabled=False)
    now, do = micros(clock.now()), partial(tried, engine) if dry_run else engine.do
    study_ids = await HeldWork(name, held_as=MAY_HAVE_BEEN_SENT).study_ids(engine)
    if study_id is not None:
        study_ids = [held_id for held_id in study_ids if held_id == id_of(study_id)]
    seen = through("leave", study_ids)
    left = {one: await do(partial(seen_there, name, one, reason, now)) for one in seen}
    return LeftStudies(name, study_id, left)


async def _would_go(engine: Engine, name: str, study_id: str, *, is_corrected: bool = False) -> ToSend:
    """Count the messages that releasing a study would send; 0 if nothing of it is held."""
    now = micros(clock.now())

    def work() -> Steps[ToSend]:
        freed = yield from release_lane(name, study_id, now, is_corrected=is_corrected)
        return ToSend() if freed.is_nothing else (yield from to_send(name, study_id))

    return await tried(engine, work)


async def _let_go(engine: Engine, held: HeldWork, study_id: str, reason: str) -> FreedLane:
    """Release a study, and write that to the audit."""
    now = micros(clock.now())
    verb = "feed-resume-chart-corrected" if held.is_corrected else "feed-resume"

    def work() -> Steps[FreedLane]:
        yield from noted(verb, f"{held.name} {study_id}", reason, now)
        return (yield from release_lane(held.name, study_id, now, is_corrected=held.is_corrected))

    return await engine.do(work)


def _released_line(released: ReleasedStudy, name: str) -> str:
    freed = released.freed
    if freed.is_nothing:
        return f"nothing of {released.study_id} is held at {name}"
    counts = {
        "queued again": freed.queued,
        "in doubt and sent again": freed.sent_again,
        "superseded by what was sent since": freed.superseded,
        "given up": freed.given_up,
        "to be made": freed.waiting,
    }
    parts = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"{released.study_id} goes on at {name}: {parts}"


async def retire(configuration: Configuration, name: str, reason: str, say: Say) -> int:
    """Close all open work of a destination for good; return 1 while another process still sends there.

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
    """Close all open work of a destination, and let nothing new be queued for it.

    Raises:
        StillServed: another process sends there.
        StoreUnavailable: the store cannot be reached.
    """
    off = _owed_nothing(await SettingsInForce(engine).current(), name)
    return await engine.do(partial(_retired, name, reason, off, micros(clock.now()), await engine.now()))


def _owed_nothing(in_force: InForce, name: str) -> WantedSettings | None:
    """Return settings that owe a destination nothing, no moves either; None if none were ever in force."""
    revisions = in_force.revisions.get(name)
    if not revisions:
        return None
    return wanted(replace(revisions[-1].terms, is_enabled=False, moves_merges=False), revisions[-1].ignores)


def _retired(name: str, reason: str, off: WantedSettings | None, now: int, at: int) -> Steps[ClosedWork]:
    """Close open work and put settings in force that queue nothing new, while nothing is ingested."""
    yield from locks.take_alone()
    closed = yield from retired(name, reason, now, at)
    if off is not None:
        standing = yield from put_in_force(None, off, now)
        yield from plan_made(None, standing.number, now)
    return closed
