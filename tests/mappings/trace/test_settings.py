"""Measurement of each setting's targets, in the same way as for the leaves (decisions D6, D39)."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from mappings.model import Facts
from mappings.profile import Facility, Receiver, Site
from mappings.trace.outputs import LANGUAGES
from mappings.trace.sample import document, everything, site
from mappings.trace.settings import _FACILITY, _SITE, Setting, settings


@pytest.fixture(scope="module")
def measured() -> dict[str, Setting]:
    return {one.key: one for one in settings(document(), site(), everything(), Facts())}


@pytest.mark.full
@pytest.mark.parametrize(
    ("key", "value", "target"),
    [
        ("mapping.sending_facility", "MERCY", "MSH-4"),
        ("mapping.processing_id", "P", "MSH-11"),
        ("mapping.accession_keys", "accession", "OBR-18"),
        ("mapping.facilities[City Medical Center].time_zone", "America/New_York", "OBR-7"),
        ("mapping.facilities[City Medical Center].mrn", "CITY (urn:oid:1.3.6.1.4.1.99999.1)", "PID-3"),
        ("receiver.version", "2.5.1", "MSH-12"),
        ("receiver.obx3_style", "loinc", "OBX-3"),
        ("receiver.receiving_application", "not set", "MSH-5"),
        ("receiver.ack_mode", "original", "MSH-15"),
    ],
)
def test_a_setting_has_its_value_and_what_it_moves(measured, key, value, target):
    assert (measured[key].value, target in measured[key].moves) == (value, True)


def test_what_moves_nothing_of_a_message_is_not_there(measured):
    assert not {"receiver.window", "receiver.retry", "receiver.keepalive", "receiver.tls"} & measured.keys()


def test_the_site_key_is_no_setting_that_anybody_is_shown(measured):
    assert [key for key in measured if "site_key" in key] == []
    assert site().site_key.decode() not in repr(measured)


def test_every_field_of_a_site_and_of_a_facility_is_measured_or_left_out_on_purpose():
    left_out = {
        "site_key",
        "receivers",
        "facilities",
        "bare_namespace",
        "fhir_base",
        "canonical",
        *("name", "aliases", "filler", "clinic_ids"),
    }
    known = {one.name for kind in (Site, Facility) for one in fields(kind)}
    assert known - left_out == {*_SITE, *_FACILITY}


@pytest.mark.full
def test_what_is_long_or_has_rows_is_said_in_short():
    long = replace(site(), number_separator="x" * 100, accession_keys=("accession",))
    found = {one.key: one.value for one in settings(document(), long, everything(), Facts())}
    assert found["mapping.procedures"].endswith(" rows")


@pytest.mark.full
def test_a_study_whose_facility_the_site_does_not_know_has_no_settings_of_one():
    found = settings(document(), Site(on_conflict="send"), everything(), Facts())
    assert [one.key for one in found if "facilities[" in one.key] == []


def test_a_switch_is_measured_with_each_value_that_it_can_have():
    assert {one.name for one in fields(Receiver) if one.metadata.get("values")} >= {"version", "obx3_style"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_asked_for_by_itself_has_the_settings_that_it_has_beside_the_other(measured, language):
    """A target of HL7 v2 is `PID-5` or `ORU^R01`, and has no point."""
    found = {one.key: one.moves for one in settings(document(), site(), everything(), Facts(), [language])}
    is_hl7v2 = language == "HL7 v2"
    expected = {
        key: {target for target in one.moves if is_hl7v2 == ("." not in target and bool({"-", "^"} & {*target}))}
        for key, one in measured.items()
    }
    assert found == {key: moves for key, moves in expected.items() if moves}
