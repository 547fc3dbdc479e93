"""Messages about a patient whose number was merged (D48): nothing is sent, and later ones have the surviving number.

HL7 v2.5.1 §3.6.2.1 (the old number is never referenced in future transactions), §3.3.40 (A40)
"""

from __future__ import annotations

import pytest
from fakes.er7_reader import field
from fakes.fed import bodies, fed, site
from fakes.merging import knowing, merge
from fakes.store import rows

from gateway.store.feed.ledger import patients_of_number
from gateway.store.studies.identities import with_replaced

pytestmark = pytest.mark.mostly_sqlite

FACILITY = "Sandbox General Hospital"
OLD, NEW, OTHER = "SBXGEN-4711-0815", "SBXGEN-4711-0999", "SBXGEN-4712-0001"
SYSTEM = site().facility(FACILITY).mrn.system
PATIENT = {"facilityName": FACILITY, "mrn": OLD}
SOMEBODY_ELSE = {"facilityName": FACILITY, "mrn": OTHER, "patientName": "Somebody Else", "dateOfBirth": "1931-01-31"}
AS_MR = "^^^SBXGEN^MR"


@pytest.fixture(autouse=True)
def knows():
    """Let every ingest know the merges in the store."""
    with knowing(site()):
        yield


async def sign_of(feed, said):
    """Sign a report of a new study with this patient, and ingest it."""
    signed = feed.account.sign_new()
    feed.account.change_patient(signed.report_id, said)
    await feed.tell(signed.study_id)
    return signed


def told(receiver, *names):
    return [tuple(field(body, name) for name in names) for body in bodies(receiver)]


async def messages(engine):
    return await rows(engine, "SELECT study_id, state FROM message ORDER BY number")


async def merged(feed, signed):
    """Merge the old number into the new one, and ingest the study again, as the application of a merge asks."""
    await merge(feed.engine, OLD, NEW, SYSTEM)
    await feed.pipeline.refresh(signed.study_id)


async def test_a_merge_sends_nothing_and_later_messages_have_the_surviving_number_alone(engine):
    async with fed(engine, on_conflict="hold") as (feed, receiver), feed.serving():
        signed = await sign_of(feed, PATIENT)
        await feed.until("delivered")
        before, queued = await messages(engine), await rows(engine, "SELECT count(*) FROM outbox")
        await merged(feed, signed)
        assert await messages(engine) == before
        assert await rows(engine, "SELECT count(*) FROM outbox") == queued
        feed.account.change_text(signed.report_id, "IMPRESSION: Another text.")
        await feed.tell(signed.study_id)
        await feed.until("delivered", "delivered")
        (first, number, _), (second, same, status) = told(receiver, "PID-3", "OBR-3", "OBR-25")
        assert (first, second) == (f"{OLD}{AS_MR}", f"{NEW}{AS_MR}")
        assert (same, status) == (number, "C")
        assert await rows(engine, "SELECT reason FROM lane") == []
        for number, count in ((NEW, 1), (OLD, 2)):
            assert len(await patients_of_number(engine, number)) == count
            assert len(await with_replaced(engine, await patients_of_number(engine, number))) == 2


async def test_an_addendum_after_the_merge_goes_under_the_survivor_though_autoscribe_says_the_old_number(engine):
    async with fed(engine, on_conflict="hold") as (feed, receiver), feed.serving():
        signed = await sign_of(feed, PATIENT)
        await feed.until("delivered")
        await merge(feed.engine, OLD, NEW, SYSTEM)
        addendum = feed.account.sign(feed.account.open_addendum(signed.report_id))
        feed.account.change_patient(addendum.report_id, PATIENT)
        await feed.tell(signed.study_id)
        await feed.until("delivered", "delivered")
        assert told(receiver, "PID-3") == [(f"{OLD}{AS_MR}",), (f"{NEW}{AS_MR}",)]


async def test_a_message_that_waits_at_the_merge_keeps_its_bytes_and_the_next_one_has_the_survivor(engine):
    async with fed(engine, on_conflict="hold") as (feed, receiver):
        await feed.pause()
        signed = await sign_of(feed, PATIENT)
        async with feed.serving():
            await feed.until("queued")
        await merged(feed, signed)
        await feed.resume()
        async with feed.serving():
            await feed.until("delivered")
            assert told(receiver, "PID-3") == [(f"{OLD}{AS_MR}",)]


@pytest.mark.parametrize("is_told_again", [False, True])
async def test_a_move_after_the_merge_withdraws_under_the_survivor_what_was_sent_under_the_old_number(
    engine, is_told_again
):
    async with fed(engine, on_conflict="hold") as (feed, receiver), feed.serving():
        signed = await sign_of(feed, PATIENT)
        await feed.until("delivered")
        await merged(feed, signed)
        if is_told_again:
            feed.account.change_text(signed.report_id, "IMPRESSION: Another text.")
            await feed.tell(signed.study_id)
            await feed.until("delivered", "delivered")
        feed.account.change_patient(signed.report_id, SOMEBODY_ELSE)
        await feed.tell(signed.study_id)
        held = "SELECT state, reason FROM outbox WHERE state = 'held'"
        assert await feed.until_rows(held, bool) == [("held", "move")]
        await feed.release(signed.study_id)
        await feed.until(*["delivered"] * (4 if is_told_again else 3))
        *_, withdrawn, moved = told(receiver, "PID-3", "OBX-11")
        assert withdrawn == (f"{NEW}{AS_MR}", "W")
        assert moved[0] == f"{OTHER}{AS_MR}"


async def test_two_studies_of_one_person_are_one_patient_after_the_merge_and_nothing_is_held(engine):
    async with fed(engine, on_conflict="hold") as (feed, receiver), feed.serving():
        person = {"patientName": "Jane Doe", "dateOfBirth": "1970-01-01", "sex": "female"}
        first = await sign_of(feed, {**PATIENT, **person})
        second = await sign_of(feed, {**PATIENT, **person, "mrn": NEW})
        await feed.until("delivered", "delivered")
        for signed in (first, second):
            await merged(feed, signed)
        feed.account.change_text(first.report_id, "IMPRESSION: Another text.")
        feed.account.change_text(second.report_id, "IMPRESSION: Another text.")
        await feed.tell(first.study_id, second.study_id)
        await feed.until(*["delivered"] * 4)
        assert {number for (number,) in told(receiver, "PID-3")[2:]} == {f"{NEW}{AS_MR}"}


async def test_where_a_destination_asks_for_it_the_report_is_withdrawn_and_sent_under_the_surviving_number(engine):
    async with fed(engine, merge="move") as (feed, receiver), feed.serving():
        signed = await sign_of(feed, PATIENT)
        await feed.until("delivered")
        await merged(feed, signed)
        await feed.until("delivered", "delivered", "delivered")
        await feed.pipeline.refresh(signed.study_id)
        feed.account.change_text(signed.report_id, "IMPRESSION: Another text.")
        await feed.tell(signed.study_id)
        await feed.until(*["delivered"] * 4)
        old, new = f"{OLD}{AS_MR}", f"{NEW}{AS_MR}"
        assert told(receiver, "PID-3", "OBX-11") == [(old, "F"), (old, "W"), (new, "C"), (new, "C")]
        assert len({field(one, "OBR-3") for one in bodies(receiver)}) == 1
