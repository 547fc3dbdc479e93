"""Faults of order, F59 to F64, F67 and F68: reports that come late, twice, out of order, or are withdrawn.

HL7 v2.5.1 table 0123 (OBR-25), decisions D13, D16 to D21, D32.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC

import fakes.fed
import pytest
from fakes.charts import (
    accounted_for,
    change,
    generic,
    speak_of,
    statuses,
    taken_statuses,
    told_lines,
    unlisted,
    until_settled,
)
from fakes.er7_reader import all_of, field
from fakes.fed import assert_all_arrived, bodies, fed, site, stopped
from fakes.store import rows

from gateway.ingest import Pipeline
from gateway.routing import Routes
from gateway.store.database.engine import Statement, ask

SUPERSEDED = ("superseded", "delivered")


@pytest.fixture
def says(monkeypatch):
    """Return a function that gives the site other policies than the sandbox's."""
    return lambda **policies: monkeypatch.setattr(fakes.fed, "site", lambda: replace(site(), **policies))


async def test_f59_an_addendum_seen_before_its_original_is_restated_with_it(engine):
    async with fed(engine) as (feed, receiver), feed.serving():
        original = feed.account.sign_new(critical=False)
        addendum = feed.account.sign(feed.account.open_addendum(original.report_id), "LATE NOTE.")
        async with unlisted(feed, original.report_id):
            await feed.tell(addendum.study_id)
            await feed.until("delivered")
        await feed.until("delivered", "delivered")
        assert statuses(receiver) == ["F", "C"]
        assert "LATE NOTE." in told_lines(bodies(receiver)[1])
        assert len(told_lines(bodies(receiver)[1])) > len(told_lines(bodies(receiver)[0]))
        await assert_all_arrived(feed, receiver)


@pytest.mark.parametrize("addendum", ["append", "new_order"])
async def test_f59_an_addendum_that_is_told_apart_waits_for_its_original_which_goes_first(engine, addendum):
    async with fed(engine, addendum=addendum) as (feed, receiver), feed.serving():
        original = feed.account.sign_new(critical=False)
        added = feed.account.sign(feed.account.open_addendum(original.report_id), "LATE NOTE.")
        async with unlisted(feed, original.report_id):
            await feed.tell(added.study_id)
            await until_settled(feed, ("held", "addendum-without-original"))
            assert not bodies(receiver)
        await feed.until("delivered", "delivered")
        assert ["LATE NOTE." in told_lines(one) for one in bodies(receiver)] == [False, True]
        assert statuses(receiver) == (["F", "A"] if addendum == "append" else ["F", "F"])
        assert len({field(one, "OBR-3") for one in bodies(receiver)}) == (1 if addendum == "append" else 2)
        await assert_all_arrived(feed, receiver)


@pytest.mark.parametrize("addendum", ["replace", "append"])
async def test_f60_of_two_addenda_that_come_in_the_wrong_order_none_is_lost(sqlite_engine, addendum):
    async with fed(sqlite_engine, addendum=addendum) as (feed, receiver), feed.serving():
        original = await feed.sign(critical=False)
        await feed.until("delivered")
        first = feed.account.sign(feed.account.open_addendum(original.report_id), "FIRST NOTE.")
        async with unlisted(feed, first.report_id):
            feed.account.sign(feed.account.open_addendum(original.report_id), "SECOND NOTE.")
            await feed.tell(original.study_id)
            await feed.until("delivered", "delivered")
        await feed.until("delivered", "delivered", "delivered")
        notes = [
            [note for note in ("FIRST", "SECOND") if f"{note} NOTE." in told_lines(one)] for one in bodies(receiver)
        ]
        last = ["FIRST", "SECOND"] if addendum == "replace" else ["FIRST"]
        assert notes == [[], ["SECOND"], last]
        assert statuses(receiver) == (["F", "C", "C"] if addendum == "replace" else ["F", "A", "A"])
        await assert_all_arrived(feed, receiver)


