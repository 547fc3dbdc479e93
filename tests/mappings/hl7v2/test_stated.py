"""HL7 v2.5.1 §2.A.28 (EI), §2.A.14 (CX), §2.A.86 (XCN), §2.A.12 (CE): what a hospital's order states (D48)."""

from __future__ import annotations

import pytest
from fakes.answered import ORDER

from mappings.hl7v2.stated import ce, clinicians, cx, ei
from mappings.model import StatedClinician, StatedCode, StatedNumber


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (StatedNumber("P|1", "EPIC", "urn:oid:1.2.3"), r"P\F\1^EPIC"),
        (StatedNumber("P1", "", "urn:oid:1.2.3"), "P1^^1.2.3^ISO"),
        (StatedNumber("P1", "1.2.3"), "P1^^1.2.3^ISO"),
        (StatedNumber("P1", "", "urn:uuid:6f1c"), "P1^^6f1c^UUID"),
        (StatedNumber("P1", "", "https://mercy.example/orders"), "P1^^https://mercy.example/orders^URI"),
    ],
)
def test_an_order_number_has_its_authority(number: StatedNumber, written: str) -> None:
    assert ei(number) == written


def test_a_visit_number_has_its_authority_in_one_component() -> None:
    assert cx(StatedNumber("V1", "", "urn:oid:1.2.3"), "VN") == "V1^^^&1.2.3&ISO^VN"
    assert cx(StatedNumber("V1", "A&B"), "VN") == r"V1^^^A\T\B^VN"


def test_a_clinician_has_each_number_with_its_authority() -> None:
    npi, local = clinicians(ORDER.ordering, "2.5.1").split("~")
    assert npi == "1245319599^Ordway^Olga^^^Dr^^^NPI^L^^^NPI"
    assert local == "O9^Ordway^Olga^^^Dr^^^MERCYDOC^L"


def test_a_clinician_without_a_number_has_a_name_alone() -> None:
    assert clinicians((StatedClinician(family="House", degree="MD"), StatedClinician()), "2.5.1") == (
        "^House^^^^^MD^^^L"
    )
    assert clinicians((StatedClinician(family="House", degree="MD"),), "2.7").endswith("^^^^MD")


def test_a_code_has_both_triplets_as_they_came() -> None:
    assert ce(ORDER.procedure) == "CTCHWC^CT Chest W Contrast^L^24627-2^Chest CT^LN"
    assert ce(StatedCode(text="CT & more")) == r"^CT \T\ more"
