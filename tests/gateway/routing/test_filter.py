"""Filters by origin, status and criticality: the first that a report does not pass has its name (D31)."""

from __future__ import annotations

import pytest

from gateway.routing import Filter, Ignore, Scope
from gateway.routing.filter import FilterValues, facility_keys, modality_key, unknown_facilities
from mappings.profile import Facility, Site

MERCY = FilterValues("mercy", "cus_1", "CT")
SITE = Site(facilities={"Mercy": Facility("Mercy", aliases=("Mercy North",)), "Lakeside": Facility("Lakeside")})


def only(**lists: str) -> Scope:
    return Scope(**{name: frozenset({value}) for name, value in lists.items()})


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        (Scope(), ""),
        (only(facilities="mercy", express_customers="cus_1", modalities="CT"), ""),
        (only(facilities="lakeside", express_customers="cus_2", modalities="MR"), "facilities"),
        (only(facilities="mercy", express_customers="cus_2", modalities="MR"), "express_customers"),
        (only(facilities="mercy", express_customers="cus_1", modalities="MR"), "modalities"),
        (Scope(frozenset(), frozenset(), frozenset()), "facilities"),
    ],
)
def test_the_first_filter_that_a_report_does_not_pass_is_named(scope: Scope, reason: str) -> None:
    assert scope.leaves_out(MERCY) == reason
    assert Filter(scope).leaves_out(MERCY, is_critical=True) == reason


@pytest.mark.parametrize(
    ("critical", "is_critical", "reason"),
    [
        ("all", True, ""),
        ("all", False, ""),
        ("only", True, ""),
        ("only", False, "critical"),
        ("none", True, "critical"),
        ("none", False, ""),
    ],
)
def test_critical_reports_pass_alone_or_not_at_all_or_like_others(critical, is_critical, reason) -> None:
    assert Filter(critical=critical).leaves_out(MERCY, is_critical=is_critical) == reason
    assert Filter(only(facilities="x"), critical=critical).leaves_out(MERCY, is_critical=is_critical) == "facilities"


def test_a_filter_takes_everything_unless_it_is_told_otherwise() -> None:
    assert Filter() == Filter(Scope(), frozenset({"final", "addendum", "corrected", "draft"}), "all")


@pytest.mark.parametrize(
    ("modality", "named", "covers"),
    [
        ("CT", {"CT"}, True),
        ("CT\\PT", {"CT"}, False),
        ("CT\\PT", {"CT", "PT"}, True),
        ("CT\\PT", {"CT\\PT"}, True),
        ("MR", {"CT"}, False),
    ],
)
def test_a_rule_covers_a_study_of_several_modalities_only_if_none_of_them_is_needed(modality, named, covers) -> None:
    rule = Ignore("rule", "", Scope(modalities=frozenset(named)))
    assert rule.covers(MERCY._replace(modality=modality)) is covers


def test_a_rule_without_modalities_covers_all_of_them_in_its_scope() -> None:
    assert Ignore("rule", "", only(facilities="mercy")).covers(MERCY)
    assert not Ignore("rule", "", only(facilities="lakeside")).covers(MERCY)


@pytest.mark.parametrize(
    ("written", "key"),
    [("ct", "CT"), ("PET/CT", "CT\\PT"), ("CT\\PT", "CT\\PT"), ("xyz", "XYZ"), (None, ""), ("MRI", "MR")],
)
def test_a_modality_is_compared_by_its_codes_in_one_order(written, key) -> None:
    assert modality_key(written) == key


def test_a_facility_is_compared_under_all_its_names() -> None:
    assert facility_keys(["Mercy"], SITE) == {"mercy", "mercy north"}
    assert facility_keys(["elsewhere"], SITE) == {"elsewhere"}


def test_a_facility_that_the_site_does_not_have_is_named_but_for_the_word_for_all() -> None:
    assert unknown_facilities(["MERCY", "Elsewhere", "*"], SITE) == ["Elsewhere"]
