"""HL7 v2.5.1 §2.A.36 (HD), §3.4.9 (MRG), decision D48: visits and merges have the authorities of changed settings."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from fakes.hospital import AUTHORITIES, MERCY, mrn
from fakes.hospital_source import PATIENTS, RULES, Hospital, hospital_source, merging, ordering, visiting
from fakes.met import carry_out, facts, matching, read
from fakes.scale import EITHER_STORE
from fakes.store import rows
from structlog.testing import capture_logs

from gateway.feed.alerts.conditions import ROWS
from gateway.ingest.orders import rekeying
from gateway.ingest.orders.rekeying import OrderKeys
from gateway.ingest.orders.sources import authority_of
from gateway.runtime import clock
from gateway.runtime.loops import alongside
from gateway.store.database.engine import Statement, ask, micros
from gateway.store.database.kept import compressed
from gateway.store.orders.hospital import left_merges
from gateway.store.orders.inbound import set_aside, trouble_of, troubled
from gateway.store.orders.numbers import changes_of, held_by, number_text
from mappings.hl7v2.inbound import SourceRules
from mappings.hospital.authorities import Authorities, HospitalNumber
from mappings.hospital.events import Authority
from mappings.profile import parse_site

pytestmark = pytest.mark.parametrize("engines", EITHER_STORE, indirect=True)

WRONG, MERCYS = "urn:oid:1.2.11", "urn:oid:1.3.1"
CITY_WRONGLY = """
[mapping]
accession_keys = ["acc"]
[[mapping.facilities]]
name = "City"
name_order = "given_family"
mrn_system = "{}"
mrn_namespace = "{}"
"""
MERCY_TABLE = f"""
[[mapping.facilities]]
name = "Mercy"
name_order = "given_family"
mrn_system = "{MERCYS}"
mrn_namespace = "MERCY"
"""
VISITS = authority_of("CITYVN", "urn:oid:1.2.5")
RIGHT = {"city-his": RULES}
EVERY_CHANGE = "SELECT number, authority, held FROM number_change ORDER BY number"


def packed(payload: bytes) -> bytes:
    """Return the bytes of a message as they are stored."""
    return compressed("inbound", payload)


def wrongly(engine, namespace: str = "CITY", system: str = WRONG) -> Hospital:
    """Return City's source under settings that have a wrong system of its patient numbers, or another namespace."""
    own = authority_of(namespace, system)
    bare = {**RULES.bare, "patient": own}
    his = Hospital(engine, hospital_source(authorities=(own, Authority("CITY"), *RULES.authorities[1:]), bare=bare))
    his.applying._authorities = Authorities(parse_site(CITY_WRONGLY.format(system, namespace)))
    return his


def forget():
    """Delete the bytes of all messages, as after 7 days."""
    return ask(Statement("UPDATE inbound SET body = NULL"))


async def survivors(engine, *numbers: HospitalNumber) -> list[tuple[str, str]]:
    """Return the pairs in use that concern these numbers: old and surviving one."""
    found = await changes_of(engine, numbers or [mrn("4711")])
    return [(one.change.prior.value, one.change.surviving.value) for one in found if not one.held]


async def test_the_visit_of_an_order_is_found_under_an_authority_that_is_named_in_full_later(engine):
    his, pipeline = Hospital(engine), matching(engine)
    await his.sends(ordering(), visiting(control_id="2", minute=5))
    before = {str(key) for (key,) in await rows(engine, "SELECT key FROM visit")}
    fuller = replace(RULES, authorities=(PATIENTS, VISITS, *RULES.authorities[2:]))
    await OrderKeys(engine, AUTHORITIES, {"city-his": fuller}).once()
    after = {str(key) for (key,) in await rows(engine, "SELECT key FROM visit")}
    assert len(before) == len(after) == 1
    assert before.isdisjoint(after)
    later = Hospital(engine, replace(his.source, rules=fuller))
    await later.sends(visiting("A02", location="WARD", control_id="3", minute=9))
    assert len(await rows(engine, "SELECT key FROM visit")) == 3
    await read(pipeline)
    await carry_out(engine, pipeline)
    ((stored,),) = [(await facts(engine)).orders]
    assert stored.visit.location == ("WARD",)
    assert stored.visit.number.system == "urn:oid:1.2.5"


