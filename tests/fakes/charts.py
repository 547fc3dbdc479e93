"""Changes to reports of a fed gateway's account that no radiologist makes, and the final accounting of all reports.

`accounted_for` ends the proof of a fault after which not everything is sent: the store states each unsent report.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from fakes.er7_reader import all_of, field
from fakes.fed import REFUSALS, Fed, assert_nothing_of_a_patient
from fakes.store import rows

from mappings.profile import Receiver
from mappings.profile import receiver as profile

Settled = Iterable[tuple[str, str]]


def generic(**switches: Any) -> Receiver:
    """Return the generic profile with other switches."""
    return replace(profile("generic"), **switches)


def change(feed: Fed, report_id: str, **values: Any) -> str:
    """Change keys of a report; return the id of its study."""
    report = feed.account.find_report(report_id)
    study_id = str(report["studyId"])
    reports = feed.account.reports[study_id]
    feed.account.reports[study_id] = tuple({**one, **values} if one is report else one for one in reports)
    return study_id


def speak_of(feed: Fed, report_id: str, **snapshot: Any) -> str:
    """Change a report's patient fields; return the id of its study. None removes a key."""
    said = {**feed.account.find_report(report_id)["snapshotMetadata"], **snapshot}
    return change(feed, report_id, snapshotMetadata={key: value for key, value in said.items() if value is not None})


@asynccontextmanager
async def unlisted(feed: Fed, report_id: str) -> AsyncIterator[None]:
    """Hide a report from AutoScribe's list while the block runs; then list it again and ingest the study."""
    study_id = str(feed.account.find_report(report_id)["studyId"])
    listed = feed.account.reports[study_id]
    feed.account.reports[study_id] = tuple(one for one in listed if one["reportId"] != report_id)
    yield
    feed.account.reports[study_id] = listed
    await feed.tell(study_id)


async def until_settled(feed: Fed, *wanted: tuple[str, str], seconds: float = 60) -> None:
    """Wait until the rows of the outbox have these states and reasons, in order."""
    states: list[Any] = []
    try:
        async with asyncio.timeout(seconds):
            while states != list(wanted):
                await asyncio.sleep(0.02)
                states = await rows(feed.engine, "SELECT state, reason FROM outbox ORDER BY number")
    except TimeoutError:
        raise AssertionError(f"wanted {wanted}, found {states}") from None


def statuses(receiver: Any) -> list[str]:
    """OBR-25 of all messages that a receiver got, in order."""
    return [field(one.payload, "OBR-25") for one in receiver.messages]


def taken_statuses(receiver: Any) -> list[str]:
    """OBR-25 of the messages that a receiver accepted, in order."""
    return [field(one.payload, "OBR-25") for one in receiver.messages if one.answer not in REFUSALS]


def told_lines(message: bytes) -> list[str]:
    """OBX-5 of every line of the report, as sent."""
    return [row[5] for row in all_of(message, "OBX") if row[2] == "TX"]


async def accounted_for(
    feed: Fed, *receivers: Any, outbox: Settled = (), ends: Iterable[str] = ("delivered",), repeats: bool = False
) -> None:
    """Assert that nothing is lost, reordered, altered or doubled, no patient data is in logs, and each unsent row has a
    reason.

    `outbox` has the states with reasons in which rows of the outbox may end beside rendered ones, `ends` those of
    messages.
    """
    settled = {
        (str(state), str(reason)) for state, reason in await rows(feed.engine, "SELECT state, reason FROM outbox")
    }
    assert settled - {("rendered", ""), ("merged", "")} == set(outbox)
    columns = (
        "SELECT destination, control_id, study_id, m.number, state, body FROM message m"
        " JOIN message_body b ON b.number = m.number ORDER BY m.number"
    )
    made = {(str(name), str(key)): more for name, key, *more in await rows(feed.engine, columns)}
    assert {str(state) for _, _, state, _ in made.values()} == set(ends)
    for destination, receiver in zip(feed.destinations, receivers, strict=True):
        lanes: dict[str, list[int]] = {}
        for message in receiver.messages:
            study_id, number, _, body = made[destination.name, message.control_id]
            assert message.payload == bytes(body)
            lanes.setdefault(str(study_id), []).append(int(number))
        assert all(numbers == sorted(numbers) for numbers in lanes.values())
        taken = [message.control_id for message in receiver.messages if message.answer not in REFUSALS]
        assert repeats or len(taken) == len(set(taken))
        delivered = {
            key for (name, key), (_, _, state, _) in made.items() if (name, state) == (destination.name, "delivered")
        }
        assert delivered <= set(taken)
    assert_nothing_of_a_patient(feed, repr(feed.logs))
