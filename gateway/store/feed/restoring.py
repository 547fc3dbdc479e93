"""A database that is older than what was sent: how it is known, and what a journal says of it is written down again.

Carries out no clause of a standard; decision D38. A journal counts its batches, and the database how many of each
journal it has heard of: where it has heard of fewer than before, it was put back. So it was where it does not know that
a message was claimed which the journal has.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement, Steps, ask, ask_each
from gateway.store.feed.holding import freed, hold
from gateway.store.feed.leases import PAUSED, locked, resumed
from gateway.store.feed.messages import NEVER, NUMBER_SENT, REFUSED
from gateway.store.feed.resending import USUAL, Resend, numbered
from gateway.store.feed.states import BREAKER_REASONS, HOLD_FEED, MAY_HAVE_BEEN_SENT, RESTORED

EPOCH: Final = "feed-epoch"
_BATCHES: Final = "feed-journal:"
_BEHIND_BATCHES: Final = "feed-journal;"  # the first name behind all that begin so
_HEARD: Final = Statement("SELECT name, value FROM fact WHERE name >= :first AND name < :last")
_HEAR: Final = Statement(
    "INSERT INTO fact (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
_LAST: Final = Statement("SELECT coalesce(max(number), 0) FROM message")
_NAMES: Final = Statement("SELECT name FROM destination WHERE name > :after ORDER BY name LIMIT :most")
_CLAIMED: Final = Statement(
    "SELECT control_id FROM message WHERE destination = :destination AND control_id IN listed(:control_ids)"
    " AND sent IS NOT NULL"
)
# In place of whatever it is paused for, which is kept beside
_PAUSE: Final = Statement(
    "UPDATE destination SET paused = :reason, paused_since = coalesce(paused_since, CAST(:now AS BIGINT))"
    " WHERE name = :name"
)
_FOUND: Final = Statement(
    "SELECT number, body_hash, remarks FROM message WHERE destination = :destination AND control_id = :control_id"
)
_ADD: Final = Statement(
    "INSERT INTO message (outbox, is_whole, is_draft, is_critical, priority, size, attempts, doubts, due, made, sent,"
    " committed, accepted, closed, signed, destination, study_id, report_id, kind, content_version, control_id,"
    " restates, filler_order_numbers, report_ids, patient_id, state, reason, ack, has_body, body_hash, remarks, told)"
    " VALUES (:outbox, :is_whole, :is_draft, :is_critical, 1, 0, 1, 0, 0, :at, :at, :committed, :accepted, :at,"
    " :signed, :destination, :study_id, :report_id, :kind, '', :control_id, :restates, :filler_order_numbers,"
    " :report_ids, :patient_id, :state, :reason, :ack, 0, :body_hash, :remarks, :told) RETURNING number"
)
_SET: Final = Statement(
    "UPDATE message SET state = :state, reason = :reason, ack = :ack, due = :due, doubts = :doubts,"
    " attempts = CASE WHEN attempts = 0 THEN 1 ELSE attempts END, sent = coalesce(sent, CAST(:at AS BIGINT)),"
    " committed = :committed, accepted = :accepted, closed = :closed, told = :told, remarks = :remarks"
    " WHERE number = :number"
)
_OTHER_BODY: Final = Statement("UPDATE message SET has_body = 0, body_hash = :body_hash WHERE number = :number")
# It was written, whatever became of what asked for it in the copy, or since
_WRITTEN: Final = Statement(
    "UPDATE outbox SET state = 'rendered', reason = '', settled = coalesce(settled, CAST(:now AS BIGINT))"
    " WHERE state <> 'rendered' AND number = (SELECT outbox FROM message WHERE number = :number)"
)
# So were the news that it told along with that
_WRITTEN_TOO: Final = Statement(
    "UPDATE outbox SET state = 'merged', reason = '', settled = coalesce(settled, CAST(:now AS BIGINT))"
    " WHERE destination = :destination AND study_id = :study_id AND report_id IN listed(:report_ids)"
    " AND state IN ('excluded', 'before_start', 'to_stop')"
    " AND decided <= (SELECT made FROM message WHERE number = :number)"
)
_DROP_BODY: Final = Statement("DELETE FROM message_body WHERE number = :number")
# What stood in the lane when the copy was made was settled before anything newer of it was sent
_OVERTAKEN: Final = Statement(
    "UPDATE message SET state = 'superseded', superseded_by = CAST(:by AS BIGINT), closed = :now"
    " WHERE destination = :destination AND study_id = :study_id AND made <= :until"
    " AND state IN ('queued', 'sending', 'indeterminate', 'held') AND control_id NOT IN listed(:control_ids)"
)
_OPEN_LANES: Final = Statement(
    "SELECT study_id FROM message WHERE destination = :destination"
    " AND state IN ('queued', 'sending', 'indeterminate', 'held')"
    " UNION SELECT study_id FROM outbox WHERE destination = :destination"
    " AND state IN ('waiting', 'held', 'planned', 'to_stop')"
)
_HELD_ROWS: Final = Statement(
    "SELECT study_id FROM outbox WHERE destination = :destination AND state = 'held' AND reason = :reason"
)
_DOUBTFUL_LANES: Final = Statement(
    "SELECT study_id FROM lane WHERE destination = :destination AND reason IN ('restored', 'may-have-been-sent')"
    " UNION SELECT study_id FROM outbox WHERE destination = :destination AND state = 'held'"
    " AND reason = 'may-have-been-sent'"
)
_FACT: Final = Statement("SELECT value FROM fact WHERE name = :name")
_DOUBT: Final = "feed-doubt:"
_BESIDE: Final = "paused-beside:"
_LANE_SINCE: Final = Statement("SELECT since FROM lane WHERE destination = :destination AND study_id = :study_id")
_CLOSED: Final = frozenset({"delivered", "dead_letter"})
_AT_A_TIME: Final = 500
_DRAFTS: Final = frozenset({"draft", "draft_cancelled"})


@dataclass(frozen=True, slots=True)
class JournaledMessage:
    """A message that a journal has: it was written to the receiver, or may have been.

    `numbers` are None where nobody can say any more under which it was filed. `state` is `sending` where nothing is
    known of what came of it; `told` is the digest of what it tells, or empty. Instants are microseconds.
    """

    destination: str
    study_id: str
    report_id: str
    kind: str
    control_id: str
    report_ids: tuple[str, ...]
    patient_id: str
    numbers: tuple[str, ...] | None
    restates: str
    is_whole: bool
    is_critical: bool
    signed: int | None
    body_hash: str
    told: str
    at: int
    state: str
    reason: str
    ack: str
    committed: int | None
    accepted: int | None
    holds: str


async def epoch(engine: Engine) -> str:
    """The value that the database has had since a journal of it was first kept; empty where none was.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_FACT, name=EPOCH)
    return str(rows[0][0]) if rows else ""


