"""`feed plan` and `feed apply`: the effect of changed settings is shown first, then applied or left (D37)."""

from __future__ import annotations

import asyncio
import json

from fakes.feed_site import destination
from fakes.gateway_process import site_file

from gateway.feed.operator import plan_and_apply
from gateway.feed.plan import planner
from gateway.store.database.engine import Statement, ask

CT = '["CT"]'
NOBODY_NEEDS_IT = '[[ignore]]\nname = "rest"\nreason = "nobody reads them"\nfacilities = ["*"]\n'


async def change(here, **keys):
    """Replace the destination's table in the settings."""
    file = site_file(here.folder)
    file.write_text(file.read_text().partition("[[destination]]")[0])
    here.settings(destination(here.receiver.port, **keys))


async def stopping(here):
    """Have messages composed but not sent, then a plan that stops some of them."""
    await here.sync()
    await here.feed("pause", "ehr", "--reason", "r")
    async with here.serving(), asyncio.timeout(20):
        while await here.query("SELECT 1 FROM outbox WHERE state = 'waiting'"):
            await asyncio.sleep(0.05)
    await change(here, modalities=CT)
    await here.planned()


def failing_for(study_id):
    """Return a stand-in for `planning.plan_change` that fails for one study, as a bug would."""
    changed = planner.plan_change

    async def found(engine, reading, *more):
        if reading.study_id == study_id:
            raise ZeroDivisionError
        return await changed(engine, reading, *more)

    return found


async def test_a_plan_is_seen_before_the_settings_are_in_force_and_waits_then_for_the_operator(site):
    async with site(modalities=CT) as here:
        await here.sync()
        await here.served()
        before = len(here.receiver.messages)
        await change(here)
        code, lines, _ = await here.feed("plan")
        assert code == 0
        assert lines[0].startswith("ehr: adds ")
        assert "; once these settings are in force: waits for feed apply" in lines[0]
        _, _, err = await here.here.run("check-config")
        assert f"note: plan {lines[0]}" in err
        assert "  settings  these are not in force" in "\n".join((await here.feed("status"))[1])
        assert (await here.feed("apply", "ehr"))[0] == 1
        await here.planned()
        code, lines, _ = await here.feed("plan", "ehr")
        assert (code, lines[0].endswith("; feed apply ehr")) == (1, True)
        assert len(here.receiver.messages) == before
        [plan] = json.loads("\n".join((await here.feed("plan", "--json"))[1]))["destinations"]
        status = (await here.feed("status"))[1]
        assert any(
            line.startswith(f"  plan      adds {plan['adds']}, {plan['critical']} of them critical") for line in status
        )
        code, lines, _ = await here.feed("certificate", "ehr")
        assert (code, f"{plan['adds']} planned" in " ".join(lines)) == (1, True)
        code, lines, _ = await here.feed("apply", "ehr")
        assert (code, lines[0].startswith(f"ehr: {plan['adds']} reports queued")) == (0, True)
        await here.served()
        assert (certificate := await here.feed("certificate", "ehr"))[1][-1:] == ["certified"], certificate
        assert (await here.feed("plan"))[1] == ["ehr: adds 0; stops 0; resends 0"]
        assert [verb for (verb,) in await here.query("SELECT verb FROM audit")] == ["feed-apply"]


async def test_the_reports_of_a_plan_are_listed_critical_results_first(site, monkeypatch):
    async with site(modalities=CT) as here:
        await here.sync()
        await here.served()
        await change(here)
        before = (await here.feed("plan", "ehr", "--reports"))[1]
        await here.planned()
        code, lines, _ = await here.feed("plan", "ehr", "--reports")
        rows = await here.query("SELECT DISTINCT report_id, is_critical FROM outbox WHERE state = 'planned'")
        critical = {report_id for report_id, is_critical in rows if is_critical}
        assert (code, lines[0].endswith("; feed apply ehr"), len(lines)) == (1, True, 1 + len(rows))
        assert before[1:] == lines[1:]
        listed = [line.split("  ")[1:] for line in lines[1:]]
        assert {report_id for _, report_id, *_ in listed} == {report_id for report_id, _ in rows}
        assert {one[1] for one in listed[: len(critical)]} == critical
        assert {one[-1] for one in listed[: len(critical)]} == {"CRITICAL"}
        assert all(one[0] == "add" and one[2].startswith("stu_") and one[3].startswith("signed 20") for one in listed)
        monkeypatch.setattr("gateway.feed.operator.plan_and_apply._MOST_LINES", 2)
        _, lines, _ = await here.feed("plan", "--reports")
        assert lines[3:] == [f"  {len(rows) - 2} more: --json lists all"]
        [plan] = json.loads("\n".join((await here.feed("plan", "--reports", "--json"))[1]))["destinations"]
        assert [report["reportId"] for report in plan["reports"]] == [report_id for _, report_id, *_ in listed]


async def test_only_the_rows_that_an_operator_saw_are_settled(site):
    async with site(modalities=CT) as here:
        await here.sync()
        await here.served()
        await change(here)
        await here.planned()
        configuration = here.configuration()
        async with here.here.store() as engine:
            [planned] = (await plan_and_apply.plan(engine, configuration, "ehr")).plans
            seen, later = planned.rows[:-1], planned.rows[-1]
            await plan_and_apply.apply(engine, configuration, "ehr", plan_and_apply.PlanDecision(agreed=seen))
            assert (await plan_and_apply.plan(engine, configuration, "ehr")).plans[0].rows == [later]


async def test_a_stop_is_listed_with_what_leaves_its_report_out(site):
    async with site() as here:
        await stopping(here)
        _, lines, _ = await here.feed("plan", "ehr", "--reports")
        stops = [line for line in lines if line.startswith("  stop  rep_")]
        assert stops
        assert all("  excluded modalities" in line for line in stops)


