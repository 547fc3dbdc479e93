"""An order's visit is stated from news of its own patient only (HL7 v2.5.1 §3.4.3, decisions D12, D48)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC

import pytest
from fakes.hospital import SITE
from fakes.hospital_source import RULES, Hospital, hl7, hospital_source, merging, msh, ordering
from fakes.met import carry_out, facts, matching, read
from fakes.store import rows
from structlog.testing import capture_logs

from gateway.ingest import Pipeline
from gateway.ingest.orders.rekeying import OrderKeys
from gateway.ingest.orders.sources import sources_of
from gateway.settings import survey
from gateway.store.orders.hospital import OrderReader, visits_of
from mappings.hospital.authorities import Authorities, OrderSource
from mappings.model import HospitalMessageName
from mappings.profile import AssigningAuthority

YARDLEY = "YARDLEY^TOM||19600101|M"
DOE = "DOE^JANE||19850720|F"
ISSUES = "SELECT code FROM issue WHERE code LIKE '%visit%' OR code LIKE '%account%' ORDER BY code"
KNOWN = "SELECT key, at, inbound FROM visit ORDER BY inbound"


def moved(who: str, number: str = "", event: str = "A02", place: str = "YARD", control_id: str = "2") -> bytes:
    """Write a visit message about the visit of Jane Doe's order, with this patient."""
    return hl7(
        msh(f"ADT^{event}", control_id=control_id),
        f"EVN|{event}|20260105120000-0600",
        f"PID|1||{number}||{who}",
        f"PV1|1|E|{place}||||D1^OTHER{'|' * 12}V1^^^CITYVN",
    )


async def told(engine, pipeline):
    """Return what is stated of the visit of the study's order."""
    await carry_out(engine, pipeline)
    (order,) = (await facts(engine)).orders
    return order


async def codes(engine) -> list[str]:
    return [str(code) for (code,) in await rows(engine, ISSUES)]


@pytest.mark.parametrize(
    ("who", "number"),
    [
        (YARDLEY, "8123^^^CITY^MR"),
        (YARDLEY, ""),
        (DOE, "8123^^^CITY^MR"),
        ("DOE^JILL||19850720|F", ""),
        (YARDLEY, "12345678^^^CITY^MR"),
    ],
    ids=["number", "name", "same-name", "twin", "doubtful-number"],
)
async def test_news_of_another_patient_with_the_same_visit_number_are_refused_and_an_issue(engine, who, number):
    his, pipeline = Hospital(engine), matching(engine)
    await his.sends(ordering())
    await read(pipeline)
    with capture_logs() as logs:
        assert (await his.sends(moved(who, number)))[1] == ("nothing", "visit-of-other-patient")
    assert [one["code"] for one in logs if one["event"] == "visit-news-refused"] == ["visit-of-other-patient"]
    assert his.counted("orders_noted_total", code="visit-of-other-patient") == 1
    order = await told(engine, pipeline)
    assert (order.visit.patient_class, order.visit.location, order.visit.attending) == ("I", ("ED", "12"), ())
    assert order.refused == (HospitalMessageName("city-his", "2"),)
    assert "visit-of-other-patient" in await codes(engine)
    refused = (await visits_of(engine, [str((await rows(engine, KNOWN))[-1][0])]))[-1]
    assert (refused.refused_by, refused.patient.family, refused.visit.location) == ((1,), "", ())
    assert await his.bodies() == [True, True]


@pytest.mark.parametrize(
    ("who", "number"),
    [
        (DOE, "4711^^^CITY^MR"),
        ("DOE^JANE||19840720|F", "4711^^^CITY^MR"),
        (YARDLEY, "4711^^^CITY^MR"),
        (DOE, ""),
        ("^||", ""),
    ],
    ids=["number", "corrected", "number-decides", "name", "silent"],
)
async def test_news_of_the_orders_patient_count_by_the_number_and_else_unless_somebody_else_is_described(
    engine, who, number
):
    his, pipeline = Hospital(engine), matching(engine)
    await his.sends(ordering())
    await read(pipeline)
    assert (await his.sends(moved(who, number)))[1][0] == "applied"
    visit = (await told(engine, pipeline)).visit
    assert (visit.patient_class, visit.location, visit.attending[0].family) == ("E", ("YARD",), "OTHER")
    assert await codes(engine) == []


async def test_news_under_the_surviving_number_count_and_a_merge_in_doubt_makes_no_two_numbers_one(engine):
    his, pipeline = Hospital(engine), matching(engine)
    await his.sends(ordering(), merging("4711", "5000", control_id="m"))
    await read(pipeline)
    await his.sends(moved("DOE^JANE", "5000^^^CITY^MR", place="ICU"))
    assert (await told(engine, pipeline)).visit.location == ("ICU",)
    await his.sends(merging("4711", "6000", control_id="n"))
    assert (await his.sends(moved("DOE^JANE", "5000^^^CITY^MR", place="ICU2", control_id="3")))[-1][1] != ""


