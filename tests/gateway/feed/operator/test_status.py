"""`feed status` on the command line names the open alerts and who acknowledged them (D38)."""

from __future__ import annotations

import json
from functools import partial

from gateway.store.database.engine import Statement, ask
from gateway.store.feed.alerts import AlertCase, StandingAlert, store_alerts

OVERDUE = StandingAlert("critical-overdue", "ehr", 2, {3: AlertCase(100, "stu_1"), 7: AlertCase(200, "stu_2")})
UNROUTED = StandingAlert("unrouted", "", 4, {0: AlertCase(50)})
OVER = StandingAlert("lane-held", "ehr", 1, told={"alert_url": frozenset({1})})


async def test_alerts_that_stand_are_named_with_who_acknowledged_them_and_none_that_is_over(site):
    async with site() as here:
        await here.sync()
        async with here.here.store() as engine:
            await engine.do(partial(store_alerts, [OVERDUE, UNROUTED, OVER]))
        await here.feed("ack", "unrouted")
        code, lines, _ = await here.feed("status")
        overdue, unrouted = (line for line in lines if line.startswith("alert "))
        assert code == 0
        assert overdue == (
            "alert critical-overdue at ehr: since 1970-01-01T00:00:00.000100Z, 2 when it last changed;"
            " nobody acknowledged it"
        )
        assert unrouted.startswith(
            "alert unrouted: since 1970-01-01T00:00:00.000050Z, 4 when it last changed; acknowledged by "
        )
        code, lines, _ = await here.feed("status", "--json")
        first, second = json.loads("\n".join(lines))["alerts"]
        assert (first["alert"], first["destination"], first["acknowledgedBy"]) == ("critical-overdue", "ehr", "")
        assert second["acknowledgedBy"] and second["acknowledgedAt"]


async def test_history_that_no_filter_takes_is_counted_apart(site):
    async with site(start="2035-01-01T00:00:00Z", modalities='["CT"]') as here:
        await here.sync()
        [(count,)] = await here.query("SELECT count(*) FROM outbox WHERE state = 'unrouted'")
        _, lines, _ = await here.feed("status")
        assert count
        assert lines[-1] == (
            f"no destination takes: {count} unrouted ({count} of them signed before each destination's start),"
            " 0 ignored by a rule"
        )
        _, lines, _ = await here.feed("certificate", "ehr")
        unrouted = [line for line in lines if line.startswith("  unrouted  ")]
        assert unrouted
        assert all("  before_start" in line for line in unrouted)


async def test_the_ledger_is_counted_in_words(site):
    async with site(start="2035-01-01T00:00:00Z") as here:
        await here.sync()
        states = ("waiting", "rendered", "merged", "nothing", "excluded", "to_stop", "left", "planned")
        async with here.here.store() as engine:
            for number, state in enumerate(states, 1):
                sql = f"UPDATE outbox SET state = '{state}' WHERE number = {number}"
                await engine.do(partial(ask, Statement(sql)))
        [(count,)] = await here.query("SELECT count(*) FROM outbox WHERE state = 'before_start'")
        [line] = [one for one in (await here.feed("status"))[1] if one.startswith("  ledger")]
        assert line == (
            f"  ledger    before its start {count}, left out by a filter 1, left unsent 1, sent with another change 1,"
            " nothing to send 1, planned 1, composed 1, to stop 1, to be composed 1"
        )