async def test_a_plan_that_is_left_sends_nothing_and_is_certified_with_the_reason_kept(site):
    async with site(modalities=CT) as here:
        await here.sync()
        await here.served()
        before = len(here.receiver.messages)
        await change(here)
        await here.planned()
        code, lines, _ = await here.feed("apply", "ehr", "--leave", "--reason", "they have them on paper")
        assert (code, "left unsent" in lines[0]) == (0, True)
        await here.served()
        assert len(here.receiver.messages) == before
        _, lines, _ = await here.feed("certificate", "ehr")
        assert lines[-1] == "certified"
        assert " left" in " ".join(lines)
        assert await here.query("SELECT verb, reason FROM audit") == [("feed-leave", "they have them on paper")]


async def test_a_destination_that_was_never_served_has_a_plan_and_reports_of_which_nothing_is_decided(site):
    async with site() as here:
        await here.here.run("sync")
        [status] = json.loads("\n".join((await here.feed("status", "--json"))[1]))["destinations"]
        [plan] = json.loads("\n".join((await here.feed("plan", "--json"))[1]))["destinations"]
        assert status["undecided"] == plan["adds"] > 0
        assert plan["differs"] is True
        _, lines, _ = await here.feed("certificate", "ehr")
        assert f"{status['undecided']} unrouted" in " ".join(lines)


async def test_a_study_that_could_not_be_planned_is_undecided_in_status_and_certificate(site, monkeypatch):
    async with site(modalities=CT) as here:
        here.settings(destination(here.receiver.port, modalities=CT), NOBODY_NEEDS_IT)
        await here.sync()
        await here.served()
        assert (certificate := await here.feed("certificate", "ehr"))[1][-1:] == ["certified"], certificate

        async def out_of_memory(*_args):
            raise MemoryError

        here.settings(destination(here.receiver.port), NOBODY_NEEDS_IT)
        with monkeypatch.context() as patched:
            patched.setattr(planner, "plan_change", out_of_memory)
            await here.planned()
        status = "\n".join((await here.feed("status"))[1])
        assert "  undecided stu_" in status
        code, lines, _ = await here.feed("certificate", "ehr")
        assert (code, lines[-1]) == (1, "open")
        assert any(line.startswith("  planned  ") and line.endswith("  undecided") for line in lines)
        async with here.serving(), asyncio.timeout(20):
            while ("",) not in await here.query("SELECT value FROM fact WHERE name = 'unplanned:ehr'"):
                await asyncio.sleep(0.05)
        assert "undecided" not in "\n".join((await here.feed("status"))[1])


async def test_a_fault_in_one_study_breaks_neither_the_preview_nor_check_config(site, monkeypatch):
    async with site(modalities=CT) as here:
        await here.sync()
        await here.served()
        await change(here)
        [whole] = json.loads("\n".join((await here.feed("plan", "--json"))[1]))["destinations"]
        [(study_id,)] = await here.query("SELECT min(study_id) FROM outbox WHERE state = 'unrouted'")
        monkeypatch.setattr(planner, "plan_change", failing_for(study_id))
        code, lines, err = await here.feed("plan")
        assert (code, "study-not-planned" in err) == (1, True)
        assert "; not planned, because of a bug: 1 study; once these" in lines[0]
        assert lines[1].startswith(f"  {study_id}  is not planned because of a bug")
        [plan] = json.loads("\n".join((await here.feed("plan", "--json"))[1]))["destinations"]
        assert (plan["unplanned"], 0 < plan["adds"] < whole["adds"]) == ([study_id], True)
        code, _, err = await here.here.run("check-config")
        assert (code, f"note: plan {lines[0]}" in err) == (0, True)


async def test_a_fault_in_one_study_does_not_keep_the_other_stops_from_being_applied(site, monkeypatch):
    async with site() as here:
        await stopping(here)
        stops = await here.query("SELECT study_id FROM outbox WHERE state = 'to_stop' ORDER BY number")
        study_id = stops[0][0]
        with monkeypatch.context() as patched:
            patched.setattr(planner, "plan_change", failing_for(study_id))
            code, lines, _ = await here.feed("apply", "ehr")
        assert code == 1
        assert lines[-1].startswith(f"ehr: {study_id}  is not planned because of a bug")
        assert await here.query("SELECT 1 FROM outbox WHERE state = 'to_stop'") == []
        routed = {one for (one,) in await here.query("SELECT study_id FROM outbox WHERE state = 'unrouted'")}
        assert routed == {one for (one,) in stops} - {study_id}
        code, lines, _ = await here.feed("plan", "ehr")
        assert (code, lines[1].startswith(f"  {study_id}  is not planned")) == (1, True)
        async with here.serving(), asyncio.timeout(20):
            while ("",) not in await here.query("SELECT value FROM fact WHERE name = 'unplanned:ehr'"):
                await asyncio.sleep(0.05)
        assert await here.query(f"SELECT 1 FROM outbox WHERE state = 'unrouted' AND study_id = '{study_id}'")
        assert (await here.feed("plan", "ehr"))[0] == 0


async def test_a_plan_that_is_still_being_made_is_not_certified(site):
    async with site(modalities=CT) as here:
        here.settings(destination(here.receiver.port, modalities=CT), NOBODY_NEEDS_IT)
        await here.sync()
        await here.served()
        assert (certificate := await here.feed("certificate", "ehr"))[1][-1:] == ["certified"], certificate
        async with here.here.store() as engine:
            await engine.do(lambda: ask(Statement("UPDATE in_force SET planned = NULL")))
        _, lines, _ = await here.feed("certificate", "ehr")
        assert lines[-1] == "open"
