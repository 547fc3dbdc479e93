"""IHE Results Distribution [RAD-128]: the Study Instance UID as an OBX."""

from dataclasses import replace

import pytest
from fakes.er7_reader import all_of
from fakes.oru_example import UID, codes, sent, study

from mappings.profile import receiver

AS_OBX = replace(receiver("generic"), uid="obx113014")


def test_the_uid_is_the_first_obx_and_no_zds() -> None:
    message = sent(to=AS_OBX)
    assert all_of(message, "OBX")[0] == ["OBX", "1", "ST", "113014^DICOM Study^DCM", "", UID, *[""] * 5, "O"]
    assert all_of(message, "OBX")[1][1] == "2"
    assert all_of(message, "ZDS") == []


@pytest.mark.parametrize(
    ("uid", "places"), [("zds", (0, 1)), ("obx113014", (1, 0)), ("both", (1, 1)), ("none", (0, 0))]
)
def test_the_uid_stands_where_the_receiver_reads_it(uid: str, places: tuple[int, int]) -> None:
    message = sent(to=replace(AS_OBX, uid=uid))
    found = sum(row[3].startswith("113014^") for row in all_of(message, "OBX"))
    assert (found, len(all_of(message, "ZDS"))) == places


def test_a_receiver_of_rad_28_gets_it_as_hd() -> None:
    row = all_of(sent(to=replace(AS_OBX, uid_type="HD")), "OBX")[0]
    assert (row[2], row[5]) == ("HD", UID)


def test_an_odd_uid_is_sent_as_it_came_and_reported() -> None:
    what = study(studyInstanceUid="not|a uid")
    assert all_of(sent(what, to=AS_OBX), "OBX")[0][5] == r"not\F\a uid"
    assert codes(what, to=AS_OBX)["study-uid-odd"] == "/studyInstanceUid"


def test_without_a_uid_there_is_no_such_obx() -> None:
    what = study(studyInstanceUid=" ")
    assert all_of(sent(what, to=AS_OBX), "OBX")[0][2] == "TX"
    assert codes(what, to=AS_OBX)["study-uid-absent"] == "/studyInstanceUid"
    assert "study-uid-odd" not in codes(to=AS_OBX)
