"""IHE RAD TF-2 Table 4.4-6."""

import pytest
from fakes.er7_reader import all_of, segments
from fakes.oru_example import UID, codes, profile, sent, study


def test_the_study_instance_uid_is_the_last_segment() -> None:
    assert segments(sent())[-1] == ["ZDS", f"{UID}^AUTOSCRIBE^Application^DICOM"]


def test_an_odd_uid_is_sent_as_it_came_and_reported() -> None:
    assert all_of(sent(study(studyInstanceUid="not|a uid")), "ZDS")[0][1].startswith(r"not\F\a uid^")
    assert codes(study(studyInstanceUid="1.02.3"))["study-uid-odd"] == "/studyInstanceUid"


def test_a_uid_longer_than_64_characters_is_odd_too() -> None:
    assert "study-uid-odd" in codes(study(studyInstanceUid="1." + "2" * 80))


def test_without_a_uid_there_is_no_segment() -> None:
    assert all_of(sent(study(studyInstanceUid=" ")), "ZDS") == []
    assert "study-uid-absent" in codes(study(studyInstanceUid=" "))


@pytest.mark.parametrize(("uid", "number"), [("zds", 1), ("both", 1), ("obx113014", 0), ("none", 0)])
def test_the_uid_stands_here_only_where_the_receiver_wants_it(uid: str, number: int) -> None:
    assert len(all_of(sent(to=profile(uid=uid)), "ZDS")) == number
