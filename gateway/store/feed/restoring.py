"""Detect a database restored from an old backup, and complete the record of sent messages from the journal.

Carries out no clause of a standard; decision D38. A journal counts its batches, and the database keeps the count it has
seen of each journal. If it has seen fewer than the journal remembers, it was restored from a copy; so it was if it does
not know that a message in the journal was claimed.
Proved by tests/contract/test_restoring.py and tests/gateway/cli/test_resume_restored.py.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.store.database.engine import Engine, Statement, Steps, ask, ask_each
from gateway.store.feed.leases import PAUSED, lock_destination, resumed
from gateway.store.feed.messages import NEVER, NUMBER_SENT, REFUSED, free_lane, hold
from gateway.store.feed.outbox import USUAL, Resend, insert_replay_row
from gateway.store.feed.states import BREAKER_REASONS, HOLD_FEED, MAY_HAVE_BEEN_SENT, RESTORED

EPOCH: Final = "feed-epoch"
_BATCHES: Final = "feed-journal:"
_BEHIND_BATCHES: Final = "feed-journal;"  # the first name after all with that prefix
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
# Overrides an earlier pause, whose reason is kept beside
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
# The message was sent, whatever the state of its outbox row
_WRITTEN: Final = Statement(
    "UPDATE outbox SET state = 'rendered', reason = '', settled = coalesce(settled, CAST(:now AS BIGINT))"
    " WHERE state <> 'rendered' AND number = (SELECT outbox FROM message WHERE number = :number)"
)
# So were the other causes that the message included
_WRITTEN_TOO: Final = Statement(
    "UPDATE outbox SET state = 'merged', reason = '', settled = coalesce(settled, CAST(:now AS BIGINT))"
    " WHERE destination = :destination AND study_id = :study_id AND report_id IN listed(:report_ids)"
    " AND state IN ('excluded', 'before_start', 'to_stop')"
    " AND decided <= (SELECT made FROM message WHERE number = :number)"
)
_DROP_BODY: Final = Statement("DELETE FROM message_body WHERE number = :number")
# Messages open in the copy were settled before anything newer of the lane was sent
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
    """Message in the journal: it was sent to the receiver, or may have been.

    `numbers` is None if its filler order numbers are no longer known. `state` is `sending` if its result is unknown;
    `told` is the digest of its content, or empty. Instants are microseconds.
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
    """Return the id that this database got with its first journal; empty without a journal.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_FACT, name=EPOCH)
    return str(rows[0][0]) if rows else ""


async def recorded_batches(engine: Engine) -> dict[str, int]:
    """Return how many batches of each journal the database has recorded.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_HEARD, first=_BATCHES, last=_BEHIND_BATCHES)
    return {str(name).removeprefix(_BATCHES): int(value) for name, value in rows}


def record_batches(batches: dict[str, int]) -> Steps[None]:
    """Record in the database how many batches of each journal it has seen."""
    yield from ask_each(_HEAR, [{"name": f"{_BATCHES}{one}", "value": str(n)} for one, n in batches.items()])


async def last_message(engine: Engine) -> int:
    """Return the number of the newest message, 0 if none was ever made.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return int((await engine.fetch(_LAST))[0][0])


async def unclaimed(engine: Engine, control_ids: Collection[str]) -> set[str]:
    """Return those messages that were never claimed, as far as the database knows.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    left = set(control_ids)
    for name in await known_destinations(engine):  # under any name: the destination may have been renamed
        asked = json.dumps(sorted(left))
        left -= {str(control_id) for (control_id,) in await engine.fetch(_CLAIMED, destination=name, control_ids=asked)}
    return left


