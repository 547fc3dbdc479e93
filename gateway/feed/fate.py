"""Compute the fate of a signed report at a destination, such as accepted, queued or dead letter; no other module does.

HL7 v2.5.1 §2.9.2, table 0008 (AA and CA); decisions D21, D31, D32, D37, D49. The fate follows the latest change that
the destination must know: its outbox row, and the worst state among the messages composed from that row. A report that
AutoScribe cancelled stands open wherever it is, or may come. Status, show, explain, certificate and metrics all say it.
Proved by tests/gateway/feed/test_fate.py and tests/property/test_one_answer.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, Literal

from gateway.feed.compose.hl7v2_payload import HL7V2
from gateway.routing import Destination
from gateway.routing.plan_study import RESENT
from gateway.store.database.engine import Engine, instant_text
from gateway.store.feed.destinations import known_as
from gateway.store.feed.lanes import OLD_COPY
from gateway.store.feed.ledger import (
    LedgerMessage,
    LedgerRecords,
    LedgerRow,
    ReportRecord,
    report_records,
    signed_studies,
    studies_with_open_work,
)
from gateway.store.feed.messages import FOUND, NOT_CHECKABLE, NOT_FILED
from gateway.store.feed.plans import in_force_of, unplanned
from gateway.store.feed.states import MAY_HAVE_BEEN_SENT, NO_NEWS, SEEN_THERE, UNSENT

Kind = Literal[
    "not ingested",
    "cancelled",
    "held",
    "dead letter",
    "other patient",
    "older version",
    "absent",
    "differs",
    "indeterminate",
    "queued",
    "planned",
    "unrouted",
    "superseded by",
    "nothing",
    "recorded",
    "CA only",
    "taken",
    "left",
    "not checkable",
    "AA",
    "found",
    "ignored",
    "excluded",
    "before_start",
]
# Kind -> its meaning; the worst first
KINDS: Final[dict[Kind, str]] = {
    "not ingested": "AutoScribe lists it as signed, and the store does not have it as signed",
    "cancelled": "AutoScribe cancelled it after it was signed: it waits for `feed withdraw` or `feed leave`",
    "held": "an operator is needed, or the value that `detail` names",
    "dead letter": "given up: it is not sent any more",
    "other patient": "accepted (AA), and the EHR shows it in another patient's chart, or still shows it there",
    "older version": "accepted (AA), and the EHR shows an older version of it",
    "absent": "accepted (AA), and the EHR does not show it, asked twice",
    "differs": "accepted (AA), and the EHR shows it otherwise than it was sent: `detail` says in what",
    "indeterminate": "in doubt: it was sent without a usable answer and may have arrived; or an old copy of it may",
    "queued": "to be composed or sent",
    "planned": "newly owed, or no longer owed, under changed settings: it waits for `feed apply`",
    "unrouted": "no destination takes it, or it is not decided yet for this one",
    "superseded by": "never accepted: the message of that number replaces or withdraws it",
    "nothing": "the mapping sends nothing for it, for the reason given",
    "recorded": "composed for a destination in a dry run, and not sent",
    "CA only": "the receiver's interface accepted it, its application has not answered",
    "taken": "accepted without an acknowledgement, or with an answer that the ack_table calls delivered",
    "left": "an operator left it unsent: from a plan, or (`may-have-been-sent`) since the receiver has it already",
    "not checkable": "accepted (AA), and it cannot be looked up in the EHR, for the reason given",
    "AA": "the receiver's application accepted it; `to-be-read-back`: it is still to be looked up in the EHR",
    "found": "accepted (AA), and the EHR shows it as it was sent",
    "ignored": "a rule says that no destination needs it",
    "excluded": "a filter of the destination leaves it out",
    "before_start": "first signed before the destination's start",
}
_OPEN: Final = frozenset(
    {"not ingested", "cancelled", "held", "dead letter", "indeterminate", "queued", "planned", "unrouted", *NOT_FILED}
)
# Not lacking: an open report of these kinds is still on its way, or another command decides on it
_ON_ITS_WAY: Final = frozenset(
    {"cancelled", "held", "indeterminate", "queued", "planned", "CA only", "other patient", "differs"}
)
_BY_SETTINGS: Final = frozenset({"excluded", "before_start", "ignored"})
UNREMARKABLE: Final = frozenset({"AA", "found", "before_start", "excluded"})
ACKNOWLEDGED: Final = frozenset({"AA", FOUND, NOT_CHECKABLE, *NOT_FILED})
TO_BE_READ_BACK: Final = "to-be-read-back"
_RANK: Final = {kind: place for place, kind in enumerate(KINDS)}
_BY_STATE: Final[dict[str, Kind]] = {
    "queued": "queued",
    "sending": "queued",
    "indeterminate": "indeterminate",
    "held": "held",
    "dead_letter": "dead letter",
}
_ROWS: Final[dict[str, Kind]] = {
    "before_start": "before_start",
    "excluded": "excluded",
    "nothing": "nothing",
    "left": "left",
    "unrouted": "unrouted",
    "ignored": "ignored",
}
_NO_ONE: Final = frozenset({"unrouted", "ignored"})
_TOLD: Final = frozenset({"rendered", "merged"})
_AHEAD: Final = frozenset({"waiting", "held", "planned", "to_stop"})
_FILED: Final[dict[str, Kind]] = {
    "other patient": "other patient",
    "older version": "older version",
    "absent": "absent",
    "differs": "differs",
    "not checkable": "not checkable",
    "found": "found",
    "AA": "AA",
}
_PLANNED: Final = {"planned": "add", "to_stop": "stop"}
_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class FatePlace:
    """Destination with what decides fates there. `name` is its name in the database, `label` that in the settings.

    `is_owed`: it is in the settings and enabled. The effect of changed settings is not known yet for the studies in
    `unplanned`, and for all studies if not `is_planned`. `is_decided` is False before any settings are in force.
    """

    name: str
    label: str = ""
    is_dry_run: bool = False
    is_two_phase: bool = False
    is_owed: bool = True
    is_planned: bool = True
    is_decided: bool = True
    unplanned: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Fate:
    """Fate of a report at a destination: `detail` is a code, a rule or filter name, or a message number.

    `since` is the time of the row or message behind it, in microseconds. `is_open` is True if delivery is not finished,
    or an operator is needed. `remarks` are warning codes of the messages.
    """

    kind: Kind
    detail: str = ""
    since: int | None = None
    is_open: bool = False
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        since = "" if self.since is None else f", since {instant_text(self.since)}"
        return f"{self.kind}{f' ({self.detail})' if self.detail else ''}{', open' if self.is_open else ''}{since}"


@dataclass(frozen=True, slots=True)
class ReportFate:
    """Fate of a report at one destination."""

    study_id: str
    report_id: str
    place: FatePlace
    fate: Fate

    @property
    def said(self) -> dict[str, Any]:
        """The fate as JSON."""
        since = None if self.fate.since is None else instant_text(self.fate.since)
        where = {"reportId": self.report_id, "studyId": self.study_id, "destination": self.place.label}
        what = {"fate": self.fate.kind, "detail": self.fate.detail, "since": since, "isOpen": self.fate.is_open}
        return {**where, **what, "remarks": list(self.fate.remarks)}


def fate_place(destination: Destination) -> FatePlace:
    """Build the `FatePlace` of a destination in the settings, as if the database knew nothing of it."""
    is_two_phase = destination.receiver.ack_mode == "two_phase"
    return FatePlace(destination.name, destination.name, destination.dry_run, is_two_phase, destination.is_enabled)


async def places(engine: Engine, destinations: Iterable[Destination]) -> list[FatePlace]:
    """Build the `FatePlace` of each destination, with the names and plans that the database has.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    every = []
    for one in destinations:
        name = await known_as(engine, one.name, one.formerly)
        standing, lacking = await in_force_of(engine, name), await unplanned(engine, name)
        is_planned = standing is None or standing.planned is not None
        is_decided = standing is not None and is_planned
        place = replace(fate_place(one), name=name, is_planned=is_planned, is_decided=is_decided)
        every.append(replace(place, unplanned=lacking))
    return every


