"""Faults of acknowledgements, F23 to F38: for another message or none, unreadable, refusing, late, or repeated.

HL7 v2.5.1 §2.9.2, §2.9.3 (acknowledgements), tables 0008 and 0357; decision D32.
"""

from __future__ import annotations

import asyncio

import pytest
from fakes.fed import assert_all_arrived, bodies, fed, ids
from fakes.ports import free_address
from fakes.store import rows

from gateway.feed.deliver import circuit_breaker
from gateway.sandbox.answer_manners import two_phase
from gateway.sandbox.manners import INTERNAL_ERROR, Manner
from gateway.settings.feed import Feed

ACKS = (
    "SELECT state, ack, CASE WHEN committed IS NULL THEN 0 ELSE 1 END, CASE WHEN accepted IS NULL THEN 0 ELSE 1 END"
    " FROM message ORDER BY number"
)
QUICKLY = {"ack_timeout": 0.25}
FEW = Feed(breaker_refusals=6, breaker_lanes=3)
TWO_PHASE = {"ack_mode": "two_phase"}
ARS = Manner("commit accept, reject later", ("F35",), two_phase("AR", INTERNAL_ERROR), options={"seconds": 0.05})


def answered(state, ack="", *, committed=False, accepted=False):
    return state, ack, int(committed), int(accepted)


ACCEPTED = answered("delivered", "AA", accepted=True)
COMMITTED = answered("delivered", "CA", committed=True)
BOTH = answered("delivered", "AA", committed=True, accepted=True)


async def until_acks(feed, *wanted):
    await feed.until_rows(ACKS, lambda found: found == list(wanted))


async def never_taken(engine, manner, reason="ack-timeout"):
    """Check that an answer does not acknowledge the message: it stays in doubt, and the same bytes go again."""
    async with fed(engine, manner, **QUICKLY) as (feed, receiver), feed.serving():
        await feed.sign()
        await feed.seen("indeterminate", reason)
        assert not await rows(feed.engine, "SELECT 1 FROM message WHERE ack <> '' OR accepted IS NOT NULL")
        receiver.ack = "aa"
        await feed.until("delivered")
        await assert_all_arrived(feed, receiver, repeats=True)


async def taken(engine, manner, count=3):
    """Check that an acknowledgement of unusual form is accepted."""
    async with fed(engine, manner) as (feed, receiver), feed.serving():
        for _ in range(count):
            await feed.sign()
        await until_acks(feed, *[ACCEPTED] * count)
        await assert_all_arrived(feed, receiver)


async def test_f23_an_aa_with_the_wrong_msa_2_is_never_success(engine):
    await never_taken(engine, "wrong-id")


async def test_f24_an_aa_without_msa_2_is_never_success(sqlite_engine):
    await never_taken(sqlite_engine, "no-id")


async def test_f25_an_empty_frame_is_never_success(sqlite_engine):
    await never_taken(sqlite_engine, "empty")


async def test_f26_what_is_not_hl7_is_never_success(sqlite_engine):
    await never_taken(sqlite_engine, "garbage")


async def test_f27_a_frame_without_vt_is_never_success(sqlite_engine):
    await never_taken(sqlite_engine, "no-vt", "ack-unreadable")


@pytest.mark.parametrize("manner", ["no-cr", "lf", "nul"])
async def test_f27_an_ack_without_final_cr_with_lf_or_with_nuls_is_read_all_the_same(sqlite_engine, manner):
    await taken(sqlite_engine, manner)


async def test_f28_ae_holds_its_lane_alone_until_a_newer_message_says_all_of_it(engine):
    async with fed(engine, "ae:1") as (feed, receiver), feed.serving():
        first = await feed.sign()
        await feed.seen("held", "AE-101")
        assert await feed.held_lane() == (first.study_id, "refused")
        await feed.sign()
        await feed.until("held", "delivered")
        await feed.add(first)
        await feed.until("superseded", "delivered", "delivered")
        assert not await rows(feed.engine, "SELECT 1 FROM lane")
        assert len(bodies(receiver)) == 3
        await assert_all_arrived(feed, receiver, ends=("superseded", "delivered"))


