"""Message sent again as it was: only MSH-10 changes (HL7 v2.5.1 §2.15.9.10)."""

from __future__ import annotations

from pathlib import Path

import pytest

from mappings.hl7v2.received import read
from mappings.hl7v2.resent import has_shared_authority, with_control_id

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*/oru.hl7")), ids=lambda path: path.parent.name)
def test_only_the_control_id_is_another(path):
    before = path.read_bytes().replace(b"\n", b"\r").partition(b"\r\r")[0]
    after = with_control_id(before, "NEW00000000000000001")
    old = read(before).segments[0].field(10)
    assert read(after).segments[0].field(10) == "NEW00000000000000001"
    assert after.replace(b"NEW00000000000000001", old.encode(), 1) == before


@pytest.mark.parametrize(
    ("pid_3", "is_shared"),
    [
        ("00042^^^UNASSIGNED^MR", True),
        ("00042^^^UNASSIGNED&1.2.3&ISO^MR", True),
        ("7^^^AUTOSCRIBE_PATIENT^U~00042^^^UNASSIGNED^MR", True),
        ("00042^^^MERCY^MR~P77^^^UNASSIGNED_PI^PI", True),
        ("P77^^^UNASSIGNED^PI", True),
        ("00042^^^MERCY^MR~UNASSIGNED^^^EXT^PI", False),
        ("7^^^AUTOSCRIBE_PATIENT^U~00042^^^UNASSIGNED^U", False),
        ("7^^^AUTOSCRIBE_PATIENT^U~00042^^^AGWMR-0123456789ABCD^U", False),
        ("00042^^^^MR", False),
        ("00042", False),
        ("", False),
    ],
)
def test_an_authority_that_older_releases_shared_is_known_by_its_name_and_a_type_that_matches(pid_3, is_shared):
    message = f"MSH|^~\\&|A|B|C|D|20260101||ORU^R01|1|P|2.5.1\rPID|1||{pid_3}||DOE^JANE\r"
    assert has_shared_authority(message.encode()) is is_shared


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*/oru.hl7")), ids=lambda path: path.parent.name)
def test_nothing_that_is_made_has_such_an_authority(path):
    assert not has_shared_authority(path.read_bytes())
