"""Claim messages for sending, store each attempt and result, and hold the lane of a message that failed.

Carries out no clause of a standard; decisions D7, D13, D18, D32, D33, D39. A claim is stored before any byte leaves the
gateway. A lane is the messages of one study to one destination: they leave in the order of their numbers, and a held
one holds those behind it. Answers can hold patient data: they are kept as long as the bytes of their message. Every
write shows the lease that it is made under. The digest of the bytes (SHA-256,
https://csrc.nist.gov/pubs/fips/180-4/upd1/final) is kept for good. Counts of minutes: tests/contract/test_minutes.py.
Proved by tests/contract/test_messages.py and tests/contract/test_attempts.py.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.runtime import clock
from gateway.store.database.engine import Engine, Row, Statement, Steps, ask, ask_each, micros
from gateway.store.feed.leases import Lease, check_lease
from gateway.store.feed.states import MessageState

MAX_ANSWER: Final = 65_536  # bytes of an answer that are kept
MOST: Final = 500  # attempts that are kept of one message: the first ones and the last ones
_FIRST: Final = 10
LATE: Final = "late"
TAKEN_OVER: Final = "taken-over"
_ADD_ATTEMPT: Final = Statement(
    "INSERT INTO attempt (message, place, begun, ended, state, reason, ack, connection, answer) VALUES (:message,"
    " coalesce((SELECT max(a.place) FROM attempt a WHERE a.message = :message), 0) + 1, :begun, :ended, :state,"
    " :reason, :ack, :connection, :answer) RETURNING place"
)
_FORGET: Final = Statement("DELETE FROM attempt WHERE message = :message AND place = :place")
_DROP_ATTEMPTS: Final = Statement("DELETE FROM attempt WHERE message = :message")
_OF_MESSAGE: Final = Statement(
    "SELECT place, begun, ended, state, reason, ack, connection, answer FROM attempt WHERE message = :message"
    " ORDER BY place"
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to send a message. Times in microseconds; `begun` is None if nothing was sent or the time is unknown.

    `connection` is JSON that names the connection, `answer` the bytes received.
    """

    begun: int | None
    ended: int
    connection: str = ""
    answer: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class KeptAttempt:
    """Stored attempt: its number from 1, and its outcome (state of the message, reason, acknowledgement)."""

    place: int
    attempt: Attempt
    state: str
    reason: str
    ack: str


def late_answer(described: str, answer: bytes) -> Attempt:
    """Build an attempt for an acknowledgement that came late over that connection; nothing was sent for it."""
    connection = {**json.loads(described or "{}"), "when": LATE}
    return Attempt(None, micros(clock.now()), json.dumps(connection), answer)


def store_attempt(message: int, attempt: Attempt | None, state: str, reason: str, ack: str) -> Steps[None]:
    """Store an attempt to send a message, by the message's number, with its result."""
    if attempt is None:
        return
    rows = yield from ask(
        _ADD_ATTEMPT,
        message=message,
        begun=attempt.begun,
        ended=attempt.ended,
        state=state,
        reason=reason,
        ack=ack,
        connection=attempt.connection,
        answer=attempt.answer[:MAX_ANSWER],
    )
    too_old = int(rows[0][0]) - MOST + _FIRST
    if too_old > _FIRST:
        yield from ask(_FORGET, message=message, place=too_old)


def store_broken_attempts(messages: Sequence[int], now: int) -> Steps[None]:
    """Store an attempt for each message that a dead holder had in hand; if it was sent is unknown."""
    for message in messages:
        yield from store_attempt(message, Attempt(None, now), "indeterminate", TAKEN_OVER, "")


def delete_attempts(messages: Sequence[int]) -> Steps[None]:
    """Delete the attempts of these messages."""
    yield from ask_each(_DROP_ATTEMPTS, [{"message": number} for number in messages])


