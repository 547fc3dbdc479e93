"""HL7 v2.5.1 §2.5.3.2."""

import pytest

from mappings.hl7v2.lengths import LENGTHS, excess
from mappings.hl7v2.msh import MSH
from mappings.hl7v2.obr import OBR
from mappings.hl7v2.obx import OBX, VITAL
from mappings.hl7v2.orc import ORC
from mappings.hl7v2.pid import PID
from mappings.hl7v2.pv1 import PV1
from mappings.hl7v2.tq1 import TQ1

WRITTEN = {"MSH": MSH, "PID": PID, "PV1": PV1, "ORC": ORC, "OBR": OBR, "TQ1": TQ1, "OBX": {**OBX, **VITAL}}


@pytest.mark.parametrize("segment", WRITTEN)
def test_the_table_has_exactly_the_fields_that_are_written(segment: str) -> None:
    assert set(LENGTHS[segment]) == set(WRITTEN[segment])


def test_a_filler_order_number_is_counted_without_its_namespace() -> None:
    assert excess("OBR", 3, "3oSAGvLY3tMWHhsMcmBrT8^AUTOSCRIBE") == 0
    assert excess("OBR", 3, "x" * 23) == 1
    assert excess("OBR", 4, "x" * 251) == 1
