"""Sender to a destination: each attempt is stored and logged by ids, and a receiver that is down is waited for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from fakes.fed import fed, stopped
from fakes.store import rows

from gateway.runtime import log

EVENTS = {"message-sending", "message-sent"}


@contextmanager
def debugging() -> Iterator[None]:
    """Log from level debug."""
    usual = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=log._DEBUGGING)
    yield
    structlog.configure(wrapper_class=usual)


async def test_each_attempt_is_logged_by_ids_at_debug_level_alone(sqlite_engine: Any) -> None:
    async with fed(sqlite_engine) as (feed, _):
        with debugging():
            async with feed.serving():
                signed = await feed.sign(critical=False)
                await feed.until("delivered")
        steps = [one for one in feed.logs if one["event"] in EVENTS]
        assert [(one["event"], one["state"], one["attempt"], one["operation"]) for one in steps] == [
            ("message-sending", "queued", 1, "signed"),
            ("message-sent", "delivered", 1, "signed"),
        ]
        assert {(one["study_id"], one["report_id"]) for one in steps} == {(signed.study_id, signed.report_id)}
        assert steps[1]["code"] is None and steps[1]["ms"] > 0
        async with feed.serving():
            await feed.sign(critical=False)
            await feed.until("delivered", "delivered")
        assert [one for one in feed.logs if one["event"] in EVENTS] == steps


async def test_the_result_of_an_attempt_is_stored_with_its_connection_and_its_answer(sqlite_engine: Any) -> None:
    async with fed(sqlite_engine) as (feed, receiver), feed.serving():
        await feed.sign(critical=False)
        await feed.until("delivered")
        [(link, answer, begun, ended)] = await rows(
            sqlite_engine, "SELECT connection, answer, begun, ended FROM attempt"
        )
        assert json.loads(link)["peer"] == f"127.0.0.1:{receiver.port}"
        assert (json.loads(link)["connection"], json.loads(link)["of"]) == (1, 1)
        assert b"MSA|AA" in bytes(answer) and 0 < begun <= ended


async def test_a_receiver_that_is_down_is_tried_again_until_it_is_there(sqlite_engine: Any) -> None:
    async with fed(sqlite_engine) as (feed, receiver), feed.serving():
        async with stopped(receiver):
            await feed.sign(critical=False)
            await feed.until_rows("SELECT reason FROM message", lambda found: bool(found and found[0][0]))
        await feed.until("delivered")
        failed = [one for one in feed.logs if one["event"] == "message-not-acknowledged"]
        assert failed and {one["destination"] for one in failed} == {"ehr"}
        assert failed[0]["attempt"] == 1