async def attempts_of(engine: Engine, message: int) -> list[KeptAttempt]:
    """Return the stored attempts of a message, oldest first.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return [
        KeptAttempt(
            int(place),
            Attempt(begun, int(ended), str(connection), bytes(answer)),
            str(state),
            str(reason),
            str(ack),
        )
        for place, begun, ended, state, reason, ack, connection, answer in await engine.fetch(
            _OF_MESSAGE, message=message
        )
    ]


ALTERED: Final = "body-altered"


def body_hash(body: bytes) -> str:
    """Return the SHA-256 of these bytes, as `sha256sum` writes it."""
    return hashlib.sha256(body).hexdigest()


def is_as_made(body: bytes | None, kept: str) -> bool:
    """True if the bytes are unchanged by their stored hash, or no hash was stored."""
    return body is not None and kept in {"", body_hash(body)}


_LANE: Final = Statement("SELECT reason, culprit FROM lane WHERE destination = :destination AND study_id = :study_id")
_LANES: Final = Statement(
    "SELECT study_id FROM lane WHERE destination = :destination AND study_id IN listed(:study_ids)"
)
_HOLD_LANE: Final = Statement(
    "INSERT INTO lane (destination, study_id, reason, culprit, since) VALUES (:destination, :study_id, :reason,"
    " :culprit, :now) ON CONFLICT (destination, study_id) DO UPDATE SET reason = excluded.reason,"
    " culprit = excluded.culprit WHERE lane.reason <> 'move'"
)
_HOLD_REST: Final = Statement(
    "UPDATE message SET state = 'held', reason = 'lane' WHERE destination = :destination AND study_id = :study_id"
    " AND state = 'queued'"
)
_FREE_LANE: Final = Statement("DELETE FROM lane WHERE destination = :destination AND study_id = :study_id")
_FREE_REST: Final = Statement(
    "UPDATE message SET state = 'queued', reason = '' WHERE destination = :destination AND study_id = :study_id"
    " AND state = 'held' AND reason = 'lane'"
)


def is_held(destination: str, study_id: str) -> Steps[bool]:
    """True if a lane is held."""
    return bool((yield from ask(_LANE, destination=destination, study_id=study_id)))


def lanes_held(destination: str, study_ids: Sequence[str]) -> Steps[set[str]]:
    """Return those of the studies whose lane to the destination is held."""
    rows = (yield from ask(_LANES, destination=destination, study_ids=json.dumps(study_ids))) if study_ids else ()
    return {str(study_id) for (study_id,) in rows}


def hold(destination: str, study_id: str, reason: str, culprit: int | None, now: int) -> Steps[None]:
    """Hold a lane, and with it its queued messages; `culprit` is the message that caused it, if any."""
    lane = {"destination": destination, "study_id": study_id}
    yield from ask(_HOLD_LANE, **lane, reason=reason, culprit=culprit, now=now)
    yield from ask(_HOLD_REST, **lane)


def free_lane(destination: str, study_id: str) -> Steps[None]:
    """Free a lane, and queue its messages again."""
    lane = {"destination": destination, "study_id": study_id}
    yield from ask(_FREE_LANE, **lane)
    yield from ask(_FREE_REST, **lane)


def free_lane_without(destination: str, study_id: str, gone: Collection[int]) -> Steps[None]:
    """Free a lane if the message that it was held for is among the `gone` ones."""
    rows = yield from ask(_LANE, destination=destination, study_id=study_id) if gone else ()
    if rows and rows[0][1] in gone:
        yield from free_lane(destination, study_id)


IN_LANE: Final = "lane"
IN_DOUBT: Final = "indeterminate"
REFUSED: Final = "refused"
NEVER: Final = 2**62
_WITHHOLD: Final = Statement(
    "UPDATE message SET state = :state, reason = :reason, due = :due, attempts = attempts - 1,"
    " sent = CASE WHEN :was_sent = 1 THEN sent END WHERE number = :number"
)
# Columns of a `Head`
HEAD: Final = (
    "SELECT m.number, m.study_id, m.report_id, m.kind, m.control_id, m.state, m.attempts, m.doubts, m.is_critical,"
    " m.signed, m.filler_order_numbers, m.report_ids, m.patient_id, m.sent, m.restates, m.is_whole, m.body_hash, m.told"
)
_IS_FREE: Final = (
    " AND NOT EXISTS (SELECT 1 FROM message e"
    " WHERE e.destination = m.destination AND e.study_id = m.study_id AND e.number < m.number AND (e.state IN"
    " ('sending', 'indeterminate', 'held') OR (e.state = 'queued' AND e.due > :now)))"
)
_CANDIDATES: Final = Statement(
    f"{HEAD} FROM message m WHERE m.destination = :destination AND m.state = :state AND m.due <= :now{_IS_FREE}"
    " ORDER BY m.priority, m.number LIMIT :most"
)
_CLAIM: Final = Statement(
    "UPDATE message SET state = 'sending', attempts = attempts + 1, sent = coalesce(sent, :now)"
    " WHERE number = :number AND state IN ('queued', 'indeterminate') AND due <= :now AND NOT EXISTS (SELECT 1 FROM"
    " lane l WHERE l.destination = message.destination AND l.study_id = message.study_id) AND NOT EXISTS (SELECT 1 FROM"
    " message e WHERE e.destination = message.destination AND e.study_id = message.study_id"
    " AND e.number < message.number AND e.state IN ('queued', 'sending', 'indeterminate', 'held'))"
    " RETURNING (SELECT b.body FROM message_body b WHERE b.number = message.number), body_hash"
)
NUMBER_SENT: Final = Statement(
    "INSERT INTO sent_number (destination, study_id, report_id, filler_order_number, patient_id, place, since) VALUES"
    " (:destination, :study_id, :report_id, :filler_order_number, :patient_id, :place, :now) ON CONFLICT DO NOTHING"
)
_RESULT: Final = Statement(
    "UPDATE message SET state = :state, reason = :reason, ack = CASE WHEN :ack = '' THEN ack ELSE :ack END, due = :due,"
    " doubts = :doubts, attempts = attempts - :unsent, committed = coalesce(:committed, committed),"
    " accepted = coalesce(:accepted, accepted), closed = :closed WHERE number = :number AND state = 'sending'"
    " RETURNING number"
)
_NEXT_DUE: Final = Statement(
    "SELECT min(due) FROM message WHERE destination = :destination AND state = :state AND due > :now"
)


@dataclass(frozen=True, slots=True)
class Head:
    """Message that may be sent now, if its lane is free. `was_sent` is True if it may have been sent before.

    It gets its `body` when it is claimed, so that the lookahead needs little memory.
    """

    number: int
    study_id: str
    report_id: str
    kind: str
    control_id: str
    state: str
    attempts: int
    doubts: int
    is_critical: bool
    signed: int | None
    filler_order_numbers: tuple[str, ...]
    report_ids: tuple[str, ...]
    patient_id: str
    was_sent: bool
    body: bytes = b""
    restates: str = ""
    is_whole: bool = False
    body_hash: str = ""
    told: str = ""


@dataclass(frozen=True, slots=True)
class SendResult:
    """Outcome of a claimed message; instants in microseconds.

    `ack` is the code of the acknowledgement; `due` is the time of the next try. `unsent` means that nothing of it was
    sent: the attempt does not count. `holds` is the reason to hold its lane from now on, if any; `pauses` means to
    pause the whole destination. `is_for_now` means that the receiver refused it and may take it later. `attempt` tells
    how and when it was sent, and the answer.
    """

    head: Head
    state: MessageState
    reason: str = ""
    ack: str = ""
    due: int = 0
    doubts: int = 0
    unsent: bool = False
    committed: int | None = None
    accepted: int | None = None
    holds: str = ""
    pauses: bool = False
    is_for_now: bool = False
    attempt: Attempt | None = None

    @property
    def is_refused(self) -> bool:
        """True if the receiver refused the message."""
        return self.state != "delivered" and bool(self.ack)


class Messages:
    """Queries for messages to send. Every method raises `StoreUnavailable`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def candidates(self, destination: str, now: datetime, most: int) -> list[Head]:
        """Return the messages that may be sent now, in sending order; those of one lane stay in their order."""
        key = {"destination": destination, "now": micros(now), "most": most}
        doubtful = await self._engine.fetch(_CANDIDATES, **key, state="indeterminate")
        queued = await self._engine.fetch(_CANDIDATES, **key, state="queued")
        return [head_of(row) for row in (*doubtful, *queued)]

    async def next_due(self, destination: str, now: datetime) -> int | None:
        """Return the earliest instant at which a message is tried again, in microseconds."""
        key = {"destination": destination, "now": micros(now)}
        minima = [await self._engine.fetch(_NEXT_DUE, **key, state=state) for state in ("queued", "indeterminate")]
        dues = [int(rows[0][0]) for rows in minima if rows[0][0] is not None]
        return min(dues, default=None)