@pytest.mark.parametrize("named", ["", "^^^CITY^MR"])
async def test_a_merge_whose_message_is_kept_is_read_anew_and_the_wrong_pair_is_not_used_any_more(engine, named):
    his, pipeline = wrongly(engine), matching(engine)
    await read(pipeline)
    before = await facts(engine)
    await his.sends(ordering(), merging(control_id="2").replace(b"^^^CITY^MR", named.encode()))
    assert await survivors(engine) == []
    assert await survivors(engine, mrn("4711", WRONG)) == [("4711", "5000")]
    await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    assert await survivors(engine) == [("4711", "5000")]
    assert await survivors(engine, mrn("4711", WRONG)) == []
    assert await left_merges(engine, 0) == 0
    await carry_out(engine, pipeline)
    assert not before.merged
    assert [one.surviving for one in (await facts(engine)).merged] == ["5000"]


async def test_what_was_read_anew_is_as_it_was_the_second_time(engine):
    his = wrongly(engine)
    await his.sends(ordering(), merging(control_id="2"))
    await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    before = await rows(engine, EVERY_CHANGE)
    await engine.do(forget)
    await OrderKeys(engine, AUTHORITIES, {**RIGHT, "other": RULES}).once()
    assert await rows(engine, EVERY_CHANGE) == before


async def test_a_merge_under_an_authority_that_no_setting_knew_is_completed_without_its_message(engine):
    his = wrongly(engine, "TOWN")
    await his.sends(ordering(), merging(control_id="2"))
    assert [str(one) for _, one, _ in await rows(engine, EVERY_CHANGE)] == ["hd:CITY&"]
    await engine.do(forget)
    await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    assert await survivors(engine) == [("4711", "5000")]


async def test_merges_that_nobody_can_read_anew_are_counted_and_alerted_for_a_day(engine):
    his = wrongly(engine)
    await his.sends(ordering(), merging(control_id="2"), merging("4712", "5001", control_id="3"))
    await engine.do(forget)
    with capture_logs() as logs:
        await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    assert [one["count"] for one in logs if one["event"] == "merges-not-read-anew"] == [2]
    assert await survivors(engine, mrn("4711", WRONG)) == [("4711", "5000")]
    assert await left_merges(engine, micros(clock.now() - timedelta(days=1))) == 2
    assert await left_merges(engine, micros(clock.now() + timedelta(days=1))) == 0
    assert "merges-not-read-anew" in ROWS


async def contradicting(engine, namespace: str = "CITY") -> Hospital:
    """Have two merges of one number, of which the first is under another authority; return the second's hospital."""
    await wrongly(engine, namespace).sends(ordering(), merging(control_id="2"))
    right = Hospital(engine)
    await right.sends(merging("4711", "6000", control_id="3"))
    return right


async def test_a_merge_that_contradicts_another_under_the_right_authority_is_held_and_its_number_in_doubt(engine):
    await contradicting(engine)
    await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    assert await survivors(engine) == [("4711", "6000")]
    held = [one.held for one in await changes_of(engine, [mrn("4711")]) if one.held]
    assert held == ["merge-second-survivor"]


async def test_a_merge_that_is_held_once_it_is_read_anew_is_an_alert_and_settled_by_an_operator(engine):
    right = await contradicting(engine)
    before = micros(clock.now())
    with capture_logs() as logs:
        await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    assert await right.states() == [("applied", ""), ("held", "merge-second-survivor"), ("applied", "")]
    assert (await trouble_of(engine, before))[0] == "held"
    assert [one["code"] for one in logs if one["event"] == "order-message-held"] == ["merge-second-survivor"]
    (message,) = [one async for one in troubled(engine)]
    assert message.payload == merging(control_id="2")
    locked = frozenset(map(number_text, (mrn("4711"), mrn("5000"))))
    assert await engine.do(lambda: set_aside(message, "a mistake", 9, locked)) == locked
    assert [one.held for one in await changes_of(engine, [mrn("4711")])] == [""]


async def test_a_message_that_is_held_with_both_its_merges_puts_both_numbers_in_doubt_until_it_is_set_aside(engine):
    second = b"PID|2||5001^^^CITY^MR\rMRG|4712^^^CITY^MR\r"
    await wrongly(engine).sends(ordering(), merging(control_id="2") + second)
    await Hospital(engine).sends(merging("4711", "6000", control_id="3"), merging("4712", "6001", control_id="4"))
    await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    held = await engine.do(lambda: held_by(2))
    assert sorted(one.change.surviving.value for one in held) == ["5000", "5001"]


