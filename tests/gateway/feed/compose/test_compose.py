"""Messages of one study from its waiting outbox rows, and the settled rows (D13, D18, D19, D21, D34)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from fakes.charts import change, generic, speak_of
from fakes.composed import Composing, composing
from fakes.er7_reader import all_of, field
from fakes.fed import site

from mappings.profile import Rule
from mappings.profile import receiver as profile
from mappings.profile.rule import place_of

GENERAL = {"facilityName": "Sandbox General Hospital"}
JANE = {**GENERAL, "mrn": "SBXGEN-1", "patientName": "DOE^JANE", "dateOfBirth": "1985-07-20", "sex": "female"}
PETER = {**GENERAL, "mrn": "SBXGEN-2", "patientName": "SMITH^PETER", "dateOfBirth": "1950-01-01", "sex": "male"}
STATUS_F = Rule("no-final", "block", "no final report", place_of("OBR-25"), "not_be_one_of", ("F",))
WARNED = replace(STATUS_F, name="final-warned", level="warn")


async def signed_by(here: Composing, said: Any = JANE, *, critical: bool = False) -> Any:
    """Sign a report of a new study about somebody, and ingest it."""
    signed = here.feed.account.sign_new(critical=critical)
    speak_of(here.feed, signed.report_id, **said)
    await here.feed.tell(signed.study_id)
    return signed


async def corrected(here: Composing, signed: Any, text: str = "IMPRESSION: Other.") -> None:
    here.feed.account.change_text(signed.report_id, text)
    await here.feed.tell(signed.study_id)


async def moved(here: Composing) -> Any:
    """Have a delivered report change its patient."""
    signed = await signed_by(here)
    await here.once()
    await here.delivered()
    speak_of(here.feed, signed.report_id, **PETER)
    await here.feed.tell(signed.study_id)
    return signed


async def test_a_signed_report_becomes_one_queued_message(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        signed = await signed_by(here)
        assert await here.once() == 1
        assert await here.outbox() == [("rendered", "")]
        [(report_id, kind, state, reason, priority, is_draft, is_critical, report_ids)] = await here.messages(
            *("report_id", "kind", "state", "reason", "priority", "is_draft", "is_critical", "report_ids")
        )
        assert (report_id, kind, state, reason) == (signed.report_id, "signed", "queued", "")
        assert (priority, is_draft, is_critical, json.loads(report_ids)) == (1, 0, 0, [signed.report_id])
        [body] = await here.bodies()
        [(control_id, numbers, patient_id, restates)] = await here.messages(
            *("control_id", "filler_order_numbers", "patient_id", "restates")
        )
        assert field(body, "MSH-10") == control_id
        assert [field(body, "OBR-3").partition("^")[0]] == json.loads(numbers)
        assert patient_id.startswith("pat-") and json.loads(numbers)[0] in restates


async def test_nothing_is_composed_twice(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        await signed_by(here)
        assert [await here.once(), await here.once()] == [1, 0]
        assert len(await here.messages("number")) == 1


async def test_a_critical_result_goes_first(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        await signed_by(here, critical=True)
        await here.once()
        assert await here.messages("priority", "is_critical") == [(0, 1)]
        assert (await here.messages("signed"))[0][0] > 1_000_000_000_000_000


async def test_a_dry_run_records_its_messages(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine, dry_run=True) as here:
        await signed_by(here)
        await here.once()
        assert await here.messages("state") == [("recorded",)]


async def test_a_message_that_breaks_a_rule_is_a_dead_letter_with_the_rule(sqlite_engine: Any) -> None:
    receiver = replace(profile("generic"), rules=(STATUS_F,))
    async with composing(sqlite_engine, receiver=receiver, dry_run=True) as here:
        await signed_by(here)
        await here.once()
        assert await here.messages("state", "reason") == [("dead_letter", "rule-no-final")]
        assert await here.outbox() == [("rendered", "")]
        assert len(await here.bodies()) == 1


async def test_a_rule_that_warns_is_a_remark(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine, receiver=replace(profile("generic"), rules=(WARNED,))) as here:
        await signed_by(here)
        await here.once()
        [(state, remarks)] = await here.messages("state", "remarks")
        assert state == "queued" and "rule-final-warned" in remarks


async def test_a_message_says_what_could_not_be_sent_beside_it(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine, receiver=generic(pdf="separate_message")) as here:
        await signed_by(here)
        await here.write("UPDATE outbox SET due = 0")
        await here.once()
        [(kind, remarks)] = await here.messages("kind", "remarks")
        assert kind == "signed" and "pdf-absent" in remarks.split()


async def test_causes_that_wait_together_become_one_message_of_the_present_state(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        signed = await signed_by(here)
        await corrected(here, signed)
        await here.once()
        assert sorted(await here.outbox()) == [("merged", ""), ("rendered", "")]
        [body] = await here.bodies()
        assert "Other." in body.decode() and field(body, "OBR-25") == "F"


async def test_an_original_goes_before_its_addendum_whenever_it_was_decided(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine, receiver=generic(addendum="new_order")) as here:
        signed = await signed_by(here)
        await here.feed.add(signed)
        await here.write("UPDATE outbox SET number = number + 10 WHERE kind = 'signed'")
        assert await here.once() == 1
        assert await here.messages("kind") == [("signed",), ("addendum_signed",)]


async def test_a_correction_of_what_was_sent_is_a_message_of_its_own(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        signed = await signed_by(here)
        await here.once()
        await here.delivered()
        await corrected(here, signed)
        await here.once()
        assert [field(body, "OBR-25") for body in await here.bodies()] == ["F", "C"]
        ids = await here.messages("control_id")
        assert len(set(ids)) == 2


async def test_a_correction_replaces_what_was_not_sent(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        signed = await signed_by(here)
        await here.once()
        await corrected(here, signed)
        await here.once()
        assert await here.messages("state") == [("superseded",), ("queued",)]
        assert [field(body, "OBR-25") for body in await here.bodies()][-1] == "F"


async def withdrawn(here: Composing, *, is_sent: bool) -> None:
    here.feed.restart(replace(site(), on_cancelled_after_sign="withdraw"))
    signed = await signed_by(here)
    await here.once()
    if is_sent:
        await here.delivered()
    here.feed.account.cancel_study(signed.study_id)
    await here.feed.tell(signed.study_id)
    await here.once()


async def test_a_withdrawal_of_what_was_sent_is_sent(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        await withdrawn(here, is_sent=True)
        assert await here.messages("kind", "state") == [("signed", "delivered"), ("withdrawn", "queued")]
        assert {row[11] for row in all_of((await here.bodies())[1], "OBX")} == {"W"}


async def test_a_withdrawal_of_what_was_not_sent_cancels_it(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        await withdrawn(here, is_sent=False)
        assert await here.messages("kind", "state", "reason") == [("signed", "dead_letter", "withdrawn-unsent")]
        assert (await here.outbox())[-1] == ("nothing", "withdrawn-unsent")


async def test_a_moved_report_is_held_with_its_lane_until_an_operator_decides(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        await moved(here)
        await here.once()
        assert (await here.outbox())[-1] == ("held", "move")
        assert await here.feed.held_lane()
        assert len(await here.messages("number")) == 1


async def test_what_waits_to_be_sent_about_the_earlier_patient_is_not_sent_once_a_report_moved(
    sqlite_engine: Any,
) -> None:
    async with composing(sqlite_engine) as here:
        signed = await signed_by(here)
        await here.once()
        await here.delivered()
        await corrected(here, signed)
        await here.once()
        speak_of(here.feed, signed.report_id, **PETER)
        await here.feed.tell(signed.study_id)
        await here.once()
        assert await here.messages("state", "reason") == [("delivered", ""), ("dead_letter", "move")]


async def test_a_released_move_is_withdrawn_there_and_sent_here(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        signed = await moved(here)
        await here.once()
        await here.feed.release(signed.study_id)
        await here.once()
        assert await here.messages("kind", "is_critical", "signed IS NULL", "told = ''") == [
            ("signed", 0, 0, 0),
            ("moved", 0, 1, 1),
            ("patient_changed", 0, 0, 0),
        ]
        patients = [field(body, "PID-5").partition("^")[0] for body in await here.bodies()]
        assert patients == ["DOE", "DOE", "SMITH"]
        [(first,), (taken_back,), (second,)] = await here.messages("patient_id")
        assert first == taken_back != second
        keys = [restates for (restates,) in await here.messages("restates")]
        assert keys[1] == f"{keys[0]}/{first}"


async def test_a_move_in_a_chart_that_is_corrected_by_hand_is_not_withdrawn(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        signed = await moved(here)
        await here.once()
        await here.feed.release(signed.study_id, is_corrected=True)
        await here.once()
        assert await here.messages("kind") == [("signed",), ("patient_changed",)]
        assert field((await here.bodies())[1], "PID-5").startswith("SMITH")


async def test_a_move_stays_held_if_the_earlier_state_is_not_known(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        signed = await moved(here)
        await here.once()
        await here.write("DELETE FROM former")
        await here.feed.release(signed.study_id)
        await here.once()
        assert (await here.outbox())[-1] == ("held", "former-unknown")
        assert await here.messages("kind") == [("signed",)]


async def test_a_move_stays_held_if_its_withdrawal_breaks_a_rule(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        signed = await moved(here)
        await here.once()
        await here.feed.release(signed.study_id)
        no_withdrawal = Rule("no-w", "block", "no withdrawal", place_of("OBX-11"), "not_be_one_of", ("W",))
        here.feed.restart(site(), receiver=replace(profile("generic"), rules=(no_withdrawal,)))
        await here.once()
        assert (await here.outbox())[-1] == ("held", "rule-no-w")
        assert await here.messages("kind") == [("signed",)]


async def test_a_patient_whose_name_a_receiver_needs_is_held(sqlite_engine: Any) -> None:
    needy = {"receiver": profile("epic-observed"), "mrn_authority": "receiver"}
    async with composing(sqlite_engine, **needy) as here:
        await signed_by(here, {**JANE, "patientName": None})
        assert await here.once() == 1
        assert await here.outbox() == [("held", "name-absent")]
        assert await here.messages("number") == []


async def test_a_cause_without_a_message_says_why(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine, receiver=generic(send_drafts="on")) as here:
        here.feed.restart(replace(site(), send_drafts=True))
        signed = await signed_by(here)
        await here.once()
        await here.delivered()
        addendum = here.feed.account.open_addendum(signed.report_id)
        await here.feed.tell(signed.study_id)
        await here.write("UPDATE outbox SET due = 0")
        await here.once()
        here.feed.account.cancel_addendum(addendum)
        await here.feed.tell(signed.study_id)
        await here.write("UPDATE outbox SET due = 0")
        await here.once()
        assert await here.outbox() != []
        assert all(reason for state, reason in await here.outbox() if state == "nothing")


async def test_what_the_journal_shows_as_sent_is_not_sent_again_unless_an_operator_asks(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        await signed_by(here)
        await here.once()
        await here.delivered()
        await here.write("UPDATE message SET remarks = 'restored'")
        await here.write("UPDATE outbox SET state = 'waiting'")
        await here.once()
        assert await here.outbox() == [("merged", "restored")]
        await here.write("UPDATE outbox SET state = 'waiting', reason = '', kind = 'replay', replay = 1")
        await here.once()
        assert await here.outbox() == [("rendered", "")]
        assert await here.messages("kind", "state") == [("signed", "delivered"), ("replay", "queued")]


async def test_other_content_than_the_journal_shows_is_sent(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        signed = await signed_by(here)
        await here.once()
        await here.delivered()
        await here.write("UPDATE message SET remarks = 'restored'")
        await corrected(here, signed)
        await here.once()
        assert (await here.outbox())[-1] == ("rendered", "")


async def test_a_report_that_was_withdrawn_is_sent_again_under_its_number(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        here.feed.restart(replace(site(), on_cancelled_after_sign="withdraw"))
        signed = await signed_by(here)
        for is_cancelled in (False, True, False):
            if is_cancelled or len(await here.messages("number")) > 1:
                here.feed.account.cancel_study(signed.study_id, is_cancelled=is_cancelled)
            await here.feed.tell(signed.study_id)
            await here.once()
            await here.delivered()
        assert await here.messages("kind") == [("signed",), ("withdrawn",), ("reinstated",)]
        assert {state for state, _ in await here.outbox()} == {"rendered"}


async def test_obr_22_moves_with_a_flag_and_stays_without_one_also_where_it_is_not_known(sqlite_engine: Any) -> None:
    """D17: a journal knows nothing of OBR-22; then the time of the message stands for it."""
    async with composing(sqlite_engine) as here:
        signed = await signed_by(here)
        told = []
        for step in ({}, {"isCritical": True}, {"isCritical": True}, {"isCritical": False}, {"isCritical": True}):
            if len(told) == 3:
                await here.write("UPDATE message SET reported = NULL, statuses = ''")
            change(here.feed, signed.report_id, **step)
            speak_of(here.feed, signed.report_id, **{**JANE, "patientName": f"DOE^JANE^{'Q' * len(told)}"})
            await here.feed.tell(signed.study_id)
            await here.once()
            await here.delivered()
            told.append(field((await here.bodies())[-1], "OBR-22"))
        first, flagged, renamed, unflagged, again = told
        assert len(await here.messages("number")) == len(told)
        assert first < flagged == renamed < unflagged < again