async def test_f61_a_correction_takes_the_place_of_a_final_that_is_still_refused(engine):
    async with fed(engine, "ar") as (feed, receiver), feed.serving():
        signed = await feed.sign("FINDINGS: the first text.", critical=False)
        await feed.seen("queued", "AR-207")
        feed.account.change_text(signed.report_id, "FINDINGS: the second text.")
        await feed.tell(signed.study_id)
        await feed.seen("superseded", "AR-207")
        receiver.ack = "aa"
        await feed.until("superseded", "delivered")
        assert taken_statuses(receiver) == ["F"], "nothing was taken that this corrects"
        assert told_lines(bodies(receiver)[-1]) == ["FINDINGS: the second text."]
        await assert_all_arrived(feed, receiver, ends=SUPERSEDED)


async def test_f61_a_correction_follows_a_final_that_may_have_arrived(engine):
    async with fed(engine, "close") as (feed, receiver), feed.serving():
        signed = await feed.sign("FINDINGS: the first text.", critical=False)
        await feed.seen("indeterminate", "connection-lost")
        feed.account.change_text(signed.report_id, "FINDINGS: the second text.")
        await feed.tell(signed.study_id)
        await feed.seen("queued")
        receiver.ack = "aa"
        await feed.until("delivered", "delivered")
        assert list(dict.fromkeys(statuses(receiver))) == ["F", "C"]
        assert len(set(bodies(receiver))) == 2
        await assert_all_arrived(feed, receiver, repeats=True)


def drafts_at_once(feed):
    """Let drafts be sent without having been unchanged for a while."""
    routes = Routes(feed.destinations, draft_wait=0.0)
    feed.pipeline = Pipeline(feed.engine, fakes.fed.site(), UTC, wants_pdf=False, routes=routes)


async def with_draft(feed, text="FINDINGS: so far."):
    """Add a draft to a new study; return the report's id."""
    study_id = next(one for one, study in feed.account.studies.items() if study["studyReportStatus"] == "unassigned")
    report_id = feed.account.start_report(study_id)
    feed.account.change_text(report_id, text)
    await feed.tell(study_id)
    return report_id


async def test_f62_a_draft_that_was_not_taken_gives_way_to_the_final(sqlite_engine, says):
    says(send_drafts=True)
    async with fed(sqlite_engine, "ar", receiver=generic(send_drafts="on")) as (feed, receiver), feed.serving():
        drafts_at_once(feed)
        report_id = await with_draft(feed)
        await feed.seen("queued", "AR-207")
        signed = feed.account.sign(report_id)
        await feed.tell(signed.study_id)
        await feed.seen("superseded", "AR-207")
        receiver.ack = "aa"
        await feed.until("superseded", "delivered")
        assert taken_statuses(receiver) == ["F"]
        await assert_all_arrived(feed, receiver, ends=SUPERSEDED)


async def test_f62_a_draft_that_still_changes_leaves_with_no_other_message(sqlite_engine, says):
    says(send_drafts=True)
    async with fed(sqlite_engine, receiver=generic(send_drafts="on", addendum="new_order")) as (feed, receiver):
        signed = await feed.sign(critical=False)
        draft = feed.account.open_addendum(signed.report_id)
        feed.account.change_text(draft, "SO FAR.")
        await feed.tell(signed.study_id)
        async with feed.serving():
            await until_settled(feed, ("rendered", ""), ("waiting", ""))
            await feed.seen("delivered")
            feed.account.sign(draft)
            await feed.tell(signed.study_id)
            await feed.all_delivered()
        assert statuses(receiver) == ["F", "F"]
        await accounted_for(feed, receiver, outbox=[("nothing", "report-not-signed")])