def step(lease: Lease, results: Sequence[SendResult], claims: Sequence[Head], now: int) -> Steps[list[Head]]:
    """Store results of messages and claim others, in one transaction; return the claimed ones with their bytes.

    Both go in one transaction: claims are stored before the messages are sent, at the cost of one commit. A message
    whose stored bytes were altered is not sent, and its lane is held.

    Raises:
        LeaseLost: another process holds the lease.
    """
    may_send = yield from check_lease(lease)
    for result in results:
        yield from write_result(lease.destination, result, now)
    claimed = []
    for head in claims if may_send else ():
        rows = yield from ask(_CLAIM, number=head.number, now=now)
        if not rows:
            continue
        body, made = rows[0]
        if not is_as_made(body, made):
            yield from _withheld(lease.destination, head, now)
            continue
        claimed.append(replace(head, body=bytes(body)))
        if not head.was_sent:
            yield from ask_each(NUMBER_SENT, _sent_numbers(lease.destination, head, now))
    return claimed


def _withheld(destination: str, head: Head, now: int) -> Steps[None]:
    """Hold the lane of a claimed message whose stored bytes have changed; if it may have arrived, it stays in doubt."""
    state, due = (head.state, NEVER) if head.state == "indeterminate" else ("held", 0)
    became = {"state": state, "reason": ALTERED, "due": due, "was_sent": int(head.was_sent)}
    yield from ask(_WITHHOLD, number=head.number, **became)
    yield from hold(destination, head.study_id, ALTERED, head.number, now)