async def known_destinations(engine: Engine) -> list[str]:
    """Return the names of all destinations that were ever served or paused.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_NAMES, after="*~", most=_AT_A_TIME)  # behind the leases for work that is no destination
    return [str(name) for (name,) in rows]


def pause_overriding(destinations: Collection[str], reason: str, now: int) -> Steps[None]:
    """Pause destinations for a reason that goes before any other; `resume_overridden` brings back the earlier one."""
    for name in destinations:
        yield from lock_destination(name)
        ((was,),) = yield from ask(PAUSED, name=name)
        if was not in {"", reason, RESTORED, *BREAKER_REASONS}:
            yield from also_paused(name, str(was))
    yield from ask_each(_PAUSE, [{"name": one, "reason": reason, "now": now} for one in destinations])


def also_paused(destination: str, reason: str) -> Steps[None]:
    """Store a further reason for which a destination stays paused when the overriding one ends."""
    beside = yield from paused_beside(destination)
    if reason not in beside:
        yield from ask(_HEAR, name=f"{_BESIDE}{destination}", value=json.dumps([*beside, reason]))


def paused_beside(destination: str) -> Steps[list[str]]:
    """Return the reasons for which a destination stays paused after it is resumed, the next one last."""
    rows = yield from ask(_FACT, name=f"{_BESIDE}{destination}")
    return list(json.loads(rows[0][0])) if rows else []


def resume_overridden(destination: str, now: int) -> Steps[str]:
    """Resume a destination after an overriding reason; return the earlier reason that now pauses it, if any."""
    yield from lock_destination(destination)
    beside = yield from paused_beside(destination)
    if not beside:
        yield from resumed(destination)
        return ""
    yield from ask(_HEAR, name=f"{_BESIDE}{destination}", value=json.dumps(beside[:-1]))
    yield from ask(_PAUSE, name=destination, reason=beside[-1], now=now)
    return beside[-1]


def restore_lane(lane: Sequence[JournaledMessage], now: int) -> Steps[str]:
    """Restore one lane from the journal, each message once and in order; return why the lane is held then.

    Other open messages of the lane are superseded. An operator must free the lane if it was held at the last message,
    or if it is unknown whether that message arrived or what it contained.
    """
    destination, study_id = lane[0].destination, lane[0].study_id
    key = {"destination": destination, "study_id": study_id}
    yield from lock_destination(destination)
    since = yield from ask(_LANE_SINCE, **key)
    holds, number = "", None
    lost: list[tuple[int, int | None]] = []  # time and new row of each message that the database did not have
    for place, entry in enumerate(lane):
        is_last = place == len(lane) - 1
        rows = yield from ask(_FOUND, destination=destination, control_id=entry.control_id)
        if rows:
            number = int(rows[0][0])
            yield from _known(entry, number, rows[0], is_last=is_last, now=now)
        else:
            number = yield from _added(entry, now)
            lost.append((entry.at, number))
        yield from ask_each(NUMBER_SENT, _sent_numbers(entry, now))
        holds = _holds(entry, is_known=bool(rows)) if is_last else holds
    if lost:
        ids, by = json.dumps([one.control_id for one in lane]), next((row for _, row in lost if row is not None), None)
        yield from ask(_OVERTAKEN, **key, by=by, until=lost[0][0], now=now, control_ids=ids)
    if since and any(one.state in _CLOSED and one.at > int(since[0][0]) for one in lane):
        yield from free_lane(destination, study_id)
    if holds:
        yield from hold(destination, study_id, holds, number, now)
    return holds


def _known(entry: JournaledMessage, number: int, row: Sequence[object], *, is_last: bool, now: int) -> Steps[None]:
    """Set the row of a message to its state in the journal."""
    body_hash, remarks = str(row[1]), str(row[2]).split()
    state, due = entry.state, 0
    if state not in _CLOSED and not is_last:
        state = "superseded"  # it was settled before the next entry was sent
    elif state in {"sending", "indeterminate"}:
        state, due = "indeterminate", NEVER
    values = {"state": state, "due": due, "doubts": int(state == "indeterminate"), "told": entry.told}
    values |= {"reason": entry.reason, "ack": entry.ack, "at": entry.at}
    values |= {"committed": entry.committed, "accepted": entry.accepted}
    closed = now if state in {*_CLOSED, "superseded"} else None
    yield from ask(_SET, number=number, **values, closed=closed, remarks=" ".join(dict.fromkeys([*remarks, RESTORED])))
    yield from ask(_WRITTEN, number=number, now=now)
    lane = {"destination": entry.destination, "study_id": entry.study_id}
    yield from ask(_WRITTEN_TOO, **lane, number=number, report_ids=json.dumps(entry.report_ids), now=now)
    if body_hash != entry.body_hash:  # composed again since: other bytes than those sent
        yield from ask(_OTHER_BODY, number=number, body_hash=entry.body_hash)
        yield from ask(_DROP_BODY, number=number)


def _added(entry: JournaledMessage, now: int) -> Steps[int | None]:
    """Insert a message that the database lost, if it is settled; else its study is composed again."""
    if entry.state not in _CLOSED:
        return None
    resend = Resend(entry.study_id, entry.report_id, "", entry.is_critical, USUAL, entry.signed)
    outbox, _ = yield from insert_replay_row(entry.destination, resend, now)
    rows = yield from ask(
        _ADD,
        outbox=outbox,
        is_whole=int(entry.is_whole),
        is_draft=int(entry.kind in _DRAFTS),
        is_critical=int(entry.is_critical),
        at=entry.at,
        committed=entry.committed,
        accepted=entry.accepted,
        signed=entry.signed,
        destination=entry.destination,
        study_id=entry.study_id,
        report_id=entry.report_id,
        kind=entry.kind,
        control_id=entry.control_id,
        restates=entry.restates,
        filler_order_numbers=json.dumps(entry.numbers or ()),
        report_ids=json.dumps(entry.report_ids),
        patient_id=entry.patient_id,
        state=entry.state,
        reason=entry.reason,
        ack=entry.ack,
        body_hash=entry.body_hash,
        remarks=RESTORED,
        told=entry.told,
    )
    return int(rows[0][0])


def _holds(entry: JournaledMessage, *, is_known: bool) -> str:
    """Return the reason to hold a lane that ends with this message; empty if it goes on."""
    if entry.holds:
        return entry.holds
    if entry.state == "held":
        return REFUSED
    if entry.state in {"sending", "indeterminate"} or entry.numbers is None:
        return RESTORED
    return "" if is_known or entry.told or entry.state not in _CLOSED else RESTORED


def _sent_numbers(entry: JournaledMessage, now: int) -> list[dict[str, object]]:
    key = {"destination": entry.destination, "study_id": entry.study_id, "patient_id": entry.patient_id, "now": now}
    return [
        {**key, "report_id": report_id, "filler_order_number": number, "place": place}
        for report_id in entry.report_ids
        for place, number in enumerate(entry.numbers or ())
    ]


def hold_destinations(destinations: Collection[str], since: int | None, now: int) -> Steps[int]:
    """Pause destinations before the service sends anything; return the number of lanes held.

    If the database was restored to its state at `since`, everything open there may have been sent, so each lane is held
    for an operator. Changes in AutoScribe between then and now are held too, once they are ingested.
    """
    yield from pause_overriding(destinations, HOLD_FEED, now)
    count = 0
    for name in destinations if since is not None else ():
        yield from ask(_HEAR, name=f"{_DOUBT}{name}", value=f"{since} {now}")
        for (study_id,) in (yield from ask(_OPEN_LANES, destination=name)):
            yield from hold(name, str(study_id), MAY_HAVE_BEEN_SENT, None, now)
            count += 1
    return count


async def doubtful_span(engine: Engine, destination: str) -> tuple[int, int] | None:
    """Return the span in which the restored database may have lost what was sent to a destination (microseconds).

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_FACT, name=f"{_DOUBT}{destination}")
    since, _, until = str(rows[0][0]).partition(" ") if rows else ("", "", "")
    return (int(since), int(until)) if rows else None


def doubt_ends(destination: str) -> Steps[int]:
    """Return the end of that span (`doubtful_span`); 0 without a restore."""
    rows = yield from ask(_FACT, name=f"{_DOUBT}{destination}")
    return int(str(rows[0][0]).partition(" ")[2]) if rows else 0


async def is_old(engine: Engine, destination: str) -> bool:
    """True if a destination is paused since the database may lack some of what was sent.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(PAUSED, name=destination)
    reason = str(rows[0][0]) if rows else ""
    return reason == RESTORED or (reason == HOLD_FEED and await doubtful_span(engine, destination) is not None)


async def doubtful_lanes(engine: Engine, destination: str) -> frozenset[str]:
    """Return the ids of the studies of which it is unknown what was sent to a destination.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return frozenset(str(one) for (one,) in await engine.fetch(_DOUBTFUL_LANES, destination=destination))


async def rows_held_for(engine: Engine, destination: str, reason: str) -> list[str]:
    """Return the ids of the studies with outbox rows held for that reason.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_HELD_ROWS, destination=destination, reason=reason)
    return sorted({str(study_id) for (study_id,) in rows})
