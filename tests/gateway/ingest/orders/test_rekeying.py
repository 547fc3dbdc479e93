"""HL7 v2.5.1 §2.A.36 (HD), decision D48: once the settings change authorities, known orders have the new numbers."""

from __future__ import annotations

import pytest
from fakes import hospital
from fakes.hospital import AUTHORITIES
from fakes.hospital_source import RULES, Hospital, hospital_source, ordering
from fakes.met import carry_out, facts, mark_sent, match_of, matching, read
from fakes.store import rows
from fakes.taken_in import outbox
from structlog.testing import capture_logs

from gateway.ingest.orders import rekeying
from gateway.ingest.orders.rekeying import OrderKeys
from gateway.ingest.orders.sources import authority_of
from gateway.store.orders.numbers import key_text, put_study_keys
from mappings.hospital.authorities import Authorities, OrderKey
from mappings.profile import parse_site

NEW = "urn:oid:1.2.22"


def changed() -> Authorities:
    facilities = "\n".join(
        f'[[mapping.facilities]]\nname = "{name}"\nname_order = "given_family"\nmrn_system = "{mrn}"\nmrn_namespace ='
        f' "{name.upper()}"\naccession_system = "{accession}"\naccession_namespace = "{name.upper()}RIS"'
        for name, mrn, accession in (("City", "urn:oid:1.2.1", NEW), ("Mercy", "urn:oid:1.3.1", "urn:oid:1.3.2"))
    )
    return Authorities(parse_site(f'[mapping]\naccession_keys = ["acc"]\n{facilities}'))


RIGHT = {"city-his": RULES}
WRONG_ACCESSIONS, WRONG_PLACERS = authority_of("CITYRIS", NEW), authority_of("CITYHIS", "urn:oid:1.2.33")


def wrongly(engine) -> Hospital:
    """Return City's source with the wrong systems of two authorities."""
    own = (WRONG_ACCESSIONS, WRONG_PLACERS, *RULES.authorities[:2])
    bare = {**RULES.bare, "accession": WRONG_ACCESSIONS, "placer": WRONG_PLACERS}
    return Hospital(engine, hospital_source(authorities=own, bare=bare))


def accession(system: str, value: str = "A1") -> str:
    return key_text(OrderKey("accession", system, value))


async def stored_keys(engine) -> set[str]:
    return {str(key) for (key,) in await rows(engine, "SELECT key FROM order_key")}


async def test_orders_have_the_numbers_of_authorities_that_were_added_and_their_studies_are_ingested(
    engine, monkeypatch
):
    monkeypatch.setattr(rekeying, "MOST", 2)
    his = Hospital(engine)
    his.applying._authorities = changed()
    await his.sends(*[ordering(placer=f"P{one}", accession=f"A{one}", control_id=str(one)) for one in range(1, 6)])
    every = {accession("urn:oid:1.2.2", f"A{one}") for one in range(1, 6)}
    assert not every & await stored_keys(engine)
    for study, key in (("stu_1", accession("urn:oid:1.2.2")), ("stu_2", "x")):
        await engine.do(lambda study=study, key=key: put_study_keys(study, [key]))
    await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    assert every <= await stored_keys(engine)
    assert await his.asked() == ["stu_1"]


async def test_a_system_that_the_settings_contradict_is_no_key_until_they_name_it_again(engine):
    his = Hospital(engine)
    await his.sends(ordering())
    before = await stored_keys(engine)
    await engine.do(lambda: put_study_keys("stu_1", [accession("urn:oid:1.2.2")]))
    await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    await OrderKeys(engine, changed(), RIGHT).once()
    assert not {accession(one) for one in (NEW, "urn:oid:1.2.2")} & await stored_keys(engine)
    assert await his.asked() == ["stu_1"]
    await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    assert await stored_keys(engine) == before


async def test_the_same_authorities_change_nothing_and_are_looked_at_once(engine):
    his = Hospital(engine)
    await his.sends(ordering())
    before = await stored_keys(engine)
    with capture_logs() as logs:
        for _ in range(2):
            await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    assert [one["event"] for one in logs].count("orders-rekeyed") == 1
    assert (await stored_keys(engine), await his.asked()) == (before, [])


async def test_a_study_finds_an_order_again_that_came_under_other_authorities(engine):
    his = Hospital(engine)
    his.applying._authorities = changed()
    await his.sends(ordering(placer=""))
    pipeline = matching(engine)
    await read(pipeline)
    assert (await match_of(engine))[1] == "no-order"
    await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    assert await his.asked()
    await read(pipeline)
    assert (await match_of(engine))[0] == "matched"


@pytest.mark.parametrize("named", ["", "^CITYRIS"])
async def test_a_wrong_system_that_is_corrected_brings_older_orders_to_their_studies_and_sends_nothing(engine, named):
    his = wrongly(engine)
    await his.sends(ordering(accession=f"A1{named}"))
    (before,) = await his.orders()
    pipeline = matching(engine)
    await read(pipeline)
    sent = await outbox(engine)
    assert (await match_of(engine))[1] == "no-order"
    await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    await carry_out(engine, pipeline)
    assert (await match_of(engine))[0] == "matched"
    (stored,) = (await facts(engine)).orders
    assert (stored.placer.system, stored.accession.system) == ("urn:oid:1.2.3", "urn:oid:1.2.2")
    assert await outbox(engine) == sent
    assert (before.order.accession.authority, before.order.accession.value) == (WRONG_ACCESSIONS, "A1")
    await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    assert [one.revision for one in await his.orders()] == [before.revision + 1]


async def test_a_study_whose_message_has_left_keeps_its_order_when_another_system_is_corrected(engine):
    his = Hospital(engine, hospital_source(bare={**RULES.bare, "placer": WRONG_PLACERS}))
    await his.sends(ordering())
    pipeline = matching(engine)
    await read(pipeline)
    await mark_sent(engine)
    sent = await outbox(engine)
    found = await match_of(engine)
    assert found[0] == "matched"
    await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    await carry_out(engine, pipeline)
    assert await match_of(engine) == found
    (stored,) = (await facts(engine)).orders
    assert stored.placer.system == "urn:oid:1.2.3"
    assert await outbox(engine) == sent


async def test_the_authority_that_a_message_names_in_full_stays(engine):
    his = wrongly(engine)
    await his.sends(ordering(accession=f"A1^CITYRIS^{NEW.removeprefix('urn:oid:')}^ISO"))
    await OrderKeys(engine, AUTHORITIES, RIGHT).once()
    (stored,) = await his.orders()
    assert stored.order.accession.authority == WRONG_ACCESSIONS
    assert stored.order.placer.authority == RULES.bare["placer"]
    assert accession("urn:oid:1.2.2") not in await stored_keys(engine)


async def test_an_order_of_a_source_without_a_table_keeps_its_numbers(engine):
    his = wrongly(engine)
    await his.sends(ordering())
    before = await his.orders()
    await OrderKeys(engine, AUTHORITIES, {}).once()
    assert await his.orders() == before


def test_the_digest_of_authorities_depends_on_what_keys_depend_on():
    assert Authorities(hospital.SITE).digest == AUTHORITIES.digest != changed().digest