async def test_f62_a_draft_never_follows_the_final(engine, says):
    says(send_drafts=True)
    async with fed(engine, receiver=generic(send_drafts="on")) as (feed, receiver), feed.serving():
        drafts_at_once(feed)
        report_id = await with_draft(feed)
        await feed.until("delivered")
        signed = feed.account.sign(report_id)
        await feed.tell(signed.study_id)
        await feed.until("delivered", "delivered")
        change(feed, report_id, status="in_progress", signedAt=None)
        await feed.tell(signed.study_id)
        await feed.sign(critical=False)
        await feed.until("delivered", "delivered", "delivered")
        assert statuses(receiver) == ["P", "F", "F"]
        await assert_all_arrived(feed, receiver)


async def test_f63_an_addendum_that_is_given_up_before_it_is_signed_says_nothing(sqlite_engine):
    async with fed(sqlite_engine) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        feed.account.open_addendum(signed.report_id)
        await feed.tell(signed.study_id)
        feed.account.cancel_addendum(signed.report_id)
        await feed.tell(signed.study_id)
        await feed.until("delivered")
        assert statuses(receiver) == ["F"]
        await assert_all_arrived(feed, receiver)


async def test_f63_a_signed_addendum_that_is_not_listed_any_more_stays_said(sqlite_engine):
    async with fed(sqlite_engine) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        addendum = await feed.add(signed)
        async with unlisted(feed, addendum.report_id):
            await feed.tell(signed.study_id)
        await feed.all_delivered()
        assert len(await feed.states()) == len(set(bodies(receiver)))
        assert len(await rows(feed.engine, "SELECT number FROM outbox")) == 2
        await assert_all_arrived(feed, receiver, ends={*await feed.states()})


async def test_f63_a_draft_addendum_that_was_sent_is_taken_back_when_it_is_given_up(sqlite_engine, says):
    says(send_drafts=True)
    switches = generic(send_drafts="on", addendum="new_order")
    async with fed(sqlite_engine, receiver=switches) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        drafts_at_once(feed)
        draft = feed.account.open_addendum(signed.report_id)
        feed.account.change_text(draft, "SO FAR.")
        await feed.tell(signed.study_id)
        await feed.until("delivered", "delivered")
        feed.account.cancel_addendum(draft)
        await feed.tell(signed.study_id)
        await feed.until(*["delivered"] * 3)
        assert statuses(receiver) == ["F", "P", "C"]
        assert field(bodies(receiver)[1], "OBR-3") == field(bodies(receiver)[2], "OBR-3")
        assert {row[11] for row in all_of(bodies(receiver)[2], "OBX")} == {"W"}
        await assert_all_arrived(feed, receiver)


async def test_f64_a_study_that_is_cancelled_after_it_was_signed_says_nothing_by_itself(sqlite_engine):
    async with fed(sqlite_engine) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("delivered")
        feed.account.change_study(signed.study_id, isCancelled=True)
        await feed.tell(signed.study_id)
        await feed.sign(critical=False)
        await feed.until("delivered", "delivered")
        assert statuses(receiver) == ["F", "F"]
        assert await rows(feed.engine, "SELECT 1 FROM issue WHERE code = 'cancelled-after-sign'")
        await assert_all_arrived(feed, receiver)


async def test_f64_where_the_site_withdraws_what_was_taken_is_withdrawn(engine, says):
    says(on_cancelled_after_sign="withdraw")
    async with fed(engine) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("delivered")
        feed.account.change_study(signed.study_id, isCancelled=True)
        await feed.tell(signed.study_id)
        await feed.until("delivered", "delivered")
        assert statuses(receiver) == ["F", "C"]
        assert {row[11] for row in all_of(bodies(receiver)[1], "OBX")} == {"W"}
        await assert_all_arrived(feed, receiver)


async def test_f64_where_the_site_withdraws_what_was_refused_is_withdrawn_in_its_place(engine, says):
    says(on_cancelled_after_sign="withdraw")
    async with fed(engine, "ae:1") as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.seen("held", "AE-101")
        feed.account.change_study(signed.study_id, isCancelled=True)
        await feed.tell(signed.study_id)
        await feed.until("superseded", "delivered")
        assert {row[11] for row in all_of(bodies(receiver)[1], "OBX")} == {"W"}
        assert not await rows(feed.engine, "SELECT 1 FROM lane")
        await assert_all_arrived(feed, receiver, ends=SUPERSEDED)


