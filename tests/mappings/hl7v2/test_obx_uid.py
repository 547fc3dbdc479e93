"""IHE Results Distribution [RAD-128]: the Study Instance UID as an OBX."""

from dataclasses import replace

import pytest
from fakes.er7_reader import all_of
from fakes.oru_example import UID, codes, sent, study

from mappings.profile import Facility, Site, receiver

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


def viewed(viewer: str, **switches: str):
    """Return the OBX of type RP, and the issues, at a receiver that wants the address of the viewer."""
    what = study()
    facility = Facility(what.reports[0].snapshot.facility_name, viewer=viewer)
    where = Site(facilities={facility.name: facility})
    to = replace(receiver("generic"), viewer="rp", **switches)
    rows = [row for row in all_of(sent(what, site=where, to=to), "OBX") if row[2] == "RP"]
    return rows, codes(what, site=where, to=to)


def test_the_address_of_the_viewer_is_a_reference_pointer_with_its_delimiters_escaped() -> None:
    [row], issues = viewed("https://viewer.example/?a=b&studyUID={studyUID}")
    address = rf"https://viewer.example/?a=b\T\studyUID={UID}"
    assert row[3:6] == ["113014^DICOM Study^DCM", "1", f"{address}^AUTOSCRIBE_GW^TEXT^HTML"]
    assert "images-not-linked" not in issues


def test_an_address_that_a_receiver_cannot_read_is_not_sent() -> None:
    rows, issues = viewed("https://viewer.example/?a=b&studyUID={studyUID}", escape="strip")
    assert (rows, "images-not-linked" in issues) == ([], True)
    rows, issues = viewed("https://viewer.example/{accessionNumber}")
    assert (rows, "images-not-linked" in issues) == ([], True)


def test_without_the_switch_no_address_is_sent() -> None:
    facility = Facility(study().reports[0].snapshot.facility_name, viewer="https://viewer.example/{studyUID}")
    site = Site(facilities={facility.name: facility})
    assert sent(site=site, to=AS_OBX) == sent(to=AS_OBX, site=Site(facilities={facility.name: Facility(facility.name)}))