def write_result(destination: str, result: SendResult, now: int) -> Steps[None]:
    """Store the result of a message, unless it is no longer in hand."""
    is_closed = result.state in {"delivered", "dead_letter"}
    settled = yield from ask(
        _RESULT,
        number=result.head.number,
        state=result.state,
        reason=result.reason,
        ack=result.ack,
        due=result.due,
        doubts=result.doubts,
        unsent=int(result.unsent),
        committed=result.committed,
        accepted=result.accepted,
        closed=now if is_closed else None,
    )
    if settled:
        yield from store_attempt(result.head.number, result.attempt, result.state, result.reason, result.ack)
    if settled and result.holds:
        yield from hold(destination, result.head.study_id, result.holds, result.head.number, now)


def _sent_numbers(destination: str, head: Head, now: int) -> list[dict[str, Any]]:
    return [
        {
            "destination": destination,
            "study_id": head.study_id,
            "report_id": report_id,
            "filler_order_number": number,
            "patient_id": head.patient_id,
            "place": place,
            "now": now,
        }
        for report_id in head.report_ids
        for place, number in enumerate(head.filler_order_numbers)
    ]


def head_of(row: Sequence[Any]) -> Head:
    """Build a message from a row with the columns `HEAD`."""
    number, study_id, report_id, kind, control_id, state, attempts, doubts, critical, signed, *rest = row
    numbers, reports, patient_id, sent, restates, is_whole, made, told = rest
    return Head(
        int(number),
        str(study_id),
        str(report_id),
        str(kind),
        str(control_id),
        str(state),
        int(attempts),
        int(doubts),
        bool(critical),
        signed,
        _texts(numbers),
        _texts(reports),
        str(patient_id),
        sent is not None,
        restates=str(restates),
        is_whole=bool(is_whole),
        body_hash=str(made),
        told=str(told),
    )


def _texts(listed: str) -> tuple[str, ...]:
    found: Iterable[str] = json.loads(listed)
    return tuple(found)


