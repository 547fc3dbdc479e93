"""HL7 v2.5.1 §2.A.36 (HD), §3.4.9 (MRG), decision D48: visits and merges have the authorities of changed settings."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from fakes.hospital import AUTHORITIES, mrn
from fakes.hospital_source import PATIENTS, RULES, Hospital, hospital_source, merging, ordering, visiting
from fakes.met import carry_out, facts, matching, read
from fakes.scale import EITHER_STORE
from fakes.store import rows
from structlog.testing import capture_logs

from gateway.feed.alerts.conditions import ROWS
from gateway.ingest.orders.rekeying import OrderKeys
from gateway.ingest.orders.sources import authority_of
from gateway.runtime import clock
from gateway.store.database.instants import micros
from gateway.store.database.statements import Statement, ask
from gateway.store.orders.number_changes import changes_of
from gateway.store.orders.rekeying import left_merges
from mappings.hospital.authorities import Authorities, HospitalNumber
from mappings.hospital.events import Authority
from mappings.profile import parse_site

pytestmark = pytest.mark.parametrize("engine", EITHER_STORE, indirect=True)

WRONG = "urn:oid:1.2.11"
VISITS = authority_of("CITYVN", "urn:oid:1.2.5")
RIGHT = {"city-his": RULES}
EVERY_CHANGE = "SELECT number, authority, held FROM number_change ORDER BY number"


def wrongly(engine, namespace: str = "CITY") -> Hospital:
    """Return City's source under settings that have a wrong system of its patient numbers, or another namespace."""
    site = parse_site(
        '[mapping]\naccession_keys = ["acc"]\n[[mapping.facilities]]\nname = "City"\nname_order = "given_family"\n'
        f'mrn_system = "{WRONG}"\nmrn_namespace = "{namespace}"'
    )
    own = authority_of(namespace, WRONG)
    bare = {**RULES.bare, "patient": own}
    his = Hospital(engine, hospital_source(authorities=(own, Authority("CITY"), *RULES.authorities[1:]), bare=bare))
    his.applying._authorities = Authorities(site)
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


async def test_a_merge_that_contradicts_another_under_the_right_authority_is_held_and_its_number_in_doubt(engine):
    his = wrongly(engine)
    await his.sends(ordering(), merging(control_id="2"))
    right = Hospital(engine)
    await right.sends(merging("4711", "6000", control_id="3"))
    await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    assert await survivors(engine) == [("4711", "6000")]
    held = [one.held for one in await changes_of(engine, [mrn("4711")]) if one.held]
    assert held == ["merge-second-survivor"]


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
