"""Search parameters of a scope as clauses: which narrow it, and which make it worth nothing.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html (finer-grained constraints).
"""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from gateway.auth.refinements import RefinementNotApplied, is_applied, refinement_clauses
from gateway.auth.scopes import parsed
from gateway.index.criteria import During, Is, Not, Starts
from gateway.index.keys import key


@pytest.mark.parametrize(
    ("scope", "clauses"),
    [
        ("system/DiagnosticReport.rs", ()),
        (
            "system/DiagnosticReport.rs?category=http://loinc.org|LP29684-5",
            ((Is(key("DiagnosticReport", "category"), "LP29684-5\x1fhttp://loinc.org"),),),
        ),
        (
            "system/Observation.rs?category=a|b,c|d&status=final",
            (
                (Is(key("Observation", "category"), "b\x1fa"), Is(key("Observation", "category"), "d\x1fc")),
                (Starts(key("Observation", "status"), "final\x1f"),),
            ),
        ),
        (
            "system/DiagnosticReport.rs?category:not=a|b",
            ((Not(Is(key("DiagnosticReport", "category"), "b\x1fa")),),),
        ),
    ],
)
def test_parameters_narrow_a_scope_as_they_narrow_a_search(scope, clauses):
    found = refinement_clauses(parsed(scope), UTC)
    assert found == clauses
    assert is_applied(parsed(scope))


def test_a_day_is_one_of_the_zone():
    scope = parsed("system/DiagnosticReport.rs?date=2026-01-05")
    [[here]], [[there]] = (refinement_clauses(scope, zone) for zone in (UTC, ZoneInfo("America/New_York")))
    assert isinstance(here, During)
    assert isinstance(there, During)
    assert there.low - here.low == 5 * 3600 * 1_000_000


@pytest.mark.parametrize(
    ("scope", "problem"),
    [
        ("system/*.rs?status=final", "need one resource type"),
        ("system/Binary.r?_id=rep-1", "not searched"),
        ("system/DiagnosticReport.rs?nonsense=1", "no such search parameter"),
        ("system/DiagnosticReport.rs?_count=1", "no such search parameter"),
        ("system/DiagnosticReport.rs?_include=DiagnosticReport:subject", "no such search parameter"),
        ("system/DiagnosticReport.rs?_filter=x", "not a value or modifier"),
        ("system/DiagnosticReport.rs?status:above=final", "not a value or modifier"),
        ("system/DiagnosticReport.rs?date=yesterday", "not a value or modifier"),
        ("system/DiagnosticReport.rs?date=ap2026-01-05", "depends on the present time"),
        ("system/DiagnosticReport.rs?_lastUpdated=ap2026-01-05", "depends on the present time"),
        ("system/DiagnosticReport.rs?patient.identifier=a|b", "leads to other resources"),
        ("system/DiagnosticReport.rs?patient:identifier=a|b", "leads to other resources"),
        ("system/DiagnosticReport.rs?_has:Provenance:target:recorded=ge2020", "leads to other resources"),
        (f"system/DiagnosticReport.rs?code={','.join(f'x|{n}' for n in range(31))}", "more than 30 values"),
        ("system/DiagnosticReport.rs?status=fainal", "no resource can have"),
        ("system/DiagnosticReport.rs?patient=https://elsewhere.example/Patient/1", "no resource can have"),
    ],
)
def test_a_scope_with_what_cannot_be_a_clause_is_worth_nothing(scope, problem):
    assert not is_applied(parsed(scope))
    with pytest.raises(RefinementNotApplied, match=problem):
        refinement_clauses(parsed(scope), UTC)