_PATIENCE: Final = 60.0  # seconds for a query over what was delivered
_PURGE: Final = Statement(
    "UPDATE message SET has_body = 0 WHERE number IN (SELECT number FROM message WHERE closed < :before"
    " AND has_body = 1 AND state IN ('delivered', 'superseded', 'recorded') ORDER BY closed LIMIT :most)"
    " RETURNING number"
)


_DROP_BODY: Final = Statement("DELETE FROM message_body WHERE number = :number")


def purge_bodies(before: int, most: int) -> Steps[int]:
    """Delete the bytes of at most `most` messages settled before that instant (microseconds); return their number."""
    rows = yield from ask(_PURGE, before=before, most=most)
    yield from ask_each(_DROP_BODY, [{"number": int(number)} for (number,) in rows])
    yield from delete_attempts([int(number) for (number,) in rows])
    return len(rows)


DELIVERED: Final = 0  # stands for the number of all messages, in place of seconds
_LONGEST: Final = 2**31
SLOT: Final = timedelta(minutes=30)
_DAY: Final = timedelta(days=1)

_ADD_MINUTE: Final = Statement(
    "INSERT INTO minute (destination, at, within, messages) VALUES (:destination, :at, :within, :messages)"
    " ON CONFLICT (destination, at, within) DO UPDATE SET messages = minute.messages + excluded.messages"
)
_DROP_MINUTES: Final = Statement("DELETE FROM minute WHERE destination = :destination AND at < :before")
_SINCE: Final = Statement(
    "SELECT (at - :since) / :length, within, sum(messages) FROM minute WHERE destination = :destination"
    " AND at >= :since GROUP BY 1, 2"
)


def add_minute(at: int, delivered: Mapping[tuple[str, float], int], before: int) -> Steps[None]:
    """Add the messages delivered in the minute that began `at`; drop minutes before another instant (microseconds).

    `delivered` counts them by destination and seconds from signature to ACK: see `Metrics.delivered`.
    """
    counts = [
        {"destination": name, "at": at, "within": int(min(within, _LONGEST)), "messages": n}
        for (name, within), n in delivered.items()
    ]
    yield from ask_each(_ADD_MINUTE, counts)
    for name in sorted({name for name, _ in delivered}):
        yield from ask(_DROP_MINUTES, destination=name, before=before)


@dataclass(frozen=True, slots=True)
class DayDelivered:
    """Messages delivered in the last 24 hours: their number, in each half hour, and seconds from signature to ACK.

    `p50` and `p99` are upper bounds; None where no message was acknowledged, or where it took longer than a day.
    """

    messages: int
    half_hours: tuple[int, ...]
    p50: int | None
    p99: int | None


