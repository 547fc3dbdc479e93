"""Third-party MLLP servers receive every message of the feed once, in order, and parse it correctly.

HL7 Transport Specification: MLLP, Release 1; HL7 v2.5.1 §2.9.2 (acknowledgement), §2.7.1 (escape sequences). Needs
Node.js with npm, and a JDK with Maven.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest
from conformance.outside_parsers import Waiver, mended
from conformance.reading import Reading, read
from conformance.receivers.servers import (
    LIMITS,
    READ_OTHERWISE,
    SERVERS,
    SETTINGS,
    TEXTS,
    Receiving,
    Server,
)
from fakes.fed import Fed, destination
from fakes.store import rows

from gateway.mllp.connection import Connection, Endpoint
from gateway.mllp.framing import encode
from gateway.runtime.errors import ConnectFailed
from gateway.sandbox.seed import generate
from gateway.sandbox.state import SandboxAccount

pytestmark = pytest.mark.timeout(300)
SENT = (
    "SELECT control_id, study_id, body, state, ack, attempts FROM message m JOIN message_body b ON b.number = m.number"
    " ORDER BY m.number"
)
NAMED = {one.name: one for one in SERVERS}


@pytest.fixture(params=SERVERS, ids=lambda one: one.name)
def server(request: pytest.FixtureRequest) -> Server:
    """Each of the servers in turn."""
    return request.param


@pytest.fixture
def receiving(server: Server, tmp_path) -> Iterator[Receiving]:
    with Receiving(server, tmp_path) as found:
        yield found


def fed(engine, server: Server, receiving: Receiving, **more: Any) -> Fed:
    """A feed to a server, set up as an operator does it."""
    way = {"close_after_each": not server.can("second message on a connection"), **more}
    return Fed(engine, SandboxAccount(generate(studies=20)), (destination(receiving.port, **way),))


def leaves(reading: Reading) -> dict[tuple[Any, ...], str]:
    """Return the non-empty leaves by place, since parsers pad fields differently."""
    return {
        (index, name, number, r, c, s): leaf
        for index, (name, fields) in enumerate(reading)
        for number, field in fields.items()
        for r, repetition in enumerate(field)
        for c, component in enumerate(repetition)
        for s, leaf in enumerate(component)
        if leaf
    }


def is_read_as_meant(theirs: Reading, body: bytes, waivers: Sequence[Waiver]) -> bool:
    """True if PID-3, PID-5, OBR-3, OBR-25 and OBX-2, -3 and -5 of every segment match our own reader."""
    return leaves(mended(theirs, waivers)) == leaves(mended(read(body.decode("utf-8")), waivers, ours=True))


async def assert_taken(feed: Fed, server: Server, receiving: Receiving, *, most: int = 1) -> None:
    """All is delivered by an AA of the server, which read each message as it is meant, once, in the order of its study.

    `most`: so often a message may have been written; no server may have it more often than it was.
    """
    sent = {one[0]: one for one in await rows(feed.engine, SENT)}
    came = receiving.messages()
    assert {one[3:5] for one in sent.values()} == {("delivered", "AA")}
    counted = Counter(one["control_id"] for one in came)
    assert counted.keys() == sent.keys()
    assert all(count <= sent[key][5] <= most for key, count in counted.items())
    wrong = [one for one in came if not is_read_as_meant(one["reading"], sent[one["control_id"]][2], server.waivers)]
    assert wrong == []
    place = {key: number for number, key in enumerate(sent)}
    for study_id in {one[1] for one in sent.values()}:
        lane = [place[one["control_id"]] for one in came if sent[one["control_id"]][1] == study_id]
        assert lane == sorted(lane)


async def one_body(engine, server: Server, receiving: Receiving, text: str = "") -> bytes:
    """A message that was sent to a server, and taken."""
    feed = fed(engine, server, receiving)
    async with feed.serving():
        await feed.sign(text)
        await feed.all_delivered()
    return bytes((await rows(engine, SENT))[0][2])


async def signed_reports(feed: Fed) -> None:
    """Reports of several texts, a critical one, an addendum to one and a correction of another."""
    first, second = await feed.sign(), await feed.sign()
    await feed.sign(critical=True)
    for text in TEXTS:
        await feed.sign(text)
    await feed.all_delivered()
    await feed.add(first)
    feed.account.change_text(second.report_id, "FINDINGS:\nCorrected: 3 < 4 & 5 > 2, a|b^c~d\\e.")
    await feed.tell(second.study_id)
    await feed.all_delivered()


async def test_a_server_takes_every_report_once_in_order_and_reads_it_as_it_is_meant(sqlite_engine, server, receiving):
    feed = fed(sqlite_engine, server, receiving)
    async with feed.serving():
        await signed_reports(feed)
    await assert_taken(feed, server, receiving)
    sent = await rows(sqlite_engine, "SELECT kind, is_critical FROM message")
    assert {kind for kind, _ in sent} == {"signed", "addendum_signed", "text_changed"}
    assert {is_critical for _, is_critical in sent} == {0, 1}


async def test_what_is_signed_while_a_server_is_stopped_comes_when_it_is_started_again(
    sqlite_engine, server, receiving
):
    feed = fed(sqlite_engine, server, receiving)
    async with feed.serving():
        signed = await feed.sign()
        await feed.all_delivered()
        await asyncio.to_thread(receiving.stop)
        await feed.add(signed)
        await feed.sign(TEXTS[0])
        await feed.seen("queued", "connect-failed")
        await asyncio.to_thread(receiving.start)
        await feed.all_delivered()
    await assert_taken(feed, server, receiving)
    assert len(receiving.messages()) >= 3


async def test_a_server_that_is_stopped_while_messages_come_loses_none(sqlite_engine, server, receiving):
    """Nothing comes twice but the one message that it had when it was stopped, and had not answered.

    Addenda are messages of their own here, so that each study has two.
    """
    feed = fed(sqlite_engine, server, receiving, gap=0.05, addendum="append")
    for _ in range(6):
        await feed.add(await feed.sign())
    async with feed.serving():
        async with asyncio.timeout(20):
            while len(receiving.messages()) < 4:
                await asyncio.sleep(0.005)
        await asyncio.to_thread(receiving.stop)
        assert "queued" in await feed.states()
        await asyncio.to_thread(receiving.start)
        await feed.all_delivered()
    await assert_taken(feed, server, receiving, most=3)
    assert len(receiving.messages()) <= 12 + 1


async def test_a_server_keeps_a_connection_unless_the_table_says_that_it_does_not(sqlite_engine, server, receiving):
    body = await one_body(sqlite_engine, server, receiving)
    async with await Connection.open(Endpoint("127.0.0.1", receiving.port)) as connection:
        assert b"MSA|AA" in await connection.exchange(body)
        await asyncio.sleep(0.2)
        if server.can("second message on a connection"):
            assert b"MSA|AA" in await connection.exchange(body)
        else:
            with pytest.raises(ConnectFailed):
                await connection.exchange(body)


async def test_a_server_takes_two_messages_at_once_unless_the_table_says_that_it_does_not(
    sqlite_engine, server, receiving
):
    """The feed never does this: a connection has one message in hand."""
    body = await one_body(sqlite_engine, server, receiving)
    reader, writer = await asyncio.open_connection("127.0.0.1", receiving.port)
    writer.write(encode(body) * 2)
    answers = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(10 if server.can("message before the last is answered") else 1):
            while answers.count(b"MSA|AA") < 2 and (more := await reader.read(65_536)):
                answers += more
    writer.close()
    assert (answers.count(b"MSA|AA") == 2) == server.can("message before the last is answered")


@pytest.mark.parametrize("name", [one.server for one in LIMITS if one.what == "second message on a connection"])
async def test_a_server_that_closes_after_each_message_takes_all_of_a_feed_that_is_not_told(
    sqlite_engine, name, tmp_path
):
    """A message may then be written before the end of the connection is known, and is written again."""
    server = NAMED[name]
    with Receiving(server, tmp_path) as receiving:
        feed = fed(sqlite_engine, server, receiving, close_after_each=False)
        async with feed.serving():
            await signed_reports(feed)
        await assert_taken(feed, server, receiving, most=3)
        assert len(receiving.messages()) == len(await feed.states())


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda one: f"{one.server}: {one.key}")
async def test_a_server_that_is_not_told_a_setting_does_not_take_what_the_table_says(sqlite_engine, setting, tmp_path):
    """A message without an answer is never delivered; a message that is answered but misread cannot be detected."""
    server = NAMED[setting.server]
    told = {key: value for key, value in server.settings.items() if key != setting.key}
    with Receiving(server, tmp_path, told) as receiving:
        feed = fed(sqlite_engine, server, receiving, ack_timeout=1.0)
        async with feed.serving():
            await feed.sign(setting.text)
            await feed.seen(*(("delivered", "") if setting.answers else ("indeterminate", "ack-timeout")))
    body = (await rows(sqlite_engine, SENT))[0][2]
    found = [is_read_as_meant(one["reading"], body, server.waivers) for one in receiving.messages()]
    assert found == ([False] if setting.answers else [])


@pytest.mark.parametrize("waiver", READ_OTHERWISE, ids=lambda one: f"{one.parser}: {one.reason}")
async def test_a_waiver_of_a_server_is_still_needed(sqlite_engine, waiver, tmp_path):
    server = NAMED[waiver.parser]
    with Receiving(server, tmp_path) as receiving:
        body = await one_body(sqlite_engine, server, receiving, "  two before, two behind  \nFINDINGS:")
        (came,) = receiving.messages()
    assert is_read_as_meant(came["reading"], body, server.waivers)
    assert not is_read_as_meant(came["reading"], body, [one for one in server.waivers if one is not waiver])


def test_the_servers_and_what_each_cannot_do_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    unable = [(one.server, f"takes no {one.what}: {one.reason}") for one in LIMITS]
    told = [(one.server, f"without {one.key} {one.reason}") for one in SETTINGS]
    read_otherwise = [(one.name, waiver.reason) for one in SERVERS for waiver in one.waivers]
    found = sorted([*unable, *told, *read_otherwise], key=lambda one: one[0])
    with capsys.disabled():
        sys.stdout.write("\n" + "".join(f"{name:<20}{what}\n" for name, what in found))
    assert {name for name, _ in found} <= NAMED.keys()
