"""Changes of outbox rows after a change of settings: the table of gateway/routing/plan_study.py, row by row (D37)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fakes.looks import addendum, report, study

from gateway.routing import Filter, Ignore, InForce, Scope, ever_in_force
from gateway.routing.owed import Terms
from gateway.routing.plan_study import KnownReport, PlanRow, PlanStep, after_stop, planned, was_made
from mappings.model import Cause, Study

START = datetime(2024, 3, 1, tzinfo=UTC)
EARLY = "2024-02-29T23:59:59Z"
ORIGINAL, ADDENDUM = f"rep_{'3' * 32}", f"rep_{'5' * 32}"
SIGNED = Cause(ORIGINAL, "signed", "v1")
ADDED = Cause(ADDENDUM, "addendum_signed", "v1")
CORRECTED = Cause(ORIGINAL, "text_changed", "v2")
NOWHERE = Filter(Scope(facilities=frozenset({"nowhere"})))
ALL = Terms("ehr", START)
NONE = Terms("ehr", START, NOWHERE)
LATER = Terms("ehr", datetime(2025, 1, 1, tzinfo=UTC))
PACS = Terms("pacs", START)


def row(state: str, reason: str = "", cause: Cause = SIGNED, number: int = 1, to: str = "ehr", **more: Any) -> PlanRow:
    return PlanRow(number, cause, to, state, reason, **more)


def known(*rows: PlanRow, of: Study | None = None, is_sent: bool = False) -> KnownReport:
    return KnownReport(of or study(report()), (), "v1", rows, is_sent)


def steps(
    terms: Terms, *rows: PlanRow, others: tuple[Terms, ...] = (), ignores: tuple[Ignore, ...] = (), **more: Any
) -> list[tuple[int | None, str, str, str]]:
    """Return the steps as number, destination, state and reason."""
    in_force: InForce = ever_in_force((terms, *others), ignores)
    found = planned(known(*rows, **more), "ehr", in_force)
    return [(one.number, one.destination, one.state, one.reason) for one in found]


@pytest.mark.parametrize("state", ["excluded", "before_start"])
def test_what_was_not_sent_and_is_owed_now_is_planned(state: str) -> None:
    assert steps(ALL, row(state, "facilities")) == [(1, "ehr", "planned", "")]


def test_a_signed_report_without_a_row_is_planned_under_its_signature() -> None:
    found = planned(known(of=study(report(), addendum())), "ehr", ever_in_force([ALL]))
    assert found == [PlanStep(None, SIGNED, "ehr", "planned"), PlanStep(None, ADDED, "ehr", "planned")]


def test_a_report_with_a_row_for_a_later_cause_gets_none_for_its_signature() -> None:
    assert steps(ALL, row("waiting", cause=CORRECTED)) == []


def test_a_change_of_a_report_that_is_there_is_planned_as_sent_again() -> None:
    sent = row("rendered", is_said=True)
    assert steps(ALL, sent, row("excluded", "statuses", CORRECTED, 2), is_sent=True) == [
        (2, "ehr", "planned", "resend")
    ]


@pytest.mark.parametrize("state", ["planned", "waiting", "held", "rendered", "merged", "left", "nothing"])
def test_what_is_owed_and_on_its_way_stays_as_it_is(state: str) -> None:
    assert steps(ALL, row(state)) == []


@pytest.mark.parametrize("state", ["waiting", "held", "rendered", "merged"])
def test_what_is_on_its_way_and_not_owed_any_more_is_to_stop(state: str) -> None:
    found = steps(NONE, row(state))
    assert found[0] == (1, "ehr", "to_stop", f"{state}:facilities")


def test_what_was_signed_before_a_later_start_is_to_stop_with_that_reason() -> None:
    assert steps(LATER, row("waiting")) == [(1, "ehr", "to_stop", "waiting:before_start")]


@pytest.mark.parametrize("more", [{"is_said": True}, {"beside": frozenset({ADDENDUM})}])
def test_nothing_stops_that_was_sent_or_that_goes_with_an_owed_report(more: dict[str, Any]) -> None:
    """The addendum alone is owed: it is critical."""
    of = study(report(isCritical=False), addendum(isCritical=True))
    critical = replace(ALL, filter=Filter(critical="only"), restates=False)
    rows = (row("rendered", **more), row("waiting", cause=ADDED, number=2))
    assert steps(critical, *rows, of=of) == []


def test_nothing_stops_of_a_study_that_the_destination_has() -> None:
    assert steps(LATER, row("waiting"), is_sent=True) == []


def test_a_stop_that_settings_take_back_waits_again() -> None:
    assert steps(ALL, row("to_stop", "rendered:facilities")) == [(1, "ehr", "waiting", "")]


def test_a_stop_that_a_sent_message_includes_is_as_good_as_sent() -> None:
    assert steps(NONE, row("to_stop", "rendered:facilities", is_said=True))[0] == (1, "ehr", "rendered", "")


def test_a_stop_gets_the_reason_of_the_settings_and_keeps_the_state_before() -> None:
    assert steps(NONE, row("to_stop", "rendered:modalities"))[0] == (1, "ehr", "to_stop", "rendered:facilities")
    assert steps(LATER, row("to_stop", "rendered:modalities")) == [(1, "ehr", "to_stop", "rendered:before_start")]
    assert steps(LATER, row("to_stop", "rendered:before_start")) == []


@pytest.mark.parametrize("state", ["planned", "before_start", "left"])
def test_what_is_not_owed_and_not_on_its_way_says_why(state: str) -> None:
    assert steps(NONE, row(state))[0] == (1, "ehr", "excluded", "facilities")
    expected = [] if state == "before_start" else [(1, "ehr", "before_start", "")]
    assert steps(LATER, row(state)) == expected


@pytest.mark.parametrize("reason", ["facilities", "modalities"])
def test_the_reason_of_an_excluded_row_follows_the_settings(reason: str) -> None:
    found = [step for step in steps(NONE, row("excluded", reason)) if step[1] == "ehr"]
    assert found == ([] if reason == "facilities" else [(1, "ehr", "excluded", "facilities")])


def test_a_row_that_made_nothing_stays() -> None:
    assert [step for step in steps(NONE, row("nothing", "x")) if step[1] == "ehr"] == []


def test_a_report_that_brings_the_study_there_brings_the_others_along() -> None:
    of = study(report(isCritical=False), addendum(isCritical=True))
    critical = replace(ALL, filter=Filter(critical="only"), restates=False)
    found = steps(critical, row("excluded", "critical"), row("excluded", "critical", ADDED, 2), of=of)
    assert found == [(1, "ehr", "planned", ""), (2, "ehr", "planned", "")]


def test_what_nobody_is_owed_gets_a_row_without_a_destination() -> None:
    assert steps(NONE, row("excluded", "facilities")) == [(None, "", "unrouted", "")]


def test_what_a_rule_ignores_says_so() -> None:
    rule = Ignore("mercy", "", Scope(facilities=frozenset({"mercy"})))
    rows = (row("excluded", "facilities"), row("unrouted", number=2, to=""))
    assert steps(NONE, *rows, ignores=(rule,)) == [(2, "", "ignored", "mercy")]
    assert steps(NONE, rows[0], row("ignored", "mercy", number=2, to=""), ignores=(rule,)) == []


def test_what_was_replayed_keeps_its_row_without_a_destination() -> None:
    assert steps(NONE, row("excluded", "facilities"), row("ignored", "replayed", number=2, to="")) == []


@pytest.mark.parametrize("state", ["unrouted", "ignored"])
def test_what_somebody_is_owed_after_all_is_routed_later(state: str) -> None:
    found = steps(ALL, row("excluded", "facilities"), row(state, number=2, to=""))
    assert found == [(1, "ehr", "planned", ""), (2, "", "merged", "routed-later")]
    assert steps(ALL, row("planned"), row("merged", number=2, to="")) == []


def test_what_another_destination_takes_is_no_open_item() -> None:
    rows = (row("excluded", "facilities"), row("waiting", number=2, to="pacs"), row("unrouted", number=3, to=""))
    assert steps(NONE, *rows, others=(PACS,)) == [(3, "", "merged", "routed-later")]
    left_out = replace(rows[1], state="excluded")
    assert steps(NONE, rows[0], left_out, rows[2], others=(replace(PACS, filter=NOWHERE),)) == []


def test_a_report_has_one_row_without_a_destination_for_its_newest_cause() -> None:
    rows = (row("excluded", "facilities"), row("excluded", "facilities", CORRECTED, 2))
    assert steps(NONE, *rows, row("unrouted", number=3, to="")) == [
        (3, "", "merged", "routed-later"),
        (None, "", "unrouted", ""),
    ]


def test_a_replay_is_no_cause_of_a_plan() -> None:
    assert steps(ALL, row("rendered", is_said=True), row("excluded", "x", Cause(ORIGINAL, "replay", "v1"), 2)) == []


@pytest.mark.parametrize(
    ("reason", "state", "is_made"),
    [
        ("rendered:facilities", ("excluded", "facilities"), True),
        ("waiting:before_start", ("before_start", ""), False),
        ("held:statuses", ("excluded", "statuses"), False),
    ],
)
def test_a_stop_that_is_done_leaves_the_reason_of_the_settings(
    reason: str, state: tuple[str, str], is_made: bool
) -> None:
    assert after_stop(reason) == state
    assert was_made(reason) is is_made


def test_a_report_that_is_gone_is_planned_by_what_it_was() -> None:
    of = study(report(signedAt=EARLY))
    gone = KnownReport(replace(of, reports=()), of.reports, "v1", (row("excluded", "facilities"),), is_sent=False)
    found = planned(gone, "ehr", ever_in_force([ALL]))
    assert [(one.state, one.reason) for one in found] == [("before_start", "")]