async def test_a_birth_date_that_is_corrected_under_the_patients_number_is_the_orders(engine):
    his, pipeline = Hospital(engine), matching(engine)
    await his.sends(ordering().replace(b"19850720", b"19800101"))
    await read(pipeline, dateOfBirth="1985-07-20")
    assert (await facts(engine)).order_reason == "patient-conflict"
    await his.sends(moved(DOE, "4711^^^CITY^MR", event="A08"))
    (order,) = await his.orders()
    assert order.order.patient.born == "19850720"
    assert (await told(engine, pipeline)).visit.location == ("YARD",)


async def test_of_two_patients_with_orders_of_one_visit_number_each_has_the_news_of_its_own(engine):
    his, pipeline = Hospital(engine), matching(engine)
    theirs = ordering(placer="P2", accession="A2", mrn="8123", control_id="b").replace(DOE.encode(), YARDLEY.encode())
    await his.sends(ordering(), theirs, moved(YARDLEY, "8123^^^CITY^MR", place="YARD"))
    await his.sends(moved(DOE, "4711^^^CITY^MR", place="WARD", control_id="3"))
    await read(pipeline)
    order = await told(engine, pipeline)
    assert (order.visit.location, "visit-of-other-patient" in await codes(engine)) == (("WARD",), True)
    assert (await his.states())[2] == ("applied", "visit-of-other-patient")


async def test_an_order_that_goes_to_another_patient_does_not_keep_the_visit_of_the_first(engine):
    his, pipeline = Hospital(engine), matching(engine)
    later = ordering("XO", mrn="8123", control_id="3", minute=9).replace(b"PV1|1|I|ED^12", b"ZZZ")
    await his.sends(ordering(), later)
    await read(pipeline, mrn="8123")
    (order,) = (await facts(engine)).orders
    assert order.visit is None


async def test_a_bare_visit_number_of_a_source_without_a_facility_is_no_key(engine):
    hub = hospital_source(order_source=OrderSource("hub"), bare={})
    his, pipeline = Hospital(engine, hub), matching(engine)
    named = b"|P1^CITYHIS|"
    first = ordering().replace(b"V1^^^CITYVN", b"V1").replace(b"|P1|", named).replace(b"|A1\r", b"|A1^CITYRIS\r")
    await his.sends(first, moved(DOE, "4711^^^CITY^MR").replace(b"V1^^^CITYVN", b"V1"))
    assert await rows(engine, "SELECT key FROM visit") == []
    await read(pipeline)
    (order,) = (await facts(engine)).orders
    assert (order.visit.location, order.visit.number, order.visit.lacks) == (("ED", "12"), None, ("visit",))
    assert "visit-authority-unknown" in await codes(engine)


async def test_bare_visit_and_account_numbers_are_stated_once_the_settings_name_their_authorities(engine):
    his, pipeline = Hospital(engine), matching(engine)
    bare = ordering().replace(b"V1^^^CITYVN", b"V1").replace(b"19850720|F", b"19850720|F||||||||||K1")
    await his.sends(bare)
    await read(pipeline)
    (order,) = (await facts(engine)).orders
    assert (order.visit.number, order.visit.account, sorted(order.visit.lacks)) == (None, None, ["account", "visit"])
    assert await codes(engine) == ["account-authority-unknown", "visit-authority-unknown"]
    issuers = {
        "visit": AssigningAuthority("urn:oid:1.2.5", "CITYVISIT"),
        "account": AssigningAuthority("urn:oid:1.2.6", "CITYACCOUNT"),
    }
    site = replace(SITE, facilities={**SITE.facilities, "city": replace(SITE.facilities["city"], **issuers)})
    later = Pipeline(engine, site, UTC, orders=OrderReader(engine, Authorities(site)))
    await OrderKeys(engine, Authorities(site), {"city-his": RULES}).once()
    await carry_out(engine, later)
    (order,) = (await facts(engine)).orders
    assert (order.visit.number.value, order.visit.number.system) == ("V1", "urn:oid:1.2.5")
    assert (order.visit.account.value, order.visit.account.namespace) == ("K1", "CITYACCOUNT")
    assert order.visit.lacks == ()


