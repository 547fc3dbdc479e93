"""HL7 v2.5.1 §3.4.3."""

from fakes.er7_reader import field
from fakes.oru_example import codes, report, sent, study

from mappings.profile import Site


def test_the_patient_class_is_unknown() -> None:
    assert field(sent(), "PV1-2") == "U"


def test_the_location_is_the_facility() -> None:
    assert field(sent(), "PV1-3") == "^^^MERCY_EAST"
    assert field(sent(study(report(snapshot={"facilityName": None}))), "PV1-3") == ""


def test_a_facility_name_longer_than_the_standard_has_it_is_sent_whole() -> None:
    what = study(report(snapshot={"facilityName": "M" * 90}))
    assert field(sent(what, site=Site()), "PV1-3") == "^^^" + "M" * 90
    assert "length-exceeded" in codes(what, site=Site())


def test_the_referring_doctor_is_the_ordering_provider_everywhere() -> None:
    message = sent()
    assert field(message, "PV1-8") == field(message, "ORC-12") == field(message, "OBR-16") == "^JONES^ANN^^^DR"
