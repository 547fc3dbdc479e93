"""Plan of manners: SPECs, counts, chances, and filters by patient."""

import asyncio

import pytest
from fakes.arrivals import arrived

from gateway.runtime.errors import ConfigError
from gateway.sandbox.manner_plan import MannerPlan, PlanPart, holds, parse_ack
from gateway.sandbox.manners import MANNERS
from mappings.hl7v2.ack import parse

NAMES = {id(manner): name for name, manner in MANNERS.items()}


def message(control_id="ID1", patient="123", filler="F1"):
    return (
        f"MSH|^~\\&|GW|MERCY|EHR|HOSP|20260105||ORU^R01^ORU_R01|{control_id}|P|2.5.1\r"
        f"PID|1||{patient}^^^MERCY^MR~999^^^X||DOE^JANE\rOBR|1||{filler}^GW\r"
    ).encode()


def met(plan, number=300):
    """Names of what so many messages meet."""
    return [NAMES[id(plan.received(message()).manner)] for _ in range(number)]


async def codes(sender, *messages):
    got = []
    for payload in messages:
        await sender.say(payload)
        got.append(parse(await sender.answer()).code)
    return got


async def test_the_first_messages_are_refused_and_the_rest_is_accepted(facing):
    _, sender = await facing("ar:3")
    assert await codes(sender, *[message()] * 5) == ["AR", "AR", "AR", "AA", "AA"]


async def test_one_part_follows_another(facing):
    _, sender = await facing("ar:2, ae:1,ce:PID-3=7,cr:1")
    sent = [message(), message(), message(), message(), message(patient="7"), message()]
    assert await codes(sender, *sent) == ["AR", "AR", "AE", "CR", "CE", "AA"]


async def test_the_first_connections_are_closed_and_the_rest_stays(facing):
    receiver, sender = await facing("close-at-once:2,ar:1")
    assert await sender.rest() == (b"", "closed")
    assert await (await facing.again(receiver)).rest() == (b"", "closed")
    assert await codes(await facing.again(receiver), message(), message()) == ["AR", "AA"]


async def test_f48_one_patient_alone_is_refused_again_and_again(facing):
    _, sender = await facing("ae:PID-3=666")
    patients = ("1", "666", "2", "666", "666")
    assert await codes(sender, *[message(patient=patient) for patient in patients]) == ["AA", "AE", "AA", "AE", "AE"]


async def test_f48_any_predicate_on_the_message_chooses_the_poison(facing):
    plan = MannerPlan((PlanPart((MANNERS["ae"],), times=2, where=lambda payload: b"|poison^" in payload),))
    _, sender = await facing(plan)
    sent = [message(filler=filler) for filler in ("poison", "F2", "poison", "poison")]
    assert await codes(sender, *sent) == ["AE", "AA", "AE", "AA"]


async def test_a_manner_of_the_tests_own_can_be_passed_and_exchanged_while_it_runs(facing):
    receiver, sender = await facing(MANNERS["ar"])
    assert await codes(sender, message()) == ["AR"]
    receiver.ack = "ae:1"
    assert await codes(sender, message(), message()) == ["AE", "AA"]


def test_a_rate_strikes_about_its_share_and_the_same_messages_under_the_same_seed():
    one, two = met(parse_ack("ae:rate=0.3:seed=1")), met(parse_ack("ae:rate=0.3:seed=2"))
    assert one == met(parse_ack("ae:rate=0.3")) != two
    assert 60 < one.count("ae") < 120
    assert set(met(parse_ack("ae:rate=0"))) == {"aa"}
    assert met(parse_ack("ae:rate=0.5:4")).count("ae") == 4