async def test_f28_ae_of_a_receiver_that_means_ar_is_tried_again(sqlite_engine):
    async with fed(sqlite_engine, "ae-busy:2", inverted_acks=True) as (feed, receiver), feed.serving():
        await feed.sign()
        await feed.until("delivered")
        assert [one.answer for one in receiver.messages][:2] == ["AE", "AE"]
        await assert_all_arrived(feed, receiver)


async def test_f29_ar_is_tried_again_as_the_same_bytes(engine):
    async with fed(engine, "ar:2") as (feed, receiver), feed.serving():
        await feed.sign()
        await feed.seen("queued", "AR-207")
        await feed.until("delivered")
        assert len(bodies(receiver)) == 3
        assert len(set(bodies(receiver))) == 1
        await assert_all_arrived(feed, receiver)


async def test_f29_ar_of_many_lanes_in_a_row_is_probed_and_goes_on_by_itself(engine, monkeypatch):
    monkeypatch.setattr(circuit_breaker, "OFTEN", 3.0)
    async with fed(engine, "ar") as (feed, receiver), feed.serving(settings=FEW):
        for _ in range(3):
            await feed.sign()
        assert await feed.paused() == "refused-for-now"
        came = len(bodies(receiver))
        await feed.until(*["queued"] * 3)
        assert len(bodies(receiver)) <= came + 1
        receiver.ack = "aa"
        await feed.until(*["delivered"] * 3)
        assert not await rows(feed.engine, "SELECT 1 FROM destination WHERE paused <> ''")
        await assert_all_arrived(feed, receiver)


async def test_f29_ae_of_many_lanes_in_a_row_pauses_the_destination(engine):
    async with fed(engine, "ae") as (feed, receiver), feed.serving(settings=FEW):
        for _ in range(6):
            await feed.sign()
        assert await feed.paused() == "refused-in-a-row"
        await feed.sign()
        receiver.ack = "aa"
        await feed.resume()
        await feed.until(*["held"] * 6, "delivered")


async def test_f35_ars_of_the_application_in_a_row_are_probed_until_it_accepts(engine, monkeypatch):
    monkeypatch.setattr(circuit_breaker, "OFTEN", 0.5)
    async with fed(engine, ARS, **TWO_PHASE) as (feed, receiver), feed.serving(settings=FEW):
        for _ in range(3):
            await feed.sign()
        assert await feed.paused() == "application-refuses-for-now"
        receiver.ack = "ca-aa:seconds=0.1"
        await until_acks(feed, *[BOTH] * 3)
        assert not await rows(feed.engine, "SELECT 1 FROM destination WHERE paused <> ''")
        await assert_all_arrived(feed, receiver, repeats=True)


async def test_f35_where_the_application_says_nothing_of_a_probe_it_is_taken(sqlite_engine, monkeypatch):
    monkeypatch.setattr(circuit_breaker, "OFTEN", 0.5)
    async with fed(sqlite_engine, ARS, **TWO_PHASE) as (feed, receiver), feed.serving(settings=FEW):
        for _ in range(3):
            await feed.sign()
        await feed.paused()
        receiver.ack = "ca"
        await until_acks(feed, *[COMMITTED] * 3)
        assert not await rows(feed.engine, "SELECT 1 FROM destination WHERE paused <> ''")


async def test_f29_ar_because_the_type_of_message_is_not_supported_pauses_at_once(sqlite_engine):
    await pauses_at_once(sqlite_engine, "ar-type:1")


async def pauses_at_once(engine, manner, state="queued"):
    async with fed(engine, manner) as (feed, receiver), feed.serving():
        await feed.sign()
        assert await feed.paused() == "messages-not-supported"
        await feed.sign()
        await feed.until(state, "queued")
        assert len(bodies(receiver)) == 1
        await feed.resume()
        await feed.until("delivered", "delivered")
        await assert_all_arrived(feed, receiver)


