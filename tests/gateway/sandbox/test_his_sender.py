"""The hospital's look-alike sends in order, on one connection, each message until it is accepted; HL7 v2.5.1 §2.9.2."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import pytest

from gateway.runtime.errors import ConfigError
from gateway.runtime.loops import alongside
from gateway.sandbox.his import his_messages
from gateway.sandbox.his_sender import HisSender, his_endpoint
from gateway.sandbox.his_telling import ACCESSION_KEY, PLACER_KEY
from gateway.sandbox.receiver import MllpReceiver
from gateway.sandbox.seed import generate
from gateway.sandbox.upstream import SandboxOptions, open_sandbox

WORLD = generate(3, 12)


def expected():
    seeded = [one for one in WORLD.seeded if one.study["studyType"] != "external"]
    return [one.payload for one in his_messages([(one.study, one.reports) for one in seeded], 3)]


async def sent(receiver):
    endpoint = replace(his_endpoint(f"127.0.0.1:{receiver.port}"), ack_timeout=0.5)
    sender = HisSender(endpoint, 3, again=0.01)
    sender.told_of(WORLD)
    async with asyncio.timeout(30), alongside([sender.run()]):
        await sender.settled()
    return sender


async def test_every_message_arrives_in_order_on_one_connection():
    async with MllpReceiver("127.0.0.1", 0) as receiver:
        sender = await sent(receiver)
        assert [one.payload for one in receiver.messages] == expected()
    assert (sender.accepted, sender.again) == (len(expected()), 0)


@pytest.mark.parametrize("ack", ["ae:5", "close:rate=0.2:seed=1", "wrong-id:3", "ar:2,none:1"])
async def test_a_message_that_is_not_accepted_stays_first_in_line(ack):
    async with MllpReceiver("127.0.0.1", 0, ack=ack) as receiver:
        await sent(receiver)
        arrived = [one.payload for one in receiver.messages]
    kept = [one for place, one in enumerate(arrived) if place == 0 or arrived[place - 1] != one]
    once = [one for place, one in enumerate(expected()) if place == 0 or expected()[place - 1] != one]
    assert kept == once


async def test_it_waits_for_a_listener_that_is_not_there_yet():
    async with MllpReceiver("127.0.0.1", 0) as first:
        port = first.port
    sender = HisSender(his_endpoint(f":{port}"), 3, again=0.01)
    sender.told_of(WORLD)
    async with alongside([sender.run()]):
        while not sender.again:
            await asyncio.sleep(0.01)
        async with asyncio.timeout(30), MllpReceiver("127.0.0.1", port):
            await sender.settled()
    assert sender.accepted == len(expected())


@pytest.mark.parametrize("text", ["", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "h:70000", "h:²"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ConfigError):
        his_endpoint(text)


async def test_the_sandbox_has_the_numbers_in_its_studies_and_says_what_is_true():
    async with MllpReceiver("127.0.0.1", 0) as receiver:
        app, account = open_sandbox(SandboxOptions(studies=9, seed=3, his=f"127.0.0.1:{receiver.port}"))
        signed = account.sign_new()
        async with app.router.lifespan_context(app), asyncio.timeout(30):
            await app.state.his.settled()
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sandbox") as client:
                shown = (await client.get("/sandbox/his")).json()
    truths = {one["study_id"]: one for one in shown["truths"]}
    assert (shown["waiting"], shown["accepted"]) == (0, len(receiver.messages))
    assert signed.study_id in truths
    for study_id, truth in truths.items():
        metadata = account.studies[study_id]["metadata"]
        assert {key: metadata[key] for key in (ACCESSION_KEY, PLACER_KEY) if key in metadata} == truth["metadata"]


async def test_without_a_hospital_the_studies_are_as_ever_and_there_is_nothing_to_show():
    app, account = open_sandbox(SandboxOptions(studies=9, seed=3))
    assert [account.studies[one.study["studyId"]] for one in generate(3, 9).seeded] == [
        one.study for one in generate(3, 9).seeded
    ]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sandbox") as client:
        assert (await client.get("/sandbox/his")).status_code == 404
