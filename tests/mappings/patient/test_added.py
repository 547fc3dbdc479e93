"""HL7 v2.5.1 §3.4.2.3: patient numbers that only the hospital's orders have (D11, D48)."""

from __future__ import annotations

from dataclasses import replace

from fakes.answered import order

from mappings.model import MergedNumber, StatedNumber
from mappings.patient.added import added_identifiers, stated_system
from mappings.patient.identifiers import Identity, PatientIdentifier

MRN = PatientIdentifier("MR", "urn:oid:1.2.3", "00412345", "MERCY")
IDENTITY = Identity("pat-1", (MRN,), True, ())
SAME = StatedNumber("412345", "MERCY", "urn:oid:1.2.3", "MR")
OTHER = StatedNumber("E900", "ENTERPRISE", "urn:oid:1.2.4", "PI")


def added(*numbers: StatedNumber, identity: Identity = IDENTITY, merged: tuple[MergedNumber, ...] = ()) -> list[str]:
    orders = [order(place, patient_numbers=(number,)) for place, number in enumerate(numbers, 1)]
    return [f"{one.value}^{one.namespace}^{one.type}" for one in added_identifiers(identity, orders, merged)]


def test_a_number_of_another_authority_is_added_once() -> None:
    assert added(SAME, OTHER, OTHER) == ["E900^ENTERPRISE^PI"]


def test_a_number_of_the_authority_and_type_that_the_patient_has_is_never_added() -> None:
    assert added(StatedNumber("999", "MERCY", "urn:oid:1.2.3", "MR")) == []
    assert added(StatedNumber("999", "MERCY", "", "MR")) == []


def test_numbers_in_which_the_orders_contradict_each_other_are_not_added() -> None:
    assert added(OTHER, replace(OTHER, value="E901")) == []
    assert added(OTHER, replace(OTHER, value="e-900")) == ["E900^ENTERPRISE^PI"]


def test_in_a_conflict_and_for_nobody_s_number_nothing_is_added() -> None:
    assert added(OTHER, identity=replace(IDENTITY, is_contested=True)) == []
    assert added(replace(OTHER, value="000000")) == []


def test_a_merged_number_is_added_as_the_surviving_one() -> None:
    merged = (MergedNumber("urn:oid:1.2.4", "PI", "E900", "E-777"),)
    assert added(OTHER, merged=merged) == ["E-777^ENTERPRISE^PI"]
    assert added(OTHER, StatedNumber("E777", "ENTERPRISE", "urn:oid:1.2.4", "PI"), merged=merged) == [
        "E-777^ENTERPRISE^PI"
    ]


def test_a_namespace_without_a_system_has_a_system_of_its_own() -> None:
    one, other = (stated_system(StatedNumber("1", namespace)) for namespace in ("EPIC", "CERNER"))
    assert one != other
    assert one.startswith("urn:autoscribe-gateway:hospital:")
    assert stated_system(OTHER) == "urn:oid:1.2.4"
