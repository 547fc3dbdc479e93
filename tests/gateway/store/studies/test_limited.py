"""Statements with the limits of a client in them."""

from __future__ import annotations

from gateway.index.criteria import At, Is
from gateway.store.database.engine import Statement
from gateway.store.studies.fragments import Sql
from gateway.store.studies.limited import limited, met, of_types, unlimited

TEMPLATE = (
    "SELECT 1 FROM resource r WHERE r.address = :address{limit} UNION SELECT 2 FROM resource r WHERE 1 = 1{limit}"
)


def test_a_statement_without_limits_says_nothing_of_them():
    assert unlimited(TEMPLATE) == Statement(TEMPLATE.replace("{limit}", ""))


def test_a_condition_stands_at_every_place_with_its_values_by_name():
    statement, values = limited(TEMPLATE, Sql("r.type = ? AND r.owner = ?", ("Patient", "")))
    condition = " AND r.type = :limit_0 AND r.owner = :limit_1"
    assert statement.sql == TEMPLATE.replace("{limit}", condition)
    assert values == {"limit_0": "Patient", "limit_1": ""}
    assert limited(TEMPLATE, Sql("r.type = ? AND r.owner = ?", ("Organization", "")))[0] is statement


def test_a_type_that_is_not_among_the_limits_is_not_visible():
    assert of_types({}) == Sql("1 = 0")
    whole = of_types({"Patient": (), "Provenance": ()})
    assert whole == Sql("(r.type IN (?, ?))", ("Patient", "Provenance"))


def test_each_type_has_its_own_limits():
    both = of_types({"Patient": (), "Observation": ((At("Observation/a"), At("Observation/b")),)})
    text = "(r.type IN (?) OR (r.type = ? AND (r.address = ? OR r.address = ?)))"
    assert both == Sql(text, ("Patient", "Observation", "Observation/a", "Observation/b"))


def test_all_clauses_of_a_type_hold():
    sql = met(((At("Patient/a"),), (Is(7, "x"),)))
    assert sql.text.startswith("r.address = ? AND EXISTS (")
    assert sql.values == ("Patient/a", 7, "x")