async def day_delivered(engine: Engine, destination: str) -> DayDelivered:
    """Return what was delivered to a destination in the last 24 hours.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    since = micros(clock.now() - _DAY)
    slots, within = Counter[int](), Counter[int]()
    length = SLOT // timedelta(microseconds=1)
    for slot, seconds, messages in await engine.fetch(_SINCE, destination=destination, since=since, length=length):
        if seconds == DELIVERED:
            slots[min(int(slot), _DAY // SLOT - 1)] += int(messages)
        else:
            within[int(seconds)] += int(messages)
    half_hours = tuple(slots[place] for place in range(_DAY // SLOT))
    return DayDelivered(sum(half_hours), half_hours, _quantile(within, 0.5), _quantile(within, 0.99))


def _quantile(within: Mapping[int, int], share: float) -> int | None:
    """Return the seconds within which that share of the messages was acknowledged."""
    wanted, reached = share * sum(within.values()), 0
    for seconds in sorted(within):
        reached += within[seconds]
        if reached >= wanted:
            return None if seconds == _LONGEST else seconds
    return None


# Words of a read-back: gateway/feed/fate.py has their meaning
FOUND: Final = "found"
NOT_CHECKABLE: Final = "not checkable"
MOST_READABLE: Final = 200
NOT_FILED: Final = ("other patient", "older version", "absent", "differs")
_ALIKE: Final = "n.destination = o.destination AND n.study_id = o.study_id AND n.number > o.number"
# A newer message that says all that the older one said, under the same numbers; a withdrawal from a former patient
# stands until something is sent about that patient again
_REPLACES: Final = (
    f"{_ALIKE} AND n.filler_order_numbers = o.filler_order_numbers AND (n.is_whole = 1 OR n.kind = 'moved')"
    " AND (o.kind <> 'moved' OR n.patient_id = o.patient_id)"
)
# What is to be read back: critical results, what follows one or replaces a message that is read back, and all causes
# but a signature; of the rest a share, chosen by the number
_READABLE: Final = Statement(
    "SELECT n.number, n.report_id, n.is_critical, n.closed, n.filler_order_numbers FROM message n"  # noqa: S608 (constants)
    " WHERE n.has_body = 1 AND n.closed > :after AND n.closed <= :until AND n.destination = :destination"
    " AND n.state = 'delivered' AND n.is_draft = 0 AND (n.is_critical = 1"
    " OR n.kind NOT IN ('signed', 'addendum_signed', 'replay') OR (n.number * 2654435761) % 10000 < :share"
    " OR EXISTS (SELECT 1 FROM message o LEFT JOIN read_back r ON r.message = o.number"
    f" WHERE {_ALIKE} AND (o.is_critical = 1 OR r.message IS NOT NULL)))"
    " AND NOT EXISTS (SELECT 1 FROM read_back k WHERE k.message = n.number) ORDER BY n.closed LIMIT :most"
)
_ADD_READ_BACK: Final = Statement(
    "INSERT INTO read_back (message, attempts, due, fate, detail, since) VALUES"
    " (:message, 0, CAST(:due AS BIGINT), :fate, :detail, :now) ON CONFLICT (message) DO NOTHING"
)
_DROP_REPLACED: Final = Statement(
    f"DELETE FROM read_back WHERE message IN (SELECT o.number FROM message o, message n WHERE n.number = :message"  # noqa: S608 (constants)
    f" AND {_REPLACES})"
)
_DUE_READ_BACKS: Final = Statement(
    "SELECT m.number, m.is_critical, m.is_whole, CASE WHEN m.kind = 'moved' THEN 1 ELSE 0 END, r.attempts, r.fate,"
    " r.detail, (SELECT b.body FROM message_body b WHERE b.number = m.number) FROM read_back r"
    " JOIN message m ON m.number = r.message WHERE r.due <= :now AND m.destination = :destination"
    " AND m.ack NOT LIKE 'C%' ORDER BY m.is_critical DESC, r.due LIMIT :most"
)
_EARLIER: Final = Statement(
    "SELECT b.body FROM message n JOIN message o ON o.destination = n.destination AND o.study_id = n.study_id"
    " JOIN message_body b ON b.number = o.number WHERE n.number = :message AND o.number < n.number"
    " AND o.filler_order_numbers = n.filler_order_numbers AND o.sent IS NOT NULL AND o.is_draft = 0"
    " AND o.kind <> 'moved' ORDER BY o.number DESC LIMIT :most"
)
_IS_REPLACED: Final = Statement(
    f"SELECT 1 FROM message o, message n WHERE o.number = :message AND {_REPLACES}"  # noqa: S608 (constants)
    " AND n.state IN ('sending', 'indeterminate', 'delivered') LIMIT 1"
)
_SET_READ_BACK: Final = Statement(
    "UPDATE read_back SET attempts = attempts + :asked, due = CAST(:due AS BIGINT), detail = :detail,"
    " since = CASE WHEN fate = :fate THEN since ELSE :now END, fate = :fate WHERE message = :message"
)


@dataclass(frozen=True, slots=True)
class ReadableMessage:
    """Delivered message that is to be read back. `closed` is when it was settled, in microseconds."""

    number: int
    report_id: str
    is_critical: bool
    closed: int
    filler_order_numbers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DueReadBack:
    """Message to look up in the EHR now; `attempts` counts how often it was. `body` is None once its bytes are gone."""

    number: int
    is_critical: bool
    is_whole: bool
    is_move: bool
    attempts: int
    fate: str
    detail: str
    body: bytes | None = field(repr=False)


async def readable_messages(
    engine: Engine, destination: str, after: int, until: int, share: float
) -> list[ReadableMessage]:
    """Return up to `MOST_READABLE` messages to read back that were delivered between two instants, oldest first.

    Those that are read back already are left out. `share` is that of the messages that nothing else demands.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    asked = _READABLE.compiled(engine.dialect)
    chosen = {"destination": destination, "after": after, "until": until, "share": round(share * 10_000)}
    found = await engine.scan(asked.sql, asked.positional({**chosen, "most": MOST_READABLE}), _PATIENCE)
    return [ReadableMessage(int(row[0]), str(row[1]), bool(row[2]), int(row[3]), _texts(row[4])) for row in found]