def test_a_mixture_holds_every_manner_and_repeats_under_its_seed():
    plan = parse_ack("random:7")
    assert met(plan) == met(parse_ack("random:7")) != met(parse_ack("random:8"))
    assert set(met(plan, 6_000)) == {name for name, manner in MANNERS.items() if manner.act is not None}
    assert 120 < met(parse_ack("random:seed=7")).count("aa") < 200
    one, two = ([plan.connected() for _ in range(1_000)] for plan in (parse_ack("random:7"), parse_ack("random:7")))
    assert one == two
    drawn = [NAMES[id(strike.manner)] for strike in one if strike is not None]
    assert set(drawn) == {name for name, manner in MANNERS.items() if manner.meet is not None}
    assert len(drawn) < 100, "seldom, or no message would get through"


def test_options_replace_the_defaults_and_in_a_mixture_they_go_to_all_that_have_them():
    assert parse_ack("slow").received(b"").options == {"seconds": 5}
    assert parse_ack("slow:seconds=40").received(b"").options == {"seconds": 40}
    plan = parse_ack("random:1:rate=1:seconds=0.5:bytes=9")
    strikes = [plan.received(b"") for _ in range(300)]
    strikes += [strike for _ in range(300) if (strike := plan.connected()) is not None]
    assert all(strike.options.get("seconds", 0.5) == 0.5 for strike in strikes)
    assert all(strike.options.get("bytes", 9) == 9 for strike in strikes)
    assert any(strike.options == {"at": 0} for strike in strikes)


async def test_a_mixture_loses_no_message_that_it_has_taken_and_nothing_stops_it(facing):
    faults = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
    kept = []
    receiver, sender = await facing("random:3:rate=0.8:seconds=0.01:bytes=40", on_message=kept.append)
    for number in range(80):
        try:
            await sender.say(message(f"ID{number}"))
            await sender.rest(within=0.03)
        except OSError:
            pass
        sender = await facing.again(receiver)
    receiver.ack = "aa"
    sender = await facing.again(receiver)
    await sender.say(message("LAST"))
    await arrived(receiver, "LAST")
    assert faults == []
    assert len({one.answer for one in kept}) > 20
    numbers = [int(one.control_id[2:]) for one in kept[:-1]]
    assert numbers == sorted(set(numbers))


def test_a_field_is_asked_for_as_hl7_names_it():
    assert holds(message(), "PID-3", "123") and holds(message(), "PID-3", "999")
    assert not holds(message(), "PID-3", "MERCY") and not holds(message(), "PID-30", "123")
    assert holds(message(), "MSH-10", "ID1") and holds(message(), "OBR-3", "F1")
    assert not holds(message(), "ZZZ-1", "") and not holds(b"no HL7", "PID-3", "123")


def test_a_plan_says_what_it_does_in_a_line():
    assert parse_ack("ar").about == "application reject"
    assert parse_ack("ar:3").about == "ar:3"
    assert (
        MannerPlan((PlanPart((MANNERS["ar"],)), PlanPart((MANNERS["ae"],)))).about
        == "application reject, application error"
    )


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("yes", ["yes: no such answer", "Name one of aa, ae, ar", "random."]),
        ("", ["no such answer"]),
        ("ar,", ["no such answer"]),
        ("ar:often", ["ar:often: `often` is neither a count nor a key with a value", "slow:seconds=40"]),
        ("ar:rate=", ["`rate=` is neither"]),
        ("ar:2:3", ["ar:2:3: two counts", "ar:3"]),
        ("ar:rate=2", ["rate is over 1", "rate=0.1"]),
        ("ar:rate=x", ["rate is not a number"]),
        ("ar:seed=-1", ["seed is not a number"]),
        ("ar:seconds=2", ["`seconds` is not a key of it", "It has rate=, seed=, SEG-n="]),
        ("slow:seconds=x", ["seconds is not a number"]),
        ("random:PID-3=1", ["`PID-3` is not a key of it"]),
        ("close-at-once:PID-3=1", ["`PID-3` cannot be asked for", "before a message is read"]),
    ],
)
def test_a_spec_that_is_wrong_is_refused_with_its_part_and_the_remedy(spec, says):
    with pytest.raises(ConfigError) as refused:
        parse_ack(spec)
    assert refused.value.key == "ack"
    assert [one for one in says if one not in str(refused.value)] == []
