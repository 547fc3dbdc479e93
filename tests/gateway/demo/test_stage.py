"""The demo's site: whatever the sandbox signs is sent, and held for no want of settings (D11)."""

import pytest

from gateway.demo.stage import demo_site
from gateway.sandbox.people import FACILITIES
from mappings.model import Snapshot, Study
from mappings.patient.identifiers import identify


@pytest.mark.parametrize("facility", [one.name for one in FACILITIES])
def test_an_mrn_of_every_place_of_the_sandbox_is_somebodys(facility: str) -> None:
    study = Study("stu_" + "1" * 32, ())
    snapshot = Snapshot(facility_name=facility, mrn="SBX-1")
    assert not identify(study, snapshot, demo_site(), "").lacks_authority