async def test_f30_ce_holds_its_lane(sqlite_engine):
    async with fed(sqlite_engine, "ce:1", **TWO_PHASE) as (feed, receiver), feed.serving():
        first = await feed.sign()
        await feed.seen("held", "CE-100")
        assert await feed.held_lane() == (first.study_id, "refused")
        await feed.sign()
        await feed.until("held", "delivered")
        await assert_all_arrived(feed, receiver, ends=("held", "delivered"))


async def test_f31_cr_because_of_the_processing_id_pauses_at_once(sqlite_engine):
    await pauses_at_once(sqlite_engine, "cr:1")


async def test_f32_a_code_that_is_in_no_table_is_never_success(sqlite_engine):
    await never_taken(sqlite_engine, "unknown-code")


async def test_f33_an_aa_with_an_err_segment_is_success(sqlite_engine):
    await taken(sqlite_engine, "aa-err")


@pytest.mark.parametrize("manner", ["delimiters", "latin-1", "utf-16"])
async def test_f34_an_ack_in_other_delimiters_or_another_charset_is_read(sqlite_engine, manner):
    await taken(sqlite_engine, manner)


@pytest.mark.parametrize("seconds", [0, 0.2])
async def test_f35_a_ca_and_then_an_aa_closes_both_axes(engine, seconds):
    async with fed(engine, f"ca-aa:seconds={seconds}", **TWO_PHASE) as (feed, receiver), feed.serving():
        for _ in range(3):
            await feed.sign()
        await until_acks(feed, *[BOTH] * 3)
        await assert_all_arrived(feed, receiver)


async def test_f35_a_ca_and_then_an_ae_holds_the_lane(engine):
    async with fed(engine, "ca-ae:1:seconds=0.1", **TWO_PHASE) as (feed, receiver), feed.serving():
        first = await feed.sign()
        await feed.seen("held", "AE-101")
        assert await feed.held_lane() == (first.study_id, "refused")
        await feed.add(first)
        await feed.until("superseded", "delivered")
        await assert_all_arrived(feed, receiver, ends=("superseded", "delivered"))


async def test_f35_a_ca_and_then_an_ar_sends_the_same_bytes_again(engine):
    async with fed(engine, "ca-ar:1:seconds=0.1,ca-aa:seconds=0.05", **TWO_PHASE) as (feed, receiver), feed.serving():
        await feed.sign()
        await until_acks(feed, BOTH)
        await feed.until_rows("SELECT attempts FROM message", lambda found: found == [(2,)])
        assert len({one.payload for one in receiver.messages}) == 1
        await assert_all_arrived(feed, receiver, repeats=True)


async def test_f35_a_ca_and_then_nothing_is_delivered_and_not_accepted(sqlite_engine):
    async with fed(sqlite_engine, "ca", **TWO_PHASE) as (feed, receiver), feed.serving():
        await feed.sign()
        await until_acks(feed, COMMITTED)
        await assert_all_arrived(feed, receiver)


async def test_f35_a_ca_and_then_an_aa_on_another_connection_finds_its_message(sqlite_engine):
    async with fed(sqlite_engine, "ca-aa-next:1,aa", **TWO_PHASE) as (feed, receiver), feed.serving():
        await feed.sign()
        await until_acks(feed, COMMITTED)
        await feed.sign()
        await until_acks(feed, BOTH, ACCEPTED)
        await assert_all_arrived(feed, receiver)


async def test_f35_a_ca_and_an_aa_after_a_restart_of_the_gateway_finds_its_message(engine):
    async with fed(engine, "ca-aa-next:1,aa", **TWO_PHASE) as (feed, receiver):
        async with feed.serving("before"):
            await feed.sign()
            await until_acks(feed, COMMITTED)
        async with feed.serving("after"):
            await feed.sign()
            await until_acks(feed, BOTH, ACCEPTED)
        await assert_all_arrived(feed, receiver)


