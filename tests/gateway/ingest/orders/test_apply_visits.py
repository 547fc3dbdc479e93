"""HL7 v2.5.1 §3.3 (ADT), decision D48: visit messages change what is known of orders, and leave no other trace."""

from __future__ import annotations

import pytest
from fakes.hospital import AUTHORITIES, CITY
from fakes.hospital_source import Hospital, hl7, msh, ordering, visiting
from fakes.store import rows

from gateway.store.orders.hospital import visits_of
from gateway.store.orders.numbers import key_text, number_text, put_study_keys
from mappings.hospital.authorities import OrderKey
from mappings.hospital.events import Authority, IssuedNumber

ACCESSION = key_text(OrderKey("accession", "urn:oid:1.2.2", "A1"))
VISIT = number_text(AUTHORITIES.number("visit", IssuedNumber("V1", Authority("CITYVN")), CITY))


@pytest.fixture
async def his(engine):
    made = Hospital(engine)
    await made.engine.do(lambda: put_study_keys("stu_1", [ACCESSION]))
    return made


async def test_of_a_patient_without_an_order_nothing_is_kept(his):
    assert await his.sends(visiting()) == [("nothing", "")]
    assert await his.bodies() == [False]
    assert await rows(his.engine, "SELECT key FROM visit") == []


async def test_the_state_of_a_known_visit_is_kept_with_the_time_of_its_event_and_its_studies_are_ingested(his):
    await his.sends(ordering())
    assert (await his.sends(visiting(control_id="2")))[1] == ("applied", "")
    told = await visits_of(his.engine, [VISIT])
    assert [(one.visit.location, one.message.control_id) for one in told] == [(("ED", "12"), "1"), (("ICU",), "2")]
    assert told[0].at < told[1].at
    assert await his.asked() == ["stu_1", "stu_1"]
    (order,) = await his.orders()
    assert order.order.visit.location == ("ED", "12")


async def test_the_patient_of_an_order_gets_the_newer_name_and_the_numbers_that_are_new(his):
    await his.sends(ordering(), visiting("A08", control_id="2", visit="V9"))
    (stored,) = await his.orders()
    assert stored.order.patient.family == "DOE-MILLER"
    assert [one.value for one in stored.order.patient.numbers] == ["4711", "99"]
    assert await rows(his.engine, "SELECT key FROM visit WHERE key <> ?", VISIT) == []


async def test_an_older_message_adds_only_what_is_unknown(his):
    old = visiting("A08", control_id="2").replace(b"20260105120000", b"20250105120000")
    await his.sends(ordering(), old)
    (stored,) = await his.orders()
    assert stored.order.patient.family == "DOE"
    assert [one.value for one in stored.order.patient.numbers] == ["4711", "99"]


def at_hour(hour: int, name: str, control_id: str) -> bytes:
    sent = visiting("A08", control_id=control_id).replace(b"20260105120000", b"20260105%02d0000" % hour)
    return sent.replace(b"DOE-MILLER", name.encode())


@pytest.mark.parametrize("newest", ["NEW", "DOE"])
async def test_an_older_visit_message_replaces_no_newer_one(his, newest):
    await his.sends(ordering())
    await his.sends(at_hour(18, newest, "2"), at_hour(16, "OLD", "3"))
    (stored,) = await his.orders()
    assert stored.order.patient.family == newest
    await his.sends(at_hour(19, "LAST", "4"))
    (stored,) = await his.orders()
    assert stored.order.patient.family == "LAST"


async def test_of_two_senders_the_times_tell_which_visit_message_is_newer(his):
    other = at_hour(16, "OLD", "3").replace(b"|HIS|", b"|ADT|")
    later = at_hour(19, "LAST", "4").replace(b"|HIS|", b"|ADT|")
    await his.sends(ordering(), at_hour(18, "NEW", "2"), other)
    assert [one.order.patient.family for one in await his.orders()] == ["NEW"]
    await his.sends(later)
    assert [one.order.patient.family for one in await his.orders()] == ["LAST"]


async def test_a_visit_of_another_patient_changes_no_patient(his):
    other = hl7(msh("ADT^A02", control_id="2"), "PID|1||1^^^CITY^MR||ROE^ANN", f"PV1|1|I|ICU{'|' * 16}V1^^^CITYVN")
    await his.sends(ordering(), other)
    (stored,) = await his.orders()
    assert stored.order.patient.family == "DOE"


async def test_what_tells_nothing_new_is_not_kept(his):
    quiet = hl7(msh("ADT^A31", control_id="2"), "PID|1||4711^^^CITY^MR||DOE^JANE")
    assert (await his.sends(ordering(), quiet))[1] == ("nothing", "")
    assert await his.bodies() == [True, False]


async def test_a_later_message_of_the_order_keeps_the_numbers_that_a_visit_message_added(his):
    await his.sends(ordering(), visiting("A08", control_id="2"), ordering("XO", control_id="3", minute=9))
    (stored,) = await his.orders()
    assert [one.value for one in stored.order.patient.numbers] == ["4711", "99"]


@pytest.mark.parametrize(("minute", "family"), [(30, "DOE-MILLER"), (90, "ROE")])
async def test_an_order_message_replaces_no_newer_name_that_a_visit_message_brought(his, minute, family):
    late = ordering("XO", control_id="3", minute=minute, accession="A2").replace(b"DOE^JANE", b"ROE^JANE")
    await his.sends(ordering(), visiting("A08", control_id="2", minute=60), late)
    (stored,) = await his.orders()
    assert (stored.order.patient.family, stored.order.accession.value) == (family, "A2")
    assert [one.value for one in stored.order.patient.numbers] == ["4711", "99"]
    assert (await visits_of(his.engine, [VISIT]))[-1].message.control_id == "2"
    await his.sends(visiting("A08", control_id="4", minute=45).replace(b"DOE-MILLER", b"OLD"))
    assert [one.order.patient.family for one in await his.orders()] == [family]


async def test_an_order_message_of_another_sender_replaces_no_newer_name_that_a_visit_message_brought(his):
    for minute in (150, 30):
        late = ordering("XO", control_id=f"3{minute}", minute=minute).replace(b"DOE^JANE", b"ROE^JANE")
        moved = visiting("A08", control_id=f"2{minute}", minute=120).replace(b"|HIS|", b"|ADT|")
        await his.sends(ordering(placer=f"P{minute}"), moved, late.replace(b"|P1|", b"|P%d|" % minute))
    assert [one.order.patient.family for one in await his.orders()] == ["ROE", "DOE-MILLER"]


async def test_an_order_that_goes_to_another_patient_keeps_no_number_of_the_first(his):
    moved = ordering("XO", control_id="3", minute=9, mrn="8888")
    await his.sends(ordering(), visiting("A08", control_id="2"), moved)
    (stored,) = await his.orders()
    assert [one.value for one in stored.order.patient.numbers] == ["8888"]


async def test_a_message_about_another_person_under_the_same_number_changes_no_patient(sqlite_engine):
    hospital = Hospital(sqlite_engine)
    other = visiting("A08").replace(b"DOE-MILLER^JANE||19850720|F", b"ROE^JOHN||19500101|M")
    await hospital.sends(ordering(), other)
    (stored,) = await hospital.orders()
    order = stored.order
    assert (order.patient.family, order.patient.born, order.patient.sex) == ("DOE", "19850720", "F")
