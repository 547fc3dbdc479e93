"""Read the ledger (record of all messages): what each destination was sent, what is open, what operators search for.

Carries out no clause of a standard; decisions D7, D13, D37, D49.
Proved by tests/contract/test_restoring.py and tests/contract/test_takeover.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.index.keys import SEPARATOR, key
from gateway.index.terms import code_start
from gateway.runtime.computing import computed
from gateway.store.database.engine import Engine, Row, Statement, storable
from gateway.store.database.kept import kept, served_version
from gateway.store.feed.cancelled_reports import CancelledItem, items_of_studies
from gateway.store.feed.leases import PAUSED
from gateway.store.feed.moves import IS_OWED
from gateway.store.feed.states import NO_NEWS, OPEN_MESSAGES, MessageState

_SECONDS: Final = 60.0
_PRIORITIES: Final = (0, 1, 2)
_BY_STATE: Final = Statement(
    "SELECT state, count(*) FROM message WHERE destination = :destination GROUP BY state ORDER BY state"
)
# Rows that stood under two names before a renaming count once (gateway/store/feed/destinations.py)
_ROWS_BY_STATE: Final = Statement(
    "SELECT state, count(*) FROM outbox WHERE destination = :destination AND (state NOT IN ('merged', 'left')"
    " OR reason <> 'renamed') GROUP BY state ORDER BY state"
)
# The same of what is not settled: its cost does not grow with what was sent before
_OPEN_BY_STATE: Final = Statement(
    "SELECT state, count(*) FROM message WHERE destination = :destination AND state IN listed(:states)"
    " GROUP BY state ORDER BY state"
)
_OPEN_ROWS_BY_STATE: Final = Statement(
    "SELECT state, count(*) FROM outbox WHERE destination = :destination AND state IN listed(:states)"
    " GROUP BY state ORDER BY state"
)
_UNSETTLED: Final = ("waiting", "held", "planned", "to_stop", "unrouted")
_REASONS: Final = Statement(
    "SELECT reason, count(*) FROM outbox WHERE destination = :destination AND state = :state"
    " GROUP BY reason ORDER BY reason"
)
_OLDEST: Final = Statement(
    "SELECT made, reason FROM message WHERE destination = :destination AND state = :state AND priority = :priority"
    " ORDER BY number LIMIT 1"
)
_LANES: Final = Statement(
    "SELECT l.study_id, l.reason, l.since, coalesce(m.control_id, ''), coalesce(m.reason, '') FROM lane l"
    " LEFT JOIN message m ON m.number = l.culprit WHERE l.destination = :destination"
    " ORDER BY l.since, l.study_id LIMIT :most"
)
_HELD_ROWS: Final = Statement(
    "SELECT study_id, reason, decided, is_critical FROM outbox WHERE destination = :destination AND state = :state"
    " ORDER BY number LIMIT :most"
)
_LANE_COUNT: Final = Statement("SELECT count(*) FROM lane WHERE destination = :destination")
# A dead letter that a newer message repeats, or that failed again, no longer counts
IS_LAST: Final = (
    " AND NOT EXISTS (SELECT 1 FROM message n WHERE n.destination = m.destination AND n.study_id = m.study_id"
    f" AND n.restates = m.restates AND n.number > m.number AND n.is_whole = 1){IS_OWED}"
)
_HELD_FOR: Final = Statement(
    "SELECT study_id FROM lane WHERE destination = :destination AND reason = :reason AND study_id > :after"
    " ORDER BY study_id LIMIT :most"
)
_DEAD: Final = Statement(
    "SELECT m.number, m.study_id, m.report_id, m.kind, m.reason, m.control_id, m.is_critical,"
    " coalesce(m.closed, m.made) FROM message m WHERE m.destination = :destination AND m.state = 'dead_letter'"
    " AND m.number > :after"
    " AND m.reason NOT IN ('withdrawn-unsent', 'seen-there')"
    f"{IS_LAST} ORDER BY m.number LIMIT :most"
)
_LAST_DELIVERED: Final = Statement(
    "SELECT control_id, ack, coalesce(accepted, committed, closed) FROM message WHERE destination = :destination"
    " AND state = 'delivered' AND priority = :priority ORDER BY number DESC LIMIT 1"
)
# Only the newest rows of a state are looked at: an older result that is still open has an alert
_RECENT_CRITICAL: Final = Statement(
    "SELECT study_id, report_id, signed, coalesce(accepted, committed, closed) FROM (SELECT * FROM message"
    " WHERE destination = :destination AND state = :state AND priority = 0 ORDER BY number DESC LIMIT :most) AS m"
    " WHERE is_critical = 1 AND coalesce(signed, made) >= :since"
)
_RECENT_CRITICAL_ROWS: Final = Statement(
    "SELECT study_id, report_id, signed, NULL FROM (SELECT * FROM outbox"
    " WHERE destination = :destination AND state = :state AND signed >= :since ORDER BY signed DESC LIMIT :most) AS o"
    " WHERE is_critical = 1"
)
_CRITICAL_STATES: Final[tuple[MessageState, ...]] = (
    *("queued", "sending", "indeterminate", "held"),
    *("delivered", "dead_letter"),
)
_AT_A_TIME: Final = 500


@dataclass(frozen=True, slots=True)
class LastAck:
    """Acknowledgement of the newest delivered message of a destination."""

    control_id: str
    ack: str
    at: int


@dataclass(frozen=True, slots=True)
class CriticalCause:
    """Critical result that a destination was to be told of; `answered` is when a message of it was acknowledged."""

    destination: str
    study_id: str
    report_id: str
    signed: int | None
    answered: int | None


@dataclass(frozen=True, slots=True)
class HeldLane:
    """Study held at a destination, with the reason, the start, the message that caused it, and the answer's code.

    The last two are empty if no message caused it.
    """

    study_id: str
    reason: str
    since: int
    control_id: str
    code: str


@dataclass(frozen=True, slots=True)
class HeldRow:
    """Report that no message is composed of: its study, the reason, the start, and whether it is a critical result."""

    study_id: str
    reason: str
    since: int
    is_critical: bool


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Message that was given up and not replaced. `reason` is a code, `rule-…` for a rule of the mapping."""

    number: int
    study_id: str
    report_id: str
    kind: str
    reason: str
    control_id: str
    is_critical: bool
    since: int


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Counts of a destination by state; `held_for` counts held outbox rows by reason.

    `oldest` is when the oldest open message was made. `lanes` are the longest held of `lane_count` lanes, `held_rows`
    the longest held rows.
    """

    messages: dict[str, int]
    rows: dict[str, int]
    held_for: dict[str, int]
    oldest: int | None
    lanes: tuple[HeldLane, ...]
    lane_count: int
    held_rows: tuple[HeldRow, ...] = ()

    @property
    def queue(self) -> int:
        """Number of open messages, composed or not; a plan is not among them."""
        return sum(self.messages.get(one, 0) for one in OPEN_MESSAGES) + sum(
            self.rows.get(one, 0) for one in ("waiting", "held")
        )

    @property
    def held(self) -> int:
        """Number of held studies, and of reports that no message is composed of."""
        return self.lane_count + self.rows.get("held", 0)


async def stock(engine: Engine, destination: str, most: int, *, is_brief: bool = False) -> QueueCounts:
    """Count a destination's rows and messages, with up to `most` held lanes and rows; for causes without one: `''`.

    If `is_brief`, only those that are not settled.
    """
    key = {"destination": destination}
    if is_brief:
        messages = await _slow(engine, _OPEN_BY_STATE, **key, states=json.dumps(OPEN_MESSAGES))
        rows = await _slow(engine, _OPEN_ROWS_BY_STATE, **key, states=json.dumps(_UNSETTLED))
    else:
        messages, rows = await _slow(engine, _BY_STATE, **key), await _slow(engine, _ROWS_BY_STATE, **key)
    lanes = await engine.fetch(_LANES, **key, most=most)
    held = await engine.fetch(_HELD_ROWS, **key, state="held", most=most)
    return QueueCounts(
        messages=_counts(messages),
        rows=_counts(rows),
        held_for=_counts(await _slow(engine, _REASONS, **key, state="held")),
        oldest=min((made for made, _ in await oldest(engine, destination)), default=None),
        lanes=tuple(HeldLane(str(row[0]), str(row[1]), int(row[2]), str(row[3]), str(row[4])) for row in lanes),
        lane_count=int((await engine.fetch(_LANE_COUNT, **key))[0][0]),
        held_rows=tuple(HeldRow(str(row[0]), str(row[1]), int(row[2]), bool(row[3])) for row in held),
    )


async def unrouted_before_start(engine: Engine) -> int:
    """Count the rows that no destination takes since they were signed before the start of each."""
    reasons = _counts(await _slow(engine, _REASONS, destination="", state="unrouted"))
    return reasons.get("before_start", 0)


async def dead_letters(engine: Engine, destination: str) -> list[DeadLetter]:
    """Return the dead letters of a destination that no later message replaced, oldest first."""
    letters: list[DeadLetter] = []
    after = 0
    while rows := await _slow(engine, _DEAD, destination=destination, after=after, most=_AT_A_TIME):
        letters += [_dead_letter(row) for row in rows]
        after = letters[-1].number
    return letters


async def held_for(engine: Engine, destination: str, reason: str) -> list[str]:
    """Return the ids of the studies whose lane to a destination is held for that reason."""
    study_ids: list[str] = []
    key = {"destination": destination, "reason": reason, "most": _AT_A_TIME}
    while rows := await engine.fetch(_HELD_FOR, **key, after=study_ids[-1] if study_ids else ""):
        study_ids += [str(study_id) for (study_id,) in rows]
    return study_ids


async def oldest(engine: Engine, destination: str) -> list[tuple[int, str]]:
    """Return the oldest open message of each state and priority: when it was made, and the reason of its last failure.

    Each query uses an index, which one statement for all of them could not.
    """
    return [
        (int(made), str(reason))
        for state in OPEN_MESSAGES
        for priority in _PRIORITIES
        for made, reason in await engine.fetch(_OLDEST, destination=destination, state=state, priority=priority)
    ]


async def last_ack(engine: Engine, destination: str) -> LastAck | None:
    """Return the newest acknowledgement of a destination, None if nothing was delivered to it."""
    rows = [
        row
        for priority in _PRIORITIES
        for row in await engine.fetch(_LAST_DELIVERED, destination=destination, priority=priority)
    ]
    known = [LastAck(str(control_id), str(ack), int(at)) for control_id, ack, at in rows if at is not None]
    return max(known, key=lambda one: one.at, default=None)


async def recent_critical(engine: Engine, destination: str, since: int, most: int) -> list[CriticalCause]:
    """Return the critical results that were signed since an instant, of the newest `most` rows of each state.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    asked: list[tuple[Statement, str]] = [(_RECENT_CRITICAL, state) for state in _CRITICAL_STATES]
    asked += [(_RECENT_CRITICAL_ROWS, state) for state in ("waiting", "held", "planned")]
    key = {"destination": destination, "since": since, "most": most}
    return [
        CriticalCause(destination, str(study_id), str(report_id), signed, answered)
        for statement, state in asked
        for study_id, report_id, signed, answered in await engine.fetch(statement, **key, state=state)
    ]


