"""An erased patient is in no table any more and is not read again, and the ledger still shows what was sent.

https://eur-lex.europa.eu/eli/reg/2016/679/oj (article 17)
"""

from __future__ import annotations

from functools import partial

import pytest
from fakes.fed import Fed, bodies, fed
from fakes.pdfs import Library, Time, pdf
from fakes.store import everything, rows, tables_with
from fakes.taken_in import current

from gateway.feed.fate import fate_of, fate_place
from gateway.ingest.control_queue import ControlWork
from gateway.runtime import clock
from gateway.runtime.request_errors import ResourceNotFound
from gateway.store import erasing
from gateway.store.database.engine import Statement, ask, micros
from gateway.store.database.facts import Controls
from gateway.store.database.kept import decompressed
from gateway.store.enrichment import StoredEnrichments, StoredWebhooks
from gateway.store.erasing import ErasureOrder, MessageInHand, NotErased
from gateway.store.feed.ledger import report_records
from gateway.store.intake import store_studies
from gateway.store.stored_reports import CHUNK, Overtaken
from gateway.store.studies.crawling import StoredStudies, erased_among, readmitted

FACILITY = "Sandbox General Hospital"
NAMED = {"patientName": "Canaryfamily, Canarygiven", "dateOfBirth": "1950-05-05", "sex": "F"}
WHO = {"facilityName": FACILITY, "mrn": "CANARYMRN77", **NAMED}
OTHER = {"facilityName": FACILITY, "mrn": "SBXGEN-1234", "patientName": "Somebody, Else", "dateOfBirth": "1931-01-31"}
TEXT = "FINDINGS: Canaryfinding. IMPRESSION: Canaryimpression."
PATIENT_OF = "SELECT patient_id FROM claim WHERE study_id = ?"
STATES = "SELECT state, reason FROM message ORDER BY number"


async def sign_of(feed, said, text=TEXT, **more):
    """Sign a report of a new study with this patient and text, and ingest it."""
    signed = feed.account.sign_new(**more)
    feed.account.change_text(signed.report_id, text)
    feed.account.change_patient(signed.report_id, said)
    await feed.tell(signed.study_id)
    return signed


def order(feed, *signed):
    study_ids = [one.study_id for one in signed]
    return ErasureOrder(study_ids, "Patient/x", "asked", feed.pipeline.settings.site.site_key, micros(clock.now()))


async def erase(engine, feed, *signed):
    return await engine.do(partial(erasing.erase_studies, order(feed, *signed), is_trial=False))


async def test_nothing_of_the_patient_is_left_in_any_table_and_the_ledger_shows_what_was_sent(engine):
    async with fed(engine) as (feed, _):
        async with feed.serving():
            first = await sign_of(feed, WHO)
            second = await sign_of(feed, WHO)
            kept = await sign_of(feed, OTHER, "IMPRESSION: Kept.")
            await feed.add(first)
            await feed.all_delivered()
        uid = feed.account.find_study(first.study_id)["studyInstanceUid"]
        await StoredEnrichments(engine).keep(uid, "CANARYACCESSION", "CANARYPATIENT", clock.now())
        ids = {"reportId": first.report_id, "studyId": first.study_id}
        await StoredWebhooks(engine).set_aside("w1", "e1", "other", {**ids, "said": "CANARYEVENT"}, clock.now())
        [(patient_id,)] = await rows(engine, PATIENT_OF, first.study_id)
        canaries = ("canary", patient_id)
        before = await tables_with(engine, *canaries)
        assert {"study", "version", "term", "claim", "message_body", "enrichment", "webhook", "message"} <= before
        sent = await rows(
            engine, "SELECT number, control_id, body_hash, sent, closed, ack FROM message ORDER BY number"
        )
        counts = await erase(engine, feed, first, second)
        assert (counts.studies, counts.reports, counts.patients, counts.made_anew) == (2, 3, 1, 0)
        assert (counts.unsent, counts.in_doubt, counts.sent) == (0, 0, 3)
        assert await tables_with(engine, *canaries) == set()
        ledger = "SELECT number, control_id, body_hash, sent, closed, ack FROM message ORDER BY number"
        assert await rows(engine, ledger) == sent
        assert await rows(engine, "SELECT verb, argument, reason FROM audit") == [
            ("patients-erase", "Patient/x", "asked")
        ]
        left = await rows(engine, "SELECT study_id FROM study")
        assert left == [(kept.study_id,)]
        assert await rows(engine, "SELECT count(*) FROM message_body") == [(1,)]