async def test_a_merge_that_contradicts_another_and_whose_message_is_gone_stays_as_it_was_and_is_counted(engine):
    """Nobody could settle it, so no number is put in doubt."""
    await contradicting(engine, "TOWN")
    await engine.do(forget)
    before = await rows(engine, EVERY_CHANGE)
    await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    assert await rows(engine, EVERY_CHANGE) == before
    assert await left_merges(engine, 0) == 1


async def test_of_a_pair_that_was_read_wrongly_nothing_is_left_so_an_erasure_has_all_of_it(engine):
    await wrongly(engine).sends(ordering(), merging(control_id="2"))
    await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    ((_, authority, held),) = await rows(engine, EVERY_CHANGE)
    assert (authority, held) == ("urn:oid:1.2.1", "")


async def test_a_pair_under_the_system_of_another_hospital_is_counted_though_a_setting_names_that(engine):
    his = wrongly(engine, system=MERCYS)
    await his.sends(merging(control_id="2"))
    assert await his.bodies() == [False]
    with capture_logs() as logs:
        await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    assert await left_merges(engine, 0) == 1
    told = [(one["source"], one["where"]) for one in logs if one["event"] == "merges-not-read-anew"]
    assert told == [("city-his", MERCYS)]


async def test_a_pair_that_its_source_gives_or_another_hospital_says_is_not_counted(engine):
    await OrderKeys(engine, AUTHORITIES, await both_hospitals(engine)).once()
    assert await survivors(engine) == [("4711", "5000")]
    assert await survivors(engine, mrn("4711", MERCYS)) == [("4711", "5000")]
    assert await left_merges(engine, 0) == 0


async def test_a_merge_is_read_anew_from_a_later_message_that_says_it_again(engine):
    his = wrongly(engine)
    await his.sends(ordering(), merging(control_id="2"), merging(control_id="3"))
    await engine.do(lambda: ask(Statement("UPDATE inbound SET body = NULL WHERE number = 2")))
    await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    assert await survivors(engine, mrn("4711", WRONG)) == []
    assert [one.message.control_id for one in await changes_of(engine, [mrn("4711")])] == ["3"]
    assert await left_merges(engine, 0) == 0


async def test_equal_numbers_that_two_hospitals_merged_are_not_taken_for_one_pair(engine):
    """One source sends for both. Of City's merge, read under a wrong system, no message is kept; of Mercy's, one is."""
    mercys = authority_of("MERCY", MERCYS)
    his = wrongly(engine)
    wrong = his.source.rules
    his.source = replace(his.source, rules=replace(wrong, authorities=(*wrong.authorities, mercys)))
    his.applying._source = his.source
    his.applying._authorities = Authorities(parse_site(CITY_WRONGLY.format(WRONG, "CITY") + MERCY_TABLE))
    mercy = merging(control_id="3").replace(b"^^^CITY^MR", b"^^^MERCY^MR")
    await his.sends(ordering(), merging(control_id="2"), mercy)
    await engine.do(forget)
    await engine.do(lambda: ask(Statement("UPDATE inbound SET body = :body WHERE number = 3"), body=packed(mercy)))
    before = await rows(engine, EVERY_CHANGE)
    both = replace(RULES, authorities=(*RULES.authorities, mercys))
    await OrderKeys(engine, AUTHORITIES, {"city-his": both}).once()
    assert await rows(engine, EVERY_CHANGE) == before
    assert await left_merges(engine, 0) == 1


async def test_a_message_whose_bytes_are_damaged_says_nothing_and_the_others_are_read_anew(engine):
    other = ordering(mrn="4712", placer="P2", accession="A2", control_id="4")
    await wrongly(engine).sends(ordering(), merging(control_id="2"), other, merging("4712", "5001", control_id="3"))
    await engine.do(lambda: ask(Statement("UPDATE inbound SET body = :body WHERE number = 2"), body=b"\xffdamaged"))
    keys = OrderKeys(engine, AUTHORITIES, RIGHT)
    await keys.once()
    assert await keys.is_done()
    assert await survivors(engine, mrn("4712")) == [("4712", "5001")]
    assert await survivors(engine, mrn("4711", WRONG)) == [("4711", "5000")]
    assert await left_merges(engine, 0) == 1