async def test_f35_an_aa_that_comes_while_the_gateway_stops_is_written_down(sqlite_engine):
    async with fed(sqlite_engine, "ca-aa:seconds=0.02", **TWO_PHASE) as (feed, receiver):
        async with feed.serving():
            await feed.sign()
            await feed.until("delivered")
            await asyncio.sleep(0.1)
        await until_acks(feed, BOTH)
        await assert_all_arrived(feed, receiver)


async def test_f35_a_ca_and_then_an_aa_over_a_connection_of_the_receivers_own_finds_its_message(engine):
    more = {"ack_listen": free_address(), **TWO_PHASE}
    async with fed(engine, "ca-aa-calls:seconds=0", **more) as (feed, receiver), feed.serving():
        for critical in (True, False, False):
            await feed.sign(critical=critical)
        await until_acks(feed, *[BOTH] * 3)
        heard = feed.metrics.registry.get_sample_value
        assert heard("autoscribe_gateway_feed_critical_seconds_count", {"destination": "ehr"}) == 1
        await assert_all_arrived(feed, receiver)


async def test_f35_a_ca_and_an_aa_brought_after_a_restart_of_the_gateway_finds_its_message(engine):
    more = {"ack_listen": free_address(), **TWO_PHASE}
    async with fed(engine, "ca-aa-calls:seconds=1", **more) as (feed, receiver):
        async with feed.serving("before"):
            await feed.sign()
            await until_acks(feed, COMMITTED)
        async with feed.serving("after"):
            await until_acks(feed, BOTH)
        await assert_all_arrived(feed, receiver)


async def test_f35_a_ca_and_then_an_ar_is_sent_again_as_the_same_bytes(engine):
    async with fed(engine, ARS, **TWO_PHASE) as (feed, receiver), feed.serving():
        await feed.sign()
        await feed.seen("queued", "AR-207")
        receiver.ack = "aa"
        await until_acks(feed, BOTH)
        assert len(bodies(receiver)) > 1
        assert len(set(bodies(receiver))) == 1
        await assert_all_arrived(feed, receiver, repeats=True)


async def test_f35_a_newer_message_takes_the_place_of_one_that_the_application_refused_after_a_ca(sqlite_engine):
    async with fed(sqlite_engine, ARS, **TWO_PHASE) as (feed, receiver), feed.serving():
        first = await feed.sign()
        await feed.seen("queued", "AR-207")
        await feed.pause()
        await feed.seen("queued", "AR-207")
        receiver.ack = "aa"
        await feed.add(first)
        await feed.until("superseded", "queued")
        await feed.resume()
        await feed.until("superseded", "delivered")
        assert not await rows(feed.engine, "SELECT 1 FROM lane")
        await assert_all_arrived(feed, receiver, repeats=True, ends=("superseded", "delivered"))


async def test_f36_a_second_ack_of_the_same_message_changes_nothing(engine):
    async with fed(engine, "twice") as (feed, receiver), feed.serving():
        for _ in range(4):
            await feed.sign()
        await until_acks(feed, *[ACCEPTED] * 4)
        async with asyncio.timeout(60):
            while sum(entry["event"] == "ack-repeated" for entry in feed.logs) < 3:
                await asyncio.sleep(0.01)
        await until_acks(feed, *[ACCEPTED] * 4)
        await assert_all_arrived(feed, receiver)


async def test_f37_a_message_of_another_type_on_the_socket_answers_nothing(sqlite_engine):
    await taken(sqlite_engine, "adt-first")


async def test_f38_an_aa_of_what_is_then_not_filed_is_told_as_aa_and_as_no_more(sqlite_engine):
    """Nothing on the wire shows the loss: the ledger lists the acknowledged messages, to compare with those filed."""
    async with fed(sqlite_engine, "not-filed") as (feed, receiver), feed.serving():
        await feed.sign()
        await until_acks(feed, ACCEPTED)
        assert ids(receiver.messages) == [
            str(one) for (one,) in await rows(feed.engine, "SELECT control_id FROM message")
        ]
        await assert_all_arrived(feed, receiver)
