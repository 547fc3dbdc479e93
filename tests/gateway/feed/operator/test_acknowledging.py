"""`feed ack` on the command line: an acknowledged alert is not escalated further (D38)."""

from __future__ import annotations

from functools import partial

from gateway.feed.operator import acknowledging
from gateway.store.database import facts as audited
from gateway.store.database.facts import Actor
from gateway.store.feed.alerts import AlertCase, StandingAlert, standing_alerts, store_alerts

OVERDUE = StandingAlert("critical-overdue", "ehr", 2, {3: AlertCase(100, "stu_1"), 7: AlertCase(200, "stu_2")})
ELSEWHERE = StandingAlert("critical-overdue", "pacs", 1, {0: AlertCase(50)})
UNROUTED = StandingAlert("unrouted", "", 4, {0: AlertCase(50)}, studies=("stu_3",))


async def stand(here, *alerts):
    async with here.here.store() as engine:
        await engine.do(partial(store_alerts, alerts))


async def acknowledged_at(here):
    async with here.here.store() as engine:
        return [one.destination for one in await standing_alerts(engine) if not one.unacknowledged]


async def test_it_is_kept_who_acknowledged_what_and_why(site, monkeypatch):
    for module in (acknowledging, audited):
        monkeypatch.setattr(module, "actor", lambda: Actor("ann", "reading-room"))
    async with site() as here:
        await here.sync()
        await stand(here, OVERDUE, ELSEWHERE)
        code, lines, _ = await here.feed("ack", "critical-overdue", "ehr", "--reason", "called the ward")
        assert (code, lines) == (0, ["critical-overdue at ehr is acknowledged, for 2 studies: stu_1, stu_2"])
        assert await acknowledged_at(here) == ["ehr"]
        audit = 'SELECT verb, argument, reason, "user", host FROM audit'
        kept_in_audit = ("feed-ack", "critical-overdue ehr", "called the ward", "ann", "reading-room")
        assert await here.query(audit) == [kept_in_audit]
        code, [line], _ = await here.feed("ack", "critical-overdue", "ehr")
        assert code == 0
        assert line.startswith("critical-overdue at ehr was acknowledged already, by ann@reading-room at 20")
        assert await here.query(audit) == [kept_in_audit]


async def test_without_a_destination_it_is_acknowledged_at_all(site):
    async with site() as here:
        await here.sync()
        await stand(here, OVERDUE, ELSEWHERE, UNROUTED)
        code, lines, _ = await here.feed("ack", "critical-overdue")
        assert (code, len(lines), await acknowledged_at(here)) == (0, 2, ["ehr", "pacs"])
        assert (await here.feed("ack", "unrouted"))[1] == ["unrouted is acknowledged"]


async def test_where_nothing_stands_the_exit_code_says_so(site):
    async with site() as here:
        await here.sync()
        assert (await here.feed("ack", "critical-overdue"))[:2] == (1, ["no alert critical-overdue stands"])
        await stand(here, OVERDUE)
        assert (await here.feed("ack", "critical-overdue", "pacs"))[:2] == (
            1,
            ["no alert critical-overdue stands at pacs"],
        )


async def test_of_many_studies_the_first_are_named_and_the_rest_counted(site):
    many = StandingAlert("dead-letter", "ehr", 23, {one: AlertCase(1, f"stu_{one}") for one in range(1, 24)})
    async with site() as here:
        await here.sync()
        await stand(here, many)
        _, [line], _ = await here.feed("ack", "dead-letter")
        assert line.startswith("dead-letter at ehr is acknowledged, for 23 studies: stu_1, ")
        assert line.endswith("stu_20 and 3 more")
