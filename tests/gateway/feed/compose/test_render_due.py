"""Messages of the studies that are due: read, composed and stored together, and none holds up another (D7, D31)."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest
import structlog
from fakes.charts import generic
from fakes.composed import composing
from fakes.fed import site

from gateway.feed.compose import render_due
from gateway.ingest import Pipeline
from gateway.routing import Routes
from gateway.runtime import clock, log
from gateway.runtime.errors import WorkerLost
from gateway.store.database import facts
from gateway.store.database.kept import Kept, kept
from gateway.store.feed.leases import LeaseLost, Leases
from gateway.store.stored_reports import Pdfs

WAITING = [("waiting", "")]


@contextmanager
def debugging() -> Iterator[None]:
    """Log from level debug."""
    usual = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=log._DEBUGGING)
    yield
    structlog.configure(wrapper_class=usual)


async def test_all_studies_that_are_due_are_composed_in_one_round(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        for _ in range(10):
            await here.feed.sign(critical=False)
        assert await here.once() == 10
        assert await here.outbox() == [("rendered", "")] * 10
        assert len(set(await here.messages("study_id", "control_id"))) == 10


async def test_nothing_is_due_before_its_time(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        await here.feed.sign(critical=False)
        await here.write(f"UPDATE outbox SET due = {2**60}")
        assert await here.once() == 0
        assert await here.outbox() == WAITING


async def test_nothing_is_composed_while_it_is_not_known_what_was_sent(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        await here.feed.sign(critical=False)
        await here.write("UPDATE destination SET paused = 'restored'")
        assert await here.once() == 0
        assert await here.outbox() == WAITING
        await here.write("UPDATE destination SET paused = 'operator'")
        assert await here.once() == 1


async def test_a_study_with_a_message_in_hand_waits_for_its_result(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        signed = await here.feed.sign(critical=False)
        await here.once()
        in_hand = await here.claimed()
        here.feed.account.change_text(signed.report_id, "IMPRESSION: Other.")
        await here.feed.tell(signed.study_id)
        other = await here.feed.sign(critical=False)
        assert await here.once() == 1
        assert [one for (one,) in await here.messages("study_id")] == [signed.study_id, other.study_id]
        await here.settled(in_hand)
        assert await here.once() == 1
        assert await here.outbox() == [("rendered", "")] * 3


async def test_a_study_that_cannot_be_read_is_held_and_holds_up_no_other(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        broken = await here.feed.sign(critical=False)
        await here.feed.sign(critical=False)
        await here.write("UPDATE study SET kept = x'00' WHERE study_id = :study_id", study_id=broken.study_id)
        assert await here.once() == 1
        assert await here.outbox() == [("held", "not-made"), ("rendered", "")]
        assert "message-not-made" in {one["event"] for one in here.feed.logs}


async def test_a_study_that_cannot_be_composed_is_held_and_holds_up_no_other(
    sqlite_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with composing(sqlite_engine) as here:
        broken = await here.feed.sign(critical=False)
        await here.feed.sign(critical=False)

        def read(packed: bytes) -> Kept:
            known = kept(packed)
            return replace(known, facts=None) if known.study.study_id == broken.study_id else known  # type: ignore[arg-type]

        monkeypatch.setattr("gateway.feed.compose.render_due.kept", read)
        assert await here.once() == 1
        assert await here.outbox() == [("held", "not-made"), ("rendered", "")]


async def test_a_draft_waits_until_it_is_due_unless_its_report_has_other_news(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine, receiver=generic(send_drafts="on")) as here:
        here.feed.restart(replace(site(), send_drafts=True))
        signed = await here.feed.sign(critical=False)
        await here.once()
        await here.delivered()
        addendum = here.feed.account.open_addendum(signed.report_id)
        here.feed.account.change_text(addendum, "Dictated so far.")
        await here.feed.tell(signed.study_id)
        await here.write(f"UPDATE outbox SET due = {2**60} WHERE kind = 'draft'")
        assert await here.once() == 0
        await here.write("UPDATE outbox SET due = 1 WHERE kind = 'draft'")
        assert await here.once() == 1
        assert "waiting" not in {state for state, _ in await here.outbox()}
        await here.write(f"UPDATE outbox SET state = 'waiting', due = {2**60} WHERE kind = 'draft'")
        here.feed.account.sign(addendum)
        await here.feed.tell(signed.study_id)
        assert await here.once() == 1
        assert await here.outbox() == [("rendered", ""), ("nothing", "report-not-signed"), ("rendered", "")]


async def test_nothing_is_composed_under_a_lost_lease(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        await here.feed.sign(critical=False)
        await here.write("UPDATE destination SET expires = 0")
        assert await Leases(here.engine, "other", 600.0).take("ehr") is not None
        with pytest.raises(LeaseLost):
            await here.renderer().once(here.lease)
        assert await here.outbox() == WAITING
        assert await here.messages("number") == []


async def test_rows_held_for_a_setting_wait_again_once_it_changes(sqlite_engine: Any) -> None:
    said = {"facilityName": "Sandbox General Hospital", "mrn": "SBXGEN-4711"}
    async with composing(sqlite_engine, on_conflict="hold") as here:
        for name in ("Jane Doe", "Zoe Roe"):
            signed = here.feed.account.sign_new(critical=False)
            here.feed.account.change_patient(signed.report_id, {**said, "patientName": name})
            await here.feed.tell(signed.study_id)
        await here.once()
        held = [one for one in await here.outbox() if one[0] == "held"]
        assert held == [("held", "identity-conflict-held")]
        await here.once()
        assert [one for one in await here.outbox() if one[0] == "held"] == held
        here.feed.restart(site(), on_conflict="send")
        await here.once()
        assert [state for state, _ in await here.outbox()] == ["rendered", "rendered"]


@pytest.mark.parametrize("name", ["authorities", "on-conflict", "vista"])
async def test_a_setting_is_remembered_under_a_name_that_an_upgrade_finds_again(sqlite_engine: Any, name: str) -> None:
    async with composing(sqlite_engine) as here:
        await here.once()
        remembered = await facts.claimed(sqlite_engine, f"{name}:ehr", "nothing")
        assert remembered != "nothing"
        await facts.put(sqlite_engine, f"{name}:ehr", "of the version before")
        await here.once()
        assert await facts.claimed(sqlite_engine, f"{name}:ehr", "nothing") == remembered


async def test_a_renamed_destination_keeps_the_name_in_msh_10(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        renderer = here.renderer()
        await renderer.see_settings(here.lease)
        assert renderer.destination.control_name == "ehr"


async def test_remarks_are_counted_and_those_that_are_issues_of_the_study_are_not_repeated(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        await here.feed.sign("IMPRESSION: Caf\u00e9 \u2603.", critical=False)
        await here.once()
        [(remarks,)] = await here.messages("remarks")
        counted = {one["code"] for one in here.feed.logs if one["event"] == "message-remarked"}
        assert counted == set(remarks.split()) or not counted


async def test_what_may_have_been_sent_before_a_restore_is_held(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        await here.feed.sign(critical=False)
        await here.write("INSERT INTO fact (name, value) VALUES ('feed-doubt:ehr', '0 4000000000000000')")
        assert await here.once() == 0
        assert await here.outbox() == [("held", "may-have-been-sent")]
        await here.write("UPDATE fact SET value = '0 1' WHERE name = 'feed-doubt:ehr'")
        await here.feed.sign(critical=False)
        assert await here.once() == 1
        assert await here.outbox() == [("held", "may-have-been-sent"), ("rendered", "")]


async def test_a_study_that_is_not_stored_is_left_alone(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        gone = await here.feed.sign(critical=False)
        await here.feed.sign(critical=False)
        await here.write("DELETE FROM study WHERE study_id = :study_id", study_id=gone.study_id)
        assert await here.once() == 1
        assert await here.outbox() == [("waiting", ""), ("rendered", "")]


async def test_each_message_is_logged_at_debug_level_alone(sqlite_engine: Any) -> None:
    async with composing(sqlite_engine) as here:
        await here.feed.sign(critical=False)
        with debugging():
            await here.once()
        told = [one for one in here.feed.logs if one["event"] in {"message-made", "cause-settled"}]
        assert [(one["event"], one["state"]) for one in told] == [
            ("message-made", "queued"),
            ("cause-settled", "rendered"),
        ]
        await here.feed.sign(critical=False)
        await here.once()
        assert [one for one in here.feed.logs if one["event"] in {"message-made", "cause-settled"}] == told
        counts = [one["count"] for one in here.feed.logs if one["event"] == "messages-made"]
        assert counts == [1, 1]


@pytest.mark.parametrize(("way", "is_there"), [("ed", True), ("off", False)])
async def test_a_pdf_goes_along_if_the_receiver_takes_it(sqlite_engine: Any, way: str, is_there: bool) -> None:
    data = b"%PDF-1.4 " + b"x" * 60
    async with composing(sqlite_engine, receiver=generic(pdf=way)) as here:
        here.feed.pipeline = Pipeline(sqlite_engine, site(), UTC, wants_pdf=True, routes=Routes(here.feed.destinations))
        signed = await here.feed.sign(critical=False)
        library = Pdfs(sqlite_engine)
        [wanted] = await library.wanted(clock.now(), 10)
        claim = await library.claim(wanted)
        await claim.write(data)
        await claim.keep()
        await here.feed.pipeline.refresh(signed.study_id)
        await here.write("UPDATE outbox SET due = 0")
        assert await here.once() == 1
        [body] = await here.bodies()
        assert (base64.b64encode(data) in body) is is_there


async def test_a_study_that_ends_the_workers_costs_the_others_nothing(monkeypatch):
    async def computed(function, given, *more):
        if "bad" in given:
            raise WorkerLost("the worker process ended")
        return function(given, *more)

    monkeypatch.setattr(render_due, "computed", computed)
    studies = ["a", "bad", "b"]
    one, bad, other = await render_due._computed(lambda given, end: [each + end for each in given], studies, "!")
    assert (one, other) == ("a!", "b!")
    assert isinstance(bad, WorkerLost)
