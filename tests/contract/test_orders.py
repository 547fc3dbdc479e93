"""Orders and number changes are found by their numbers, and are read as they were written; decision D48."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from fakes.hospital import AUTHORITIES
from fakes.random_hospital import workflows

from gateway.store.database.facts import Controls
from gateway.store.orders.hospital import (
    OrdersAtHand,
    StoredOrder,
    order_of,
    orders_of_keys,
    put_order,
    texts_of_orders,
)
from gateway.store.orders.numbers import (
    add_change,
    changes_of,
    key_text,
    keys_of,
    put_study_keys,
    record_text,
    refresh_studies,
)
from mappings.hospital.authorities import HospitalNumber, OrderKey
from mappings.hospital.groups import ResolvedChange
from mappings.model import HospitalMessageName

MESSAGE = HospitalMessageName("ris", "A1")


def some_orders():
    hospital, _ = workflows(7, 40)
    return list(dict.fromkeys(one for found in hospital.known().orders.values() for one in found))


async def test_an_order_is_read_as_it_was_written_by_each_of_its_numbers(engine):
    for order in some_orders():
        keys = list(keys_of(order, AUTHORITIES))
        number = await engine.do(lambda order=order, keys=keys: put_order(None, order, keys, 5))
        for key in keys:
            assert StoredOrder(number, 1, order) in await orders_of_keys(engine, [key])
    assert await orders_of_keys(engine, [key_text(OrderKey("placer", "urn:oid:1.2", "none"))]) == []


async def test_a_changed_order_is_found_by_its_new_numbers_only(engine):
    order = next(one for one in some_orders() if one.accession)
    number = await engine.do(lambda: put_order(None, order, ["a", "b"], 5))
    changed = replace(order, section="RAD")
    assert await engine.do(lambda: put_order(number, changed, ["b", "c"], 6)) == number
    assert await orders_of_keys(engine, ["a"]) == []
    assert await orders_of_keys(engine, ["b"]) == [StoredOrder(number, 2, changed)]
    assert await engine.do(lambda: order_of(number)) == StoredOrder(number, 2, changed)
    assert await engine.do(lambda: order_of(number + 1)) is None


async def test_orders_at_hand_are_as_their_transaction_changed_them(engine):
    one, two, three = some_orders()[:3]
    first, second = [
        await engine.do(lambda order=order, keys=keys: put_order(None, order, keys, 5))
        for order, keys in ((one, ["a", "b"]), (two, ["b", "c"]))
    ]

    def work():
        here = OrdersAtHand()
        yield from here.read(["a", "b", "d"])
        assert here.having(["b", "d"]) == [(first, one), (second, two)]
        assert here.having(["a"]) == [(first, one)]
        yield from here.put(first, two, ["b", "d"], 6)
        made = yield from here.put(None, three, ["d"], 6)
        assert here.having(["a"]) == []
        assert here.having(["d"]) == [(first, two), (made, three)]
        return made

    made = await engine.do(work)
    assert await orders_of_keys(engine, ["d"]) == [StoredOrder(first, 2, two), StoredOrder(made, 1, three)]


async def test_the_texts_of_orders_are_those_that_a_study_can_have(engine):
    names = ["own\x1f1", "placer\x1f\x1f1", "accession\x1f\x1f1", "patient\x1f\x1fMR\x1f1"]
    first = await engine.do(lambda: put_order(None, some_orders()[0], names, 5))
    await engine.do(lambda: put_order(None, some_orders()[0], ["filler\x1f\x1f2"], 5))
    found = await texts_of_orders(engine, ["own\x1f1", "none"])
    assert found == {"placer\x1f\x1f1", "accession\x1f\x1f1", record_text(first)}


def patient(value, authority="urn:oid:1.2"):
    return HospitalNumber("patient", authority, "MR", value)


async def test_all_changes_of_a_chain_are_found_from_each_of_its_numbers(engine):
    chain = [ResolvedChange(patient(str(one)), patient(str(one + 1))) for one in range(6)]
    other = ResolvedChange(patient("1", "urn:oid:9"), patient("2", "urn:oid:9"))
    for change in (*chain, other):
        assert await engine.do(lambda change=change: add_change(change, change.surviving.value, MESSAGE, "", 5))
    assert not await engine.do(lambda: add_change(chain[0], "1", MESSAGE, "", 5))
    for one in range(7):
        found = await changes_of(engine, [patient(str(one))])
        assert [stored.change for stored in found] == chain
        assert {stored.message for stored in found} == {MESSAGE}
    assert await changes_of(engine, [patient("7")]) == []


async def test_a_number_too_long_for_an_index_or_unfit_for_a_column_is_kept_and_found_again(engine):
    # Digits of hashes: PostgreSQL would pack equal letters until they fit
    long = "".join(sha256(bytes([one])).hexdigest() for one in range(200))
    old, new = patient(long, long), patient("4\x007\ud800", long)
    assert await engine.do(lambda: add_change(ResolvedChange(old, new), long, MESSAGE, "", 5))
    assert not await engine.do(lambda: add_change(ResolvedChange(old, new), long, MESSAGE, "", 5))
    for one in (old, new):
        (found,) = await changes_of(engine, [one])
        assert found.surviving_text == long
    assert await changes_of(engine, [patient(long + "1", long)]) == []


async def test_a_new_number_requests_an_ingest_of_each_study_that_has_it(engine):
    def work():
        yield from put_study_keys("stu_1", ["a", "b"])
        yield from put_study_keys("stu_2", ["b"])
        yield from put_study_keys("stu_1", ["a", "c"])

    await engine.do(work)
    for keys, studies in ((["a"], ["stu_1"]), (["b"], ["stu_2"]), (["a", "b", "c"], ["stu_1", "stu_2"]), ([], [])):
        assert await engine.do(lambda keys=keys: refresh_studies(keys, 5)) == studies
    assert [one.argument for one in await Controls(engine).open(9)] == ["stu_1", "stu_2", "stu_1", "stu_2"]
