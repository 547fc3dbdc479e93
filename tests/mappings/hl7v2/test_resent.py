"""Message sent again as it was: only MSH-10 changes (HL7 v2.5.1 §2.15.9.10)."""

from __future__ import annotations

from pathlib import Path

import pytest

from mappings.hl7v2.received import read, with_control_id

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*/oru.hl7")), ids=lambda path: path.parent.name)
def test_only_the_control_id_is_another(path):
    before = path.read_bytes().replace(b"\n", b"\r").partition(b"\r\r")[0]
    after = with_control_id(before, "NEW00000000000000001")
    old = read(before).segments[0].field(10)
    assert read(after).segments[0].field(10) == "NEW00000000000000001"
    assert after.replace(b"NEW00000000000000001", old.encode(), 1) == before