async def heard(engine: Engine) -> dict[str, int]:
    """By journal how many of its batches the database has heard of.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_HEARD, first=_BATCHES, last=_BEHIND_BATCHES)
    return {str(name).removeprefix(_BATCHES): int(value) for name, value in rows}


def hear(batches: dict[str, int]) -> Steps[None]:
    """Have the database know of so many batches of each journal."""
    yield from ask_each(_HEAR, [{"name": f"{_BATCHES}{one}", "value": str(n)} for one, n in batches.items()])


async def last_message(engine: Engine) -> int:
    """The number of the newest message, 0 where none was ever made.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return int((await engine.fetch(_LAST))[0][0])


async def unclaimed(engine: Engine, control_ids: Collection[str]) -> set[str]:
    """Those of the messages of which the database does not know that they were claimed.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    left = set(control_ids)
    for name in await known_destinations(engine):  # under any of its names: one may have been renamed
        asked = json.dumps(sorted(left))
        left -= {str(one) for (one,) in await engine.fetch(_CLAIMED, destination=name, control_ids=asked)}
    return left


async def known_destinations(engine: Engine) -> list[str]:
    """The names of all destinations that were ever served or paused.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_NAMES, after="*~", most=_AT_A_TIME)  # behind the leases of what is no destination
    return [str(name) for (name,) in rows]


def paused_as(destinations: Collection[str], reason: str, now: int) -> Steps[None]:
    """Pause destinations for a reason that comes first; why they were paused before is given back by `gone_on`."""
    for one in destinations:
        yield from locked(one)
        ((was,),) = yield from ask(PAUSED, name=one)
        if was not in {"", reason, RESTORED, *BREAKER_REASONS}:
            yield from also_paused(one, str(was))
    yield from ask_each(_PAUSE, [{"name": one, "reason": reason, "now": now} for one in destinations])


