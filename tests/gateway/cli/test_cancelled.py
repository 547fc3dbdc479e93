"""`feed withdraw`, `feed leave`, `feed certificate --deep` and `feed plan` before the index is whole (D21, D26)."""

from __future__ import annotations

import json

import pytest


async def cancelled(here) -> tuple[str, str]:
    """Send everything, and cancel a study of which one report was signed; return the report and its study."""
    await here.sync()
    await here.served()
    [(study_id, report_id)] = await here.query(
        "SELECT study_id, max(report_id) FROM message WHERE state = 'delivered' GROUP BY study_id HAVING count(*) = 1"
        " ORDER BY 1 LIMIT 1"
    )
    here.here.account.cancel_study(study_id)
    await here.sync()
    return report_id, study_id


async def test_a_cancelled_report_is_open_everywhere_until_it_is_left(site):
    async with site() as here:
        report_id, study_id = await cancelled(here)
        certificate = (await here.feed("certificate", "ehr"))[1]
        assert any(line.startswith(f"  cancelled  {report_id}  {study_id}  open") for line in certificate)
        assert certificate[-1] == "open"
        status = (await here.feed("status"))[1]
        assert any(line.startswith("cancelled after signing: ") for line in status)
        assert any(line.startswith(f"  cancelled {report_id}  {study_id}, since 20") for line in status)
        assert any(line.startswith("  open      ") and " cancelled" in line for line in status)
        assert (await here.feed("show", report_id))[1][0].startswith(
            f"{report_id} at ehr: cancelled (open), open, since"
        )
        assert any("fate at ehr: cancelled (open), open" in one for one in (await explained(here, report_id)))
        code, lines, _ = await here.feed("leave", report_id, "--reason", "by mistake", "--dry-run")
        assert (code, lines[-1]) == (0, "nothing is left: --dry-run")
        code, lines, _ = await here.feed("leave", report_id, "--reason", "by mistake")
        assert (code, lines[0].split()[0]) == (0, report_id)
        assert (await here.feed("show", report_id))[1][0].startswith(f"{report_id} at ehr: AA, since")
        assert report_id not in "\n".join((await here.feed("status"))[1])
        assert (await here.feed("leave", report_id, "--reason", "again"))[0] == 0
        audit = "SELECT verb, argument, reason FROM audit WHERE verb LIKE 'feed-leave%'"
        assert await here.query(audit) == [("feed-leave-report", f"{study_id} {report_id}", "by mistake")]


async def explained(here, report_id):
    return (await here.here.run("explain", report_id, "OBR-25"))[1].splitlines()


async def test_a_withdrawal_is_shown_first_and_then_done_and_noted(site):
    async with site() as here:
        report_id, study_id = await cancelled(here)
        code, lines, _ = await here.feed("withdraw", report_id, "--reason", "wrong study", "--dry-run")
        assert (code, lines[0].split()[0], lines[-1]) == (0, report_id, "nothing is withdrawn: --dry-run")
        assert any(line.startswith("  ehr: cancelled (open), open") for line in lines)
        assert await here.query("SELECT 1 FROM control WHERE done IS NULL") == []
        code, lines, _ = await here.feed("withdraw", report_id, "--reason", "wrong study")
        assert (code, lines[-1]) == (0, f"1 report of {study_id} withdrawn; the service sends it within seconds")
        assert await here.query("SELECT verb, argument FROM control WHERE done IS NULL") == [("refresh", study_id)]
        assert (await here.feed("show", report_id))[1][0].startswith(
            f"{report_id} at ehr: cancelled (withdrawing), open"
        )
        audit = "SELECT argument, reason FROM audit WHERE verb = 'feed-withdraw'"
        assert await here.query(audit) == [(f"{study_id} {report_id}", "wrong study")]
        code, _, err = await here.feed("leave", report_id, "--reason", "after all")
        assert (code, f"{study_id} is withdrawn, and no report of it can stand alone" in err) == (2, True)


@pytest.mark.parametrize("command", ["withdraw", "leave"])
async def test_what_autoscribe_did_not_cancel_is_neither_withdrawn_nor_left_and_a_reason_is_needed(site, command):
    async with site() as here:
        await here.sync()
        [(report_id,)] = await here.query("SELECT max(report_id) FROM report WHERE status = 'completed'")
        for what, reason, said in (
            (report_id, "r", f"{report_id}: AutoScribe did not cancel it"),
            ("rep_1", "r", "rep_1: no such report is stored"),
            (report_id, " ", "--reason: blank"),
        ):
            code, out, err = await here.feed(command, what, "--reason", reason)
            assert (code, out) == (2, [])
            assert said in err
        assert (await here.feed(command, report_id))[0] == 2


async def test_the_certificate_says_when_the_texts_were_read_and_deep_reads_them_anew(site, tmp_path):
    async with site() as here:
        await here.sync()
        await here.served()
        file = tmp_path / "certificate.json"
        await here.feed("certificate", "ehr", "--out", str(file))
        before = json.loads(file.read_text())["textsRead"]
        [(first, last)] = await here.query("SELECT min(fetched), max(fetched) FROM study WHERE has_signed = 1")
        assert (before["from"] <= before["to"], before["isDeep"], first <= last) == (True, False, True)
        [(report_id,)] = await here.query("SELECT max(report_id) FROM message WHERE state = 'delivered'")
        here.here.account.change_text(report_id, "FINDINGS: Changed without a word.")
        code, lines, _ = await here.feed("certificate", "ehr", "--deep", "--out", str(file))
        after = json.loads(file.read_text())
        assert (after["textsRead"]["from"] > before["to"], after["textsRead"]["isDeep"]) == (True, True)
        assert (code, after["verdict"]) == (1, "open")
        assert any(line.startswith(f"  queued  {report_id}") for line in lines)


async def test_no_plan_is_shown_before_the_first_sweep_has_ended_or_once_the_last_is_too_old(site):
    async with site() as here:
        await here.in_force()
        code, [line], _ = await here.feed("plan")
        assert code == 1
        assert line.startswith("no plan is shown: the first sweep of AutoScribe has not ended (0 studies so far)")
        assert "or run `sync`; then try again." in line
        said = json.loads("\n".join((await here.feed("plan", "--json"))[1]))
        assert (said["destinations"], said["refused"]) == ([], line)
        await here.sync()
        assert (await here.feed("plan"))[0] == 0
        code, out, _ = await here.here.run("feed", "plan", GATEWAY_SYNC__MAX_INDEX_AGE="0.001")
        assert (code, out.startswith("no plan is shown: the last sweep of AutoScribe ended at 20")) == (1, True)