async def _slow(engine: Engine, statement: Statement, **values: str | int) -> Sequence[Row]:
    """Return the rows of a statement that may take long, since it counts many rows."""
    compiled = statement.compiled(engine.dialect)
    return await engine.scan(compiled.sql, compiled.positional(values), _SECONDS)


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    return {str(name): int(count) for name, count in rows}


def _dead_letter(row: Row) -> DeadLetter:
    number, study_id, report_id, kind, reason, control_id, is_critical, since = row
    names = str(study_id), str(report_id), str(kind), str(reason), str(control_id)
    return DeadLetter(int(number), *names, bool(is_critical), int(since))


_STUDIES: Final = Statement("SELECT study_id, is_external, fetched FROM study WHERE study_id IN listed(:study_ids)")
_REPORTS: Final = Statement(
    "SELECT study_id, report_id, coalesce(signed, first_seen_signed) FROM report WHERE study_id IN listed(:study_ids)"
    " AND status = 'completed'"
)
_ROWS: Final = Statement(
    "SELECT study_id, report_id, destination, number, state, reason, decided, content_version FROM outbox"
    " WHERE study_id IN listed(:study_ids) AND kind NOT IN ('draft', 'draft_cancelled') ORDER BY number"
)
_MESSAGES: Final = Statement(
    "SELECT study_id, report_id, report_ids, filler_order_numbers, destination, number, outbox, state, reason, ack,"
    " superseded_by, made, remarks, r.fate, r.detail, r.since FROM message LEFT JOIN read_back r"
    f" ON r.message = number WHERE study_id IN listed(:study_ids) AND is_draft = 0{IS_OWED} ORDER BY number"
)
_STALE: Final = Statement(
    "SELECT DISTINCT study_id, destination FROM message WHERE study_id IN listed(:study_ids)"
    " AND stale_until IS NOT NULL"
)
_SIGNED: Final = Statement("SELECT study_id FROM study WHERE has_signed = 1")
_OPEN_ROWS: Final = Statement(
    "SELECT study_id FROM outbox WHERE destination = :destination"
    " AND state IN ('waiting', 'held', 'planned', 'to_stop')"
    " UNION SELECT study_id FROM outbox WHERE destination = :destination AND state = 'nothing'"
    " AND reason NOT IN listed(:no_news)"
    " UNION SELECT study_id FROM outbox WHERE destination = '' AND state = 'unrouted'"
    " UNION SELECT study_id FROM cancelled_report WHERE state = 'open'"
    " UNION SELECT study_id FROM cancelled_report WHERE state = 'withdrawing'"
)
_OPEN_MESSAGES: Final = Statement(
    "SELECT study_id FROM message WHERE destination = :destination AND state IN ('queued', 'sending', 'indeterminate',"
    " 'held', 'dead_letter')"
    " UNION SELECT study_id FROM message WHERE destination = :destination AND stale_until IS NOT NULL"
    " UNION SELECT m.study_id FROM read_back r JOIN message m ON m.number = r.message"
    " WHERE r.fate IN ('other patient', 'older version', 'absent', 'differs') AND m.destination = :destination"
)
_RECORDED: Final = Statement("SELECT study_id FROM message WHERE destination = :destination AND state = 'recorded'")
_UNACCEPTED: Final = Statement(
    "SELECT study_id FROM message WHERE destination = :destination AND accepted IS NULL AND committed IS NOT NULL"
)
_KEPT: Final = Statement("SELECT kept FROM study WHERE study_id = :study_id")


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """Outbox row in the ledger. `destination` is empty if none takes the report; `version` is that of its content."""

    destination: str
    state: str
    reason: str
    decided: int
    version: str = ""