async def test_f64_where_the_site_withdraws_what_was_never_sent_is_never_sent(engine, says):
    says(on_cancelled_after_sign="withdraw")
    async with fed(engine) as (feed, receiver), feed.serving():
        await feed.pause()
        await asyncio.sleep(0.3)
        signed = await feed.sign(critical=False)
        await feed.until("queued")
        feed.account.change_study(signed.study_id, isCancelled=True)
        await feed.tell(signed.study_id)
        await feed.until("dead_letter")
        await feed.sign(critical=False)
        await feed.resume()
        await feed.until("dead_letter", "delivered")
        settled = [("nothing", "withdrawn-unsent")]
        await accounted_for(feed, receiver, outbox=settled, ends=("delivered", "dead_letter"))


async def test_f67_a_patient_that_is_another_than_the_one_told_of_is_told_to_nobody(engine):
    async with fed(engine) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("delivered")
        study_id = speak_of(feed, signed.report_id, mrn="SBXGEN-77777777", patientName="Other Whoelse")
        await feed.tell(study_id)
        await until_settled(feed, ("rendered", ""), ("held", "move"))
        assert await feed.held_lane() == (study_id, "move")
        await feed.add(signed)
        await feed.sign(critical=False)
        await feed.until("delivered", "delivered")
        assert [field(one, "OBR-25") for one in bodies(receiver)] == ["F", "F"]
        assert b"SBXGEN-77777777" not in b"".join(bodies(receiver))
        await accounted_for(feed, receiver, outbox=[("held", "move")])


async def moved(feed, signed):
    """Change the patient of a report, and wait until the move is held."""
    study_id = speak_of(feed, signed.report_id, mrn="SBXGEN-77777777", patientName="Other Whoelse")
    await feed.tell(study_id)
    await until_settled(feed, ("rendered", ""), ("held", "move"))
    assert await feed.held_lane() == (study_id, "move")
    return study_id


async def released(feed, signed):
    """Change the patient of a report and release the move while paused, so that both messages wait."""
    study_id = await moved(feed, signed)
    await feed.pause()
    await asyncio.sleep(0.3)
    await feed.release(study_id)
    await feed.until("delivered", "queued", "queued")
    return study_id


def says_of(message):
    """Return the patient of a message, its number, and its result statuses."""
    return field(message, "PID-3").split("^")[0], field(message, "OBR-3"), {row[11] for row in all_of(message, "OBX")}


async def test_f67_what_was_told_of_another_patient_is_withdrawn_there_before_it_is_told_once_an_operator_says_so(
    engine,
):
    async with fed(engine) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("delivered")
        await feed.release(await moved(feed, signed))
        await feed.until("delivered", "delivered", "delivered")
        first, taken_back, last = map(says_of, bodies(receiver))
        assert taken_back == (first[0], first[1], {"W"})
        assert last == ("SBXGEN-77777777", first[1], {"C"})
        await feed.add(signed)
        await feed.until(*["delivered"] * 4)
        assert says_of(bodies(receiver)[3])[0] == "SBXGEN-77777777"
        await assert_all_arrived(feed, receiver)


async def test_f67_news_of_the_other_patient_before_anything_is_taken_back_goes_behind_that(engine):
    async with fed(engine) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("delivered")
        await released(feed, signed)
        await feed.add(signed)
        await feed.until("delivered", "queued", "superseded", "queued")
        await feed.resume()
        await feed.until("delivered", "delivered", "superseded", "delivered")
        assert [says_of(one)[2] for one in bodies(receiver)] == [{"F"}, {"W"}, {"C"}]
        await assert_all_arrived(feed, receiver, ends=SUPERSEDED)