@pytest.mark.parametrize("named_by", ["reportId", "studyInstanceUid"])
async def test_an_event_of_an_unknown_kind_that_names_the_report_or_the_uid_alone_goes_too(engine, named_by):
    async with fed(engine) as (feed, _):
        async with feed.serving():
            erased, kept = await sign_of(feed, WHO), await sign_of(feed, OTHER)
            await feed.all_delivered()
        ids = {
            one: {
                "reportId": one.report_id,
                "studyInstanceUid": feed.account.find_study(one.study_id)["studyInstanceUid"],
            }
            for one in (erased, kept)
        }
        webhooks, now = StoredWebhooks(engine), clock.now()
        longer = f"{ids[erased]['studyInstanceUid']}.1"  # begins as the erased one, and is another's
        aside = {
            "erased": {"of": {named_by: ids[erased][named_by]}, "said": "CANARYEVENT"},
            "kept": {"of": {named_by: ids[kept][named_by]}},
            "longer": {"of": {"studyInstanceUid": longer}},
        }
        for name, body in aside.items():
            await webhooks.set_aside(name, name, "other", body, now)
        waiting = {**ids[kept], "studyId": kept.study_id, "studyInstanceUid": ids[erased]["studyInstanceUid"]}
        await webhooks.record("due", "due", "report.delivered", waiting, now)
        await erase(engine, feed, erased)
        left = await rows(engine, "SELECT event_id FROM webhook WHERE event_id IN ('erased', 'kept', 'longer', 'due')")
        assert {name for (name,) in left} == {"kept", "longer", "due"}


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_pdf_that_is_being_fetched_or_that_a_crash_left_half_written_goes_too(engine, monkeypatch, goes_on):
    Time(monkeypatch)
    library = Library(engine)
    await library.report()
    claim = await library.claim()
    await claim.write(pdf(CHUNK))
    assert await rows(engine, "SELECT count(*) FROM pdf_chunk") == [(1,)]
    key = library.pipeline.settings.site.site_key
    asked = ErasureOrder([library.study_id()], "Patient/x", "asked", key, micros(clock.now()))
    await engine.do(partial(erasing.erase_studies, asked, is_trial=False))
    if goes_on:
        with pytest.raises(Overtaken):
            await claim.write(pdf(CHUNK))
    assert await rows(engine, "SELECT count(*) FROM pdf_chunk") == [(0,)]


async def test_a_trial_counts_the_same_and_changes_nothing(engine):
    async with fed(engine) as (feed, _):
        async with feed.serving():
            signed = await sign_of(feed, WHO)
            await feed.all_delivered()
        before = sorted(await everything(engine))
        with pytest.raises(NotErased) as trial:
            await engine.do(partial(erasing.erase_studies, order(feed, signed), is_trial=True))
        assert sorted(await everything(engine)) == before
        assert await erase(engine, feed, signed) == trial.value.counts


async def test_an_erased_study_is_not_read_again_until_it_is_readmitted(engine):
    async with fed(engine) as (feed, _):
        signed = await sign_of(feed, WHO)
        key = feed.pipeline.settings.site.site_key
        listed = feed.account.find_study(signed.study_id)
        known = StoredStudies(engine, key)
        await erase(engine, feed, signed)
        assert await known.stale([listed], lambda _: clock.now()) == []
        assert await erased_among(engine, [signed.study_id, "stu_other"], key) == {signed.study_id}
        assert await erased_among(engine, [signed.study_id], b"another key") == set()
        with pytest.raises(ResourceNotFound):
            await feed.tell(signed.study_id)
        assert await tables_with(engine, "canary") == set()
        assert signed.study_id not in str(await rows(engine, "SELECT digest FROM erased"))
        assert await engine.do(partial(readmitted, signed.study_id, key, "a mistake", 2))
        assert not await engine.do(partial(readmitted, signed.study_id, key, "again", 3))
        assert await known.stale([listed], lambda _: clock.now()) == [signed.study_id]
        await feed.tell(signed.study_id)
        assert await rows(engine, "SELECT study_id FROM study") == [(signed.study_id,)]
        assert await rows(engine, "SELECT verb FROM audit ORDER BY number") == [
            ("patients-erase",),
            ("patients-readmit",),
        ]