@dataclass(frozen=True, slots=True)
class LedgerMessage:
    """Message that includes a report or is about one; messages of one cause have the same `outbox` row.

    `remarks` are codes for content that could not be expressed, separated by spaces. `filed` is what the EHR showed:
    None if it is not read back, empty if it is to be.
    """

    filler_order_numbers: tuple[str, ...]
    destination: str
    number: int
    outbox: int
    state: str
    reason: str
    ack: str
    superseded_by: int | None
    made: int
    remarks: str = ""
    filed: str | None = None
    filed_detail: str = ""
    filed_since: int | None = None


@dataclass(slots=True)
class ReportRecord:
    """Signed report in the store: when it was signed (or first seen signed), its rows and its messages, in order.

    `stale_at` are destinations that an old copy of a message about its study may still reach (D33). `cancelled` is its
    open item, if AutoScribe cancelled it.
    """

    signed: int | None
    rows: list[LedgerRow] = field(default_factory=list)
    messages: list[LedgerMessage] = field(default_factory=list)
    stale_at: set[str] = field(default_factory=set)
    study_id: str = ""
    cancelled: CancelledItem | None = None


@dataclass(frozen=True, slots=True)
class LedgerRecords:
    """Study in the store, with its signed reports by id; `fetched` is when it was last read, in microseconds."""

    is_external: bool
    reports: dict[str, ReportRecord] = field(default_factory=dict)
    fetched: int = 0


