"""Feed commands as typed: effects, output, exit codes (decisions D8, D31, D35)."""

from __future__ import annotations

import json
import sqlite3
import stat
from contextlib import closing
from functools import partial

import pytest
from fakes.feed_site import destination

from gateway.feed.alerts.monitor import LEASE
from gateway.feed.operator.arguments import counted
from gateway.runtime import progress
from gateway.store.database.engine import Statement, ask, instant_text
from gateway.store.feed.lanes import open_breaker
from gateway.store.feed.leases import Leases
from mappings.patient.identifiers import fhir_id
from mappings.profile import receiver

SPAN = ("--from", "2020-01-01T00:00:00Z", "--to", "2040-01-01T00:00:00Z")


async def one_study(here) -> str:
    """A study of which a message was made that has one report."""
    [(study_id,)] = await here.query(
        "SELECT study_id FROM message GROUP BY study_id HAVING count(*) = 1 ORDER BY 1 LIMIT 1"
    )
    return study_id


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("plan",),
        ("apply", "ehr"),
        ("pause", "ehr", "--reason", "r"),
        ("resume", "ehr"),
        ("replay", "ehr", "--dead-letters"),
        ("replay", "ehr", "--dead-letters", "--as-sent"),
        ("backload", "ehr", *SPAN),
        ("dead-letters",),
        ("certificate", "--all"),
        ("ack", "critical-overdue"),
    ],
    ids=" ".join,
)
async def test_without_a_site_key_nothing_is_written(site, command):
    async with site() as here:
        code, out, err = await here.here.run("feed", *command, GATEWAY_MAPPING__SITE_KEY="")
        assert (code, out) == (2, "")
        assert "mapping.site_key: missing, or the published demo key" in err
        assert not here.here.database.exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("pause", "his", "--reason", "r"), "his: no destination has this name. Destinations are ehr."),
        (("replay", "ehr"), "--study: nothing is chosen"),
        (("replay", "ehr", "--study", "stu_1", "--dead-letters"), "--study: more than one thing is chosen"),
        (("replay", "ehr", "--study", "stu_1"), "stu_1: no such study is stored"),
        (("replay", "ehr", "--report", "rep_1"), "rep_1: no such report is stored"),
        (("resume", "ehr", "--study", "stu_1", "--held", "refused"), "--held: with --study"),
        (("plan", "his"), "his: no destination has this name. Destinations are ehr."),
        (("apply", "ehr", "--leave"), "--leave: without --reason"),
        (("resume", "ehr", "--chart-corrected"), "--chart-corrected: without --study"),
        (("replay", "ehr", "--study", "stu_1", "--force-old"), "--force-old: without --as-sent and --reason"),
        (("replay", "ehr", "--from", "1 March"), "--from: neither a day nor a time"),
        (("backload", "ehr", "--from", SPAN[3], "--to", SPAN[1]), "--to: not after --from"),
        (("resume", "ehr", "--leave"), "--leave: it takes NAME with --study or --held may-have-been-sent"),
        (("resume", "ehr", "--leave", "--held", "refused"), "--leave: it takes NAME with --study or --held"),
        (("resume", "ehr", "--leave", "--study", "stu_1"), "--leave: without --reason"),
        (("resume", "ehr", "--leave", "--study", "stu_1", "--dry-run"), "--leave: it takes NAME with --study or"),
        (("ack", "critical"), "critical: no alert that can be acknowledged. Alerts are critical-overdue, "),
        (("ack", "store-lost"), "store-lost: no alert that can be acknowledged"),
        (("certificate",), "NAME: neither a destination nor --all"),
        (("certificate", "ehr", "--all"), "NAME: neither a destination nor --all, or both"),
        (("certificate", "ehr", "--out", "/nowhere/certificate.json"), "--out: cannot be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_what_cannot_be_done_is_said_with_what_to_write_and_exits_2(site, command, said):
    async with site() as here:
        code, out, err = await here.feed(*command)
        assert (code, out) == (2, [])
        assert said in err


async def test_nothing_is_queued_for_a_destination_that_is_not_enabled(site):
    async with site(enabled="false") as here:
        code, _, err = await here.feed("replay", "ehr", "--yes", "--dead-letters")
        assert code == 2
        assert "destination[0].enabled: false" in err
        code, lines, _ = await here.feed("certificate", "--all")
        assert (code, lines[-2:]) == (
            0,
            ["no destination is enabled: there is none that reports are sent to", "certified"],
        )
        assert "ehr: served by nobody, not enabled" in (await here.feed("status"))[1]


async def test_the_status_tells_of_every_destination_in_codes_and_counts(site):
    async with site("ae:1") as here:
        await here.sync()
        code, lines, _ = await here.feed("status")
        assert (code, lines[0], lines[1]) == (0, "ehr: served by nobody", "  messages  none")
        await here.served()
        _, lines, _ = await here.feed("status")
        [(study_id, count)] = await here.query("SELECT study_id, (SELECT count(*) FROM message) FROM lane")
        assert lines[1].startswith(f"  messages  delivered {count - 1}, held 1; the oldest open one is ")
        assert lines[3].startswith("  last ack  AA for ")
        assert lines[5].startswith(f"  held      {study_id}  refused, since 20")
        assert lines[-1] == "no destination takes: 0 unrouted, 0 ignored by a rule"
        said = json.loads("\n".join((await here.feed("status", "--json"))[1]))
        [one] = said["destinations"]
        assert (one["name"], one["heldLanes"], one["messages"]["held"]) == ("ehr", 1, 1)
        assert [lane["studyId"] for lane in one["lanes"]] == [study_id]


async def test_the_status_lists_the_studies_of_which_no_message_is_made(site):
    hold = "UPDATE outbox SET state = 'held', reason = 'authority-unknown', is_critical = number % 2 WHERE number < 24"
    async with site() as here:
        await here.sync()
        with closing(sqlite3.connect(here.here.database)) as database, database:
            database.execute(hold)
        held = await here.query("SELECT study_id, is_critical FROM outbox WHERE state = 'held' ORDER BY number")
        lines = [line for line in (await here.feed("status"))[1] if line.startswith("  not made")]
        assert lines[0].startswith(f"  not made  {held[0][0]}  authority-unknown, since 20")
        assert [line.endswith(", critical") for line in lines[:20]] == [bool(critical) for _, critical in held[:20]]
        assert lines[20:] == [f"  not made  {counted(len(held) - 20, 'more report')}"]
        [one] = json.loads("\n".join((await here.feed("status", "--json"))[1]))["destinations"]
        assert [row["studyId"] for row in one["heldRows"]] == [study_id for study_id, _ in held[:20]]


async def test_while_it_is_served_the_status_says_by_whom(site):
    async with site() as here, here.serving():
        while not (lines := (await here.feed("status"))[1])[0].startswith("ehr: served by one"):
            pass
        assert lines[0] == "ehr: served by one"


async def test_what_else_one_process_does_under_a_lease_is_no_destination(site):
    async with site() as here:
        await here.sync()
        async with here.here.store() as engine:
            await Leases(engine, "one", 60.0).take(LEASE)
        said = json.loads("\n".join((await here.feed("status", "--json"))[1]))
        assert [one["name"] for one in said["destinations"]] == ["ehr"]


async def test_what_was_tried_out_is_open_once_the_destination_is_no_more(site):
    async with site(dry_run="true") as here:
        await here.sync()
        await here.served()
        assert (await here.feed("certificate", "ehr"))[0] == 0
        here.settings(destination(here.receiver.port))
        code, lines, _ = await here.feed("certificate", "ehr")
        assert (code, lines[-1]) == (1, "open")
        assert any(line.startswith("  recorded  ") for line in lines)


async def test_a_destination_that_is_no_longer_set_up_is_told_of_as_that(site):
    async with site() as here:
        await here.feed("pause", "ehr", "--reason", "moved away")
        here.settings()
        _, lines, _ = await here.feed("status")
        assert lines[0] == "ehr: served by nobody, not in the settings"
        assert lines[1].startswith("  paused    moved away, since 20")


async def test_where_no_destination_is_set_up_the_status_says_so(site):
    async with site() as here:
        here.settings()
        assert (await here.feed("status"))[1][-1] == "no destination is set up"


async def test_what_is_paused_is_made_and_not_sent_until_it_is_resumed_beside_the_service(site):
    async with site() as here:
        await here.sync()
        assert (await here.feed("pause", "ehr", "--reason", "maintenance"))[:2] == (
            0,
            ["ehr is paused: messages are made and wait"],
        )
        assert (await here.feed("pause", "ehr", "--reason", "x"))[1] == ["ehr was paused already, and stays so"]
        async with here.serving():
            while not (await here.query("SELECT count(*) FROM message"))[0][0]:
                pass
            assert len(here.receiver.messages) == 0
            assert (await here.feed("resume", "ehr", "--yes"))[1] == ["ehr is sent to again"]
            while not len(here.receiver.messages):
                await here.query("SELECT 1")
        assert (await here.feed("resume", "ehr", "--yes"))[1] == ["ehr was not paused"]
        assert await here.query("SELECT verb, argument, reason FROM audit") == [
            ("feed-pause", "ehr", "maintenance"),
            ("feed-pause", "ehr", "x"),
            ("feed-resume", "ehr", ""),
            ("feed-resume", "ehr", ""),
        ]


async def test_an_open_circuit_breaker_is_told_of_and_gives_way_to_an_operator(site):
    async with site() as here:
        await here.sync()
        async with here.here.store() as engine:
            await engine.do(partial(open_breaker, "ehr", "refused-for-now", 1))
            _, lines, _ = await here.feed("status")
            assert "  breaker   open (refused-for-now), since 1970-01-01T00:00:00.000001Z: one message probes" in lines
            _, said, _ = await here.feed("status", "--json")
            [one] = json.loads("".join(said))["destinations"]
            assert (one["breaker"], one["paused"], one["pausedSince"]) == ("refused-for-now", "", None)
            assert (await here.feed("resume", "ehr", "--yes"))[1][-1] == "ehr is sent to again"
            await engine.do(partial(open_breaker, "ehr", "refused-for-now", 1))
            assert (await here.feed("pause", "ehr", "--reason", "refused-for-now"))[1][0].startswith("ehr is paused")
            assert await here.query("SELECT paused FROM destination") == [("by hand: refused-for-now",)]
            assert not await engine.do(partial(open_breaker, "ehr", "refused-for-now", 1)), "it is paused already"


async def test_a_study_that_is_held_goes_on_and_is_sent_with_the_same_bytes(site):
    async with site("ae:1") as here:
        await here.sync()
        await here.served()
        [(study_id, number)] = await here.query("SELECT study_id, culprit FROM lane")
        assert (
            "still held: 1 study; `feed resume ehr --study ID` lets one go on"
            in (await here.feed("resume", "ehr", "--yes"))[1]
        )
        code, lines, _ = await here.feed("resume", "ehr", "--yes", "--study", fhir_id(study_id))
        assert (code, lines) == (0, [f"{study_id} goes on at ehr: 1 queued again"])
        await here.served()
        assert await here.query(f"SELECT state, ack FROM message WHERE number = {number}") == [("delivered", "AA")]
        code, lines, _ = await here.feed("resume", "ehr", "--yes", "--study", study_id)
        assert (code, lines) == (1, [f"nothing of {study_id} is held at ehr"])


async def test_all_studies_that_are_held_for_a_reason_go_on_at_once(site, monkeypatch):
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    async with site("ae:3") as here:
        await here.sync()
        await here.served()
        assert await here.query("SELECT reason, count(*) FROM lane GROUP BY reason") == [("refused", 3)]
        code, lines, _ = await here.feed("resume", "ehr", "--yes", "--held", "indeterminate")
        assert (code, lines) == (1, ["no study is held at ehr as indeterminate"])
        code, lines, aside = await here.feed("resume", "ehr", "--yes", "--held", "refused")
        assert (code, len(lines), lines[-1]) == (0, 4, "3 studies went on")
        shown = [line.partition(",")[0] for line in aside.splitlines()]
        assert shown == ["resume: 0 %", "resume: 33 %", "resume: 66 %"]
        await here.served()
        assert await here.query("SELECT count(*) FROM lane") == [(0,)]
        assert {state for (state,) in await here.query("SELECT state FROM message")} == {"delivered"}


async def test_a_report_that_waits_says_why_in_feed_show_and_in_explain(site):
    async with site() as here:
        await here.sync()
        await here.served()
        [(report_id, study_id)] = await here.query("SELECT report_id, study_id FROM message ORDER BY number LIMIT 1")
        async with here.here.store() as engine:
            held = f"UPDATE outbox SET state = 'held', reason = 'merge-move' WHERE study_id = '{study_id}'"
            await engine.do(lambda: ask(Statement(held)))
        _, lines, _ = await here.feed("show", report_id)
        assert "  held      a later message, for merge-move" in lines
        _, out, _ = await here.here.run("explain", report_id, "PID-3")
        assert "held at ehr: merge-move" in out.splitlines()


async def test_reports_that_a_merge_would_move_go_on_at_once_and_the_audit_says_who_let_them(site):
    async with site() as here:
        await here.sync()
        async with here.here.store() as engine:
            await engine.do(
                lambda: ask(Statement("UPDATE outbox SET state = 'held', reason = 'merge-move', is_move = 6"))
            )
        _, lines, _ = await here.feed("status")
        assert any(line.endswith(" merge-move, since 2026") or "  merge-move, since 20" in line for line in lines)
        reason = ("--reason", "the hospital says so")
        code, lines, _ = await here.feed("resume", "ehr", "--yes", "--held", "merge-move", *reason)
        assert (code, lines[-1].endswith(" studies went on")) == (0, True)
        assert {one for (one,) in await here.query("SELECT is_move FROM outbox")} == {5}
        assert await here.query("SELECT DISTINCT verb, reason FROM audit") == [("feed-resume", "the hospital says so")]
        await here.served()
        assert {state for (state,) in await here.query("SELECT state FROM message")} == {"delivered"}


async def test_what_may_have_been_sent_and_is_there_is_left_with_the_reason_and_certified(site, monkeypatch):
    async with site() as here:
        await here.sync()
        async with here.here.store() as engine:
            held = "UPDATE outbox SET state = 'held', reason = 'may-have-been-sent'"
            await engine.do(lambda: ask(Statement(held)))
        studies = await here.query("SELECT study_id FROM outbox GROUP BY study_id HAVING count(*) = 1 ORDER BY 1")
        first, rest = studies[0][0], await here.query(f"SELECT 1 FROM outbox WHERE study_id <> '{studies[0][0]}'")
        leave = ("--leave", "--reason", "seen in the chart")
        code, lines, _ = await here.feed("resume", "ehr", "--study", fhir_id(first), *leave)
        said = f"{first} goes on at ehr: 1 row and 0 messages left unsent, since they are there"
        assert (code, lines) == (0, [said])
        code, lines, _ = await here.feed("resume", "ehr", "--study", first, *leave)
        assert (code, lines) == (1, [f"nothing of {first} is held at ehr as may-have-been-sent"])
        _, lines, _ = await here.feed("certificate", "ehr")
        assert f"{len(rest)} held" in lines[2]
        assert f"  left  {(await left_report(here, first))}  {first}  may-have-been-sent" in " ".join(lines)
        monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
        code, lines, aside = await here.feed("resume", "ehr", "--held", "may-have-been-sent", *leave)
        assert (code, aside.count("\n")) == (0, len(lines))
        assert all(line.startswith("leave: ") for line in aside.splitlines())
        await here.served()
        code, lines, _ = await here.feed("certificate", "ehr")
        assert (code, lines[-1], len(here.receiver.messages)) == (0, "certified", 0)
        audit = await here.query("SELECT DISTINCT verb, reason, \"user\" <> '', host <> '' FROM audit")
        assert audit == [("feed-leave", "seen in the chart", 1, 1)]


async def left_report(here, study_id):
    return (await here.query(f"SELECT report_id FROM outbox WHERE study_id = '{study_id}'"))[0][0]


async def test_a_study_and_a_report_are_sent_again_as_they_are_by_now(site):
    async with site() as here:
        await here.sync()
        await here.served()
        before = len(here.receiver.messages)
        study_id = await one_study(here)
        code, lines, _ = await here.feed("replay", "ehr", "--yes", "--study", study_id)
        assert (code, lines) == (0, ["ehr is sent 1 report of 1 study again, as they are by now"])
        [(report_id,)] = await here.query(f"SELECT report_id FROM report WHERE study_id = '{study_id}'")
        code, _, _ = await here.feed("replay", "ehr", "--yes", "--report", fhir_id(report_id), "--reason", "asked for")
        assert code == 0
        await here.served()
        assert len(here.receiver.messages) == before + 1  # both were made at one time: one says it all
        assert len({one.control_id for one in here.receiver.messages}) == before + 1


async def test_a_span_is_sent_again_each_study_once_and_behind_all_that_is_new(site):
    async with site() as here:
        await here.sync()
        await here.served()
        count = len(here.receiver.messages)
        code, lines, _ = await here.feed("replay", "ehr", "--yes", *SPAN)
        assert (code, len(lines)) == (0, 1)
        assert await here.query("SELECT DISTINCT priority FROM outbox WHERE kind = 'replay'") == [(2,)]
        await here.served()
        assert len(here.receiver.messages) == 2 * count


async def test_what_was_given_up_is_listed_with_the_rule_and_sent_again_once_it_can_be(site):
    async with site() as here:
        await here.sync()
        await here.served()
        study_id = await one_study(here)
        sql = f"UPDATE message SET state = 'dead_letter', reason = 'rule-accession' WHERE study_id = '{study_id}'"
        async with here.here.store() as engine:
            await engine.do(lambda: ask(Statement(sql)))
        code, lines, _ = await here.feed("dead-letters")
        assert (code, lines[-1]) == (0, "1 dead letter")
        assert lines[0].split("  ")[2:4] == [study_id, "rule-accession"]
        [one] = json.loads("\n".join((await here.feed("dead-letters", "ehr", "--json"))[1]))
        assert (one["destination"], one["studyId"], one["reason"]) == ("ehr", study_id, "rule-accession")
        assert "  given up  1 dead letter, 0 of them critical" in (await here.feed("status"))[1]
        code, _, _ = await here.feed("certificate", "ehr")
        assert code == 1
        assert (await here.feed("replay", "ehr", "--yes", "--dead-letters"))[0] == 0
        await here.served()
        assert (await here.feed("dead-letters"))[1] == ["0 dead letters"]
        assert (await here.feed("certificate", "ehr"))[0] == 0


async def test_what_the_filters_leave_out_or_was_before_the_start_is_not_replayed(site):
    async with site(modalities='["CT"]') as here:
        await here.sync()
        code, lines, _ = await here.feed("replay", "ehr", "--yes", *SPAN)
        assert code == 0
        assert lines[1].endswith(" are not sent: left out by its filters")


async def test_of_before_the_start_nothing_is_replayed_and_the_backload_sends_it(site):
    async with site(start="2035-01-01T00:00:00Z") as here:
        await here.sync()
        code, lines, _ = await here.feed("replay", "ehr", "--yes", *SPAN)
        assert (code, lines[0]) == (1, "ehr is sent 0 reports of 0 studies again, as they are by now")
        assert lines[1].endswith(" are not sent: signed before its start: `feed backload` sends that")
        code, lines, _ = await here.feed("certificate", "ehr")
        assert (code, lines[-1]) == (0, "certified")
        code, lines, _ = await here.feed("backload", "ehr", "--yes", *SPAN, "--rate", "1000")
        assert code == 0
        assert lines[0].startswith("ehr is sent ")
        assert lines[0].endswith(", 1000 studies a second: 0 seconds at least")
        await here.served()
        assert len(here.receiver.messages) == len(await here.query("SELECT DISTINCT study_id FROM outbox"))
        assert await here.query("SELECT verb FROM audit WHERE verb = 'feed-backload'") == [("feed-backload",)]


async def test_without_a_rate_a_backload_queues_two_studies_a_second(site):
    async with site(start="2035-01-01T00:00:00Z") as here:
        await here.sync()
        code, out, _ = await here.here.run("feed", "backload", "ehr", "--yes", *SPAN)
        assert code == 0
        assert ", 2 studies a second: " in out


async def test_an_old_version_goes_only_by_force_and_that_is_kept(site):
    async with site() as here:
        await here.sync()
        await here.served()
        study_id = await one_study(here)
        [(report_id,)] = await here.query(f"SELECT report_id FROM report WHERE study_id = '{study_id}'")
        assert (await here.feed("replay", "ehr", "--yes", "--study", study_id, "--as-sent"))[:2] == (
            0,
            ["ehr is sent 1 message again as made, each with an MSH-10 of its own"],
        )
        assert (await here.feed("replay", "ehr", "--yes", "--report", report_id))[0] == 0
        code, lines, _ = await here.feed("replay", "ehr", "--yes", "--report", report_id, "--as-sent")
        assert (code, lines[1].partition(":")[0]) == (1, "1 refused")
        forced = ("replay", "ehr", "--yes", "--report", report_id, "--as-sent", "--force-old", "--reason", "asked for")
        assert (await here.feed(*forced))[0] == 0
        assert await here.query("SELECT argument, reason FROM audit WHERE verb = 'feed-replay-forced-old'") == [
            (f"ehr {report_id}", "asked for")
        ]


async def test_a_certificate_says_of_every_report_at_every_destination_what_became_of_it(site):
    async with site() as here:
        shared = {"shares_address": "true"}
        here.settings(
            destination(here.receiver.port, **shared),
            destination(here.receiver.port, "ct", modalities='["CT"]', **shared),
        )
        await here.sync()
        await here.served()
        file = here.folder / "certificate.json"
        code, lines, _ = await here.feed("certificate", "--all", "--out", str(file))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert (code, lines[-1]) == (0, "certified")
        said = json.loads(file.read_text())
        listed = said["listing"]
        assert (said["verdict"], listed["isComplete"], said["notListed"]) == ("certified", True, 0)
        assert [sum(one["counts"].values()) for one in said["destinations"]] == [listed["signedReports"]] * 2
        assert said["destinations"][1]["counts"]["excluded"] > 0
        told = [line for one in said["destinations"] for line in one["reports"]]
        assert {line["fate"] for line in told if not line["remarks"]} == set()
        assert not any(line["isOpen"] for line in told)
        assert not any(one["reportId"] in line for one in told for line in lines)


async def test_with_filed_a_certificate_is_open_until_the_ehr_was_asked(site):
    async with site() as here:
        await here.sync()
        await here.served()
        assert (await here.feed("certificate", "ehr", "--filed"))[0] == 0
        with closing(sqlite3.connect(here.folder / "gateway.db")) as database, database:
            database.execute(
                "INSERT INTO read_back SELECT number, 0, 9, '', '', 7 FROM message ORDER BY number LIMIT 1"
            )
            [(study_id, report_id)] = database.execute(
                "SELECT study_id, report_id FROM message ORDER BY number LIMIT 1"
            )
        assert (await here.feed("certificate", "ehr"))[0] == 0
        code, lines, _ = await here.feed("certificate", "ehr", "--filed")
        assert (code, lines[-1]) == (1, "open")
        assert any(line.startswith(f"  AA  {report_id}  {study_id}  to-be-read-back") for line in lines)
        with closing(sqlite3.connect(here.folder / "gateway.db")) as database, database:
            database.execute("UPDATE read_back SET fate = 'differs', detail = 'text'")
        code, lines, _ = await here.feed("certificate", "ehr")
        assert (code, f"  differs  {report_id}  {study_id}  text" in lines) == (1, True)


async def test_a_report_that_goes_without_its_pdf_is_taken_and_remarked_on(site):
    async with site(pdf='"ed"', input_wait="0") as here:
        await here.sync()
        await here.served()
        file = here.folder / "certificate.json"
        code, lines, _ = await here.feed("certificate", "ehr", "--out", str(file))
        [said] = json.loads(file.read_text())["destinations"]
        found = [line for line in said["reports"] if "pdf-absent" in line["remarks"]]
        assert (code, len(found), {line["fate"] for line in found}) == (0, said["counts"]["AA"], {"AA"})
        [line] = [line for line in lines if line.startswith("  remarks: ")]
        assert f"{len(found)} pdf-absent" in line
        assert said["remarks"]["pdf-absent"] == len(found)


async def test_a_report_that_autoscribe_lists_and_the_store_does_not_know_makes_a_certificate_fail(site):
    async with site() as here:
        await here.sync()
        await here.served()
        signed = here.here.account.sign_new()
        code, lines, _ = await here.feed("certificate", "ehr")
        assert (code, lines[-1]) == (1, "open")
        assert f"  not ingested  {signed.report_id}  {signed.study_id}" in lines


async def test_what_is_not_taken_yet_is_open_with_a_line_each(site):
    async with site("ae:1") as here:
        await here.sync()
        assert (await here.feed("certificate", "ehr"))[0] == 1
        await here.served()
        code, lines, _ = await here.feed("certificate", "ehr")
        assert code == 1
        [line] = [one for one in lines if one.startswith("  held  ")]
        assert "  AE" in line


async def test_critical_results_among_what_is_open_are_marked_and_come_first(site):
    async with site() as here:
        await here.sync()
        file = here.folder / "certificate.json"
        critical = {one for (one,) in await here.query("SELECT report_id FROM outbox WHERE is_critical = 1")}
        _, lines, _ = await here.feed("certificate", "ehr", "--out", str(file))
        assert lines[2].endswith(f" open, {len(critical)} of them critical")
        reports = [line for line in lines if line.startswith("  queued  ")]
        assert len(critical) > 0
        assert {line.split("  ")[2] for line in reports[: len(critical)]} == critical
        assert [line.endswith("  CRITICAL") for line in reports] == [
            place < len(critical) for place in range(len(reports))
        ]
        [said] = json.loads(file.read_text())["destinations"]
        assert (said["openCritical"], {line["reportId"] for line in said["reports"] if line["isCritical"]}) == (
            len(critical),
            critical,
        )
        await here.served()
        _, lines, _ = await here.feed("certificate", "ehr", "--out", str(file))
        [said] = json.loads(file.read_text())["destinations"]
        assert (said["openCritical"], "CRITICAL" in " ".join(lines)) == (0, False)


async def test_a_certificate_of_a_span_leaves_out_what_was_signed_before_or_after(site):
    async with site() as here:
        await here.sync()
        await here.served()
        [(signed,)] = await here.query("SELECT min(signed) FROM report")
        code, lines, _ = await here.feed(
            "certificate", "ehr", "--from", instant_text(signed), "--to", instant_text(signed + 1)
        )
        assert (code, "ehr: 1 AA; 0 open" in lines) == (0, True)


async def test_a_listing_that_breaks_off_makes_no_certificate(site):
    async with site(faults=("500:path=/studies",)) as here:
        file = here.folder / "certificate.json"
        code, lines, _ = await here.feed("certificate", "ehr", "--out", str(file))
        assert (code, lines[-1]) == (1, "incomplete")
        said = json.loads(file.read_text())
        assert (said["verdict"], said["listing"]["isComplete"]) == ("incomplete", False)
        assert said["listing"]["fault"].startswith("upstream-")


async def test_a_listing_that_lacks_more_than_it_has_makes_no_certificate(site):
    async with site() as here:
        await here.sync()
        await here.served()
        here.here.account.studies.clear()
        here.here.account.version += 1
        code, lines, _ = await here.feed("certificate", "ehr")
        assert (code, lines[-1]) == (1, "incomplete")
        assert "INCOMPLETE: lists-too-little" in lines[0]


async def test_no_command_says_anything_of_a_patient(site):
    async with site("ae:2") as here:
        await here.sync()
        await here.served()
        said = ""
        for command in (("status",), ("status", "--json"), ("dead-letters",), ("certificate", "--all")):
            _, lines, err = await here.feed(*command)
            said += "\n".join(lines) + err
        names = {str(one["reportMetadata"].get("patientName") or "") for one in here.here.account.studies.values()}
        assert [name for name in names if name and name in said] == []


async def test_a_rule_that_blocked_a_message_is_named_with_its_source(site):
    async with site(receiver='"epic-observed"') as here:
        await here.sync()
        await here.served()
        rule = next(one for one in receiver("epic-observed").rules if one.level == "block")
        sql = f"UPDATE message SET state = 'dead_letter', reason = 'rule-{rule.name}', is_critical = 1 WHERE number = 1"
        async with here.here.store() as engine:
            await engine.do(lambda: ask(Statement(sql)))
        _, lines, _ = await here.feed("dead-letters", "ehr")
        assert f"rule-{rule.name}  ({rule}; {rule.source})  since " in lines[0]
        assert lines[0].endswith("  CRITICAL")


async def test_a_study_that_is_left_out_of_the_listing_makes_no_certificate(site):
    async with site() as here:
        await here.sync()
        await here.served()
        study = next(iter(here.here.account.studies.values()))
        study["isCancelled"] = "perhaps"
        here.here.account.version += 1
        code, lines, _ = await here.feed("certificate", "ehr")
        assert (code, lines[-1]) == (1, "incomplete")
        assert "INCOMPLETE: element-not-understood" in lines[0]


async def test_of_many_lines_a_certificate_shows_the_first_and_a_status_the_longest_held(site, monkeypatch):
    monkeypatch.setattr("gateway.feed.operator.certificate._MOST_LINES", 2)
    monkeypatch.setattr("gateway.feed.operator.status.MOST_LANES", 2)
    async with site("ae", facilities='["*"]') as here:
        await here.sync()
        await here.feed("pause", "ehr", "--reason", "r")
        _, lines, _ = await here.feed("certificate", "ehr")
        assert lines[-2].endswith(" more: --out FILE has them all")
        async with here.here.store() as engine:
            columns = "destination, study_id, reason, since"
            hold = f"INSERT INTO lane ({columns}) SELECT 'ehr', study_id, 'refused', 1 FROM study"
            await engine.do(lambda: ask(Statement(hold)))
        _, lines, _ = await here.feed("status")
        assert sum(line.startswith("  held      stu_") for line in lines) == 2
        assert "  held      22 more studies" in lines
