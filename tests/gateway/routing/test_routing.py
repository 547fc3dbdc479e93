"""Outbox rows of a cause: waiting, before the start, excluded, ignored, unrouted (D16, D31)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from fakes.looks import DRAFT, SHOWS, SITE, addendum, report, study
from fakes.wire_strategies import studies
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.routing import Destination, Filter, Ignore, InForce, Mllp, Routed, Routes, Scope, ever_in_force, routed
from gateway.routing.filter import modality_key
from mappings import decode
from mappings.life.changes import changes
from mappings.model import Cause, CauseKind, ExpressCustomer, Study
from mappings.profile import receiver

START = datetime(2024, 3, 1, tzinfo=UTC)
EARLY = "2024-02-29T23:59:59Z"
ORIGINAL, ADDENDUM = f"rep_{'3' * 32}", f"rep_{'5' * 32}"
GENERIC = receiver("generic")
DRAFTS = replace(GENERIC, send_drafts="on")


def to(name: str = "epic", **changed: Any) -> Destination:
    usual = {"place": "destination[0]", "transport": Mllp("h", 1), "receiver": GENERIC, "start": START}
    return Destination(name, **{**usual, **changed})


def where(found: Study, kind: CauseKind, *to_all: Destination, about: str = ORIGINAL, **more: Any) -> list[Routed]:
    told = {name: frozenset(ids) for name, ids in more.pop("sent", {}).items()}
    in_force = ever_in_force([one.terms for one in to_all], more.pop("ignores", ()))
    return [row for _, row in routed(found, [Cause(about, kind)], told, in_force, **more)]


def only(**lists: str) -> Filter:
    return Filter(Scope(**{name: frozenset({value}) for name, value in lists.items()}))


WAITING = [Routed("epic", "waiting")]


def test_a_report_signed_after_the_start_waits_for_each_destination():
    rows = where(study(report()), "signed", to(), to("pacs"))
    assert rows == [Routed("epic", "waiting"), Routed("pacs", "waiting")]


def test_a_report_signed_at_the_start_itself_waits():
    assert where(study(report(signedAt="2024-02-29T19:00:00-05:00")), "signed", to()) == WAITING


@pytest.mark.parametrize("kind", ["signed", "text_changed", "critical_changed", "patient_changed", "withdrawn"])
def test_what_was_first_signed_before_the_start_stands_there_as_that(kind):
    found = study(report(signedAt=EARLY))
    assert where(found, kind, to()) == [Routed("epic", "before_start")]
    assert where(found, kind, to(), sent={"pacs": [ORIGINAL]}) == [Routed("epic", "before_start")]


def test_a_change_of_what_was_sent_is_told_though_it_was_signed_before_the_start():
    found = study(report(signedAt=EARLY))
    assert where(found, "text_changed", to(), sent={"epic": [ORIGINAL]}) == WAITING


def test_what_came_with_an_addendum_is_there_only_where_everything_is_restated():
    both = study(report(signedAt=EARLY), addendum())
    sent = {"epic": [ADDENDUM]}
    assert where(both, "addendum_signed", to(), about=ADDENDUM) == WAITING
    assert where(both, "text_changed", to(), sent=sent) == WAITING
    for other in ("append", "new_order"):
        apart = to(receiver=replace(GENERIC, addendum=other))
        assert where(both, "text_changed", apart, sent=sent) == [Routed("epic", "before_start")]


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ({"signedAt": None, "updatedAt": EARLY}, "before_start"),
        ({"signedAt": "soon", "updatedAt": EARLY}, "before_start"),
        ({"signedAt": None, "updatedAt": "2024-03-02T00:00:00Z"}, "waiting"),
        ({"signedAt": None, "updatedAt": None, "createdAt": EARLY}, "waiting"),
    ],
)
def test_without_a_time_of_signing_the_last_change_stands_for_it_and_what_is_not_known_is_sent(said, state):
    assert where(study(report(**said)), "signed", to()) == [Routed("epic", state)]


@pytest.mark.parametrize(
    ("accepts", "reason"),
    [
        (only(facilities="lakeside"), "facilities"),
        (only(express_customers="cus_2"), "express_customers"),
        (only(modalities="MR"), "modalities"),
        (Filter(statuses=frozenset({"corrected"})), "statuses"),
        (Filter(critical="only"), "critical"),
    ],
)
def test_a_report_that_a_filter_leaves_out_is_excluded_by_its_name(accepts, reason):
    found = replace(study(report(isCritical=False), modality="CT"), express_customer=ExpressCustomer("cus_1", "Tampa"))
    rows = where(found, "signed", to(filter=accepts), to("pacs"))
    assert rows == [Routed("epic", "excluded", reason), Routed("pacs", "waiting")]


@pytest.mark.parametrize(
    "accepts",
    [
        only(facilities="mercy"),
        only(express_customers="cus_1"),
        only(modalities="MR"),
        Filter(critical="only"),
        Filter(),
    ],
)
def test_a_report_that_passes_the_filter_waits(accepts):
    customer = ExpressCustomer(" cus_1", "Tampa")
    found = replace(
        study(report(isCritical=True, snapshot={"facilityName": " MERCY "}), modality="mri"), express_customer=customer
    )
    assert where(found, "signed", to(filter=accepts)) == WAITING


@pytest.mark.parametrize(("is_critical", "state"), [(True, "excluded"), (False, "waiting"), (None, "waiting")])
def test_what_is_not_said_to_be_critical_is_not(is_critical, state):
    accepts = Filter(critical="none")
    (row, _) = where(study(report(isCritical=is_critical)), "signed", to(filter=accepts), to("pacs"))
    assert row.state == state


def test_a_report_without_facility_or_modality_passes_no_filter_of_them():
    nameless = {"facilityName": None}
    found = study(report(snapshot=nameless), modality=None, reportMetadata=nameless)
    for accepts, reason in ((only(facilities="mercy"), "facilities"), (only(modalities="CT"), "modalities")):
        assert where(found, "signed", to(filter=accepts), to("all"))[0] == Routed("epic", "excluded", reason)


@pytest.mark.parametrize("written", ["PT\\CT", "CT\\PT", "PET/CT", "CT+PT", "pet-ct", "CT\\PT\\SR"])
def test_a_study_of_several_modalities_passes_the_filter_of_each(written):
    """Check a PET/CT: if neither the CT nor the PET destination got it, the report would be lost."""
    found = study(report(), modality=written)
    for modality in ("CT", "PT"):
        assert where(found, "signed", to(filter=only(modalities=modality))) == WAITING
    assert where(found, "signed", to(filter=only(modalities="MR")), to("all"))[0].reason == "modalities"


def test_a_filter_of_several_modalities_takes_what_has_them_all():
    both = to(filter=only(modalities=modality_key("PET/CT")))
    assert where(study(report(), modality="CT\\PT"), "signed", both) == WAITING
    assert where(study(report(), modality="CT"), "signed", both, to("all"))[0] == Routed(
        "epic", "excluded", "modalities"
    )


@pytest.mark.parametrize(
    ("written", "named", "rule"),
    [
        ("CT\\OT", ["OT"], ""),
        ("CT\\OT", ["OT", "CT"], "trials"),
        ("OT\\CT", ["CT/OT"], "trials"),
        ("OT", ["OT"], "trials"),
    ],
)
def test_a_study_is_ignored_only_where_nobody_needs_any_of_its_modalities(written, named, rule):
    trials = Ignore("trials", "read for a study", Scope(modalities=frozenset(map(modality_key, named))))
    rows = where(study(report(), modality=written), "signed", ignores=(trials,))
    assert rows == [Routed("", "ignored", rule) if rule else Routed("", "unrouted")]


def test_an_addendum_that_names_no_facility_is_of_that_of_its_original():
    found = study(report(), addendum(snapshot={"facilityName": None}), reportMetadata={"facilityName": "Lakeside"})
    assert where(found, "addendum_signed", to(filter=only(facilities="mercy")), about=ADDENDUM) == WAITING


def test_a_report_that_names_no_facility_is_of_that_of_the_study():
    found = study(report(snapshot={"facilityName": None}), reportMetadata={"facilityName": "Lakeside"})
    assert where(found, "signed", to(filter=only(facilities="lakeside"))) == WAITING


@pytest.mark.parametrize(
    "accepts",
    [only(facilities="lakeside"), only(express_customers="cus_2"), only(modalities="MR"), Filter(critical="only")],
)
@pytest.mark.parametrize("kind", ["critical_changed", "text_changed", "withdrawn"])
def test_who_was_told_of_a_report_is_told_what_becomes_of_it(accepts, kind):
    found = study(report(isCritical=False), modality="CT")
    destination = to(filter=accepts)
    assert where(found, kind, destination, sent={"epic": [ORIGINAL]}) == WAITING
    assert where(found, kind, destination, to("all"))[0].state == "excluded"


def test_an_addendum_to_what_was_told_is_told_though_it_passes_no_filter():
    found = study(report(), addendum(isCritical=False))
    destination = to(filter=Filter(critical="only"), receiver=replace(GENERIC, addendum="append"))
    assert where(found, "addendum_signed", destination, about=ADDENDUM, sent={"epic": [ORIGINAL]}) == WAITING


@pytest.mark.parametrize(
    ("kind", "statuses"),
    [
        ("signed", {"final"}),
        ("addendum_signed", {"addendum"}),
        ("text_changed", {"corrected"}),
        ("critical_changed", {"corrected"}),
        ("patient_changed", {"corrected"}),
        ("reinstated", {"corrected"}),
    ],
)
def test_statuses_says_of_which_news_a_destination_hears(kind, statuses):
    every = {"final", "addendum", "corrected", "draft"}
    found, sent = study(report()), {"epic": [ORIGINAL]}
    assert where(found, kind, to(filter=Filter(statuses=frozenset(statuses))), sent=sent) == WAITING
    others = to(filter=Filter(statuses=frozenset(every - statuses)))
    assert where(found, kind, others, to("all"), sent=sent)[0] == Routed("epic", "excluded", "statuses")


@pytest.mark.parametrize("kind", ["withdrawn", "addendum_cancelled", "draft_cancelled"])
def test_what_is_taken_back_is_told_whatever_statuses_says(kind):
    destination = to(filter=Filter(statuses=frozenset({"final"})), receiver=DRAFTS)
    assert where(study(report()), kind, destination) == WAITING


def test_what_nobody_accepts_is_an_open_item():
    destination = to(filter=only(facilities="lakeside"))
    assert where(study(report()), "signed", destination) == [Routed("", "unrouted")]
    assert where(study(report()), "signed") == [Routed("", "unrouted")]


def test_what_nobody_accepts_and_a_rule_names_is_ignored_under_its_name():
    trials = Ignore("trials", "read for a study", Scope(modalities=frozenset({"OT"})))
    mercy = Ignore("mercy", "has its own feed", Scope(facilities=frozenset({"mercy"})))
    destination = to(filter=only(facilities="lakeside"))
    rules = (trials, mercy)
    assert where(study(report()), "signed", destination, ignores=rules) == [Routed("", "ignored", "mercy")]
    assert where(study(report(), modality="OT"), "signed", ignores=rules) == [Routed("", "ignored", "trials")]
    assert where(study(report()), "signed", ignores=rules[:1]) == [Routed("", "unrouted")]
    assert where(study(report()), "signed", to(), ignores=rules) == WAITING


def test_history_before_the_start_is_accepted_and_no_open_item():
    rows = where(study(report(signedAt=EARLY)), "signed", to(), to("pacs", filter=only(facilities="lakeside")))
    assert rows == [Routed("epic", "before_start"), Routed("pacs", "excluded", "facilities")]


def test_a_destination_that_is_switched_off_is_not_there():
    assert where(study(report()), "signed", to(is_enabled=False)) == [Routed("", "unrouted")]
    assert where(study(report()), "signed", to("off", is_enabled=False), to()) == WAITING


@pytest.mark.parametrize("kind", ["draft", "draft_cancelled"])
def test_drafts_go_to_those_whose_profile_sends_them_and_are_never_an_open_item(kind):
    found = study(report(**DRAFT))
    assert where(found, kind, to(), to("drafts", receiver=DRAFTS)) == [Routed("drafts", "waiting")]
    assert where(found, kind, to()) == []


def test_a_draft_that_a_filter_leaves_out_is_excluded_and_no_open_item():
    drafted = study(report(**DRAFT))
    for accepts, reason in (
        (Filter(statuses=frozenset({"final"})), "statuses"),
        (Filter(critical="only"), "critical"),
        (only(facilities="lakeside"), "facilities"),
    ):
        assert where(drafted, "draft", to(filter=accepts, receiver=DRAFTS)) == [Routed("epic", "excluded", reason)]


def test_a_draft_is_never_critical_whatever_is_said_of_it():
    found = study(report(**{**DRAFT, "isCritical": True}))
    assert where(found, "draft", to(filter=Filter(critical="none"), receiver=DRAFTS)) == WAITING


def test_a_draft_that_last_changed_before_the_start_is_not_sent():
    found = study(report(**DRAFT, updatedAt=EARLY))
    assert where(found, "draft", to(receiver=DRAFTS)) == [Routed("epic", "before_start")]


def test_what_is_gone_is_found_among_what_was_there():
    (was,) = study(addendum(signedAt=EARLY)).reports
    left = study(report())
    assert where(left, "addendum_cancelled", to(), about=ADDENDUM, gone=(was,)) == [Routed("epic", "before_start")]
    sent = {"epic": [ADDENDUM]}
    assert where(left, "addendum_cancelled", to(), about=ADDENDUM, gone=(was,), sent=sent) == WAITING
    assert where(left, "addendum_cancelled", to(), about=ADDENDUM) == WAITING


def test_causes_keep_their_order_and_each_its_rows():
    both = study(report(), addendum())
    causes = changes(None, both, SITE).causes
    rows = routed(both, causes, {}, ever_in_force([to().terms, to("pacs").terms]))
    assert [(cause.report_id, row.destination) for cause, row in rows] == [
        (ORIGINAL, "epic"),
        (ORIGINAL, "pacs"),
        (ADDENDUM, "epic"),
        (ADDENDUM, "pacs"),
    ]


SCOPES = st.builds(
    Scope,
    facilities=st.none() | st.just(frozenset({"mercy"})),
    express_customers=st.none() | st.just(frozenset({"cus_1"})),
    modalities=st.none() | st.just(frozenset({"CT", "MR"})),
)
FILTERS = st.builds(
    Filter,
    scope=SCOPES,
    statuses=st.frozensets(st.sampled_from(("final", "addendum", "corrected", "draft")), min_size=1),
    critical=st.sampled_from(("all", "only", "none")),
)
DESTINATIONS = st.builds(
    to,
    name=st.sampled_from("abcd"),
    filter=FILTERS,
    receiver=st.builds(
        replace,
        st.sampled_from((GENERIC, DRAFTS)),
        addendum=st.sampled_from(("replace", "append", "new_order")),
    ),
    start=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    is_enabled=st.booleans(),
)


def always(routes: Routes) -> InForce:
    return ever_in_force([one.terms for one in routes.destinations], routes.ignores)


ROUTES = st.builds(
    Routes,
    st.lists(DESTINATIONS, max_size=4, unique_by=lambda one: one.name).map(tuple),
    st.lists(st.builds(Ignore, st.just("rule"), st.just("why"), SCOPES), max_size=2).map(tuple),
)


@pytest.mark.full
@given(studies(), st.data(), ROUTES)
@settings(max_examples=80)
def test_every_cause_has_a_row_for_each_destination_or_one_for_none(said, data, routes):
    decoded = decode(*said)
    ids = [one.report_id for one in decoded.reports]
    kinds = get_args(CauseKind)
    causes = [Cause(one, data.draw(st.sampled_from(kinds))) for one in ids] + list(changes(None, decoded, SHOWS).causes)
    sent = {one.name: data.draw(st.frozensets(st.sampled_from(ids))) for one in routes.destinations if ids}
    rows = routed(decoded, causes, sent, always(routes))
    assert [cause for cause, _ in rows] == sorted((cause for cause, _ in rows), key=causes.index)
    enabled = [one for one in routes.destinations if one.is_enabled]
    for cause in set(causes):
        own = [row for other, row in rows if other == cause]
        named = [row.destination for row in own]
        if cause.is_of_draft:
            assert set(named) == {one.name for one in enabled if one.receiver.send_drafts == "on"}
        elif named[0] == "":
            assert {row.state for row in own} <= {"unrouted", "ignored"}
            assert len(own) == causes.count(cause)
        else:
            assert named == [one.name for one in enabled] * causes.count(cause)
            assert any(row.state != "excluded" for row in own)
        history = [row for row in own if (row.state, row.reason) == ("unrouted", "before_start")]
        assert all(bool(row.reason) is (row.state in {"excluded", "ignored"}) for row in own if row not in history)
        assert not history or enabled


@pytest.mark.full
@given(studies(), st.data(), ROUTES)
@settings(max_examples=80)
def test_nothing_that_was_told_is_before_the_start_or_left_out_by_where_it_is_from(said, data, routes):
    found = decode(*said)
    causes = [Cause(one.report_id, data.draw(st.sampled_from(get_args(CauseKind)))) for one in found.reports]
    sent = {one.name: frozenset(cause.report_id for cause in causes) for one in routes.destinations}
    for _, row in routed(found, causes, sent, always(routes)):
        assert row.state in ("waiting", "unrouted", "ignored") or row.reason == "statuses"
