"""Destinations with their settings resolved: owed what, for whose patients, and under which name."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.routing import Destination, Filter, Mllp, Retry, Scope
from gateway.routing.owed import Terms
from mappings.profile import AssigningAuthority, Facility, Site, receiver

START = datetime(2024, 3, 1, tzinfo=UTC)
MERCY = Facility("Mercy", mrn=AssigningAuthority("urn:oid:2.999.1", "MERCY"))
LAKESIDE = Facility("Lakeside", mrn=AssigningAuthority("urn:oid:2.999.2", "LAKE"))
HARBOR = Facility("Harbor")
SITE = Site(facilities={"Mercy": MERCY, "Mercy North": MERCY, "Lakeside": LAKESIDE, "Harbor": HARBOR})
PLAIN = replace(receiver("generic"), pid3_plain="on")


def to(profile: Any = None, **more: Any) -> Destination:
    return Destination("ehr", "destination[0]", Mllp("h", 1), profile or receiver("generic"), START, **more)


def only(*facilities: str) -> Filter:
    return Filter(Scope(facilities=frozenset(facilities)))


def test_msh_10_keeps_the_first_name_of_all() -> None:
    assert to().control_name == "ehr"
    assert to(first_name="epic", formerly="cerner").control_name == "epic"


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ({}, Terms("ehr", START)),
        ({"send_drafts": "on"}, Terms("ehr", START, sends_drafts=True)),
        ({"addendum": "append"}, Terms("ehr", START, restates=False)),
    ],
)
def test_what_it_is_owed_follows_from_its_profile_too(switches: dict[str, Any], expected: Terms) -> None:
    assert to(replace(receiver("generic"), **switches)).terms == expected


def test_it_is_owed_moves_after_merges_only_if_it_asks_for_them() -> None:
    assert to(merge="move").terms == Terms("ehr", START, moves_merges=True)


def test_a_disabled_destination_is_owed_nothing_and_its_filter_counts() -> None:
    assert to(is_enabled=False, filter=only("mercy")).terms == Terms("ehr", START, only("mercy"), is_enabled=False)


def test_its_facilities_are_those_that_the_filter_names_each_once() -> None:
    assert to().facilities(SITE) == [MERCY, LAKESIDE, HARBOR]
    assert to(filter=only("mercy north")).facilities(SITE) == []
    assert to(filter=only("mercy", "harbor")).facilities(SITE) == [MERCY, HARBOR]


def test_its_namespaces_are_those_of_its_facilities_in_order() -> None:
    assert to().mrn_namespaces(SITE) == ["LAKE", "MERCY"]
    assert to(filter=only("harbor")).mrn_namespaces(SITE) == []


@pytest.mark.parametrize(
    ("destination", "bare"),
    [
        (to(), None),
        (to(PLAIN), ""),
        (to(PLAIN, filter=only("mercy")), "MERCY"),
        (to(PLAIN, filter=only("harbor")), ""),
        (to(PLAIN, filter=only("mercy"), mrn_authority="receiver"), None),
    ],
)
def test_a_bare_mrn_needs_one_namespace(destination: Destination, bare: str | None) -> None:
    site = destination.site(SITE)
    assert site.bare_namespace == bare
    assert destination.needs_one_namespace is (bare is not None)


def test_its_site_has_its_own_rules_for_conflicts_and_mrns() -> None:
    site = to(on_conflict="send", mrn_authority="receiver").site(SITE)
    assert (site.on_conflict, site.mrn_authority, site.facilities) == ("send", "receiver", SITE.facilities)


def test_a_destination_holds_conflicts_and_is_enabled_unless_it_is_told_otherwise() -> None:
    usual = to()
    assert (usual.on_conflict, usual.mrn_authority, usual.dry_run, usual.is_enabled) == (
        "hold",
        "facility",
        False,
        True,
    )
    assert (usual.gap, usual.accession_wait, usual.input_wait, usual.critical_alert) == (0, 3600, 60, 900)
    assert (usual.hold_until_matched, usual.late_match) == (0, "note")
    assert (usual.inverted_acks, usual.shares_address, usual.filter) == (False, False, Filter())
    assert usual.retry == Retry(5.0, 300.0, 0.2, 0, 5)
