"""HL7 v2.5.1 §4.5.1."""

from dataclasses import replace

import pytest
from fakes.er7_reader import field
from fakes.oru_example import (
    ADDENDUM_ID,
    SITE,
    USER_ID,
    addendum,
    codes,
    profile,
    report,
    sent,
    study,
)

from mappings.hl7v2.versions import VERSIONS
from mappings.patient.identifiers import short_id
from mappings.profile import AssigningAuthority, Directory, Provider, Site

ORDERED = replace(SITE, accession_keys=("acc",), placer_keys=("order",))
NUMBERS = {"acc": "ACC7", "order": "PL|9"}
JONES = Provider("Jones", "Ann", "B", "Dr", "Jr", "MD", npi="1234567893", local_id="J7")
DIRECTORY = replace(
    SITE,
    providers=Directory({"dr ann jones": JONES}, {USER_ID: Provider("Smith", "Alex", degree="MD", local_id="S1")}),
    provider_authority=AssigningAuthority("urn:oid:1.9", "MERCYDOC"),
)


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


def test_the_placer_order_number_is_the_same_in_orc_and_obr() -> None:
    message = sent(study(metadata=NUMBERS), site=ORDERED)
    assert field(message, "ORC-2") == field(message, "OBR-2") == r"PL\F\9"
    assert field(sent(), "ORC-2") == field(sent(), "OBR-2") == ""


def test_the_numbers_of_a_facility_s_orders_have_its_namespaces_else_the_site_s() -> None:
    named = next(iter(SITE.facilities.values()))
    own = replace(
        named,
        accession=AssigningAuthority("urn:oid:1.7", "CITY_RIS"),
        placer=AssigningAuthority("urn:oid:1.8", "CITY_HIS"),
    )
    common = replace(
        ORDERED,
        accession_authority=AssigningAuthority("urn:oid:1.5", "RIS"),
        placer_authority=AssigningAuthority("urn:oid:1.6", "HIS"),
    )
    what, by_accession = study(metadata={"acc": "A1", "order": "P1"}), profile(accession_field="3")
    message = sent(what, to=by_accession, site=replace(common, facilities={named.name: own}))
    assert (field(message, "ORC-2"), field(message, "OBR-3")) == ("P1^CITY_HIS", "A1^CITY_RIS")
    message = sent(what, to=by_accession, site=common)
    assert (field(message, "ORC-2"), field(message, "OBR-3")) == ("P1^HIS", "A1^RIS")


def test_a_placer_order_number_longer_than_the_standard_has_it_is_sent_whole() -> None:
    what = study(metadata={"order": "P" * 30})
    assert field(sent(what, site=ORDERED), "OBR-2") == "P" * 30
    assert codes(what, site=ORDERED)["length-exceeded"] == "/metadata/acc"


def test_an_accession_number_as_filler_order_number_is_nobodys_of_ours() -> None:
    message = sent(study(metadata=NUMBERS), site=ORDERED, to=profile(accession_field="3"))
    assert field(message, "ORC-3") == field(message, "OBR-3") == "ACC7"
    assert field(message, "OBR-18") == field(message, "OBR-20") == ""


def test_without_an_accession_number_the_studys_own_id_stands_for_it() -> None:
    message = sent(to=profile(accession_field="3"))
    assert field(message, "OBR-3") == "3oSAGvLY3tMWHhsMcmBrT8^AUTOSCRIBE"
    assert codes(to=profile(accession_field="3"))["accession-not-filed-by"] == "/metadata"
    assert "accession-not-filed-by" not in codes(study(metadata=NUMBERS), site=ORDERED, to=profile(accession_field="3"))


def test_the_number_that_was_fixed_at_first_send_stands_and_the_accession_number_beside_it() -> None:
    what, to = study(metadata=NUMBERS), profile(accession_field="3")
    message = sent(what, site=ORDERED, to=to, filler=short_id(what.study_id))
    assert field(message, "OBR-3") == "3oSAGvLY3tMWHhsMcmBrT8^AUTOSCRIBE"
    assert field(message, "OBR-18") == "ACC7"
    assert field(sent(what, site=ORDERED, to=to, filler="OLD1"), "OBR-3") == "OLD1"


def test_a_directory_gives_ids_and_name_parts_of_exactly_this_spelling() -> None:
    what = study(report(snapshot={"referringPhysicianName": "Dr Ann Jones"}))
    message = sent(what, site=DIRECTORY)
    npi, local = "1234567893^Jones^Ann^B^Jr^Dr^MD^^NPI^L^^^NPI", "J7^Jones^Ann^B^Jr^Dr^MD^^MERCYDOC^L^^^PRN"
    assert field(message, "ORC-12") == field(message, "OBR-16") == field(message, "PV1-8") == f"{npi}~{local}"
    other = study(report(snapshot={"referringPhysicianName": "Dr. Ann Jones"}))
    assert "J7" not in field(sent(other, site=DIRECTORY), "ORC-12")


def test_a_doctor_with_two_numbers_has_one_in_pv1_where_the_field_does_not_repeat() -> None:
    what = study(report(snapshot={"referringPhysicianName": "Dr Ann Jones"}))
    message = sent(what, site=DIRECTORY, to=profile(version="2.3"))
    assert "~" not in field(message, "PV1-8")
    assert "~J7^" in field(message, "OBR-16")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_doctor_of_the_directory_without_numbers_is_a_name(version: str) -> None:
    site = replace(SITE, providers=Directory({"ann": Provider("Jones", "Ann")}, {}))
    what = study(report(snapshot={"referringPhysicianName": "ANN"}))
    assert field(sent(what, site=site, to=profile(version=version)), "OBR-16") == "^Jones^Ann^^^^^^^L"


def test_a_signer_whom_autoscribe_does_not_name_is_as_the_directory_has_the_user_id() -> None:
    message = sent(study(users=()), site=DIRECTORY)
    assert field(message, "OBR-32") == "S1&Smith&Alex&&&&MD&&MERCYDOC"
    assert field(message, "OBX-16") == "S1^Smith^Alex^^^^MD^^MERCYDOC^L^^^PRN"
    assert "user-unknown" not in codes(study(users=()), site=DIRECTORY)


def test_a_signer_whom_autoscribe_names_keeps_that_name_and_number() -> None:
    assert field(sent(site=DIRECTORY), "OBR-32") == "1234567893&SMITH&ALEX&R&&&MD&&NPI"


def test_the_parent_of_an_order_of_its_own_is_the_placer_and_filler_number_of_the_original() -> None:
    what, to = study(report(), addendum(), metadata={"order": "P1"}), profile(addendum="new_order")
    message = sent(what, site=ORDERED, report_id=ADDENDUM_ID, to=to)
    assert field(message, "OBR-3") == f"{short_id(ADDENDUM_ID)}^AUTOSCRIBE"
    assert field(message, "OBR-29") == "P1^3oSAGvLY3tMWHhsMcmBrT8&AUTOSCRIBE"
    assert field(sent(what, site=ORDERED, to=to), "OBR-29") == ""


def test_a_parent_that_is_an_accession_number_is_nobodys_of_ours() -> None:
    what = study(report(), addendum(), metadata=NUMBERS)
    message = sent(what, site=ORDERED, report_id=ADDENDUM_ID, to=profile(addendum="new_order", accession_field="3"))
    assert field(message, "OBR-29") == r"PL\F\9^ACC7"
