"""A round of the demo runs the real parts, and never reports a failure as success."""

from __future__ import annotations

import asyncio

import pytest
from fakes.store import rows

from gateway.demo.rounds import play
from gateway.demo.stage import Ports, stage
from mappings.patient.identifiers import short_id

FREE = Ports(0, 0, 0, 0)


def ignore(_: object) -> None:
    pass


async def test_a_signature_is_told_by_a_webhook_and_fed_without_anybody_asking_for_it() -> None:
    async with stage(FREE, ignore) as playing:
        signed = playing.account.sign_new()
        async with asyncio.timeout(20):
            while not playing.receiver.messages:
                await asyncio.sleep(0.05)
            while await rows(playing.engine, "SELECT state FROM webhook") != [("done",)]:
                await asyncio.sleep(0.05)
        sent = "SELECT destination, report_id, state, ack FROM message"
        async with asyncio.timeout(20):
            while await rows(playing.engine, sent) != [("demo", signed.report_id, "delivered", "AA")]:
                await asyncio.sleep(0.05)
        assert len(playing.receiver.messages) == 1


async def test_a_round_has_the_message_of_its_own_report() -> None:
    async with stage(FREE, ignore) as playing:
        signed = [playing.account.sign_new() for _ in range(2)]
        for one in signed:
            played = await play(playing, one.report_id, one.study_id)
            assert (played.state, short_id(one.report_id).encode() in played.message) == ("AA", True)
        assert (await play(playing, signed[0].report_id, signed[0].study_id)).message != played.message


async def test_a_report_that_is_not_signed_makes_no_round() -> None:
    async with stage(FREE, ignore) as playing:
        addendum = playing.account.open_addendum(playing.account.sign_new().report_id)
        study_id = playing.account.find_report(addendum)["studyId"]
        with pytest.raises(LookupError, match="makes no message"):
            await play(playing, addendum, study_id)


async def test_a_report_the_gateway_does_not_serve_makes_no_round() -> None:
    async with stage(FREE, ignore) as playing:
        with pytest.raises(LookupError, match="the gateway answered 404"):
            await play(playing, "rep_" + "0" * 32, "stu_" + "0" * 32)


async def test_a_message_that_the_listener_refuses_is_no_success() -> None:
    async with stage(FREE, ignore) as playing:
        playing.receiver.ack = "ae"
        signed = playing.account.sign_new()
        assert (await play(playing, signed.report_id, signed.study_id)).state == "held"


async def test_a_message_that_does_not_reach_the_listener_makes_no_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.demo.rounds._DELIVERY", 0.5)
    async with stage(FREE, ignore) as playing:
        await playing.receiver.__aexit__(None, None, None)
        signed = playing.account.sign_new()
        with pytest.raises(LookupError, match="has no message of the report"):
            await play(playing, signed.report_id, signed.study_id)
