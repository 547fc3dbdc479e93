"""A round of the demo stops with an error where a part of the way fails, and never calls that a success."""

from __future__ import annotations

import pytest

from gateway.demo.rounds import play
from gateway.demo.stage import Ports, stage
from gateway.errors import AckUnreadable

FREE = Ports(0, 0, 0)


def ignore(_: object) -> None:
    pass


async def test_a_report_that_is_not_signed_makes_no_round() -> None:
    async with stage(FREE, ignore) as playing:
        addendum = playing.account.open_addendum(playing.account.sign_new().report_id)
        study_id = playing.account.find_report(addendum)["studyId"]
        with pytest.raises(LookupError, match="made no message"):
            await play(playing, addendum, study_id)


async def test_a_report_the_gateway_does_not_serve_makes_no_round() -> None:
    async with stage(FREE, ignore) as playing:
        with pytest.raises(LookupError, match="the gateway answered 404"):
            await play(playing, "rep_" + "0" * 32, "stu_" + "0" * 32)


async def test_an_acknowledgement_of_another_message_is_no_success() -> None:
    async with stage(FREE, ignore) as playing:
        playing.receiver.ack = "wrong-id"
        signed = playing.account.sign_new()
        with pytest.raises(AckUnreadable, match="MSA-2"):
            await play(playing, signed.report_id, signed.study_id)