async def test_a_study_that_is_erased_while_it_is_ingested_does_not_come_back(engine):
    async with fed(engine) as (feed, _):
        signed = await sign_of(feed, WHO)
        do, erasures = engine.do, [order(feed, signed)]

        async def meddled(work):
            if erasures:  # between the reading of the study's state and its write
                await do(partial(erasing.erase_studies, erasures.pop(), is_trial=False))
            return await do(work)

        feed.account.change_text(signed.report_id, f"{TEXT} More.")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(engine, "do", meddled)
            with pytest.raises(ResourceNotFound):
                await feed.tell(signed.study_id)
        assert await tables_with(engine, "canary") == set()


async def test_a_study_that_another_process_stores_and_that_is_erased_during_a_first_ingest_does_not_come_back(engine):
    async with fed(engine) as (feed, _):
        signed = feed.account.sign_new()
        feed.account.change_text(signed.report_id, TEXT)
        do, other, is_first = engine.do, Fed(engine, feed.account, feed.destinations), [True]

        async def meddled(work):
            if is_first and getattr(work, "func", None) is store_studies:
                is_first.clear()
                await other.tell(signed.study_id)
                await do(partial(erasing.erase_studies, order(feed, signed), is_trial=False))
            return await do(work)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(engine, "do", meddled)
            with pytest.raises(ResourceNotFound):
                await feed.tell(signed.study_id)
        assert not is_first
        assert await tables_with(engine, "canary") == set()


async def test_what_was_not_sent_is_cancelled_and_what_may_have_arrived_stays_recorded(engine):
    async with fed(engine) as (feed, receiver):
        first, second = await sign_of(feed, WHO), await sign_of(feed, WHO)
        await feed.pause()
        async with feed.serving():
            await feed.until("queued", "queued")
        doubtful = Statement("UPDATE message SET state = 'indeterminate', doubts = 1, sent = 5 WHERE study_id = :one")
        await engine.do(lambda: ask(doubtful, one=first.study_id))
        third = await sign_of(feed, WHO)
        counts = await erase(engine, feed, first, second, third)
        assert (counts.unsent, counts.in_doubt, counts.sent) == (3, 1, 0)
        assert await rows(engine, STATES) == [("dead_letter", "erased")]
        assert await rows(engine, "SELECT study_id, sent FROM message") == [(first.study_id, 5)]
        assert set(await rows(engine, "SELECT state, reason FROM outbox")) == {("nothing", "erased")}
        await feed.resume()
        async with feed.serving():
            kept = await sign_of(feed, OTHER, "IMPRESSION: Kept.")
            await feed.until("dead_letter", "delivered")
        assert [message.control_id for message in receiver.messages] == [
            control_id
            for (control_id,) in await rows(engine, "SELECT control_id FROM message WHERE study_id = ?", kept.study_id)
        ]


@pytest.mark.parametrize("was_delivered", [True, False])
async def test_a_readmitted_report_is_sent_where_it_was_never_sent_and_its_correction_everywhere(engine, was_delivered):
    async with fed(engine) as (feed, receiver):
        if not was_delivered:
            await feed.pause()
        async with feed.serving():
            signed = await sign_of(feed, WHO)
            await feed.until("delivered" if was_delivered else "queued")
        await erase(engine, feed, signed)
        key = feed.pipeline.settings.site.site_key
        assert await engine.do(partial(readmitted, signed.study_id, key, "a mistake", 2))
        if not was_delivered:
            await feed.resume()
        async with feed.serving():
            await feed.tell(signed.study_id)
            await feed.all_delivered()
            assert [b"Canaryfinding" in body for body in bodies(receiver)] == [True]
            feed.account.change_text(signed.report_id, f"{TEXT} Corrected.")
            await feed.tell(signed.study_id)
            await feed.until("delivered", "delivered")
        assert [b"Corrected" in body for body in bodies(receiver)] == [False, True]
        [record] = (await report_records(engine, [signed.study_id]))[signed.study_id].reports.values()
        assert fate_of(signed.report_id, record, fate_place(feed.destinations[0])).kind == "AA"


