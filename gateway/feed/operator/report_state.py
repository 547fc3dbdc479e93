"""Compute the delivery state of a signed report at a destination, such as accepted, queued or dead letter. Pure.

HL7 v2.5.1 §2.9.2, table 0008 (AA and CA); decisions D31, D32, D37. The state follows the latest change that the
destination must know: its outbox row, and the worst state among the messages composed from that row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from gateway.feed.compose.hl7v2_payload import HL7V2
from gateway.routing import Destination
from gateway.routing.plan import RESENT
from gateway.store.feed.reconciling import LedgerMessage, LedgerRow, ReportRecord
from gateway.store.feed.states import MAY_HAVE_BEEN_SENT, SEEN_THERE, UNSENT
from gateway.store.feed.takeover import OLD_COPY

Kind = Literal[
    "not ingested",
    "held",
    "dead letter",
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
    "AA",
    "ignored",
    "excluded",
    "before_start",
]
# Kind -> its meaning; the worst first
KINDS: Final[dict[Kind, str]] = {
    "not ingested": "AutoScribe lists it as signed, and the store does not have it as signed",
    "held": "an operator is needed, or the value that `detail` names",
    "dead letter": "given up: it is not sent any more",
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
    "AA": "the receiver's application accepted it",
    "ignored": "a rule says that no destination needs it",
    "excluded": "a filter of the destination leaves it out",
    "before_start": "first signed before the destination's start",
}
_OPEN: Final = frozenset({"not ingested", "held", "dead letter", "indeterminate", "queued", "planned", "unrouted"})
# Not lacking: an open report of these kinds is still on its way, or `feed resume` sends it
_ON_ITS_WAY: Final = frozenset({"held", "indeterminate", "queued", "planned", "CA only"})
UNREMARKABLE: Final = frozenset({"AA", "before_start", "excluded"})
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
_PLANNED: Final = {"planned": "add", "to_stop": "stop"}
# Reasons for which there is nothing to send; with any other reason the destination lacks a report it should have
_OF_NO_NEWS: Final = frozenset({UNSENT, "report-not-signed", "draft-after-final", "study-external"})


@dataclass(frozen=True, slots=True)
class ReportState:
    """State of a report: `detail` is a code, the name of a rule or filter, or the number of a message.

    `since` is the time of the row or message behind the state, in microseconds. `is_open` is True if delivery is not
    finished, or an operator is needed. `remarks` are warning codes of the messages.
    """

    kind: Kind
    detail: str = ""
    since: int | None = None
    is_open: bool = False
    remarks: tuple[str, ...] = ()


def report_state(report_id: str, record: ReportRecord | None, destination: Destination) -> ReportState:
    """Return the state of a report; `record` is None if the store does not know it as signed."""
    if record is None:
        return _made("not ingested")
    own = [row for row in record.rows if row.destination == destination.name]
    messages = [one for one in record.messages if one.destination == destination.name]
    states = [_of_row(row) for row in own if row.state in _AHEAD]
    last = _last(report_id, messages)
    made = [_of_message(one, destination) for one in last]
    if destination.name in record.stale_at:
        states.append(_made("indeterminate", OLD_COPY))
    undelivered = _undelivered(record.rows, destination.name)
    if undelivered is not None:
        made = [one for one in made if one.is_open]  # no message carries the latest change
        states.append(undelivered)
    elif own:  # the row is sent or to be sent, so a cancelled message still leaves the report open
        made = [replace(one, is_open=True) if one.detail == UNSENT else one for one in made]
    if states or made:
        remarks = tuple(dict.fromkeys(code for one in last for code in one.remarks.split()))
        return replace(min([*states, *made], key=lambda one: _RANK[one.kind]), remarks=remarks)
    return _unsaid(own, record.rows)


def _undelivered(rows: Sequence[LedgerRow], name: str) -> ReportState | None:
    """Return the state of a report whose latest change has no message for the destination; None if it has one."""
    about = [row for row in rows if row.destination == name or row.state in _NO_ONE]
    newest = [row for row in about if row.version == about[-1].version]
    own = [row for row in newest if row.destination == name]
    if not own:
        return _of_row(newest[-1]) if newest else None
    return None if own[-1].state in _TOLD | _AHEAD else _unsaid(own, newest)


def is_lacking(found: ReportState) -> bool:
    """True if the destination lacks a report, and nothing is about to send it."""
    return found.is_open and found.kind not in _ON_ITS_WAY


def _last(report_id: str, messages: Sequence[LedgerMessage]) -> list[LedgerMessage]:
    """Return the messages of the newest cause: of the text, and of the PDF if that is a message of its own."""
    pdf = (HL7V2.document_number(report_id),)
    messages_of_cause: list[LedgerMessage] = []
    for is_pdf in (False, True):
        own = [message for message in messages if (message.filler_order_numbers[:1] == pdf) is is_pdf]
        last = own[-1:]
        messages_of_cause += [one for one in own[:-1] if one.outbox == own[-1].outbox and one.reason != UNSENT] + last
    return messages_of_cause


def _unsaid(own: Sequence[LedgerRow], rows: Sequence[LedgerRow]) -> ReportState:
    """Return the state of a report without a message for its latest change, by the outbox rows."""
    no_one = [row for row in rows if row.state in _NO_ONE]
    decided = [row for row in own if row.state in _ROWS]
    if no_one and all(row.state == "excluded" for row in decided):
        return _of_row(no_one[-1])
    return _of_row(decided[-1]) if decided else _made("unrouted", "not-told")


def _of_row(row: LedgerRow) -> ReportState:
    if row.state in _PLANNED:
        return _made("planned", row.reason if row.reason == RESENT else _PLANNED[row.state], row.decided)
    kind: Kind = "held" if row.state == "held" else _ROWS.get(row.state, "queued")
    if kind == "nothing":
        return ReportState(kind, row.reason, row.decided, row.reason not in _OF_NO_NEWS)
    return _made(kind, row.reason or ("to-be-made" if kind == "queued" else ""), row.decided)


def _of_message(message: LedgerMessage, destination: Destination) -> ReportState:
    if message.state == "superseded":
        return _made("superseded by", str(message.superseded_by or ""), message.made)
    if message.state == "dead_letter" and message.reason == UNSENT:
        return _made("nothing", UNSENT, message.made)
    if message.state == "dead_letter" and message.reason == SEEN_THERE:
        return _made("left", MAY_HAVE_BEEN_SENT, message.made)
    if message.state == "recorded":
        return ReportState("recorded", message.reason or message.state, message.made, not destination.dry_run)
    if message.state == "delivered":
        return _of_delivered(message, destination)
    return _made(_BY_STATE[message.state], message.reason or message.state, message.made)


def _of_delivered(message: LedgerMessage, destination: Destination) -> ReportState:
    if message.ack == "AA":
        return _made("AA", since=message.made)
    if message.ack.startswith("C"):
        is_open = destination.receiver.ack_mode == "two_phase"
        return ReportState("CA only", "awaits-AA" if is_open else "", message.made, is_open)
    return _made("taken", message.ack or "no-acknowledgement", message.made)


def _made(kind: Kind, detail: str = "", since: int | None = None) -> ReportState:
    return ReportState(kind, detail, since, kind in _OPEN)
