"""Every signed report has exactly one state at a destination: that of its latest change, and the worst of several."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.fed import destination

from gateway.feed.fate import KINDS, UNREMARKABLE, fate_of, fate_place
from gateway.store.feed.ledger import LedgerMessage, LedgerRow, ReportRecord
from gateway.store.feed.states import MESSAGE_STATES, OUTBOX_STATES
from mappings.hl7v2.rendering import pdf_number

EHR = destination(1)
REPORT = "rep_1"


def row(state: str, reason: str = "", name: str = "ehr") -> LedgerRow:
    return LedgerRow(name, state, reason, 1)


def message(state: str, number: int = 1, *, outbox: int = 1, reason: str = "", ack: str = "", **more) -> LedgerMessage:
    usual = {"superseded_by": None, "made": 2, "filler_order_numbers": ("F1",), "destination": "ehr"}
    return LedgerMessage(number=number, outbox=outbox, state=state, reason=reason, ack=ack, **{**usual, **more})


def told(rows=(), messages=()) -> tuple[str, str, bool]:
    found = fate_of(REPORT, ReportRecord(1, list(rows), list(messages)), fate_place(EHR))
    return found.kind, found.detail, found.is_open


@pytest.mark.parametrize(
    ("one", "kind"),
    [
        (message("delivered", ack="AA"), ("AA", "", False)),
        (message("delivered", ack="CA"), ("CA only", "", False)),
        (message("delivered"), ("taken", "no-acknowledgement", False)),
        (message("delivered", ack="AE"), ("taken", "AE", False)),
        (message("queued"), ("queued", "queued", True)),
        (message("sending"), ("queued", "sending", True)),
        (message("held", reason="lane"), ("held", "lane", True)),
        (message("indeterminate", reason="ack-timeout"), ("indeterminate", "ack-timeout", True)),
        (message("dead_letter", reason="rule-x"), ("dead letter", "rule-x", True)),
        (message("superseded", superseded_by=7), ("superseded by", "7", False)),
        (message("dead_letter", reason="withdrawn-unsent"), ("nothing", "withdrawn-unsent", True)),
        (message("recorded"), ("recorded", "recorded", True)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else value.state,
)
def test_a_message_says_the_state_of_its_reports(one, kind):
    assert told([row("rendered")], [one]) == kind


@pytest.mark.parametrize(
    ("one", "kind"),
    [
        (row("waiting"), ("queued", "to-be-made", True)),
        (row("held", "accession-missing"), ("held", "accession-missing", True)),
        (row("nothing", "withdrawn-unsent"), ("nothing", "withdrawn-unsent", False)),
        (row("before_start"), ("before_start", "", False)),
        (row("excluded", "modalities"), ("excluded", "modalities", False)),
        (row("unrouted", name=""), ("unrouted", "", True)),
        (row("ignored", "phantoms", name=""), ("ignored", "phantoms", False)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else value.state,
)
def test_without_a_message_what_was_decided_says_it(one, kind):
    assert told([one]) == kind


def test_what_was_made_and_taken_back_is_no_open_item_once_that_is_what_was_decided_last():
    unsent = message("dead_letter", reason="withdrawn-unsent")
    assert told([row("rendered"), row("nothing", "withdrawn-unsent")], [unsent])[2] is False
    assert told([row("rendered"), row("excluded", "statuses")], [unsent])[2] is False


def test_what_the_store_does_not_know_as_signed_is_not_ingested():
    found = fate_of(REPORT, None, fate_place(EHR))
    assert (found.kind, found.is_open) == ("not ingested", True)


def test_what_the_destination_has_no_row_of_is_unrouted():
    assert told() == ("unrouted", "not-told", True)
    assert told([row("waiting", name="other")], [message("delivered", ack="AA", destination="other")])[0] == "unrouted"


def test_what_every_destination_leaves_out_is_unrouted_and_not_excluded():
    assert told([row("excluded", "modalities"), row("unrouted", name="")])[0] == "unrouted"
    assert told([row("before_start"), row("unrouted", name="")])[0] == "before_start"


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (row("nothing", "status-not-received"), ("nothing", "status-not-received", True)),
        (row("nothing", "withdrawal-patient-unclear"), ("nothing", "withdrawal-patient-unclear", True)),
        (row("nothing", "report-absent"), ("nothing", "report-absent", True)),
        (row("nothing", "withdrawn-unsent"), ("nothing", "withdrawn-unsent", False)),
        (row("excluded", "statuses"), ("excluded", "statuses", False)),
        (row("before_start"), ("before_start", "", False)),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else value.state,
)
def test_what_was_decided_last_and_sent_to_nobody_is_not_hidden_by_what_was_taken_before(last, kind):
    assert told([row("rendered"), last], [message("delivered", ack="AA")]) == kind


def test_a_correction_that_no_destination_takes_is_unrouted_though_the_report_was_taken():
    rows = [row("rendered"), row("excluded", "statuses"), row("unrouted", name="")]
    assert told(rows, [message("delivered", ack="AA")]) == ("unrouted", "", True)


def test_what_is_open_of_what_was_told_before_stays_open():
    rows = [row("rendered"), row("excluded", "statuses")]
    assert told(rows, [message("held", reason="refused")]) == ("held", "refused", True)


def test_what_was_said_again_since_counts_as_its_message():
    rows = [row("rendered"), row("nothing", "status-not-received"), row("rendered")]
    assert told(rows, [message("delivered", ack="AA", outbox=3)])[0] == "AA"


def test_what_was_recorded_is_settled_only_while_the_destination_is_tried_out():
    known = ReportRecord(1, [row("rendered")], [message("recorded")])
    assert fate_of(REPORT, known, fate_place(replace(EHR, dry_run=True))).is_open is False
    assert fate_of(REPORT, known, fate_place(EHR)).is_open is True


def test_the_newest_message_counts_and_not_what_was_taken_before():
    assert told([], [message("delivered", ack="AA"), message("held", 2, outbox=2, reason="refused")])[0] == "held"
    assert told([], [message("dead_letter"), message("delivered", 2, outbox=2, ack="AA")])[0] == "AA"


def test_what_is_still_to_be_told_is_worse_than_what_was_taken():
    assert told([row("waiting")], [message("delivered", ack="AA")]) == ("queued", "to-be-made", True)


def test_of_several_messages_of_one_cause_the_worst_counts():
    assert told([], [message("dead_letter", reason="AE"), message("delivered", 2, ack="AA")])[0] == "dead letter"


def test_the_pdf_in_a_message_of_its_own_does_not_hide_what_became_of_the_text():
    pdf = {"filler_order_numbers": (pdf_number(REPORT),)}
    text = message("dead_letter", reason="AE")
    assert told([], [text, message("delivered", 2, outbox=2, ack="AA", **pdf)])[0] == "dead letter"


def test_a_commit_is_open_only_where_the_application_is_to_answer_too():
    committed = ReportRecord(1, [], [message("delivered", ack="CA")])
    for mode, is_open in (("commit", False), ("two_phase", True)):
        one = replace(EHR, receiver=replace(EHR.receiver, ack_mode=mode))
        assert fate_of(REPORT, committed, fate_place(one)).is_open is is_open


def test_every_state_leads_to_a_kind_that_is_explained():
    for state in MESSAGE_STATES:
        assert told([], [message(state)])[0] in KINDS
    for state in OUTBOX_STATES:
        assert told([row(state)])[0] in KINDS
    assert KINDS.keys() >= UNREMARKABLE
