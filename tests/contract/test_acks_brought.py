"""Acknowledgements that the receiver brings are stored by whichever process of a database they reach (D32, D33)."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace

from fakes.arrivals import arrived
from fakes.bringing import ack, bringing
from fakes.fed import Fed, assert_all_arrived, fed
from fakes.ports import free_address
from fakes.store import rows

TWO_PHASE = {"ack_mode": "two_phase"}


def process(feed, engine, ack_listen) -> Fed:
    """Return another process of the same database; it listens at `ack_listen`, or nowhere."""
    (one,) = feed.destinations
    heard = replace(one, transport=replace(one.transport, ack_listen=ack_listen))
    return Fed(engine, feed.account, (heard,), logs=feed.logs)


@asynccontextmanager
async def committed(engine):
    """Send one message that the application has not acknowledged yet; return the feed and its MSH-10."""
    async with fed(engine, "ca", **TWO_PHASE) as (feed, receiver):
        async with feed.serving("one"):
            await feed.sign(critical=True)
            await feed.until("delivered")
        yield feed, receiver, receiver.messages[0].control_id


async def acks(engine):
    found = await rows(engine, "SELECT ack, committed IS NULL, accepted IS NULL FROM message")
    return [(str(ack), not unsent, not unheard) for ack, unsent, unheard in found]


async def told(address, *contents):
    async with bringing(address) as peer:
        await peer.bring(*contents)
        return [(await peer.told()).code for _ in contents]


async def test_it_is_heard_by_a_process_that_does_not_hold_the_lease(engines):
    holding, listening, address = engines(), engines(), free_address()
    async with holding.opened(), listening.opened(), fed(holding, "ca", **TWO_PHASE) as (feed, receiver):
        other = process(feed, listening, address)
        async with feed.serving("one"):
            await feed.sign()
            await feed.until("delivered")
            async with other.serving("two"):
                assert await told(address, ack(receiver.messages[0].control_id)) == ["CA"]
                ((holder,),) = await rows(holding, "SELECT holder FROM destination")
                assert holder == "one"
        assert await acks(holding) == [("AA", True, True)]
        await assert_all_arrived(feed, receiver)


async def test_it_is_heard_after_a_restart_twice_and_of_nobody(engine):
    address = free_address()
    async with committed(engine) as (feed, receiver, control_id):
        again = process(feed, engine, address)
        async with again.serving("two"):
            assert await told(address, ack("NOBODY"), ack(control_id), ack(control_id)) == ["CE", "CA", "CA"]
        assert await acks(engine) == [("AA", True, True)]
        assert await again.states() == ["delivered"]
        events = [one["event"] for one in feed.logs]
        assert (events.count("ack-matches-nothing"), events.count("ack-repeated")) == (1, 1)
        await assert_all_arrived(feed, receiver)


async def test_what_is_refused_there_is_sent_again_by_whoever_holds_the_lease(engines):
    holding, listening, address = engines(), engines(), free_address()
    async with holding.opened(), listening.opened(), fed(holding, "ca", **TWO_PHASE) as (feed, receiver):
        other = process(feed, listening, address)
        async with feed.serving("one"):
            await feed.sign()
            await feed.until("delivered")
            async with other.serving("two"):
                control_id = receiver.messages[0].control_id
                assert await told(address, ack(control_id, "AR", error="207")) == ["CA"]
                await arrived(receiver, control_id)
                await feed.until_rows("SELECT attempts, state FROM message", lambda found: found == [(2, "delivered")])
                assert await told(address, ack(control_id)) == ["CA"]
        assert [one.payload for one in receiver.messages] == [receiver.messages[0].payload] * 2
        assert await acks(holding) == [("AA", True, True)]
        await assert_all_arrived(feed, receiver, repeats=True)