async def test_while_a_message_is_in_hand_nothing_is_erased(engine):
    async with fed(engine) as (feed, _):
        first, second = await sign_of(feed, WHO), await sign_of(feed, WHO)
        await feed.pause()
        async with feed.serving():
            await feed.until("queued", "queued")
        in_hand = Statement("UPDATE message SET state = 'sending' WHERE study_id = :one")
        await engine.do(lambda: ask(in_hand, one=second.study_id))
        before = sorted(await everything(engine))
        with pytest.raises(MessageInHand):
            await erase(engine, feed, first, second)
        assert sorted(await everything(engine)) == before


async def test_a_patient_of_other_studies_too_is_made_anew_from_those(engine):
    async with fed(engine) as (feed, _):
        wrong = await sign_of(feed, {**WHO, "patientName": "Canaryfamily, Canarygivne"})
        kept = await sign_of(feed, WHO, "IMPRESSION: Kept.")
        [(patient_id,)] = await rows(engine, PATIENT_OF, kept.study_id)
        assert await rows(engine, PATIENT_OF, wrong.study_id) == [(patient_id,)]
        assert "version" in await tables_with(engine, "canarygivne")
        counts = await erase(engine, feed, wrong)
        assert (counts.studies, counts.made_anew) == (1, 1)
        assert await current(engine, "Patient/") == {}
        assert await ControlWork(Controls(engine), feed.pipeline).once() == 1
        [made] = (await current(engine, "Patient/")).values()
        assert (made["id"], made["name"][0]["family"]) == (patient_id, "Canaryfamily")
        assert await tables_with(engine, "canarygivne") == set()


async def test_the_patient_whom_a_report_named_before_it_moved_is_erased_too(engine):
    async with fed(engine) as (feed, _):
        signed = await sign_of(feed, OTHER)
        [(former,)] = await rows(engine, PATIENT_OF, signed.study_id)
        feed.account.change_patient(signed.report_id, WHO)
        await feed.tell(signed.study_id)
        assert "version" in await tables_with(engine, former)
        await erase(engine, feed, signed)
        assert await tables_with(engine, former, "canary") == set()


async def test_a_study_held_apart_on_which_nobody_decided_is_known_before_anything_is_erased(engine):
    async with fed(engine, on_conflict="hold") as (feed, _):
        first = await sign_of(feed, WHO)
        second = await sign_of(feed, {**WHO, "patientName": "Quite, Another", "dateOfBirth": "1931-01-31", "sex": "M"})
        patients = await erasing.patients_claimed(engine, [first.study_id])
        assert await erasing.undecided_conflicts(engine, patients, [first.study_id]) == [second.study_id]
        assert await erasing.undecided_conflicts(engine, patients, [first.study_id, second.study_id]) == []


async def test_the_pages_that_an_erased_patient_leaves_in_the_file_are_overwritten(sqlite_engine):
    async with fed(sqlite_engine) as (feed, _):
        signed = await sign_of(feed, WHO)
        file = sqlite_engine.path
        assert await sqlite_engine.emptied_log()
        stored = [
            row for (row,) in await rows(sqlite_engine, "SELECT body FROM version UNION ALL SELECT kept FROM study")
        ]
        assert any(b"Canaryimpression" in decompressed(row) for row in stored)
        assert any(row in file.read_bytes() for row in stored)
        await erase(sqlite_engine, feed, signed)
        assert await sqlite_engine.emptied_log()
        assert not any(row in file.read_bytes() for row in stored if b"Canary" in decompressed(row))
        assert b"canary" not in file.read_bytes().lower()
        assert b"canary" not in file.with_name(f"{file.name}-wal").read_bytes().lower()
