"""The law of news: what is told of an order's visit comes only from messages about its patient (D12, D48).

Random streams of orders, visits and merges of three patients that share two visit numbers, from bytes to facts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from fakes.hospital_source import Hospital, hl7, merging, msh
from fakes.met import carry_out, facts, matching, read
from fakes.scale import examples
from fakes.taken_in import study_id


class Known(NamedTuple):
    """A patient, with an older and a newer number."""

    name: str
    said: dict[str, str]
    numbers: tuple[str, str]


PATIENTS = (
    Known(
        "DOE^JANE||19850720|F",
        {"patientName": "Jane Doe", "dateOfBirth": "1985-07-20", "sex": "female"},
        ("4711", "4712"),
    ),
    Known(
        "ROE^JOHN||19500101|M",
        {"patientName": "John Roe", "dateOfBirth": "1950-01-01", "sex": "male"},
        ("5711", "5712"),
    ),
    Known(
        "POE^ANN||19900302|F",
        {"patientName": "Ann Poe", "dateOfBirth": "1990-03-02", "sex": "female"},
        ("6711", "6712"),
    ),
)
EVENTS = ("A01", "A02", "A03", "A04", "A06", "A08", "A12", "A13")


def pid(of: int, draw: random.Random, *, has_merges: bool) -> str:
    """Write a PID that names its patient by number, by name, or by both."""
    one = PATIENTS[of]
    number = f"{draw.choice(one.numbers if has_merges else one.numbers[:1])}^^^CITY^MR"
    numbers, name = draw.choice([(number, one.name), (number, ""), ("", one.name), ("12345678^^^CITY^MR", one.name)])
    return f"PID|1||{numbers}||{name}"


def pv1(step: int, of: int, draw: random.Random) -> str:
    """Write a PV1 whose values name the patient."""
    values = {
        2: draw.choice("IOE"),
        3: f"W{of}-{step}",
        7: f"A{of}^A{of}",
        8: f"R{of}^R{of}",
        19: f"{draw.choice(['V1', 'V2'])}^^^CITYVN",
    }
    kept = {number: text for number, text in values.items() if number == 19 or draw.random() < 0.7}
    return "|".join(["PV1", *(kept.get(number, "") for number in range(1, 20))])


def ordered(step: int, of: int, draw: random.Random) -> bytes:
    control = draw.choice(("NW", "XO", "SC")) if step > len(PATIENTS) else "NW"
    number = PATIENTS[of].numbers[0]
    who = f"PID|1||{number}^^^CITY^MR||{PATIENTS[of].name}"
    obr = f"OBR|1|P{of}||CT^CT||||||||||||||A{of}"
    return hl7(msh(control_id=f"{of}.{step}", minute=step), who, pv1(step, of, draw), f"ORC|{control}|P{of}", obr)


def visited(step: int, of: int, draw: random.Random, *, has_merges: bool) -> bytes:
    event = draw.choice(EVENTS)
    at = f"EVN|{event}|20260105{10 + step // 60:02d}{step % 60:02d}00-0600"
    return hl7(
        msh(f"ADT^{event}", control_id=f"{of}.{step}", minute=step),
        at,
        pid(of, draw, has_merges=has_merges),
        pv1(step, of, draw),
    )


def stream(draw: random.Random, *, has_merges: bool) -> Iterator[bytes]:
    """Yield an order of each patient, then whatever happens."""
    for of in range(len(PATIENTS)):
        yield ordered(of, of, draw)
    for step in range(3, 20):
        of = draw.randrange(len(PATIENTS))
        kind = draw.random()
        if has_merges and kind < 0.15:
            yield merging(*PATIENTS[of].numbers, control_id=f"m{step}", minute=step)
        elif kind < 0.4:
            yield ordered(step, of, draw)
        else:
            yield visited(step, of, draw, has_merges=has_merges)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(examples(60)))
async def test_class_place_and_doctors_of_an_order_come_only_from_news_about_its_patient(sqlite_engine, seed):
    his, pipeline = Hospital(sqlite_engine), matching(sqlite_engine)
    has_merges = bool(seed % 2)
    for message in stream(random.Random(seed), has_merges=has_merges):
        await his.sends(message)
    assert {state for state, _ in await his.states()} <= {"applied", "nothing"}
    for of, one in enumerate(PATIENTS):
        await read(pipeline, f"A{of}", digit=str(of + 1), mrn=one.numbers[0], **one.said)
    await carry_out(sqlite_engine, pipeline)
    for of in range(len(PATIENTS)):
        (order,) = (await facts(sqlite_engine, study_id(str(of + 1)))).orders
        visit = order.visit
        assert visit.message.control_id.startswith(f"{of}.")
        assert {place[:2] for place in visit.location} <= {f"W{of}"}
        assert {who.family[1:] for who in (*visit.attending, *visit.referring)} <= {str(of)}
        assert has_merges or not any(name.control_id.startswith(f"{of}.") for name in order.refused)
