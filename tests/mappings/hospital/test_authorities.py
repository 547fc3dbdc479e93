"""HL7 v2.5.1 §2.A.36 (HD), table 0203: whose numbers a hospital's messages give."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from fakes.hospital import AUTHORITIES, CITY, MERCY, SITE, mrn, number

from mappings.hospital.authorities import Authorities
from mappings.hospital.events import Authority, IssuedNumber
from mappings.profile import AssigningAuthority

CITY_RIS, CITY_HIS = "urn:oid:1.2.2", "urn:oid:1.2.3"


def system(given: IssuedNumber, kind: str = "accession", authorities: Authorities = AUTHORITIES) -> str:
    key = authorities.order_key(kind, given, CITY)  # type: ignore[arg-type]
    return key.authority if key else ""


def named(namespace: str = "", uid: str = "", uid_type: str = "") -> IssuedNumber:
    return IssuedNumber("A1", Authority(namespace, uid, uid_type))


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (named(), CITY_RIS),
        (named("CITYRIS"), CITY_RIS),
        (named("MERCYRIS"), "urn:oid:1.3.2"),
        (named("cityris"), ""),
        (named("CITYHIS"), ""),
        (named("ELSEWHERE"), ""),
        (named("", "1.2.2", "ISO"), CITY_RIS),
        (named("", "1.2.2"), CITY_RIS),
        (named("", "urn:oid:1.2.2", "URI"), CITY_RIS),
        (named("", "ris.city.example", "DNS"), ""),
        (named("CITYRIS", "ris.city.example", "DNS"), CITY_RIS),
        (named("RIS", "1.2.2", "ISO"), CITY_RIS),
        (named("CITYRIS", "1.2.2", "ISO"), CITY_RIS),
        (named("CITYRIS", "1.3.2", "ISO"), ""),
        (named("CITYRIS", "1.9.9", "ISO"), ""),
    ],
)
def test_an_authority_is_known_by_its_namespace_or_universal_id_and_by_neither_if_they_contradict(
    given: IssuedNumber, found: str
) -> None:
    assert system(given) == found


def test_a_namespace_counts_beside_a_universal_id_that_cannot_be_compared() -> None:
    city = replace(SITE.facilities["city"], accession=AssigningAuthority("https://city.example/acc", "CITYRIS"))
    site = Authorities(replace(SITE, facilities={"City": city}))
    assert system(named("CITYRIS", "1.9.9", "ISO"), authorities=site) == "https://city.example/acc"


def test_each_kind_of_number_has_authorities_of_its_own() -> None:
    assert system(named(), "placer") == CITY_HIS
    assert system(named(), "filler") == "urn:oid:1.2.4"
    assert AUTHORITIES.order_key("filler", named(), MERCY) is None


def test_the_site_s_authority_stands_for_a_facility_without_one_and_never_for_an_unknown_one() -> None:
    common = AssigningAuthority("urn:oid:1.8", "COMMON")
    mercy = replace(SITE.facilities["mercy"], accession=None)
    site = Authorities(
        replace(SITE, facilities={"City": SITE.facilities["city"], "Mercy": mercy}, accession_authority=common)
    )
    key = site.order_key("accession", named(), MERCY)
    assert key and key.authority == "urn:oid:1.8"
    assert system(named(), authorities=site) == CITY_RIS
    assert system(named("COMMON"), authorities=site) == "urn:oid:1.8"
    assert site.order_key("accession", named(), replace(CITY, facility="Elsewhere")) is None


def test_a_blank_number_is_none() -> None:
    assert AUTHORITIES.order_key("accession", number("  "), CITY) is None
    assert AUTHORITIES.order_key("accession", None, CITY) is None
    assert AUTHORITIES.order_key("accession", number(" A1 "), CITY) == ("accession", CITY_RIS, "A1")


def test_a_patient_number_of_an_unknown_authority_stands_for_itself_and_a_bare_one_for_its_facility() -> None:
    def authority(given: IssuedNumber, source: str = "City") -> str:
        return AUTHORITIES.number("patient", given, replace(CITY, facility=source)).authority

    assert authority(number("1")) == authority(number("1", "CITY")) == "urn:oid:1.2.1"
    assert authority(number("1", "EMPI")) == "hd:EMPI&"
    assert authority(number("1", "CITY", "1.9.9")) == ""
    assert authority(number("1"), "Elsewhere") == "source:city-his"


def test_only_numbers_that_identify_a_patient_are_compared() -> None:
    numbers = [number("1", type_code=one) for one in ("", "MR", "PI", "AN", "VN", "SS", "DL")]
    numbers += [number("UNKNOWN"), number("1", "CITY", "1.9.9")]
    found = list(AUTHORITIES.patient_numbers(numbers, CITY))
    assert [one.type_code for one in found] == ["MR", "MR", "PI"]


@pytest.mark.parametrize(
    ("written", "pattern", "is_anybodys"),
    [
        ("4711", "", False),
        ("777", "", True),
        ("UNKNOWN", "", True),
        ("0012", r"\d{4}", False),
        ("00123", r"\d{4}", True),
        ("777", r"\d{3}", False),
    ],
)
def test_a_number_that_its_facility_takes_for_doubtful_may_be_anybodys(
    written: str, pattern: str, is_anybodys: bool
) -> None:
    city = replace(SITE.facilities["city"], mrn_pattern=re.compile(pattern) if pattern else None)
    site = Authorities(replace(SITE, facilities={"City": city}))
    one = site.number("patient", number(written), CITY)
    assert site.may_be_anybodys(one, written) == is_anybodys
    assert list(site.own_numbers([number(written)], CITY)) == ([] if is_anybodys else [one])


def test_a_number_without_the_text_as_it_was_written_is_in_doubt_only_if_it_is_doubtful_at_any_site() -> None:
    city = replace(SITE.facilities["city"], mrn_pattern=re.compile(r"\d{8}"))
    site = Authorities(replace(SITE, facilities={"City": city}))
    assert not site.may_be_anybodys(mrn("4812"))
    assert site.may_be_anybodys(mrn("777"))


def test_a_social_security_number_is_its_patients_alone_where_its_authority_issues_them() -> None:
    one = mrn("666123456")
    assert AUTHORITIES.may_be_anybodys(one, "666-12-3456")
    site = Authorities(replace(SITE, vista=replace(SITE.vista, ssn_namespace="CITY")))
    assert not site.may_be_anybodys(one, "666-12-3456")