async def report_records(engine: Engine, study_ids: Sequence[str]) -> dict[str, LedgerRecords]:
    """Return the signed reports of these studies with rows and messages, by study; only stored studies."""
    asked = {"study_ids": json.dumps(list(study_ids))}
    records = {
        str(study_id): LedgerRecords(bool(is_external), fetched=int(fetched))
        for study_id, is_external, fetched in await engine.fetch(_STUDIES, **asked)
    }
    for study_id, report_id, signed in await engine.fetch(_REPORTS, **asked):
        if str(study_id) in records:  # it was stored in between
            record = ReportRecord(None if signed is None else int(signed), study_id=str(study_id))
            records[str(study_id)].reports[str(report_id)] = record
    for study_id, report_id, destination, _, state, reason, decided, version in await engine.fetch(_ROWS, **asked):
        about = _record(records, study_id, report_id)
        if about is not None:
            about.rows.append(LedgerRow(str(destination), str(state), str(reason), int(decided), str(version)))
    for study_id, report_id, report_ids, numbers, *columns in await engine.fetch(_MESSAGES, **asked):
        message = LedgerMessage(tuple(json.loads(numbers)), *columns)
        for included_id in {str(report_id), *json.loads(report_ids)}:
            about = _record(records, study_id, included_id)
            if about is not None:
                about.messages.append(message)
    await _mark(engine, study_ids, records)
    return records