async def fates(engine: Engine, study_ids: Collection[str], known: Sequence[FatePlace]) -> list[ReportFate]:
    """Return the fates of these studies' signed reports, at these destinations and all others that have them.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    found = []
    ids = iter(sorted(study_ids))
    while batch := list(islice(ids, _BATCH)):
        for study_id, records in (await report_records(engine, batch)).items():
            found += [] if records.is_external else list(_of_study(study_id, records, known))
    return found


def _of_study(study_id: str, records: LedgerRecords, known: Sequence[FatePlace]) -> Iterable[ReportFate]:
    """Yield the fates of a study's reports; a destination that left the settings counts if it was sent one."""
    named = {one.name for one in known}
    for report_id, record in sorted(records.reports.items()):
        others = {one.destination for one in record.rows} | {one.destination for one in record.messages}
        left = [FatePlace(name, name, is_owed=False) for name in sorted(others - named - {""})]
        for place in (*known, *left):
            yield ReportFate(study_id, report_id, place, fate_of(report_id, record, place))


async def open_fates(engine: Engine, place: FatePlace) -> AsyncIterator[ReportFate]:
    """Yield every open fate at a destination, of reports from studies with open work there.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    if place.is_owed and not place.is_decided:
        wanted = await signed_studies(engine)
    else:
        kinds = {"is_two_phase": place.is_two_phase, "is_dry_run": place.is_dry_run}
        wanted = await studies_with_open_work(engine, place.name, **kinds) | place.unplanned
    for one in await fates(engine, wanted, [place]):
        if one.place == place and one.fate.is_open:
            yield one


def fate_of(report_id: str, record: ReportRecord | None, place: FatePlace) -> Fate:
    """Return the fate of a report at a destination; `record` is None if the store does not have it as signed."""
    if record is None:
        return _made("not ingested")
    fate = _delivered(report_id, record, place)
    is_undecided = record.study_id in place.unplanned or not place.is_planned
    if fate.kind in _BY_SETTINGS and place.is_owed and is_undecided:
        fate = Fate("planned", "undecided", fate.since, is_open=True)
    if record.cancelled is None or not _may_be_there(record, place):
        return fate
    return Fate("cancelled", record.cancelled.state, record.cancelled.since, is_open=True, remarks=fate.remarks)


def _may_be_there(record: ReportRecord, place: FatePlace) -> bool:
    """True if a destination has the report in any version, or may still get it."""
    if any(one.destination == place.name for one in record.messages):
        return True
    own = [row for row in record.rows if row.destination == place.name]
    return any(row.state in _TOLD | _AHEAD or row.reason == MAY_HAVE_BEEN_SENT for row in own)


def _delivered(report_id: str, record: ReportRecord, place: FatePlace) -> Fate:
    """Return the fate at a destination, by the rows and messages for it."""
    own = [row for row in record.rows if row.destination == place.name]
    messages = [one for one in record.messages if one.destination == place.name]
    if not place.is_owed and not own and not messages:
        return _made("excluded", "enabled")
    states = [_of_row(row) for row in own if row.state in _AHEAD]
    last = _last(report_id, messages)
    made = [_of_message(one, place) for one in last]
    if place.name in record.stale_at:
        states.append(_made("indeterminate", OLD_COPY))
    undelivered = _undelivered(record.rows, place.name)
    if undelivered is not None:
        made = [one for one in made if one.is_open]  # no message carries the latest change
        states.append(undelivered)
    elif own:  # the row is sent or to be sent, so a cancelled message still leaves the report open
        made = [replace(one, is_open=True) if one.detail == UNSENT else one for one in made]
    if states or made:
        remarks = tuple(dict.fromkeys(code for one in last for code in one.remarks.split()))
        return replace(min([*states, *made], key=lambda one: _RANK[one.kind]), remarks=remarks)
    return _unsaid(own, record.rows)


def _undelivered(rows: Sequence[LedgerRow], name: str) -> Fate | None:
    """Return the fate of a report whose latest change has no message for the destination; None if it has one."""
    about = [row for row in rows if row.destination == name or row.state in _NO_ONE]
    newest = [row for row in about if row.version == about[-1].version]
    own = [row for row in newest if row.destination == name]
    if not own:
        return _of_row(newest[-1]) if newest else None
    return None if own[-1].state in _TOLD | _AHEAD else _unsaid(own, newest)


def is_unread(found: Fate) -> bool:
    """True if a report is to be looked up in the EHR, and nothing is known of its chart yet, or can be."""
    return found.kind == NOT_CHECKABLE or (found.kind == "AA" and found.detail == TO_BE_READ_BACK)


def is_lacking(found: Fate) -> bool:
    """True if the destination does not have a report, and no message with it waits to be sent."""
    return found.is_open and found.kind not in _ON_ITS_WAY


def _last(report_id: str, messages: Sequence[LedgerMessage]) -> list[LedgerMessage]:
    """Return the messages of the newest cause: of the text, and of the PDF if that has its own message."""
    pdf = (HL7V2.document_number(report_id),)
    messages_of_cause: list[LedgerMessage] = []
    for is_pdf in (False, True):
        own = [message for message in messages if (message.filler_order_numbers[:1] == pdf) is is_pdf]
        last = own[-1:]
        messages_of_cause += [one for one in own[:-1] if one.outbox == own[-1].outbox and one.reason != UNSENT] + last
    return messages_of_cause


def _unsaid(own: Sequence[LedgerRow], rows: Sequence[LedgerRow]) -> Fate:
    """Return the fate, by its outbox rows, of a report without a message for its latest change."""
    no_one = [row for row in rows if row.state in _NO_ONE]
    decided = [row for row in own if row.state in _ROWS]
    if no_one and all(row.state == "excluded" for row in decided):
        return _of_row(no_one[-1])
    return _of_row(decided[-1]) if decided else _made("unrouted", "not-told")


def _of_row(row: LedgerRow) -> Fate:
    if row.state in _PLANNED:
        return _made("planned", row.reason if row.reason == RESENT else _PLANNED[row.state], row.decided)
    kind: Kind = "held" if row.state == "held" else _ROWS.get(row.state, "queued")
    if kind == "nothing":
        return Fate(kind, row.reason, row.decided, row.reason not in NO_NEWS)
    return _made(kind, row.reason or ("to-be-made" if kind == "queued" else ""), row.decided)


def _of_message(message: LedgerMessage, place: FatePlace) -> Fate:
    if message.state == "superseded":
        return _made("superseded by", str(message.superseded_by or ""), message.made)
    if message.state == "dead_letter" and message.reason == UNSENT:
        return _made("nothing", UNSENT, message.made)
    if message.state == "dead_letter" and message.reason == SEEN_THERE:
        return _made("left", MAY_HAVE_BEEN_SENT, message.made)
    if message.state == "recorded":
        return Fate("recorded", message.reason or message.state, message.made, not place.is_dry_run)
    if message.state == "delivered":
        return _of_delivered(message, place)
    return _made(_BY_STATE[message.state], message.reason or message.state, message.made)


def _of_delivered(message: LedgerMessage, place: FatePlace) -> Fate:
    if message.ack == "AA" and message.filed:
        return _made(_FILED[message.filed], message.filed_detail, message.filed_since)
    if message.ack == "AA":
        return _made("AA", "" if message.filed is None else TO_BE_READ_BACK, message.made)
    if message.ack.startswith("C"):
        is_open = place.is_two_phase
        return Fate("CA only", "awaits-AA" if is_open else "", message.made, is_open)
    return _made("taken", message.ack or "no-acknowledgement", message.made)


def _made(kind: Kind, detail: str = "", since: int | None = None) -> Fate:
    return Fate(kind, detail, since, kind in _OPEN)
