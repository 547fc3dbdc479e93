"""HL7 v2.5.1 §4.5.1."""

from fakes.er7_reader import field
from fakes.oru_example import addendum, codes, report, sent, study

from mappings.profile import Site


def test_the_filler_order_number_is_the_study_in_22_characters() -> None:
    message = sent()
    assert field(message, "ORC-3") == field(message, "OBR-3") == "3oSAGvLY3tMWHhsMcmBrT8^AUTOSCRIBE"


def test_the_filler_order_number_stays_the_same_over_addenda_and_corrections() -> None:
    assert field(sent(study(report(), addendum()), sent_before=True), "OBR-3") == field(sent(), "OBR-3")


def test_the_order_is_completed_by_a_signed_report() -> None:
    assert field(sent(), "ORC-5") == field(sent(sent_before=True), "ORC-5") == "CM"


def test_a_referring_name_that_nothing_splits_is_whole_in_the_family_name() -> None:
    what = study(report(snapshot={"referringPhysicianName": "Ann Mary Jones"}))
    assert field(sent(what, site=Site()), "ORC-12") == "^Ann Mary Jones"
    assert codes(what, site=Site())["name-not-split"].endswith("/referringPhysicianName")


def test_an_absent_referring_name_leaves_the_field_empty() -> None:
    assert field(sent(study(report(snapshot={"referringPhysicianName": None}))), "ORC-12") == ""


def test_the_parts_of_a_name_that_are_clear_are_sent() -> None:
    what = study(report(snapshot={"referringPhysicianName": "JONES^ANN^^WIZARD"}))
    assert field(sent(what), "ORC-12") == "^JONES^ANN"
    assert "name-part-unclear" in codes(what)