HUB = """
[mapping]
accession_keys = ["acc"]
[[mapping.facilities]]
name = "City"
name_order = "given_family"
mrn_system = "urn:oid:1.2.1"
mrn_namespace = "CITY"
accession_system = "urn:oid:1.2.2"
accession_namespace = "CITYRIS"
visit_system = "urn:oid:1.2.5"
visit_namespace = "CITYVISIT"
[[mapping.facilities]]
name = "East"
name_order = "given_family"
mrn_system = "urn:oid:1.4.1"
mrn_namespace = "EAST"
accession_system = "urn:oid:1.4.2"
accession_namespace = "EASTRIS"
visit_system = "urn:oid:1.4.5"
visit_namespace = "EASTVISIT"
[[source]]
name = "hub"
listen = "127.0.0.1:2601"
may = ["orders", "visits"]
"""
MAPPED = HUB + 'sending_facilities = {"CITYHOSP" = "City", "EASTHOSP" = "East"}\n'
LOCATED = MAPPED + 'location_facilities = {"CTY" = "City", "EST" = "East"}\n'


def hub(engine, folder, text):
    """Return a source that sends for two facilities, and a pipeline, by these settings."""
    path = folder / "gateway.toml"
    path.write_text(text)
    found, faults = survey(path)
    assert found is not None, faults
    (source,) = sources_of(found)
    his = Hospital(engine, source)
    his.applying._authorities = Authorities(found.site)
    return his, Pipeline(engine, found.site, UTC, orders=OrderReader(engine, Authorities(found.site)))


def sent_by(facility: str, place: str = "", mrn: str = "4711", accession: str = "A1", control_id: str = "1") -> bytes:
    """Write an order without any authority."""
    made = ordering(mrn=mrn, accession=accession, placer=f"P{control_id}", control_id=control_id)
    made = made.replace(b"|HIS|CITY|", f"|HIS|{facility}|".encode()).replace(b"^^^CITY^MR", b"")
    return made.replace(b"V1^^^CITYVN", b"V1").replace(b"ED^12", f"ED^12^^{place}".encode())


@pytest.mark.parametrize("facility", ["City", "East"])
async def test_of_a_source_of_several_facilities_msh_4_says_whose_the_accession_number_is(engine, tmp_path, facility):
    his, pipeline = hub(engine, tmp_path, MAPPED)
    await his.sends(sent_by("CITYHOSP"), sent_by("EASTHOSP", control_id="2"))
    await read(pipeline, facilityName=facility)
    (order,) = (await facts(engine)).orders
    assert (order.placer, order.accession.namespace) == (None, f"{facility.upper()}RIS")
    assert (order.visit.number.namespace, order.message.control_id) == (
        f"{facility.upper()}VISIT",
        "1" if facility == "City" else "2",
    )


@pytest.mark.parametrize(
    ("text", "facility", "place", "code", "visit"),
    [
        (MAPPED, "CITYHOSP", "ELSEWHERE", "", "urn:oid:1.2.5"),
        (LOCATED, "CITYHOSP", "CTY", "", "urn:oid:1.2.5"),
        (LOCATED, "CITYHOSP", "", "", "urn:oid:1.2.5"),
        (LOCATED, "CITYHOSP", "EST", "facility-differs", ""),
        (LOCATED, "CITYHOSP", "ELSEWHERE", "facility-unmapped", ""),
        (LOCATED, "OTHER", "EST", "facility-unmapped", "urn:oid:1.4.5"),
        (MAPPED, "cityhosp", "", "facility-unmapped", ""),
    ],
)
async def test_a_value_that_is_not_mapped_or_that_disagrees_gives_no_authority_and_an_issue(
    engine, tmp_path, text, facility, place, code, visit
):
    his, _ = hub(engine, tmp_path, text)
    assert await his.sends(sent_by(facility, place)) == [("applied", code)]
    (stored,) = await his.orders()
    authorities, order = his.applying._authorities, stored.order
    key = authorities.key_of("visit", order.visit.number, order.source)
    assert (key.authority if key else "") == visit
    accession = authorities.order_key("accession", order.accession, order.source)
    assert (accession.authority if accession else "") == ("urn:oid:1.2.2" if facility == "CITYHOSP" else "")


async def test_known_orders_have_the_facility_that_is_mapped_later(engine, tmp_path):
    his, _ = hub(
        engine, tmp_path, HUB.replace("[[source]]", '[[source]]\nauthorities = [{namespace = "X", system = ""}]')
    )
    await his.sends(sent_by("EASTHOSP"))
    later, pipeline = hub(engine, tmp_path, MAPPED)
    await OrderKeys(engine, later.applying._authorities, {"hub": later.source.rules}).once()
    await read(pipeline, facilityName="East")
    (order,) = (await facts(engine)).orders
    assert (order.accession.namespace, order.visit.number.namespace) == ("EASTRIS", "EASTVISIT")
    await OrderKeys(engine, later.applying._authorities, {"hub": later.source.rules, "other": RULES}).once()
    assert [one.order.accession.authority.namespace for one in await later.orders()] == ["EASTRIS"]