def also_paused(destination: str, reason: str) -> Steps[None]:
    """Keep a reason for which a destination stays paused after the one that comes first."""
    beside = yield from paused_beside(destination)
    if reason not in beside:
        yield from ask(_HEAR, name=f"{_BESIDE}{destination}", value=json.dumps([*beside, reason]))


def paused_beside(destination: str) -> Steps[list[str]]:
    """The reasons for which a destination stays paused once it is resumed, the next one last."""
    rows = yield from ask(_FACT, name=f"{_BESIDE}{destination}")
    return list(json.loads(rows[0][0])) if rows else []


def gone_on(destination: str, now: int) -> Steps[str]:
    """Let a destination be sent to again; the reason for which it stays paused, since it was before, or empty."""
    yield from locked(destination)
    beside = yield from paused_beside(destination)
    if not beside:
        yield from resumed(destination)
        return ""
    yield from ask(_HEAR, name=f"{_BESIDE}{destination}", value=json.dumps(beside[:-1]))
    yield from ask(_PAUSE, name=destination, reason=beside[-1], now=now)
    return beside[-1]


def is_paused_as(destination: str, reason: str) -> Steps[bool]:
    """True if a destination is paused for that reason."""
    rows = yield from ask(PAUSED, name=destination)
    return bool(rows) and str(rows[0][0]) == reason


def replayed(lane: Sequence[JournaledMessage], now: int) -> Steps[str]:
    """Write down of one lane what its destination was sent, in order, each message once; why the lane is held then.

    What stood in the lane before is superseded, unless it is among them. The lane is held, for an operator, where it
    was when the last message was sent, where nobody knows whether that arrived, or what it told.
    """
    destination, study_id = lane[0].destination, lane[0].study_id
    key = {"destination": destination, "study_id": study_id}
    yield from locked(destination)
    since = yield from ask(_LANE_SINCE, **key)
    holds, number = "", None
    lost: list[tuple[int, int | None]] = []  # when each that the database did not have was written, and its new row
    for place, one in enumerate(lane):
        is_last = place == len(lane) - 1
        rows = yield from ask(_FOUND, destination=destination, control_id=one.control_id)
        if rows:
            number = int(rows[0][0])
            yield from _known(one, number, rows[0], is_last=is_last, now=now)
        else:
            number = yield from _added(one, now)
            lost.append((one.at, number))
        yield from ask_each(NUMBER_SENT, _sent_numbers(one, now))
        holds = _holds(one, is_known=bool(rows)) if is_last else holds
    if lost:
        ids, by = json.dumps([one.control_id for one in lane]), next((row for _, row in lost if row is not None), None)
        yield from ask(_OVERTAKEN, **key, by=by, until=lost[0][0], now=now, control_ids=ids)
    if since and any(one.state in _CLOSED and one.at > int(since[0][0]) for one in lane):
        yield from freed(destination, study_id)
    if holds:
        yield from hold(destination, study_id, holds, number, now)
    return holds


def _known(one: JournaledMessage, number: int, row: Sequence[object], *, is_last: bool, now: int) -> Steps[None]:
    """Bring the row of a message to what the journal says of it."""
    body_hash, remarks = str(row[1]), str(row[2]).split()
    state, due = one.state, 0
    if state not in _CLOSED and not is_last:
        state = "superseded"  # it was settled before the next was sent
    elif state in {"sending", "indeterminate"}:
        state, due = "indeterminate", NEVER
    said = {"state": state, "due": due, "doubts": int(state == "indeterminate"), "told": one.told}
    said |= {"reason": one.reason, "ack": one.ack, "at": one.at, "committed": one.committed, "accepted": one.accepted}
    closed = now if state in {*_CLOSED, "superseded"} else None
    yield from ask(_SET, number=number, **said, closed=closed, remarks=" ".join(dict.fromkeys([*remarks, RESTORED])))
    yield from ask(_WRITTEN, number=number, now=now)
    lane = {"destination": one.destination, "study_id": one.study_id}
    yield from ask(_WRITTEN_TOO, **lane, number=number, report_ids=json.dumps(one.report_ids), now=now)
    if body_hash != one.body_hash:  # made anew since: these are not the bytes that were sent
        yield from ask(_OTHER_BODY, number=number, body_hash=one.body_hash)
        yield from ask(_DROP_BODY, number=number)


