"""Decisions D10 and D48: a `[[source]]` says who may send what, and whose numbers they are."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import trustme

from gateway.checks.config import effective, faults
from gateway.ingest.orders.sources import HospitalSource, authority_of, check_files, sources_of, survey_sources
from gateway.runtime.errors import ConfigError
from gateway.settings import Configuration, survey
from mappings.hl7v2.inbound import MERGE_TYPES, ORDER_TYPES, VISIT_TYPES
from mappings.hospital.events import Authority

MAPPING = """
[mapping]
accession_system = "urn:oid:1.2.9"
accession_namespace = "ACC"
[[mapping.facilities]]
name = "City"
aliases = ["City Medical"]
time_zone = "America/Chicago"
name_order = "given_family"
mrn_system = "urn:oid:1.2.1"
mrn_namespace = "CITY"
placer_system = "https://city.example/orders"
placer_namespace = "CITYHIS"
"""
GIVEN = {"name": '"epic"', "listen": '"127.0.0.1:2601"', "may": '["orders"]', "facility": '"City Medical"'}


def read(folder: Path, *tables: dict[str, str | None], more: str = "") -> Configuration:
    lines = [MAPPING, more]
    for table in tables:
        lines += ["[[source]]", *(f"{key} = {value}" for key, value in (GIVEN | table).items() if value is not None)]
    path = folder / "gateway.toml"
    path.write_text("\n".join(lines))
    configuration, problems = survey(path)
    if configuration is None:
        raise problems[0]
    return configuration


def source(folder: Path, **table: str | None) -> HospitalSource:
    (made,) = sources_of(read(folder, table))
    return made


def refused(folder: Path, *tables: dict[str, str | None], more: str = "") -> list[str]:
    return [error.key for error in survey_sources(read(folder, *tables, more=more))[1]]


def test_a_source_of_several_facilities_speaks_for_the_authorities_of_those_that_it_maps(tmp_path):
    made = source(tmp_path, facility=None, sending_facilities='{"HOSP" = "City Medical"}').rules
    own = source(tmp_path).rules
    assert (made.bare, made.authorities) == ({}, own.authorities)
    assert made.of_message("HOSP", [])[0].bare == own.bare
    assert source(tmp_path, facility=None, location_facilities='{"W" = "City"}').rules.location_facilities["W"].facility


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"sending_facilities": '{"HOSP" = "City"}'}, "source[0].sending_facilities"),
        ({"location_facilities": '{"HOSP" = "City"}'}, "source[0].location_facilities"),
        (
            {"facility": None, "sending_facilities": '{"HOSP" = "Nowhere", "H" = "City"}'},
            "source[0].sending_facilities",
        ),
    ],
)
def test_values_that_map_to_no_facility_or_stand_beside_the_only_one_are_refused(tmp_path, table, key):
    assert refused(tmp_path, table) == [key]


def test_without_a_table_there_is_no_source(tmp_path):
    assert sources_of(read(tmp_path)) == ()


def test_a_source_speaks_for_the_authorities_of_its_facility_and_reads_bare_numbers_as_theirs(tmp_path):
    made = source(tmp_path)
    patients = Authority("CITY", "1.2.1", "ISO")
    placers = Authority("CITYHIS", "https://city.example/orders", "URI")
    accessions = Authority("ACC", "1.2.9", "ISO")
    assert made.rules.authorities == (patients, accessions, placers)
    assert made.rules.bare == {"patient": patients, "accession": accessions, "placer": placers}
    assert made.rules.zone == ZoneInfo("America/Chicago")
    assert (made.name, made.order_source.facility, made.order_source.are_uids_keys) == ("epic", "City Medical", False)
    assert str(made) == "mllp 127.0.0.1:2601"


def test_a_source_of_several_facilities_names_its_authorities_and_reads_no_bare_number_as_anybodys(tmp_path):
    given = '[{ namespace = "CITY", system = "urn:oid:1.2.1" }, { namespace = "VN", system = "" }]'
    made = source(tmp_path, facility=None, authorities=given, time_zone='"Asia/Tokyo"')
    assert made.rules.authorities == (Authority("CITY", "1.2.1", "ISO"), Authority("VN"))
    assert made.rules.bare == {}
    assert made.rules.zone == ZoneInfo("Asia/Tokyo")


def test_what_a_source_may_send_is_what_is_listed(tmp_path):
    assert source(tmp_path).rules.message_types == ORDER_TYPES
    assert source(tmp_path, may='["visits", "merges"]').rules.message_types == VISIT_TYPES | MERGE_TYPES
    assert source(tmp_path, message_types='["ORM^O01"]').rules.message_types == {"ORM^O01"}
    assert refused(tmp_path, {"message_types": '["ADT^A01"]'}) == ["source[0].message_types"]


def test_the_other_keys_become_the_rules_of_the_source(tmp_path):
    made = source(
        tmp_path,
        charset='"8859/1"',
        sections='["RAD"]',
        receiving_applications='["RIS"]',
        receiving_facilities='["CITY"]',
        senders='["EPIC|MERCY"]',
        processing_ids='["P", "T"]',
        accession_field='"OBR-20"',
        study_uid='"key"',
        unlisted='"reject"',
        order_days="30",
        connections="3",
        formerly='"cerner"',
        peers='["127.0.0.1"]',
    )
    rules = made.rules
    assert (rules.charset, rules.sections, rules.accession_field) == ("8859/1", {"RAD"}, "OBR-20")
    assert (rules.receiving_applications, rules.receiving_facilities) == ({"RIS"}, {"CITY"})
    assert (rules.senders, rules.processing_ids) == ({("EPIC", "MERCY")}, {"P", "T"})
    assert (made.order_source.are_uids_keys, made.rejects_unlisted, made.formerly) == (True, True, "cerner")
    assert ([str(one) for one in made.peers], made.connections) == (["127.0.0.1/32"], 3)


@pytest.mark.parametrize(
    ("table", "keys"),
    [
        ({"listen": '"0.0.0.0:2601"'}, ["tls_certificate", "peers"]),
        ({"listen": '"0.0.0.0:2601"', "peers": '["10.1.2.3"]'}, ["tls_certificate"]),
        ({"listen": '"0.0.0.0:2601"', "tls_certificate": '"c.pem"'}, ["peers"]),
        ({"listen": '"0.0.0.0:2601"', "tls_certificate": '"c.pem"', "peers": '["10.1.2.3"]'}, []),
        ({"listen": '"0.0.0.0:2601"', "tls_certificate": '"c.pem"', "tls_client_ca": '"ca.pem"'}, []),
        ({"tls_client_ca": '"ca.pem"'}, ["tls_client_ca"]),
        ({"charset": '"UTF-8"'}, ["charset"]),
        ({"facility": '"Nowhere"'}, ["facility"]),
        ({"facility": None}, ["authorities"]),
    ],
)
def test_a_source_that_strangers_could_use_or_that_could_read_nothing_is_refused(tmp_path, table, keys):
    assert refused(tmp_path, table) == [f"source[0].{key}" for key in keys]
    if keys:
        with pytest.raises(ConfigError, match=keys[0]):
            sources_of(read(tmp_path, table))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("may", "[]"),
        ("senders", '["EPIC"]'),
        ("authorities", '[{ system = "urn:oid:1.2.1" }]'),
        ("authorities", '[{ namespace = "CITY", system = "none" }]'),
        ("sections", '[" "]'),
        ("processing_ids", "[]"),
        ("listen", '"2601"'),
        ("name", '"Epic"'),
    ],
)
def test_a_key_that_is_wrong_by_itself_is_named(tmp_path, key, value):
    with pytest.raises(ConfigError) as error:
        read(tmp_path, {key: value})
    assert error.value.key == f"source[0].{key}"


def test_each_source_has_a_name_and_a_port_of_its_own(tmp_path):
    assert refused(tmp_path, {}, {}) == ["source[1].name", "source[1].listen"]
    assert refused(tmp_path, {}, {"name": '"other"', "listen": '"127.0.0.1:2602"'}) == []


def test_the_files_of_a_certificate_are_opened_by_check_config(tmp_path):
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
    given = {"tls_certificate": '"own.pem"'}
    assert [error.key for error in check_files(read(tmp_path, given))] == []
    missing = read(tmp_path, given | {"tls_client_ca": '"none.pem"'})
    assert [error.key for error in check_files(missing)] == ["source[0].tls_client_ca"]
    assert "source[0].tls_client_ca" in [error.key for error in faults(tmp_path / "gateway.toml")]


@pytest.mark.parametrize("namespace", ["CITY", "CITYHIS", "ACC"])
def test_an_authority_of_the_site_is_named_by_its_namespace(tmp_path, namespace):
    (known,) = source(tmp_path, authorities=f'[{{ namespace = "{namespace}" }}]').rules.authorities
    assert known in source(tmp_path).rules.authorities and known.namespace == namespace


def test_an_authority_that_the_site_does_not_have_needs_a_system(tmp_path):
    faults = survey_sources(read(tmp_path, {"authorities": '[{ namespace = "VN" }]'}))[1]
    assert [one.key for one in faults] == ["source[0].authorities"]
    assert "VN" in faults[0].problem and 'system = ""' in faults[0].cure


def test_check_config_shows_a_source(tmp_path):
    (line,) = [one for one in effective(read(tmp_path)) if one.startswith("source ")] or [""]
    assert line == ""
    (line,) = [one for one in effective(read(tmp_path, {})) if one.startswith("source ")]
    assert line.startswith("source epic: mllp 127.0.0.1:2601; may orders; facility City Medical")


def test_a_system_becomes_the_universal_id_of_a_message():
    assert authority_of("N", "urn:uuid:abc") == Authority("N", "abc", "UUID")
    assert authority_of("N", "") == Authority("N")


@pytest.mark.parametrize(
    ("other", "place", "problem"),
    [
        ({"name": '"cerner"'}, "source[0].formerly", "a [[source]] table has this name still"),
        ({"name": '"other"', "formerly": '"cerner"'}, "source[1].formerly", "another table has the same"),
    ],
)
def test_a_previous_name_is_that_of_one_source_alone(tmp_path, other, place, problem):
    tables = {"formerly": '"cerner"'}, {"listen": '"127.0.0.1:2602"', **other}
    (fault,) = survey_sources(read(tmp_path, *tables))[1]
    assert (fault.key, fault.problem) == (place, problem)


def test_a_renamed_source_is_known_to_the_store_by_its_first_name(tmp_path):
    made = source(tmp_path, formerly='"cerner"').as_stored({"epic": "cerner"})
    assert (made.name, made.stored_name) == ("epic", "cerner")
