"""Nothing is queued for a destination that was retired, also while its table is in the settings (D31, D37, D48)."""

from __future__ import annotations

import pytest
from fakes.moving import ward
from fakes.scale import EITHER_STORE
from fakes.store import rows

NEWS = "SELECT code, outcome FROM order_news ORDER BY number"

pytestmark = pytest.mark.parametrize("engines", EITHER_STORE, indirect=True)


@pytest.mark.parametrize("step", ["merge", "say other"])
async def test_neither_a_merge_nor_another_patient_queues_anything_although_its_table_is_still_there(engine, step):
    async with ward(engine, merge="move") as one:
        await one.does(f"sign; disable; retire; disable; {step}")
        states = {str(state) for (state,) in await rows(engine, "SELECT state FROM outbox")}
        assert {"waiting", "held", "planned", "to_stop"}.isdisjoint(states)
        assert step != "merge" or states == {"rendered"}
        assert one.lanes() == ["old F"]


@pytest.mark.parametrize("late_match", ["note", "restate", "withdraw_restate"])
async def test_an_order_that_comes_late_waits_for_nobody(engine, late_match):
    async with ward(engine, late_match=late_match) as one:
        await one.does("sign; sign; disable; order later")
        first, second = (signed.study_id for signed, _ in one.signed)
        await one.feed.pipeline.refresh(first)
        assert await rows(engine, NEWS) == [("sent-without-order", "open")]
        await one.does("retire; disable")
        await one.feed.pipeline.refresh(second)
        assert await rows(engine, NEWS) == [("sent-without-order", "noted")]
        await one.outbox("rendered", "rendered")


async def test_once_it_is_enabled_again_what_happens_from_then_on_counts(engine):
    async with ward(engine, merge="move", late_match="restate") as one:
        await one.does("sign; disable; retire; enable; sign; order later")
        await one.feed.pipeline.refresh(one.signed[1][0].study_id)
        await one.quiet()
        await one.does("disable; merge")
        assert one.lanes() == ["old F", "old F, old C PL-7"]
        states = [str(state) for (state,) in await rows(engine, "SELECT state FROM outbox")]
        assert "waiting" in states