async def _mark(engine: Engine, study_ids: Sequence[str], records: dict[str, LedgerRecords]) -> None:
    """Add to the records: old copies that may still arrive, and cancellations that nobody decided."""
    for study_id, destination in await engine.fetch(_STALE, study_ids=json.dumps(list(study_ids))):
        for of_study in records[str(study_id)].reports.values() if str(study_id) in records else ():
            of_study.stale_at.add(str(destination))
    for item in await items_of_studies(engine, study_ids):
        about = _record(records, item.study_id, item.report_id)
        if about is not None and item.is_open:
            about.cancelled = item


async def signed_studies(engine: Engine) -> set[str]:
    """Return the ids of all studies with a signed report."""
    return {str(study_id) for (study_id,) in await _scan(engine, _SIGNED)}


async def studies_with_open_work(
    engine: Engine, destination: str, *, is_two_phase: bool = False, is_dry_run: bool = False
) -> set[str]:
    """Return all studies that may have an open report at a destination, once its plan is made.

    What is recorded is open unless `is_dry_run`; what only the interface accepted is open if `is_two_phase`.
    """
    rows = list(await _scan(engine, _OPEN_ROWS, destination=destination, no_news=json.dumps(NO_NEWS)))
    asked = [_OPEN_MESSAGES, *([] if is_dry_run else [_RECORDED]), *([_UNACCEPTED] if is_two_phase else [])]
    for statement in asked:
        rows += await _scan(engine, statement, destination=destination)
    return {str(study_id) for (study_id,) in rows}


async def _scan(engine: Engine, statement: Statement, **values: str) -> Sequence[Row]:
    compiled = statement.compiled(engine.dialect)
    return await engine.scan(compiled.sql, compiled.positional(values), _SECONDS)


async def critical_results(engine: Engine, study_id: str) -> set[str]:
    """Return the ids of a stored study's reports that are critical results."""
    rows = await engine.fetch(_KEPT, study_id=study_id)
    study = (await computed(kept, rows[0][0])).study if rows else None
    return {one.report_id for one in study.reports if one.is_critical is True} if study is not None else set()


def _record(found: dict[str, LedgerRecords], study_id: str, report_id: str) -> ReportRecord | None:
    return found[str(study_id)].reports.get(str(report_id)) if str(study_id) in found else None


_MOST: Final = 1_000
_AFTER: Final = chr(ord(SEPARATOR) + 1)
_BY_TERM: Final = Statement(
    "SELECT DISTINCT r.address, r.owner FROM term t CROSS JOIN resource r WHERE t.key = :key AND t.value >= :first"
    " AND t.value < :beyond AND r.number = t.resource ORDER BY r.address LIMIT :most"
)
_STUDY_OF_REPORT: Final = Statement("SELECT study_id FROM report WHERE report_id = :report_id")
_STUDY_OF_MESSAGE: Final = Statement(
    "SELECT study_id FROM message WHERE destination = :destination AND control_id = :control_id"
)
_STUDIES_OF_PATIENT: Final = Statement(
    "SELECT DISTINCT study_id FROM message WHERE patient_id = :patient_id ORDER BY study_id LIMIT :most"
)
_OF_MESSAGE: Final = (
    "SELECT destination, number, control_id, study_id, report_id, kind, state, reason, ack, filler_order_numbers,"
    " report_ids, patient_id, superseded_by, made, sent, committed, accepted, closed, size, body_hash,"
)
_MESSAGE: Final = _OF_MESSAGE + " (SELECT b.body FROM message_body b WHERE b.number = message.number) FROM message"
_NEWEST: Final = Statement(_OF_MESSAGE + " NULL FROM message ORDER BY number DESC LIMIT :most")
_OF_STUDY: Final = Statement(_MESSAGE + " WHERE study_id = :study_id ORDER BY destination, number")
_NUMBERED: Final = Statement(_MESSAGE + " WHERE number = :number")
_LANE_REASON: Final = Statement("SELECT reason FROM lane WHERE destination = :destination AND study_id = :study_id")
_VERSIONS: Final = Statement(
    "SELECT v.version, v.updated, v.body FROM resource r CROSS JOIN version v WHERE r.address = :address"
    " AND v.resource = r.number ORDER BY v.version"
)


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Reasons why nothing is sent: of the study's lane (`lane`), and of the destination (`paused`); empty if none."""

    lane: str = ""
    paused: str = ""


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """Message as in the ledger; instants in microseconds. `body` is None once its bytes are deleted."""

    destination: str
    number: int
    control_id: str
    study_id: str
    report_id: str
    kind: str
    state: str
    reason: str
    ack: str
    filler_order_numbers: tuple[str, ...]
    report_ids: tuple[str, ...]
    patient_id: str
    superseded_by: int | None
    made: int
    sent: int | None
    committed: int | None
    accepted: int | None
    closed: int | None
    size: int
    body_hash: str
    body: bytes | None = field(repr=False)