def add_read_backs(lease: Lease, dues: Mapping[int, int | None], now: int) -> Steps[None]:
    """Have messages read back, each from its instant on; what they replace is not looked up any more.

    None: the message has only a document, which is no report to look up.

    Raises:
        LeaseLost: another process holds the lease.
    """
    yield from check_lease(lease)
    for message, due in sorted(dues.items()):
        said = {"fate": "", "detail": ""} if due is not None else {"fate": "AA", "detail": "document-only"}
        yield from ask(_ADD_READ_BACK, message=message, due=due, now=now, **said)
        yield from ask(_DROP_REPLACED, message=message)


async def due_read_backs(engine: Engine, destination: str, now: int, most: int) -> list[DueReadBack]:
    """Return the messages to look up now, critical results first; none that still waits for its AA.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return [
        DueReadBack(
            int(number), bool(critical), bool(whole), bool(move), int(attempts), fate, detail, body and bytes(body)
        )
        for number, critical, whole, move, attempts, fate, detail, body in await engine.fetch(
            _DUE_READ_BACKS, destination=destination, now=now, most=most
        )
    ]


async def earlier_bodies(engine: Engine, message: int, most: int) -> list[bytes]:
    """Return the bytes of messages that were sent before under the same numbers, newest first.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return [bytes(body) for (body,) in await engine.fetch(_EARLIER, message=message, most=most)]


@dataclass(frozen=True, slots=True)
class ReadBackResult:
    """Result of looking a message up, and when to look again: `due`, in microseconds; None if never.

    `fate` is empty until the EHR was asked often enough. `asked` is 0 if the EHR gave no answer: that does not count.
    """

    message: int
    fate: str
    detail: str
    due: int | None
    asked: int = 1


def set_read_back(lease: Lease, result: ReadBackResult, retry: int, now: int) -> Steps[None]:
    """Store what was found of a message. If a newer one may have replaced it meanwhile, look again at `retry`.

    Raises:
        LeaseLost: another process holds the lease.
    """
    yield from check_lease(lease)
    if (yield from ask(_IS_REPLACED, message=result.message)):
        result = ReadBackResult(result.message, "", "", retry, asked=0)
    said = {"fate": result.fate, "detail": result.detail, "due": result.due, "asked": result.asked}
    yield from ask(_SET_READ_BACK, message=result.message, now=now, **said)


_UNREAD: Final = Statement(
    "SELECT r.message, m.study_id FROM read_back r JOIN message m ON m.number = r.message WHERE r.fate = ''"
    " AND r.since < :before AND m.destination = :destination AND m.ack NOT LIKE 'C%' ORDER BY r.message LIMIT :most"
)
_NOT_FILED: Final = Statement(
    "SELECT r.message, m.study_id, m.is_critical FROM read_back r JOIN message m ON m.number = r.message"
    " WHERE r.fate IN ('other patient', 'older version', 'absent', 'differs') AND m.destination = :destination"
    " ORDER BY r.message LIMIT :most"
)


async def not_filed(engine: Engine, destination: str, before: int, most: int) -> tuple[Sequence[Row], Sequence[Row]]:
    """Return messages that the EHR does not show as sent (with 1 if critical), and those of which nothing is known.

    The latter are to be read back since before an instant (microseconds). Each row begins with number and study.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    key = {"destination": destination, "most": most}
    return await engine.fetch(_NOT_FILED, **key), await engine.fetch(_UNREAD, **key, before=before)
