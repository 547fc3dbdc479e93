"""Decision D48: stored messages of a source are applied once, in order; HL7 v2.5.1 §4.5.1.1 (ORC-1)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from fakes.hospital import AUTHORITIES
from fakes.hospital_source import Hospital, hl7, hospital_source, merging, msh, ordering, visiting
from fakes.store import rows

from gateway.ingest.orders import apply_loop
from gateway.runtime.errors import StoreUnavailable
from gateway.runtime.loops import alongside
from gateway.store.database.engine import INBOUND, Statement, ask
from gateway.store.orders.hospital import orders_of_keys, visits_of
from gateway.store.orders.inbound import waiting_messages
from gateway.store.orders.numbers import key_text, put_study_keys, record_text
from mappings.hospital.authorities import OrderKey

PLACER = key_text(OrderKey("placer", "urn:oid:1.2.3", "P1"))
ACCESSION = key_text(OrderKey("accession", "urn:oid:1.2.2", "A1"))
FILLER = key_text(OrderKey("filler", "urn:oid:1.2.4", "F1"))


@pytest.fixture
def his(engine):
    return Hospital(engine)


async def test_a_new_order_is_found_by_its_numbers_and_its_visit_is_known(his):
    assert await his.sends(ordering()) == [("applied", "")]
    (found,) = await orders_of_keys(his.engine, [PLACER])
    assert [found] == await orders_of_keys(his.engine, [ACCESSION]) == await his.orders()
    assert (found.order.placer.value, found.order.procedure.code) == ("P1", "CTHEAD")
    assert found.order.patient.family == "DOE"
    keys = [str(key) for (key,) in await rows(his.engine, "SELECT key FROM order_key")]
    (visit,) = await visits_of(his.engine, [key for key in keys if key.startswith("visit")])
    assert (visit.visit.location, visit.message.control_id) == (("ED", "12"), "1")


async def test_each_change_of_an_order_requests_an_ingest_of_its_studies_and_a_repetition_does_not(his):
    await his.engine.do(lambda: put_study_keys("stu_1", [ACCESSION]))
    await his.engine.do(lambda: put_study_keys("stu_2", [FILLER]))
    await his.sends(ordering())
    assert await his.asked() == ["stu_1"]
    await his.sends(ordering(control_id="2", minute=5))
    assert await his.asked() == ["stu_1"]
    await his.sends(ordering(control_id="3", minute=6, filler="F1"))
    assert await his.asked() == ["stu_1", "stu_1", "stu_2"]
    assert await his.sends(ordering("CA", control_id="4", minute=7)) == [("applied", "")] * 4
    (stored,) = await his.orders()
    assert (stored.order.ended, stored.revision) == ("cancelled", 4)


async def test_a_study_that_has_an_order_by_no_number_is_ingested_again_when_the_order_changes(his):
    await his.sends(ordering())
    (stored,) = await his.orders()
    await his.engine.do(lambda: put_study_keys("stu_1", [record_text(stored.number)]))
    await his.sends(visiting(control_id="2"))
    assert await his.asked() == ["stu_1"]
    await his.sends(ordering("CA", control_id="3", minute=7))
    assert await his.asked() == ["stu_1", "stu_1"]


async def test_the_placer_brings_its_number_to_the_fillers_order(his):
    await his.sends(ordering("SN", placer="", filler="F1"), ordering("NA", placer="P1", filler="F1", control_id="2"))
    (stored,) = await his.orders()
    assert (stored.order.placer.value, stored.order.filler.value) == ("P1", "F1")
    assert [stored] == await orders_of_keys(his.engine, [PLACER])


async def test_an_event_that_several_orders_fit_is_held_and_the_rest_of_its_message_applied(his):
    await his.sends(ordering(filler="F1"), ordering(filler="F2", control_id="2"))
    both = hl7(
        msh(control_id="3", minute=9),
        "PID|1||4711^^^CITY^MR",
        "ORC|XO|P1",
        "OBR|1|P1||CTHEAD",
        "ORC|NW|P2",
        "OBR|2|P2||CTNECK",
    )
    assert (await his.sends(both))[2] == ("held", "order-ambiguous")
    assert [one.order.placer.value for one in await his.orders()] == ["P1", "P1", "P2"]
    assert await his.bodies() == [True, True, True]
    assert his.counted("orders_settled_total", state="held") == 1


async def test_a_cancel_whose_order_number_cannot_be_read_is_held_and_makes_no_order(his):
    foreign = ordering("CA", placer="P1^OTHERHIS", accession="", control_id="2", minute=7)
    contradicting = ordering("CA", accession="", control_id="3", minute=8).replace(b"OBR|1|P1|", b"OBR|1|P2|")
    nameless = ordering("CA", placer="", accession="", control_id="4", minute=9)
    by_accession = ordering("CA", placer="P1^OTHERHIS", control_id="5", minute=10)
    assert await his.sends(ordering(), foreign, contradicting, nameless, by_accession) == [
        ("applied", ""),
        ("held", "authority-not-of-source"),
        ("held", "placer-differs"),
        ("held", "order-number-missing"),
        ("held", "authority-not-of-source"),
    ]
    assert [(one.order.placer.value, one.order.ended) for one in await his.orders()] == [("P1", "")]
    assert await his.bodies() == [True] * 5


async def test_a_cancel_that_names_only_the_accession_number_of_an_order_with_a_placers_number_is_held(his):
    await his.sends(ordering(), ordering("CA", placer="", control_id="2", minute=7))
    assert (await his.states())[1] == ("held", "order-ambiguous")
    bare = ordering(placer="", accession="A7", control_id="3")
    ended = ordering("CA", placer="", accession="A7", control_id="4", minute=8)
    assert (await his.sends(bare, ended))[2:] == [("applied", "")] * 2
    assert [one.order.ended for one in await his.orders()] == ["", "cancelled"]


async def test_a_new_order_keeps_the_issue_of_a_number_that_cannot_be_read(his):
    assert await his.sends(ordering(placer="P1^OTHERHIS")) == [("applied", "authority-not-of-source")]
    (stored,) = await his.orders()
    assert (stored.order.placer, stored.order.accession.value) == (None, "A1")


@pytest.mark.parametrize(
    ("structure", "settled"), [("ORM^O01", ("held", "several-patients")), ("OMG^O19", ("applied", "several-patients"))]
)
async def test_orders_behind_a_second_patient_hold_the_message_unless_they_are_prior_results(his, structure, settled):
    second = hl7("PID|2||5^^^CITY^MR||ROE^MARY", "ORC|CA|P7", "OBR|1|P7")
    assert await his.sends(ordering(structure=structure) + second) == [settled]
    assert [one.order.placer.value for one in await his.orders()] == ["P1"]


async def test_what_changes_no_order_is_settled_as_nothing(his):
    assert await his.sends(ordering("HD"), ordering("??", control_id="2")) == [
        ("nothing", ""),
        ("nothing", "order-control-unknown"),
    ]
    assert await his.orders() == []


async def test_an_order_that_is_replaced_by_none_that_names_it_ends_and_is_counted(his):
    replacing = ordering("RP", control_id="2", minute=5) + hl7("ORC|RO|P2", "OBR|2|P2||CTNECK")
    assert (await his.sends(ordering(), replacing))[1] == ("applied", "replacement-unlinked")
    assert [(one.order.placer.value, one.order.ended) for one in await his.orders()] == [("P1", "replaced"), ("P2", "")]
    assert his.counted("orders_noted_total", code="replacement-unlinked") == 1


async def test_of_a_message_that_arrives_late_the_newer_content_stands(his):
    await his.sends(ordering(minute=9, accession="A2"), ordering(minute=3, accession="A1", control_id="2"))
    (stored,) = await his.orders()
    assert stored.order.accession.value == "A2"


async def test_orders_of_another_source_with_the_same_number_stay_apart(his):
    other = replace(his.source, order_source=replace(his.source.order_source, name="city-ris"))
    ris = Hospital(his.engine, other)
    await his.sends(ordering())
    await ris.sends(ordering(accession="A2"))
    assert [one.order.accession.value for one in await his.orders()] == ["A1", "A2"]


async def test_messages_of_which_the_settings_take_no_more_are_settled_and_not_kept(his):
    await his.stores(ordering())
    later = Hospital(his.engine, replace(his.source, rules=replace(his.source.rules, message_types=frozenset())))
    assert await later.sends() == [("nothing", "not-listed")]
    assert await his.bodies() == [False]


@pytest.mark.full
async def test_a_message_that_fails_twice_is_kept_and_stops_only_its_own_order(his, monkeypatch):
    real, tries = apply_loop.apply_orders, []

    def broken(arrival, batch):
        if arrival.message.control_id == "2":
            tries.append(1)
            raise ZeroDivisionError
        return (yield from real(arrival, batch))

    monkeypatch.setattr(apply_loop, "apply_orders", broken)
    messages = [
        ordering(),
        ordering("CA", control_id="2", minute=1),
        ordering("XO", control_id="3", minute=2),
        ordering(placer="P2", accession="A2", control_id="4", minute=3),
    ]
    failed, after = ("failed", "internal"), ("failed", "after-failed")
    assert await his.sends(*messages) == [("applied", ""), failed, after, ("applied", "")]
    assert len(tries) == 3  # once with the others, twice alone
    assert await his.bodies() == [True] * 4
    monkeypatch.setattr(apply_loop, "apply_orders", real)
    assert await his.sends() == [("applied", ""), failed, after, ("applied", "")]
    assert await Hospital(his.engine).sends() == [("applied", "")] * 4
    assert [one.order.ended for one in await his.orders()] == ["", ""]  # XO came after CA
    assert his.counted("orders_settled_total", state="failed") == 2


@pytest.fixture
def transactions(his, monkeypatch):
    """Transactions that apply messages, each as the number of messages that it settled."""
    real, seen = his.engine.do, []

    async def noted(work):
        done = await real(work)
        if isinstance(done, list):
            seen.append(len(done))
        return done

    monkeypatch.setattr(his.engine, "do", noted)
    return seen


LIFE = [
    ordering(),
    ordering(filler="F1", control_id="2", minute=1),
    visiting(control_id="3"),
    ordering("CA", filler="F1", control_id="4", minute=2),
    ordering(placer="P2", accession="A2", control_id="5", minute=3),
    merging(control_id="6"),
]


async def test_a_backlog_is_applied_in_few_transactions_and_each_message_once(his, transactions):
    await his.sends(*LIFE * 3)
    assert transactions == [6]
    assert [(one.revision, one.order.ended) for one in await his.orders()] == [(4, "cancelled"), (1, "")]
    assert [state for state, _ in await his.states()] == ["applied"] * 6


async def test_many_messages_are_applied_by_sixteen(his, transactions):
    await his.stores(*(ordering(placer=f"P{one}", accession=f"A{one}", control_id=f"{one}") for one in range(50)))
    assert await his.applying.turn() == 50
    assert transactions == [16, 16, 16, 2]


async def test_a_message_alone_is_applied_in_one_transaction_also_if_it_changes_an_order(his, transactions):
    his.source = replace(his.source, order_source=replace(his.source.order_source, are_uids_keys=True))
    his = Hospital(his.engine, his.source)
    uid = hl7("ZDS|1.2.3^HIS^Application^DICOM")
    await his.sends(ordering() + uid)
    await his.sends(ordering("XO", control_id="2", minute=1) + uid)
    assert (transactions, len((await his.orders())[0].order.study_uids)) == ([1, 1], 1)


async def test_messages_whose_numbers_were_not_foreseen_are_applied_once_and_in_order(his, transactions, monkeypatch):
    await his.sends(ordering(), ordering(placer="P2", accession="A2", control_id="2"))

    async def nothing(*_):
        return frozenset()

    monkeypatch.setattr(apply_loop, "texts_of_orders", nothing)
    transactions.clear()
    changes = [ordering("XO", placer=f"P{one}", accession=f"A{one}", control_id=f"x{one}", minute=9) for one in (1, 2)]
    cancel = ordering("CA", control_id="x3", minute=10)
    assert await his.sends(*changes, cancel) == [("applied", "")] * 5
    assert transactions == [1, 1, 1]
    assert [(one.revision, one.order.ended) for one in await his.orders()] == [(3, "cancelled"), (2, "")]


async def test_messages_about_many_numbers_are_applied_in_smaller_transactions(his, transactions, monkeypatch):
    monkeypatch.setattr(apply_loop, "_MOST_LOCKED", 12)
    assert [state for state, _ in await his.sends(*LIFE)] == ["applied"] * 6
    assert len(transactions) > 1


async def test_failed_messages_are_tried_again_under_the_lock_of_their_source(his, monkeypatch):
    done = []

    def noted(name, real):
        def step(*args):
            done.append((name, *args))
            return (yield from real(*args))

        return step

    monkeypatch.setattr(apply_loop.locks, "take", noted("take", apply_loop.locks.take))
    monkeypatch.setattr(apply_loop, "try_again", noted("try again", apply_loop.try_again))
    await his.applying.turn()
    assert done == [("take", [f"source {his.source.name}"]), ("try again", his.source.name)]


async def test_a_damaged_row_does_not_stop_the_others(his):
    await his.stores(ordering(), ordering(placer="P2", control_id="2"))
    spoil = Statement("UPDATE inbound SET body = :body WHERE control_id = '1'")
    await his.engine.do(lambda: ask(spoil, body=b"\x00xyz"))
    assert await his.sends() == [("failed", "row-unreadable"), ("applied", "")]


async def test_a_message_with_a_value_that_the_database_refuses_fails_and_the_others_go_on(his, monkeypatch):
    real = apply_loop.apply_orders

    def refused(arrival, batch):
        if arrival.message.control_id == "1":
            yield from ask(Statement("UPDATE source SET first_seen = :seen"), seen=2**70)
        return (yield from real(arrival, batch))

    monkeypatch.setattr(apply_loop, "apply_orders", refused)
    assert await his.sends(ordering(), ordering(placer="P2", accession="A2", control_id="2")) == [
        ("failed", "store-value-refused"),
        ("applied", ""),
    ]


async def test_while_the_store_cannot_be_reached_messages_wait(his, monkeypatch):
    await his.stores(ordering())

    async def lost(_):
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        await his.applying.turn()
        await his.stores(ordering(control_id="2", minute=2))
        patch.setattr(his.engine, "do", lost)
        with pytest.raises(StoreUnavailable):
            await his.applying.turn()
    assert await his.sends() == [("applied", ""), ("applied", "")]


async def test_two_processes_apply_each_message_once_and_in_order(engines):
    one, other = engines(), engines()
    async with one.opened(), other.opened():
        his = Hospital(one)
        await his.stores(*(ordering("XO", control_id=str(n), minute=n, accession=f"A{n}") for n in range(40)))

        async def applies(engine):
            applying = Hospital(engine).applying
            while await waiting_messages(engine, his.source.name, 1):
                await applying.turn()

        await asyncio.gather(applies(one), applies(other))
        (stored,) = await his.orders()
        assert (stored.revision, stored.order.accession.value) == (40, "A39")


async def test_the_loop_applies_what_is_stored_while_it_waits(his):
    async with alongside([his.applying.run()]), asyncio.timeout(20):
        while not await his.states():
            await his.stores(ordering())
            his.engine.bell.ring(INBOUND)
        while (await his.states())[0][0] == "waiting":
            await asyncio.sleep(0.01)
    assert await his.states() == [("applied", "")]


def test_the_source_of_the_tests_is_one_of_its_hospital():
    assert hospital_source().order_source.facility in {one.name for one in AUTHORITIES.site.facilities.values()}