async def test_f67_the_other_patient_is_told_only_when_what_was_told_before_is_taken_back(engine):
    """While the withdrawal is refused or in doubt, nothing more of the study is sent."""
    async with fed(engine) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("delivered")
        study_id = await moved(feed, signed)
        receiver.ack = "ae"
        await feed.release(study_id)
        await feed.until("delivered", "held", "held")
        assert b"SBXGEN-77777777" not in b"".join(bodies(receiver))
        receiver.ack = "none"
        await feed.release(study_id)
        await feed.until("delivered", "indeterminate", "queued")
        assert b"SBXGEN-77777777" not in b"".join(bodies(receiver))
        receiver.ack = "aa"
        await feed.until("delivered", "delivered", "delivered")
        assert says_of(bodies(receiver)[-1])[0] == "SBXGEN-77777777"
        await assert_all_arrived(feed, receiver, repeats=True)


async def test_f67_of_a_study_that_is_cancelled_too_the_other_patient_is_told_nothing(engine, says):
    says(on_cancelled_after_sign="withdraw")
    async with fed(engine) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("delivered")
        feed.account.change_study(signed.study_id, isCancelled=True)
        await feed.release(await moved(feed, signed))
        await feed.until("delivered", "delivered")
        first, last = map(says_of, bodies(receiver))
        assert last == (first[0], first[1], {"W"})
        await until_settled(feed, ("rendered", ""), ("nothing", "withdrawn-unsent"))


async def test_f67_what_is_owed_to_the_first_patient_is_taken_back_of_a_study_that_is_cancelled_since(engine, says):
    says(on_cancelled_after_sign="withdraw")
    async with fed(engine) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("delivered")
        study_id = await released(feed, signed)
        feed.account.change_study(study_id, isCancelled=True)
        await feed.tell(study_id)
        await feed.until("delivered", "queued", "dead_letter")
        await feed.resume()
        await feed.until("delivered", "delivered", "dead_letter")
        first, last = map(says_of, bodies(receiver))
        assert last == (first[0], first[1], {"W"})


async def test_f67_a_second_patient_who_may_have_been_told_is_withdrawn_from_too(engine):
    async with fed(engine) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("delivered")
        study_id = await moved(feed, signed)
        taken, receiver.on_message = receiver.on_message, lambda _: setattr(receiver, "ack", "close")
        await feed.release(study_id)
        await feed.until_rows("SELECT state FROM message WHERE number = 3", lambda found: found == [("indeterminate",)])
        await feed.tell(speak_of(feed, signed.report_id, mrn="SBXGEN-88888888", patientName="Third Person"))
        await feed.held_lane()
        receiver.on_message, receiver.ack = taken, "aa"
        await feed.release(study_id)
        await feed.until("delivered", "delivered", "dead_letter", "delivered", "delivered")
        told = [says_of(one) for one in bodies(receiver)]
        assert [(told[-2][0], told[-2][2]), told[-1][0]] == [("SBXGEN-77777777", {"W"}), "SBXGEN-88888888"]


async def test_f67_in_two_phases_the_second_patient_is_told_when_the_application_took_the_withdrawal(engine):
    async with fed(engine, "ca-aa:seconds=0.4", ack_mode="two_phase") as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until_rows("SELECT ack FROM message", lambda found: found == [("AA",)])
        await feed.release(await moved(feed, signed))
        assert (await feed.held_lane())[1] == "awaits-AA"
        await feed.until_rows("SELECT ack FROM message", lambda found: found == [("AA",)] * 3)
        ((accepted, sent),) = await rows(
            feed.engine,
            "SELECT w.accepted, c.sent FROM message w JOIN message c ON c.number > w.number WHERE w.kind = 'moved'",
        )
        assert accepted <= sent
        await assert_all_arrived(feed, receiver)


async def test_f67_where_nothing_was_ever_written_nothing_is_taken_back(engine):
    async with fed(engine) as (feed, receiver), feed.serving():
        async with stopped(receiver):
            signed = await feed.sign(critical=False)
            await feed.seen("queued", "connect-failed")
            study_id = await moved(feed, signed)
        await feed.release(study_id)
        await feed.until("dead_letter", "delivered")
        [told] = map(says_of, bodies(receiver))
        assert (told[0], told[2]) == ("SBXGEN-77777777", {"F"})


