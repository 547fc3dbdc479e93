"""Messages about a patient whose number was merged (D48): nothing is sent, and later ones have the surviving number.

HL7 v2.5.1 §3.6.2.1 (the old number is never referenced in future transactions), §3.3.40 (A40). A scenario is what
happens, step by step, and what the receiver, which follows merges itself, was told: patient number and OBX-11.
"""

from __future__ import annotations

import pytest
from fakes.er7_reader import field
from fakes.fed import bodies
from fakes.moving import NEW, OLD, ward

from gateway.store.feed.ledger import patients_of_number
from gateway.store.studies.identities import with_replaced

SCENARIOS = {
    "an addendum after the merge goes under the survivor though autoscribe says the old number": (
        "sign; record; add",
        ["old F, new C"],
    ),
    "a message that waits at the merge keeps its bytes": ("pause; sign; merge; unchanged; resume", ["old F"]),
    "a move after the merge withdraws under the survivor what was sent under the old number": (
        "sign; merge; say other; held move; release",
        ["old F, new W, other C"],
    ),
    "a move after the merge withdraws under the survivor what was told under it": (
        "sign; merge; correct; say other; held move; release",
        ["old F, new C corrected, new W, other C corrected"],
    ),
    "two studies of one person are one patient after the merge and nothing is held": (
        "sign old; sign new; merge; correct; lane",
        ["new F, new C corrected", "old F, new C corrected"],
    ),
}


@pytest.mark.parametrize(("script", "told"), [pytest.param(*one, id=name) for name, one in SCENARIOS.items()])
async def test_a_receiver_that_follows_merges_is_told_the_surviving_number_from_then_on(engine, script, told):
    async with ward(engine, on_conflict="hold") as one:
        await one.does(script)
        assert one.lanes() == told


async def test_a_merge_sends_nothing_and_later_messages_have_the_surviving_number_alone(engine):
    async with ward(engine, on_conflict="hold") as one:
        await one.does("sign; merge; unchanged; correct; lane")
        first, second = ([field(body, name) for name in ("PID-3", "OBR-3", "OBR-25")] for body in bodies(one.receiver))
        assert (first[0], second[0]) == (f"{OLD}^^^SBXGEN^MR", f"{NEW}^^^SBXGEN^MR")
        assert (second[1], second[2]) == (first[1], "C")
    for number, count in ((NEW, 1), (OLD, 2)):
        assert len(await patients_of_number(engine, number)) == count
        assert len(await with_replaced(engine, await patients_of_number(engine, number))) == 2


async def test_where_a_destination_asks_for_it_the_report_is_withdrawn_and_sent_under_the_surviving_number(engine):
    async with ward(engine, merge="move") as one:
        await one.does("sign; merge; refresh; correct")
        assert one.lanes() == ["old F, old W, new C, new C corrected"]
        old, new = f"{OLD}^^^SBXGEN^MR", f"{NEW}^^^SBXGEN^MR"
        assert [field(body, "PID-3") for body in bodies(one.receiver)] == [old, old, new, new]
