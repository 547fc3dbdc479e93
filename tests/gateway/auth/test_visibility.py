"""Limits of one client as clauses of a query; tests/contract/test_visibility.py holds them against a store.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html, decision D41.
"""

from __future__ import annotations

import pytest

from gateway.auth.access import SHARED, Access
from gateway.auth.scopes import scope_list
from gateway.auth.visibility import EVERYTHING, Visibility
from gateway.index.criteria import All, At, Has, Is, Not, Nothing, Referred, Refers, Within
from gateway.index.keys import key
from gateway.index.parameter_lookup import TYPES

CATEGORY = key("DiagnosticReport", "category")
SUBJECT = key("DiagnosticReport", "patient")
LAB = Is(CATEGORY, "LAB\x1fx")
RAD = Is(CATEGORY, "RAD\x1fx")
CITY = ("Organization/org-city",)


def sees(scopes, *, facilities=None, organizations=None, patient=None, user=None):
    access = Access("client-a", scope_list(scopes), facilities, 0, user, patient)
    return Visibility(access, organizations)


def at_city(scopes, **more):
    return sees(scopes, facilities=frozenset({"city"}), organizations=CITY, **more)


def test_without_authentication_and_with_plain_scopes_nothing_is_added_to_a_query():
    for one in (EVERYTHING, sees("system/*.rs"), sees("user/*.rs", user="anna")):
        assert one.is_whole
        assert one.key == ""
        assert {one.limits(kind, letter) for kind in TYPES for letter in "rs"} == {()}
        assert not any(map(one.is_unversioned, TYPES))


def test_a_type_without_a_scope_is_not_visible_at_all():
    one = sees("system/DiagnosticReport.rs?category=x|LAB")
    assert one.limits("Patient", "r") == ((Nothing(),),)
    assert one.limits("DiagnosticReport", "c") == ((Nothing(),),)


def test_parameters_of_one_scope_hold_together_and_those_of_several_scopes_one_by_one():
    both = sees("system/DiagnosticReport.rs?category=x|LAB&category=x|RAD")
    assert set(both.limits("DiagnosticReport", "r")) == {(LAB,), (RAD,)}
    either = sees("system/DiagnosticReport.r?category=x|LAB system/DiagnosticReport.rs?category=x|RAD")
    assert either.limits("DiagnosticReport", "r") == ((All(((LAB,),)), All(((RAD,),))),)
    assert either.limits("DiagnosticReport", "s") == ((RAD,),)


def test_one_scope_without_parameters_opens_the_whole_type():
    one = sees("system/DiagnosticReport.s?category=x|LAB system/*.r")
    assert one.limits("DiagnosticReport", "r") == ()
    assert one.limits("DiagnosticReport", "s") == ((LAB,),)


def test_a_scope_that_cannot_be_applied_opens_nothing():
    one = sees("system/DiagnosticReport.rs?patient.identifier=1 system/*.rs?status=final")
    assert one.limits("DiagnosticReport", "r") == ((Nothing(),),)


@pytest.mark.parametrize("kind", TYPES)
def test_facilities_narrow_every_type_and_each_scope(kind):
    one = at_city(f"system/*.rs system/{kind}.rs")
    assert one.limits(kind, "s") == ((Within(kind, CITY),),)
    assert one.is_unversioned(kind) is (kind in SHARED)


def test_facilities_of_which_nothing_is_stored_leave_nothing():
    one = sees("system/*.rs", facilities=frozenset({"city"}), organizations=())
    assert one.limits("Patient", "r") == ((Within("Patient", ()),),)
    unresolved = sees("system/*.rs", facilities=frozenset({"city"}))
    assert unresolved.limits("Patient", "r") == ((Within("Patient", ()),),)


def test_a_patient_scope_opens_the_compartment_of_its_patient():
    one = sees("patient/*.rs", patient="pat-1")
    assert one.limits("DiagnosticReport", "r") == ((Is(SUBJECT, "Patient/pat-1"),),)
    assert one.limits("Patient", "r") == ((At("Patient/pat-1"),),)
    assert one.limits("Organization", "r") == ((Within("Organization", None, "Patient/pat-1"),),)
    assert not one.has_whole_studies


def test_a_patient_scope_without_a_patient_and_a_user_scope_without_a_user_open_nothing():
    for one in (sees("patient/*.rs"), sees("user/*.rs"), sees("patient/*.rs", user="anna")):
        assert one.limits("DiagnosticReport", "r") == ((Nothing(),),)