async def both_hospitals(engine) -> dict[str, SourceRules]:
    """Have City's source send a pair as Mercy's, which Mercy's own source says, too; return the right rules of both."""
    await wrongly(engine, system=MERCYS).sends(ordering(), merging(control_id="2"))
    mercy = replace(RULES, bare={"patient": authority_of("MERCY", MERCYS)})
    unnamed = merging(control_id="8").replace(b"^^^CITY^MR", b"")
    await Hospital(engine, hospital_source(order_source=MERCY, bare=mercy.bare)).sends(unnamed)
    await engine.do(lambda: ask(Statement("UPDATE inbound SET body = :body WHERE number = 3"), body=packed(unnamed)))
    return {**RIGHT, "mercy-his": mercy}


@pytest.mark.parametrize(
    "erasing", ["DELETE FROM number_change", "UPDATE inbound SET body = NULL WHERE number = 2"], ids=["pair", "message"]
)
async def test_a_pair_that_is_erased_while_others_are_read_anew_is_not_put_back(engine, monkeypatch, erasing):
    rules, locks_taken = await both_hospitals(engine), rekeying.locks.take

    def erased_before(names):
        yield from ask(Statement(erasing))
        yield from locks_taken(names)

    read_anew = rekeying.Rereading(engine, AUTHORITIES, rules)
    monkeypatch.setattr(rekeying.locks, "take", erased_before)
    assert not await read_anew.merges()
    assert await survivors(engine) == []


async def test_a_pair_whose_message_is_dropped_while_others_are_read_anew_stays_as_it_was_and_is_counted(
    engine, monkeypatch
):
    await wrongly(engine).sends(ordering(), merging(control_id="2"))
    before, locks_taken = await rows(engine, EVERY_CHANGE), rekeying.locks.take

    def dropped_before(names):
        yield from forget()
        yield from locks_taken(names)

    read_anew = rekeying.Rereading(engine, AUTHORITIES, RIGHT)
    monkeypatch.setattr(rekeying.locks, "take", dropped_before)
    assert (await read_anew.merges()).total() == 1
    assert await rows(engine, EVERY_CHANGE) == before


async def test_a_message_that_was_set_aside_says_nothing_any_more(engine):
    await wrongly(engine).sends(ordering(), merging(control_id="2"), merging(control_id="3"))
    aside = "UPDATE inbound SET state = 'nothing', code = 'set-aside' WHERE number = 3"
    for statement in ("UPDATE inbound SET body = NULL WHERE number = 2", aside):
        await engine.do(lambda text=statement: ask(Statement(text)))
    before = await rows(engine, EVERY_CHANGE)
    await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    assert await rows(engine, EVERY_CHANGE) == before
    assert await left_merges(engine, 0) == 1


async def test_many_kept_merges_are_read_a_few_at_a_time(engine, monkeypatch):
    """Each is parsed: the process serves between them."""
    pairs = [merging(str(4000 + one), str(5000 + one), control_id=str(one)) for one in range(2, 45)]
    await wrongly(engine).sends(ordering(mrn="4002"), *pairs)
    await engine.do(lambda: ask(Statement("UPDATE inbound SET body = :body"), body=packed(pairs[0])))
    turns, read_in, monitored = [0], list[int](), rekeying.read

    def read_noted(payload):
        read_in.append(turns[0])
        return monitored(payload)

    async def others():
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(rekeying, "read", read_noted)
    async with alongside([others()]):
        await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    assert len(read_in) >= 43
    assert max(Counter(read_in).values()) <= 20


async def test_what_could_not_be_read_anew_is_counted_though_the_process_ends_before_the_digest_is_stored(
    engine, monkeypatch
):
    await wrongly(engine).sends(ordering(), merging(control_id="2"))
    await engine.do(forget)

    async def ended(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(rekeying, "claimed", ended)
    with pytest.raises(ZeroDivisionError):
        await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    assert await left_merges(engine, 0) == 1


async def test_a_merge_that_names_its_authority_in_full_stays_as_it_was_and_is_counted(engine):
    his = wrongly(engine)
    await his.sends(ordering(), merging(control_id="2").replace(b"^^^CITY^MR", b"^^^CITY&1.2.11&ISO^MR"))
    before = await rows(engine, EVERY_CHANGE)
    await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    assert await rows(engine, EVERY_CHANGE) == before
    assert await left_merges(engine, 0) == 1


async def test_a_merge_of_a_source_without_a_table_stays_as_it_is(engine):
    his = wrongly(engine)
    await his.sends(ordering(), merging(control_id="2"))
    before = await rows(engine, EVERY_CHANGE)
    await OrderKeys(engine, AUTHORITIES, {}).once()
    assert await rows(engine, EVERY_CHANGE) == before
