"""Scopes are read and printed without loss, and what is granted is never more than what was asked, nor than is allowed.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gateway.auth.scopes import ADDENDUM, MOST_SCOPES, ScopeInvalid, SmartScope, granted, parsed, printed, scope_list

LETTERS = some.sets(some.sampled_from("cruds"), min_size=1).map(lambda one: "".join(x for x in "cruds" if x in one))
VALUES = some.text(
    some.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\u2028\u2029\ufffe\uffff"),
    min_size=1,
    max_size=9,
)
NAMES = some.sampled_from(["category", "code:in", "_tag", "status"])
REFINEMENTS = some.sets(some.tuples(NAMES, VALUES | some.sampled_from(["LAB", "a&b=c", "1+1"])), max_size=2)
TYPES = some.sampled_from(["*", "DiagnosticReport", "Observation"])
CONTEXTS = some.sampled_from(["system", "patient", "user"])
PLAIN = some.builds(SmartScope, CONTEXTS, TYPES, LETTERS, REFINEMENTS.map(lambda one: tuple(sorted(one))))
SCOPES = PLAIN | some.just(SmartScope("system", "DiagnosticReport", ADDENDUM))
LISTS = some.lists(SCOPES, max_size=5)
QUESTIONS = some.tuples(
    some.sampled_from(["system", "patient", "user"]),
    some.sampled_from(["DiagnosticReport", "Observation", "Patient"]),
    some.sampled_from([*"cruds", ADDENDUM]),
    some.sets(some.tuples(NAMES, VALUES | some.just("LAB"))),
)


def allows(scopes, question):
    """Say if scopes allow to do one thing with one resource; written apart from the code that it judges."""
    context, kind, act, has = question
    return any(
        one.context == context
        and (one.resource_type in {kind, "*"} if act != ADDENDUM else one.resource_type == kind)
        and (one.access == act if ADDENDUM in (act, one.access) else act in one.access)
        and set(one.refinements) <= has
        for one in scopes
    )


@given(SCOPES)
def test_a_scope_that_is_printed_and_read_is_the_same(scope):
    assert parsed(str(scope)) == scope
    assert re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]+", str(scope)), "a scope-token of RFC 6749"
    assert scope_list(printed([scope])) == (scope,)


@given(LISTS, LISTS)
def test_the_meet_is_the_same_from_either_side(one, other):
    assert granted(one, other) == granted(other, one) == granted(reversed(one), reversed(other))


@given(LISTS)
def test_what_is_granted_once_is_granted_whole_again(scopes):
    once = granted(scopes, scopes)
    assert granted(once, once) == granted(once, scopes) == once


@given(LISTS, LISTS, QUESTIONS)
def test_the_meet_allows_what_both_allow_and_nothing_else(one, other, question):
    assert allows(granted(one, other), question) == (allows(one, question) and allows(other, question))


@given(LISTS, LISTS)
def test_each_scope_of_the_meet_is_covered_by_one_of_either_side(one, other):
    for both in granted(one, other):
        assert any(limit.covers(both) for limit in one)
        assert any(limit.covers(both) for limit in other)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("system/DiagnosticReport.rs", "system/DiagnosticReport.rs"),
        ("system/*.cruds", "system/*.cruds"),
        ("system/Observation.read", "system/Observation.rs"),
        ("patient/*.write", "patient/*.cud"),
        ("user/*.*", "user/*.cruds"),
        ("system/Observation.rs?b=2&a=1&a=1", "system/Observation.rs?a=1&b=2"),
        (
            "system/Observation.rs?category=http%3A%2F%2Fexample%7CLAB",
            "system/Observation.rs?category=http://example|LAB",
        ),
        ("system/Observation.s?code=a%20b", "system/Observation.s?code=a%20b"),
        (f"system/DiagnosticReport.{ADDENDUM}", "system/DiagnosticReport.$addendum"),
    ],
)
def test_scopes_of_both_versions_are_read_into_one_form(text, read):
    assert str(parsed(text)) == read


@pytest.mark.parametrize(
    "text",
    [
        "",
        "openid",
        "launch/patient",
        "system/Observation",
        "system/Observation.",
        "system/Observation.sr",
        "system/Observation.rr",
        "system/Observation.rsx",
        "System/Observation.rs",
        "system/observation.rs",
        "system/../Patient.rs",
        "system/Observation.rs?",
        "system/Observation.rs?category",
        "system/Observation.rs?=LAB",
        "system/Observation.rs?category=",
        "system/Observation.rs?category=a+b",
        "system/Observation.rs?category=%",
        "system/Observation.rs?category=%ff",
        "system/Observation.rs?category=%00",
        'system/Observation.rs?category="LAB"',
        "system/Observation.read?category=LAB",
        "system/Observation.rs\n",
        f"system/*.{ADDENDUM}",
        f"system/Observation.{ADDENDUM}",
        f"system/DiagnosticReport.{ADDENDUM}?status=final",
        "system/DiagnosticReport.$trace",
        "system/Observation.rs?category=" + "x" * 1024,
    ],
)
def test_what_is_no_scope_is_refused_without_being_repeated(text):
    with pytest.raises(ScopeInvalid) as refused:
        parsed(text)
    assert not text or text not in str(refused.value)


def test_no_wildcard_holds_the_scope_of_addenda():
    addendum = scope_list(f"system/DiagnosticReport.{ADDENDUM}")
    assert granted(addendum, scope_list("system/*.cruds system/DiagnosticReport.cruds")) == ()
    assert granted(scope_list(f"system/*.cruds {addendum[0]}"), addendum) == addendum


def test_of_more_than_is_allowed_the_part_that_is_allowed_is_granted():
    allowed = scope_list("system/DiagnosticReport.rs?category=LAB system/Patient.r")
    assert printed(granted(scope_list("system/*.rs"), allowed)) == printed(allowed)
    assert printed(granted(scope_list("system/*.cruds?category=RAD"), allowed)) == (
        "system/DiagnosticReport.rs?category=LAB&category=RAD system/Patient.r?category=RAD"
    )
    assert granted(scope_list("system/Observation.rs user/Patient.rs"), allowed) == ()


def test_a_list_has_a_limit_and_one_space_between_two_scopes():
    many = " ".join(f"system/Observation.rs?code={number}" for number in range(MOST_SCOPES + 1))
    for text in (many, "system/*.rs  system/*.c", " system/*.rs", "system/*.rs\tsystem/*.c"):
        with pytest.raises(ScopeInvalid):
            scope_list(text)
    assert scope_list("") == ()
