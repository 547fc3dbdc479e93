"""HL7 v2.5.1 §3.3.40 (A40), §3.4.9 (MRG), decision D48: merges are kept as pairs of numbers, or held with a reason."""

from __future__ import annotations

import pytest
from fakes.hospital import mrn
from fakes.hospital_source import Hospital, hl7, merging, msh, ordering

from gateway.store.orders.numbers import changes_of, number_text, put_study_keys


@pytest.fixture
def his(engine):
    return Hospital(engine)


async def held(his, *numbers: str) -> list[tuple[str, str, str]]:
    found = await changes_of(his.engine, [mrn(one) for one in numbers])
    return [(one.change.prior.value, one.change.surviving.value, one.held) for one in found]


async def test_of_an_unknown_patient_only_the_pair_is_kept(his):
    assert await his.sends(merging()) == [("applied", "")]
    assert await his.bodies() == [False]
    assert await held(his, "4711") == [("4711", "5000", "")]


async def test_the_studies_of_both_numbers_are_ingested(his):
    for study, number in (("stu_1", "4711"), ("stu_2", "5000"), ("stu_3", "6000")):
        key = number_text(mrn(number))
        await his.engine.do(lambda study=study, key=key: put_study_keys(study, [key]))
    await his.sends(merging())
    assert await his.asked() == ["stu_1", "stu_2"]
    assert await his.bodies() == [True]
    assert await his.sends(merging(control_id="2")) == [("applied", ""), ("nothing", "")]
    assert await his.asked() == ["stu_1", "stu_2"]


async def test_the_bytes_of_a_merge_of_a_known_patient_are_kept(his):
    await his.sends(ordering(), merging(control_id="2"))
    assert await his.bodies() == [True, True]


async def test_a_swap_is_held_with_its_reason(his):
    swap = merging("5000", "4711", control_id="2")
    assert await his.sends(merging(), swap) == [("applied", ""), ("held", "merge-swap")]
    assert await held(his, "4711") == [("4711", "5000", ""), ("5000", "4711", "merge-swap")]
    assert await his.bodies() == [False, True]
    assert his.counted("orders_settled_total", state="held") == 1


async def test_a_second_survivor_is_used_once_both_are_one(his):
    messages = [merging("1", "2"), merging("1", "3", control_id="2"), merging("2", "3", control_id="3")]
    assert await his.sends(*messages) == [("applied", ""), ("held", "merge-second-survivor"), ("applied", "")]
    assert await held(his, "1") == [("1", "2", ""), ("1", "3", ""), ("2", "3", "")]


async def test_what_is_understood_and_not_applied_is_held(his):
    unlinked = hl7(msh("ADT^A37"), "EVN|A37|20260105120000-0600", "PID|1||1^^^CITY^MR", "PID|2||2^^^CITY^MR")
    assert await his.sends(unlinked) == [("held", "unlink")]
    differs = merging(control_id="2").replace(b"EVN|A40", b"EVN|A41")
    assert (await his.sends(differs))[1] == ("held", "event-differs")
    assert await held(his, "4711") == [("4711", "5000", "event-differs")]
    await his.sends(merging(control_id="3"))
    assert await held(his, "4711") == [("4711", "5000", "")]


def pairs(control_id: str, *numbers: tuple[str, str]) -> bytes:
    told = [(f"PID|1||{new}^^^CITY^MR", f"MRG|{old}^^^CITY^MR") for old, new in numbers]
    at = msh("ADT^A40", control_id=control_id, minute=int(control_id))
    return hl7(at, "EVN|A40|20260105120000-0600", *[one for pair in told for one in pair])


@pytest.mark.parametrize(
    ("contradictory", "answer", "numbers"),
    [
        ([("4711", "5000"), ("5000", "4711")], ("5000", "4711"), ("4711", "5000")),
        ([("4711", "5000"), ("4711", "6000")], ("4711", "5000"), ("4711", "5000", "6000")),
        ([("4711", "5000"), ("4711", "6000")], ("4711", "7000"), ("4711", "5000", "6000")),
    ],
)
async def test_a_later_merge_settles_what_a_held_message_left_in_doubt(his, contradictory, answer, numbers):
    (first,) = await his.sends(pairs("20", *contradictory))
    assert first[0] == "held"
    assert await held(his, "4711") == [(*one, first[1]) for one in contradictory]
    assert (await his.sends(pairs("21", answer)))[1] == ("applied", "")
    assert await held(his, *numbers) == [(*answer, "")]


async def test_a_merge_that_is_told_again_settles_what_contradicts_it(his):
    await his.engine.do(lambda: put_study_keys("stu_1", [number_text(mrn("4711"))]))
    swap = merging("5000", "4711", control_id="2")
    assert await his.sends(merging(), swap, merging(control_id="3")) == [
        ("applied", ""),
        ("held", "merge-swap"),
        ("applied", ""),
    ]
    assert await held(his, "4711") == [("4711", "5000", "")]
    assert (await his.sends(merging(control_id="4")))[3] == ("nothing", "")
    assert (await his.sends(merging("5000", "4711", control_id="5")))[4] == ("held", "merge-swap")
    assert await held(his, "4711") == [("4711", "5000", ""), ("5000", "4711", "merge-swap")]


async def test_a_held_merge_settles_nothing_and_neither_does_one_of_another_number(his):
    await his.sends(pairs("20", ("4711", "5000"), ("4711", "6000")))
    await his.sends(merging("6000", "8000", control_id="21"), pairs("22", ("4711", "5000"), ("4711", "7000")))
    assert ("4711", "5000", "prior-twice") in await held(his, "4711")
    assert ("4711", "6000", "prior-twice") in await held(his, "4711")