def test_a_patient_scope_opens_no_operation_that_takes_every_type_and_none_that_writes():
    access = sees("patient/*.cruds patient/DiagnosticReport.$addendum", patient="pat-1").access
    assert access.granting("*", "r") == ()
    assert access.granting("DiagnosticReport", "$addendum") == ()
    assert access.granting("DiagnosticReport", "r")


def test_facilities_and_patient_hold_of_the_same_report():
    one = at_city("patient/*.rs", patient="pat-1")
    assert one.limits("Practitioner", "r") == ((Within("Practitioner", CITY, "Patient/pat-1"),),)
    assert one.limits("DiagnosticReport", "r") == (
        (Is(SUBJECT, "Patient/pat-1"),),
        (Within("DiagnosticReport", CITY),),
    )


def test_a_binary_and_an_addendum_are_of_reports_that_the_client_may_read():
    one = sees("system/DiagnosticReport.rs?category=x|LAB system/Binary.r system/DiagnosticReport.$addendum")
    for kind, permission in (("Binary", "r"), ("DiagnosticReport", "$addendum")):
        assert one.limits_of_report(kind, permission) == ((LAB,),)
    alone = sees("system/Binary.r system/Patient.rs?gender=male")
    assert alone.limits_of_report("Binary", "r") == ()
    assert alone.limits_of_report("DiagnosticReport", "$addendum") == ((Nothing(),),)
    assert at_city("system/Binary.r").limits_of_report("Binary", "r") == ((Within("DiagnosticReport", CITY),),)
    of_patient = sees("patient/Binary.r system/DiagnosticReport.r", patient="pat-1")
    assert of_patient.limits_of_report("Binary", "r") == ((Is(SUBJECT, "Patient/pat-1"),),)


def test_a_chain_goes_over_visible_resources_alone():
    to_patient = Refers(SUBJECT, Is(key("Patient", "gender"), "male\x1f"))
    one = at_city("system/*.rs")
    wanted = Refers(SUBJECT, All(((to_patient.criterion,), (Within("Patient", CITY),))))
    assert one.narrowed((to_patient, Not(to_patient), Has(1, "term"))) == (wanted, Not(wanted), Has(1, "term"))
    recorded = Referred(key("Provenance", "target"), Is(key("Provenance", "recorded"), "x"))
    [back] = one.narrowed((recorded,))
    assert back.criterion.clauses[1] == (Within("Provenance", CITY),)
    by_id = Refers(SUBJECT, At("Patient/pat-1"))
    assert one.narrowed((by_id,))[0].criterion.clauses[1] == (Within("Patient", CITY),)
    assert EVERYTHING.narrowed((to_patient,)) == (to_patient,)


def test_a_chain_to_a_type_without_a_scope_finds_nothing_for_a_limited_client():
    to_patient = Refers(SUBJECT, Is(key("Patient", "identifier"), "1\x1fx"))
    [narrowed] = sees("system/DiagnosticReport.rs?category=x|LAB").narrowed((to_patient,))
    assert narrowed.criterion == All(((to_patient.criterion,), (Nothing(),)))


@pytest.mark.parametrize(
    "scopes",
    [
        "system/AuditEvent.rs system/DiagnosticReport.rs?status=final",
        "user/AuditEvent.rs patient/*.rs",
        "system/AuditEvent.rs patient/Observation.rs",
    ],
)
@pytest.mark.parametrize("patient", ["pat-1", None])
def test_whoever_has_a_limit_does_not_learn_from_the_audit_what_lies_beyond_it(scopes, patient):
    access = Access("client-1", scope_list(scopes), None, 0, "user-1", patient)
    assert not any(access.allows("AuditEvent", letter) for letter in "rs")
    unlimited = Access("client-1", scope_list("user/AuditEvent.rs system/DiagnosticReport.rs"), None, 0, "user-1")
    assert all(unlimited.allows("AuditEvent", letter) for letter in "rs")


def test_links_to_pages_of_other_limits_differ():
    keys = {
        sees("system/DiagnosticReport.rs?category=x|LAB").key,
        sees("system/DiagnosticReport.rs?category=x|RAD").key,
        sees("patient/*.rs", patient="pat-1").key,
        sees("patient/*.rs", patient="pat-2").key,
        at_city("system/*.rs").key,
    }
    assert len(keys) == 5
    assert "" not in keys