async def study_of_report(engine: Engine, report_id: str) -> list[str]:
    """Return the study id of a report, None if it is not stored."""
    return [str(study_id) for (study_id,) in await engine.fetch(_STUDY_OF_REPORT, report_id=report_id)]


async def study_of_message(engine: Engine, destination: str, control_id: str) -> list[str]:
    """Return the study id of the message with that control id, if there is one."""
    rows = await engine.fetch(_STUDY_OF_MESSAGE, destination=destination, control_id=storable(control_id))
    return [str(study_id) for (study_id,) in rows]


async def studies_of_accession(engine: Engine, number: str) -> list[str]:
    """Return the ids of the studies that now have this accession number."""
    rows = await _with_identifier(engine, "ImagingStudy", number)
    return list(dict.fromkeys(str(owner) for _, owner in rows if owner))


async def patients_of_number(engine: Engine, number: str) -> list[str]:
    """Return the ids of the patients who have, or had, this number, whoever issued it."""
    rows = await _with_identifier(engine, "Patient", number)
    return [str(address).removeprefix("Patient/") for address, _ in rows]


async def studies_of_patient(engine: Engine, patient_id: str) -> list[str]:
    """Return the ids of the studies with a message about a patient."""
    rows = await engine.fetch(_STUDIES_OF_PATIENT, patient_id=patient_id, most=_MOST)
    return [str(study_id) for (study_id,) in rows]


async def messages_of_study(engine: Engine, study_id: str) -> list[ShownMessage]:
    """Return all messages of a study, by destination, in the order in which they were made.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return [_shown(row) for row in await engine.fetch(_OF_STUDY, study_id=study_id)]


async def newest_messages(engine: Engine, most: int) -> list[ShownMessage]:
    """Return the messages that were made last, the newest first, without their bytes.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return [_shown(row) for row in await engine.fetch(_NEWEST, most=most)]


async def message_numbered(engine: Engine, number: int) -> ShownMessage | None:
    """Return the message with that number in the ledger, None if there is none."""
    rows = await engine.fetch(_NUMBERED, number=number)
    return _shown(rows[0]) if rows else None


async def messages_of_patient(engine: Engine, patient_id: str) -> list[ShownMessage]:
    """Return the messages about a patient that were sent, newest first."""
    studies = await studies_of_patient(engine, patient_id)
    every = [one for study_id in studies for one in await messages_of_study(engine, study_id)]
    sent = [one for one in every if one.patient_id == patient_id and one.sent is not None]
    return sorted(sent, key=lambda one: (one.sent or 0, one.number), reverse=True)


async def versions_of(engine: Engine, address: str) -> list[tuple[int, int, dict[str, Any]]]:
    """Return every version of a FHIR resource: its number, its instant in microseconds, and the resource."""
    rows = await engine.fetch(_VERSIONS, address=address)
    return [(int(row[0]), int(row[1]), json.loads(served_version(row[2], row[0], row[1]))) for row in rows]


async def held_back(engine: Engine, destination: str, study_id: str) -> HeldBack:
    """Return why a study's lane is held at a destination, and why the destination is paused, if they are."""
    lanes = await engine.fetch(_LANE_REASON, destination=destination, study_id=study_id)
    pauses = await engine.fetch(PAUSED, name=destination)
    return HeldBack(*(str(rows[0][0]) if rows else "" for rows in (lanes, pauses)))


async def _with_identifier(engine: Engine, resource_type: str, number: str) -> Sequence[Row]:
    first = code_start(number)
    beyond = first.removesuffix(SEPARATOR) + _AFTER
    found = {"key": key(resource_type, "identifier"), "first": first, "beyond": beyond}
    return await engine.fetch(_BY_TERM, **found, most=_MOST)


def _shown(row: Row) -> ShownMessage:
    columns: list[Any] = list(row)
    columns[9:11] = [tuple(json.loads(one)) for one in columns[9:11]]
    body = columns[-1]
    columns[-1] = None if body is None else bytes(body)
    return ShownMessage(*columns)