async def test_f67_what_is_taken_back_never_follows_what_another_patient_was_told(engine):
    """The application refuses a withdrawal late, after the message that followed it."""
    async with fed(engine, ack_mode="two_phase") as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("delivered")
        study_id = await moved(feed, signed)
        await feed.release(study_id)
        await feed.until("delivered", "delivered", "delivered")
        refused = Statement("UPDATE message SET state = 'held', closed = NULL WHERE kind = 'moved'")
        await feed.engine.do(lambda: ask(refused))
        await feed.release(study_id)
        await feed.until("delivered", "dead_letter", "delivered")
        assert len(bodies(receiver)) == 3


async def test_f67_a_draft_about_somebody_else_is_held_at_once_withdrawn_and_then_told(engine, says):
    says(send_drafts=True)
    async with fed(engine, receiver=generic(send_drafts="on")) as (feed, receiver), feed.serving():
        drafts_at_once(feed)
        report_id = await with_draft(feed)
        await feed.until("delivered")
        feed.pipeline = Pipeline(feed.engine, site(), UTC, wants_pdf=False, routes=Routes(feed.destinations))
        says(send_drafts=True)
        study_id = speak_of(feed, report_id, mrn="SBXGEN-77777777", patientName="Other Whoelse")
        drafts_at_once(feed)
        await feed.tell(study_id)
        assert await feed.held_lane() == (study_id, "move")
        await feed.release(study_id)
        await feed.until("delivered", "delivered", "delivered")
        told = [says_of(one) for one in bodies(receiver)]
        assert [states for _, _, states in told] == [{"P"}, {"W"}, {"P"}]
        assert told[1][0] == told[0][0] and told[2][0] == "SBXGEN-77777777"


async def test_f67_what_takes_something_back_is_never_a_dead_letter(engine):
    table = (("AE", "dead_letter"),)
    async with fed(engine, ack_table=table) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("delivered")
        study_id = await moved(feed, signed)
        receiver.ack = "ae"
        await feed.release(study_id)
        await feed.until("delivered", "held", "held")
        receiver.ack = "aa"
        await feed.release(study_id, is_corrected=True)
        await feed.until("delivered", "dead_letter", "delivered")
        assert says_of(bodies(receiver)[-1])[0] == "SBXGEN-77777777"
        await assert_all_arrived(feed, receiver, ends=("delivered", "dead_letter"))


async def test_f67_where_it_is_not_known_how_it_was_told_an_operator_puts_it_right_by_hand(engine):
    async with fed(engine) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("delivered")
        study_id = await moved(feed, signed)
        await feed.engine.do(lambda: ask(Statement("DELETE FROM former")))
        await feed.release(study_id)
        await until_settled(feed, ("rendered", ""), ("held", "former-unknown"))
        await feed.release(study_id, is_corrected=True)
        await feed.until("delivered", "delivered")
        assert says_of(bodies(receiver)[-1])[0] == "SBXGEN-77777777"
        await assert_all_arrived(feed, receiver)


async def test_f67_a_patient_that_is_the_first_again_is_told_of_again(engine):
    async with fed(engine) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("delivered")
        before = dict(feed.account.find_report(signed.report_id)["snapshotMetadata"])
        await feed.release(await moved(feed, signed))
        await feed.until("delivered", "delivered", "delivered")
        study_id = speak_of(feed, signed.report_id, mrn=before["mrn"], patientName=before["patientName"])
        await feed.tell(study_id)
        await feed.held_lane()
        await feed.release(study_id)
        await feed.until(*["delivered"] * 5)
        told = [says_of(one) for one in bodies(receiver)]
        assert [patient for patient, _, _ in told] == [before["mrn"]] * 2 + ["SBXGEN-77777777"] * 2 + [before["mrn"]]
        assert [status for _, _, status in told] == [{"F"}, {"W"}, {"C"}, {"W"}, {"C"}]
        await assert_all_arrived(feed, receiver)


