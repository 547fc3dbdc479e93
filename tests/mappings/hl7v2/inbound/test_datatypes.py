"""Datatypes of inbound fields (HL7 v2.5.1 §2.A)."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from fakes.hospital_messages import EPC, MERCY, SOURCE, header, message

from mappings.hl7v2.inbound import datatypes
from mappings.hl7v2.inbound.element import InboundElement, open_message
from mappings.hl7v2.inbound.source import SourceRules
from mappings.hl7v2.received import read
from mappings.hospital.events import Authority, Clinician, CodedText, IssuedNumber


def repetitions(field: str, source: SourceRules = SOURCE) -> tuple[InboundElement, ...]:
    """Return the repetitions of ZZZ-1."""
    return open_message(read(message(header("ADT^A31"), f"ZZZ|{field}").encode()), source)[1].repetitions(1)


def element(field: str, source: SourceRules = SOURCE) -> InboundElement:
    """Return ZZZ-1."""
    return open_message(read(message(header("ADT^A31"), f"ZZZ|{field}").encode()), source)[1].field(1)


def issues(found: InboundElement) -> list[str]:
    return [one.code for one in found.reader.issues]


@pytest.mark.parametrize(
    ("field", "number"),
    [
        ("E1^^^MERCY^MR", IssuedNumber("E1", MERCY, "MR")),
        (" E1 ^^^ MERCY ", IssuedNumber("E1", MERCY)),
        ("E1^^^MERCY&2.16.840.1.113883.3.7&ISO^MR", IssuedNumber("E1", MERCY, "MR")),
        ("E1^^^&2.16.840.1.113883.3.7&ISO", IssuedNumber("E1", MERCY)),
        ("E1^^^OTHERNAME&2.16.840.1.113883.3.7", IssuedNumber("E1", MERCY)),
        ("E1", IssuedNumber("E1")),
        ("007", IssuedNumber("007")),
        (r"E\F\1\T\\S\\R\\E\^^^MERCY", IssuedNumber("E|1&^~\\", MERCY)),
        ("E1&x^^^MERCY", IssuedNumber("E1", MERCY)),
        ("", None),
        ('""', None),
        ("^^^MERCY^MR", None),
    ],
)
def test_a_number_has_its_authority_as_the_settings_write_it(field, number):
    assert datatypes.cx(element(field), "patient") == number


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ("E1^^^MERCY&9.9&ISO", "authority-not-of-source"),
        ("E1^^^MERCY&2.16.840.1.113883.3.7&UUID", "authority-not-of-source"),
        ("E1^^^mercy", "authority-not-of-source"),
        ("E1^^^USSSA^SS", "authority-not-of-source"),
        (r"E\.br\1^^^MERCY", "text-unusable"),
        (r"E\X0D\1^^^MERCY", "text-unusable"),
        (r"E\X0D0A\^^^MERCY", "text-unusable"),
        (r"E\X00\1^^^MERCY", "text-unusable"),
        (r"E\C2842\1^^^MERCY", "text-unusable"),
    ],
)
def test_a_number_of_others_or_with_a_control_character_is_no_key(field, code):
    found = element(field)
    assert datatypes.cx(found, "patient") is None
    assert issues(found) == [code]


def test_a_bare_number_gets_the_authority_of_its_kind_alone():
    source = SourceRules(bare={"accession": EPC})
    assert datatypes.ei(element("7", source), "accession") == IssuedNumber("7", EPC)
    assert datatypes.ei(element("7", source), "placer") == IssuedNumber("7")


def test_a_source_without_authorities_speaks_for_none():
    assert datatypes.ei(element("7^EPC", SourceRules()), "placer") is None
    assert datatypes.ei(element("7^^9.9^ISO", SourceRules(authorities=(Authority(),))), "placer") is None


def test_an_order_number_names_its_authority_in_components_and_in_a_pair_in_subcomponents():
    assert datatypes.ei(element("7^EPC"), "placer") == IssuedNumber("7", EPC)
    assert datatypes.ei(element("7^^2.16.840.1.113883.3.7^ISO"), "placer") == IssuedNumber("7", MERCY)
    pair = element("7&EPC^8&RIS")
    assert datatypes.eip(pair, 1, "placer") == IssuedNumber("7", EPC)
    assert datatypes.eip(pair, 2, "filler") == IssuedNumber("8", Authority("RIS"))
    assert datatypes.eip(element("7&EPC"), 2, "filler") is None


def test_a_name_is_the_legal_one():
    assert datatypes.xpn(repetitions("JONES^AL^^^^^M~SMITH&VAN^ANN^B^^^^L")) == ("SMITH", "ANN", "B")
    assert datatypes.xpn(repetitions("JONES^AL^^^^^M")) == ("JONES", "AL", "")
    assert datatypes.xpn(repetitions("")) == ("", "", "")


def test_repetitions_under_one_name_are_one_clinician():
    found = datatypes.xcn(repetitions("1^HOLT^PETER^Q^JR^DR^MD^^MERCY^^^^EI~2^Holt^Peter^^^^^^NPI^^^^NPI~~3^LEE^SUE"))
    numbers = (IssuedNumber("1", Authority("MERCY"), "EI"), IssuedNumber("2", Authority("NPI"), "NPI"))
    assert found == (
        Clinician(numbers, "HOLT", "PETER", "Q", "JR", "DR", "MD"),
        Clinician((IssuedNumber("3"),), "LEE", "SUE"),
    )


def test_two_numbers_of_one_issuer_are_two_clinicians():
    assert len(datatypes.xcn(repetitions("1^HOLT^P^^^^^^NPI~2^HOLT^P^^^^^^NPI"))) == 2
    assert len(datatypes.xcn(repetitions("1~2^^^^^^^^NPI"))) == 2


def test_a_code_has_two_triplets_and_its_words():
    found = element(r"CTCH^CT \T\ more^L^71260^CT chest^C4")
    assert datatypes.cwe(found) == CodedText("CTCH", "CT & more", "L", "71260", "CT chest", "C4")
    assert datatypes.cwe_text(found) == ("CT & more",)
    assert datatypes.cwe_text(element("^^^^^^^^said so")) == ("said so",)
    assert datatypes.cwe_text(element(r"\H\pain\N\\.br\ \.br\fever")) == ("pain", "fever")


def test_a_location_has_its_components_without_empty_ones_at_the_end():
    assert datatypes.pl(element("4W^^02^MERCY&1.2&ISO^^^")) == ("4W", "", "02", "MERCY")
    assert datatypes.pl(element("")) == ()


@pytest.mark.parametrize(
    ("field", "moment"),
    [
        ("202601051015", datetime(2026, 1, 5, 16, 15, tzinfo=UTC)),
        ("20260105101502", datetime(2026, 1, 5, 16, 15, 2, tzinfo=UTC)),
        ("20260705101502", datetime(2026, 7, 5, 15, 15, 2, tzinfo=UTC)),
        ("20260105101502.1234+0130", datetime(2026, 1, 5, 8, 45, 2, 123400, tzinfo=UTC)),
        ("202601051015-0600^M", datetime(2026, 1, 5, 16, 15, tzinfo=UTC)),
        ("20261101013000-0500", datetime(2026, 11, 1, 6, 30, tzinfo=UTC)),
        ("20260308015959", datetime(2026, 3, 8, 7, 59, 59, tzinfo=UTC)),
        ("20260308030000", datetime(2026, 3, 8, 8, 0, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read_with_its_offset_or_in_the_zone_of_the_source(field, moment):
    found = element(field)
    assert datatypes.ts(found) == moment
    assert issues(found) == []


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ("2026", "time-not-exact"),
        ("20260105", "time-not-exact"),
        ("2026010510-0600", "time-not-exact"),
        ("20260230101500", "time-impossible"),
        ("202601052400", "time-impossible"),
        ("20260105101560", "time-impossible"),
        ("202601051015-1500", "time-impossible"),
        ("202601051015-0060", "time-impossible"),
        ("00010101000000+1400", "time-impossible"),
        ("00000101000000", "time-impossible"),
        ("2026-01-05T10:15:00Z", "time-impossible"),
        ("2026010510150", "time-impossible"),
        ("yesterday", "time-impossible"),
        ("20261101013000", "time-ambiguous"),
        ("20260308023000", "time-impossible"),
    ],
)
def test_a_moment_that_is_not_exactly_known_is_an_issue_and_no_guess(field, code):
    found = element(field)
    assert datatypes.ts(found) is None
    assert issues(found) == [code]


def test_a_time_without_offset_is_not_known_without_a_zone():
    found = element("202601051015", SourceRules())
    assert datatypes.ts(found) is None
    assert issues(found) == ["time-without-zone"]
    assert datatypes.ts(element("202601051015-0600", SourceRules(zone=ZoneInfo("UTC")))) is not None


@pytest.mark.parametrize(
    ("field", "day", "codes"),
    [
        ("19610309", "19610309", []),
        ("196103091200-0600", "19610309", []),
        ("1961", "", []),
        ("196103", "", []),
        ("", "", []),
        ('""', "", []),
        ("19700230", "", ["date-impossible"]),
        ("03/09/1961", "", ["date-impossible"]),
        ("00000101", "", ["date-impossible"]),
        ("00010101", "00010101", []),
    ],
)
def test_a_birth_date_is_a_day_or_empty(field, day, codes):
    found = element(field)
    assert (datatypes.ts_day(found), issues(found)) == (day, codes)


def test_repetitions_keep_their_places_and_the_null_is_none():
    assert [(one.raw, one.place) for one in repetitions('a~~""~b')] == [("a", "ZZZ-1[1]"), ("b", "ZZZ-1[4]")]


def test_of_a_flood_of_repetitions_a_hundred_are_read():
    found = repetitions("~".join(str(number) for number in range(5000)))
    assert len(found) == 100
    assert issues(found[0]) == ["repetitions-too-many"]
