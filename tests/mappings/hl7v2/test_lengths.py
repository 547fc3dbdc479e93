"""HL7 v2.5.1 §2.5.3.2."""

import pytest

from mappings.hl7v2.lengths import LENGTHS, LENGTHS_2_7, LENGTHS_OF, NO_MAXIMUM, OTHERWISE, excess
from mappings.hl7v2.msh import MSH
from mappings.hl7v2.nte import NTE
from mappings.hl7v2.obr import OBR
from mappings.hl7v2.obx import OBX
from mappings.hl7v2.obx_pdf import PDF
from mappings.hl7v2.obx_uid import UID
from mappings.hl7v2.obx_vitals import VITAL
from mappings.hl7v2.orc import ORC
from mappings.hl7v2.pid import PID
from mappings.hl7v2.pv1 import PV1
from mappings.hl7v2.tq1 import TQ1
from mappings.hl7v2.versions import VERSIONS

WRITTEN = {
    **{"MSH": MSH, "PID": PID, "PV1": PV1, "ORC": ORC, "OBR": OBR, "TQ1": TQ1, "NTE": NTE},
    "OBX": {**OBX, **VITAL, **UID, **PDF},
}


@pytest.mark.parametrize("segment", WRITTEN)
def test_the_table_has_exactly_the_fields_that_are_written(segment: str) -> None:
    assert set(LENGTHS[segment]) == set(WRITTEN[segment])


def test_a_filler_order_number_is_counted_without_its_namespace() -> None:
    assert excess("OBR", 3, "3oSAGvLY3tMWHhsMcmBrT8^AUTOSCRIBE") == 0
    assert excess("OBR", 3, "x" * 23) == 1
    assert excess("OBR", 4, "x" * 251) == 1


@pytest.mark.parametrize("table", [*OTHERWISE.values(), LENGTHS_2_7])
def test_another_version_has_a_length_only_for_what_is_written(table: dict[str, dict[int, int]]) -> None:
    for segment, fields in table.items():
        assert fields.keys() <= LENGTHS[segment].keys()


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_has_a_length_for_every_field(version: str) -> None:
    assert {segment: set(fields) for segment, fields in LENGTHS_OF[version].items()} == {
        segment: set(fields) for segment, fields in LENGTHS.items()
    }


def test_a_length_is_that_of_the_version() -> None:
    assert [excess("OBX", 5, "x" * 65537, version) for version in VERSIONS] == [1, 1, 1, 0, 0, 0]
    assert [excess("OBR", 31, "x" * 301, version) for version in VERSIONS] == [1, 1, 51, 51, 51, 0]
    assert LENGTHS_OF["2.7"]["OBX"][5] == NO_MAXIMUM


def test_a_patient_number_is_counted_alone_where_the_length_has_no_room_for_its_authority() -> None:
    assert [excess("PID", 3, "x" * 21 + "^^^MERCY^MR", version) for version in VERSIONS] == [1, 1, 0, 0, 0, 0]
    assert excess("PID", 3, "1^^^" + "x" * 250, "2.5.1") == 4