@pytest.mark.parametrize("manner", ["ar", "close"])
async def test_f67_a_patient_that_is_another_before_the_message_was_taken_gets_nothing_more_under_the_old_number(
    engine, manner
):
    """A message that may have arrived stays in doubt, any other is not sent; the lane waits for an operator."""
    async with fed(engine, manner) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        state = "indeterminate" if manner == "close" else "queued"
        await feed.seen(state, "connection-lost" if manner == "close" else "AR-207")
        study_id = speak_of(feed, signed.report_id, mrn="SBXGEN-77777777", patientName="Other Whoelse")
        await feed.tell(study_id)
        await until_settled(feed, ("rendered", ""), ("held", "move"))
        assert await feed.held_lane() == (study_id, "move")
        sent, receiver.ack = len(bodies(receiver)), "aa"
        await feed.sign(critical=False)
        left = "indeterminate" if manner == "close" else "dead_letter"
        await feed.until(left, "delivered")
        assert len(bodies(receiver)) == sent + 1
        ends = (left, "delivered")
        await accounted_for(feed, receiver, outbox=[("held", "move")], ends=ends, repeats=manner == "close")


async def test_f67_a_patient_that_is_another_before_anything_was_made_is_told_once_and_as_it_is_now(engine):
    async with fed(engine) as (feed, receiver):
        signed = await feed.sign(critical=False)
        await feed.tell(speak_of(feed, signed.report_id, mrn="SBXGEN-77777777", patientName="Other Whoelse"))
        async with feed.serving():
            await feed.until("delivered")
        assert statuses(receiver) == ["F"]
        assert b"SBXGEN-77777777" in bodies(receiver)[0]
        await assert_all_arrived(feed, receiver)


def flags(receiver):
    """Return OBX-8 of the received messages, in order."""
    return ["AA" if any(row[8] for row in all_of(one, "OBX")) else "" for one in bodies(receiver)]


async def test_f68_each_flip_of_a_critical_result_is_told_in_its_order(sqlite_engine):
    async with fed(sqlite_engine) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("delivered")
        for number, is_critical in enumerate((True, False, None, True), start=2):
            await feed.tell(change(feed, signed.report_id, isCritical=is_critical))
            await feed.until(*["delivered"] * (number - (number > 3)))
        assert statuses(receiver) == ["F", "C", "C", "C"]
        assert flags(receiver) == ["", "AA", "", "AA"]
        await assert_all_arrived(feed, receiver)


async def test_f68_a_result_that_turns_out_to_be_critical_goes_first_and_takes_the_place_of_what_waits(engine):
    async with fed(engine) as (feed, receiver):
        waiting = [await feed.sign(critical=False) for _ in range(3)]
        await feed.tell(change(feed, waiting[-1].report_id, isCritical=True))
        async with feed.serving():
            await feed.until(*["delivered"] * 3)
        assert flags(receiver) == ["AA", "", ""]
        await assert_all_arrived(feed, receiver)


async def test_the_order_of_an_addendum_loses_the_flag_of_its_report_with_the_text_that_had_it(engine):
    """D22: the addendum is not sent for its own sake, and none of its lines stays flagged."""
    async with fed(engine, addendum="new_order") as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=True)
        change(feed, signed.report_id, signedAt="2026-01-01T08:00:00Z")
        await feed.add(signed)
        await feed.until("delivered", "delivered")
        await feed.tell(change(feed, signed.report_id, isCritical=False, reportPlainText="IMPRESSION: Normal."))
        await feed.until(*["delivered"] * 4)
        own = [field(one, "OBR-3") for one in bodies(receiver)]
        assert own[2:] == own[:2]
        assert (statuses(receiver), flags(receiver)) == (["F", "F", "C", "C"], ["AA", "AA", "", ""])
        await assert_all_arrived(feed, receiver)