def _added(one: JournaledMessage, now: int) -> Steps[int | None]:
    """Add the row of a message that the database does not have, if it is over; else its study's news make it anew."""
    if one.state not in _CLOSED:
        return None
    resend = Resend(one.study_id, one.report_id, "", one.is_critical, USUAL, one.signed)
    outbox, _ = yield from numbered(one.destination, resend, now)
    rows = yield from ask(
        _ADD,
        outbox=outbox,
        is_whole=int(one.is_whole),
        is_draft=int(one.kind in _DRAFTS),
        is_critical=int(one.is_critical),
        at=one.at,
        committed=one.committed,
        accepted=one.accepted,
        signed=one.signed,
        destination=one.destination,
        study_id=one.study_id,
        report_id=one.report_id,
        kind=one.kind,
        control_id=one.control_id,
        restates=one.restates,
        filler_order_numbers=json.dumps(one.numbers or ()),
        report_ids=json.dumps(one.report_ids),
        patient_id=one.patient_id,
        state=one.state,
        reason=one.reason,
        ack=one.ack,
        body_hash=one.body_hash,
        remarks=RESTORED,
        told=one.told,
    )
    return int(rows[0][0])


def _holds(one: JournaledMessage, *, is_known: bool) -> str:
    """Why a lane is held whose last message this is; empty where it goes on."""
    if one.holds:
        return one.holds
    if one.state == "held":
        return REFUSED
    if one.state in {"sending", "indeterminate"} or one.numbers is None:
        return RESTORED
    return "" if is_known or one.told or one.state not in _CLOSED else RESTORED


def _sent_numbers(one: JournaledMessage, now: int) -> list[dict[str, object]]:
    key = {"destination": one.destination, "study_id": one.study_id, "patient_id": one.patient_id, "now": now}
    return [
        {**key, "report_id": report_id, "filler_order_number": number, "place": place}
        for report_id in one.report_ids
        for place, number in enumerate(one.numbers or ())
    ]


def held_back(destinations: Collection[str], since: int | None, now: int) -> Steps[int]:
    """Pause destinations as the service starts; how many lanes are held.

    Where the database was put back as it was at `since`, all that was open there may have been sent, so each of its
    lanes is held, for an operator alone; what changed in AutoScribe from then until now is, too, once it is taken in.
    """
    yield from paused_as(destinations, HOLD_FEED, now)
    count = 0
    for name in destinations if since is not None else ():
        yield from ask(_HEAR, name=f"{_DOUBT}{name}", value=f"{since} {now}")
        for (study_id,) in (yield from ask(_OPEN_LANES, destination=name)):
            yield from hold(name, str(study_id), MAY_HAVE_BEEN_SENT, None, now)
            count += 1
    return count


async def doubtful_span(engine: Engine, destination: str) -> tuple[int, int] | None:
    """From which instant to which the database knows nothing of what was sent to a destination (microseconds).

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_FACT, name=f"{_DOUBT}{destination}")
    since, _, until = str(rows[0][0]).partition(" ") if rows else ("", "", "")
    return (int(since), int(until)) if rows else None


def doubt_ends(destination: str) -> Steps[int]:
    """When the database that was put back began to know again what a destination is sent (microseconds); 0 if ever."""
    rows = yield from ask(_FACT, name=f"{_DOUBT}{destination}")
    return int(str(rows[0][0]).partition(" ")[2]) if rows else 0


async def is_old(engine: Engine, destination: str) -> bool:
    """True if a destination is paused because the database does not know all that it was sent.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(PAUSED, name=destination)
    reason = str(rows[0][0]) if rows else ""
    return reason == RESTORED or (reason == HOLD_FEED and await doubtful_span(engine, destination) is not None)


async def doubtful_lanes(engine: Engine, destination: str) -> frozenset[str]:
    """The ids of the studies of which nobody knows what a destination was sent: it may have been told of any of them.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return frozenset(str(one) for (one,) in await engine.fetch(_DOUBTFUL_LANES, destination=destination))


async def rows_held_for(engine: Engine, destination: str, reason: str) -> list[str]:
    """The ids of the studies of which no message is made for that reason.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_HELD_ROWS, destination=destination, reason=reason)
    return sorted({str(study_id) for (study_id,) in rows})
