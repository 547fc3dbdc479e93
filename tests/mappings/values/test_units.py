"""Height and weight: the original value in its own unit, or nothing and a reason (D24)."""

import pytest

from mappings.model import Measurement
from mappings.values.units import vital_sign

PLACE = "/reports/0/snapshotMetadata/height"


@pytest.mark.parametrize(
    ("kind", "unit", "value", "code", "ucum", "printed"),
    [
        ("height", "cm", 165, "8302-2", "cm", "cm"),
        ("height", "in", 65.5, "8302-2", "[in_i]", "in"),
        ("weight", "kg", 62, "29463-7", "kg", "kg"),
        ("weight", "lbs", 136.7, "29463-7", "[lb_av]", "lb"),
    ],
)
def test_a_measurement_keeps_its_value_and_gets_loinc_and_ucum_codes(kind, unit, value, code, ucum, printed):
    sign, issues = vital_sign(kind, Measurement(unit, value), PLACE)
    assert (sign.code, sign.value, sign.ucum, sign.unit) == (code, value, ucum, printed)
    assert type(sign.value) is type(value)
    assert issues == ()


def test_a_measurement_that_was_not_taken_is_no_issue():
    assert vital_sign("height", None, PLACE) == (None, ())


@pytest.mark.parametrize(
    ("kind", "unit"), [("height", "inches"), ("height", "kg"), ("weight", "cm"), ("weight", ""), ("weight", "KG")]
)
def test_a_measurement_in_a_unit_of_another_kind_or_unknown_is_not_published(kind, unit):
    sign, (issue,) = vital_sign(kind, Measurement(unit, 100), PLACE)
    assert sign is None
    assert (issue.code, issue.pointer) == ("unit-unknown", f"{PLACE}/unit")


@pytest.mark.parametrize(
    ("kind", "unit", "lowest", "highest"),
    [
        ("height", "cm", 20, 260),
        ("height", "in", 7.875, 102.36),
        ("weight", "kg", 0.2, 650),
        ("weight", "lbs", 0.441, 1433),
    ],
)
def test_the_limits_themselves_are_published_and_what_lies_beyond_is_not(kind, unit, lowest, highest):
    for inside in (lowest, highest):
        assert vital_sign(kind, Measurement(unit, inside), PLACE)[0].value == inside
    for outside in (lowest * 0.999, highest * 1.001):
        sign, (issue,) = vital_sign(kind, Measurement(unit, outside), PLACE)
        assert sign is None
        assert (issue.code, issue.pointer) == ("measurement-impossible", f"{PLACE}/value")


@pytest.mark.parametrize("value", [0, -170, 9999, 10**400, float("inf"), float("nan")])
def test_a_number_that_no_body_has_is_not_published(value):
    for kind, unit in (("height", "in"), ("weight", "lbs")):
        sign, issues = vital_sign(kind, Measurement(unit, value), PLACE)
        assert sign is None
        assert [issue.code for issue in issues] == ["measurement-impossible"]
