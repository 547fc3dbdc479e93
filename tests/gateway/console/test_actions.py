"""An action shows first what the dry run of its command says, needs a reason, and is then done as the command does."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from functools import partial

import pytest
from fakes.audited import entries
from fakes.consoled import consoled
from fakes.feed_site import destination
from fakes.ordered import ordered

from gateway.feed.operator import pausing
from gateway.runtime.errors import AuditUnavailable
from gateway.store.database.engine import Statement, ask

REASON = "asked for by ward 7"
NOTED = 'SELECT verb, argument, reason, "user" FROM audit ORDER BY number'
HELD_STUDY = "INSERT INTO lane SELECT number, 1, 'ehr', study_id, '{0}' FROM message WHERE number = 1"
HELD = "UPDATE message SET state = 'held', reason = '{0}' WHERE number = 1"


@dataclass
class Scene:
    """Site where an action is wanted: its page, its command, its entry in the audit, and a query of its effect."""

    page: str
    command: tuple[str, ...]
    noted: tuple[str, str]
    effect: tuple[str, list[tuple[object, ...]]]


def audit(here):
    return f'[audit]\ndir = "{here.folder / "audit"}"\nseal_key = "{here.folder / "seal.pem"}"\n'


async def run(here, *statements):
    async with here.here.store() as engine:
        for one in statements:
            await engine.do(partial(ask, Statement(one)))


async def sent(here):
    await here.sync()
    await here.served()
    return (await here.query("SELECT study_id, report_id FROM message WHERE number = 1"))[0]


async def resume(here):
    await sent(here)
    await here.feed("pause", "ehr", "--reason", "works")
    await run(here, "UPDATE message SET state = 'queued'")
    command, effect = ("resume", "ehr"), ("SELECT paused FROM destination WHERE name = 'ehr'", [("",)])
    return Scene("resume?at=ehr", command, ("feed-resume", "ehr"), effect)


async def let_go(here):
    study_id, _ = await sent(here)
    await run(here, HELD_STUDY.format("refused"), HELD.format("AE"))
    command, effect = (
        ("resume", "ehr", "--study", study_id),
        ("SELECT state FROM message WHERE number = 1", [("queued",)]),
    )
    return Scene(f"let-go?at=ehr&study={study_id}", command, ("feed-resume", f"ehr {study_id}"), effect)


async def let_all_go(here):
    study_id, _ = await sent(here)
    await run(here, HELD_STUDY.format("refused"), HELD.format("AE"))
    command, effect = (
        ("resume", "ehr", "--held", "refused"),
        ("SELECT state FROM message WHERE number = 1", [("queued",)]),
    )
    return Scene("let-go?at=ehr&held=refused", command, ("feed-resume", f"ehr {study_id}"), effect)


async def left(here):
    study_id, _ = await sent(here)
    doubt = "INSERT INTO fact (name, value) VALUES ('feed-doubt:ehr', '0 9000000000000000')"
    await run(here, HELD_STUDY.format("may-have-been-sent"), HELD.format("may-have-been-sent"), doubt)
    effect = "SELECT state, reason FROM message WHERE number = 1", [("dead_letter", "seen-there")]
    return Scene(f"left?at=ehr&study={study_id}", (), ("feed-leave", f"ehr {study_id}"), effect)


async def cancelled(here):
    await sent(here)
    [(study_id, report_id)] = await here.query(
        "SELECT study_id, max(report_id) FROM message WHERE state = 'delivered' GROUP BY study_id HAVING count(*) = 1"
        " ORDER BY 1 LIMIT 1"
    )
    here.here.account.cancel_study(study_id)
    await here.sync()
    return study_id, report_id


async def withdraw(here):
    study_id, report_id = await cancelled(here)
    effect = "SELECT state FROM cancelled_report", [("withdrawing",)]
    command = "withdraw", report_id, "--reason", "r"
    return Scene(f"withdraw?report={report_id}", command, ("feed-withdraw", f"{study_id} {report_id}"), effect)


async def leave(here):
    study_id, report_id = await cancelled(here)
    effect = "SELECT state FROM cancelled_report", [("left",)]
    command = "leave", report_id, "--reason", "r"
    return Scene(f"leave?report={report_id}", command, ("feed-leave-report", f"{study_id} {report_id}"), effect)


async def resend(here):
    _, report_id = await sent(here)
    effect = "SELECT report_id, destination FROM outbox WHERE state = 'waiting'", [(report_id, "ehr")]
    command = "replay", "ehr", "--report", report_id
    return Scene(f"resend?at=ehr&report={report_id}", command, ("feed-replay", f"ehr {report_id}"), effect)


async def missing(here):
    study_id, report_id = await sent(here)
    await run(here, f"UPDATE message SET state = 'dead_letter', reason = 'AR' WHERE study_id = '{study_id}'")
    effect = f"SELECT 1 FROM outbox WHERE state = 'waiting' AND report_id = '{report_id}'", [(1,)]
    return Scene(
        "missing?at=ehr", ("replay", "ehr", "--missing"), ("feed-replay", "ehr everything, what is missing"), effect
    )


async def planned(here):
    """Have a plan that adds what another modality has."""
    here.settings(destination(here.receiver.port, modalities='["CT"]'), audit(here))
    await sent(here)
    here.settings(destination(here.receiver.port), audit(here))
    await here.planned()
    [line] = (await here.feed("plan"))[1]
    return line.partition(": ")[2].partition("; feed apply")[0]


async def apply(here):
    counts = await planned(here)
    effect = "SELECT count(*) FROM outbox WHERE state IN ('planned', 'left')", [(0,)]
    return Scene("apply?at=ehr", ("plan", "ehr", "--reports"), ("feed-apply", f"ehr {counts}"), effect)


async def discard(here):
    counts = await planned(here)
    effect = "SELECT DISTINCT state FROM outbox WHERE state IN ('planned', 'left')", [("left",)]
    return Scene("discard?at=ehr", ("plan", "ehr", "--reports"), ("feed-leave", f"ehr {counts}"), effect)


async def match(here):
    found = await ordered(here.here)
    effect = "SELECT study_id, verdict, orders FROM order_verdict", [(found.study_id, "match", f"[{found.hers}]")]
    noted = "orders-match", f"{found.study_id} order {found.hers}"
    return Scene(f"match?study={found.study_id}&order={found.hers}", (), noted, effect)


async def release(here):
    found = await ordered(here.here)
    effect = "SELECT study_id, verdict, orders FROM order_verdict", [(found.study_id, "release", "[]")]
    return Scene(f"release?study={found.study_id}", (), ("orders-release", found.study_id), effect)


async def verdict(here, word):
    await here.sync()
    [(study_id, patient_id), *_] = await here.query("SELECT study_id, patient_id FROM claim ORDER BY 1, 2")
    effect = "SELECT study_id, patient_id, verdict FROM verdict", [(study_id, patient_id, word)]
    noted = f"identity-{word}", f"Patient/{patient_id} {study_id}"
    return Scene(f"{word}?patient={patient_id}&study={study_id}", (), noted, effect)


async def link(here):
    return await verdict(here, "link")


async def separate(here):
    return await verdict(here, "separate")


SCENES = [
    match,
    release,
    link,
    separate,
    resume,
    let_go,
    let_all_go,
    left,
    withdraw,
    leave,
    resend,
    missing,
    apply,
    discard,
]


def fields(page):
    """Return the hidden fields of the form of a page."""
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))


async def said_by(here, scene):
    """Return what the command shows before it does something."""
    if not scene.command:
        return []
    is_plan = scene.command[0] == "plan"
    _, lines, err = await here.feed(*scene.command, *(() if is_plan else ("--dry-run",)))
    assert lines, err
    return [one.strip() for one in lines if not one.startswith("nothing is ")]


@pytest.mark.parametrize("site", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("scene", SCENES, ids=lambda one: one.__name__)
async def test_an_action_is_shown_needs_a_reason_and_is_done_and_noted_as_its_command(site, scene):
    async with site() as here:
        here.settings(destination(here.receiver.port), audit(here))
        wanted = await scene(here)
        path, said = f"act/{wanted.page}", await said_by(here, wanted)
        before = await here.query(NOTED), await here.query(wanted.effect[0])
        async with consoled(here.configuration()) as found:
            shown = await found.get(path, "operator")
            assert shown.status_code == 200, shown.text
            assert [one for one in said if one not in html.unescape(shown.text)] == []
            blank = await found.post(path, "operator", **fields(shown.text), reason=" ")
            assert "Write who decided it, and why" in blank.text
            assert (await here.query(NOTED), await here.query(wanted.effect[0])) == before
            kept = len(entries(here.folder / "audit"))
            done = await found.post(path, "operator", **fields(blank.text), reason=REASON)
            assert (done.status_code, 'class="notice good"' in done.text) == (200, True), done.text
            assert await here.query(wanted.effect[0]) == wanted.effect[1]
            noted = (await here.query(NOTED))[len(before[0]) :]
            assert noted == [(*wanted.noted, REASON, "local:operator")]
            [entry] = entries(here.folder / "audit")[kept:]
            assert (entry.kind, entry.client, entry.user, entry.why) == ("act", "console", "local:operator", REASON)
            assert entry.route.split(" ")[0] == wanted.noted[0].split("-")[0]
            ids = re.findall("(?:stu|rep|pat)[-_]([0-9a-f]{32})", wanted.page)
            assert [one.rpartition("-")[2] for one in entry.shown] == ids
            again = await found.post(path, "operator", **fields(blank.text), reason=REASON)
            assert 'class="notice good"' not in again.text
            assert (await here.query(NOTED))[len(before[0]) :] == noted


async def test_what_changed_meanwhile_is_shown_anew_and_is_not_done(site):
    async with site() as here:
        _, report_id = await cancelled(here)
        async with consoled(here.configuration()) as found:
            seen = {one: (await found.get(f"act/{one}?report={report_id}", "operator")).text for one in WAYS}
            await here.feed("leave", report_id, "--reason", "by somebody else")
            for one in WAYS:
                given = fields(seen[one])
                answer = await found.post(f"act/{one}?report={report_id}", "operator", **given, reason=REASON)
                assert "It has changed since you looked, and nothing was done" in answer.text
                assert fields(answer.text)["agreed"] != given["agreed"]
                assert f'name="reason" value="{REASON}"' in answer.text
            assert await here.query("SELECT state FROM cancelled_report") == [("left",)]


WAYS = ("withdraw", "leave")


async def test_a_destination_that_was_paused_anew_is_not_resumed_but_one_that_has_more_to_send_is(site):
    async with site() as here:
        await resume(here)
        async with consoled(here.configuration()) as found:
            first = fields((await found.get("act/resume?at=ehr", "operator")).text)
            await here.feed("resume", "ehr", "--yes")
            await here.feed("pause", "ehr", "--reason", "their disk is full")
            answer = await found.post("act/resume?at=ehr", "operator", **first, reason=REASON)
            assert "It has changed since you looked" in answer.text
            await run(here, "UPDATE message SET state = 'delivered' WHERE number = 1")
            answer = await found.post("act/resume?at=ehr", "operator", **fields(answer.text), reason=REASON)
            assert "ehr is sent to again" in answer.text


async def test_of_two_who_saw_the_same_pause_only_the_first_resumes_and_the_other_is_told(site):
    async with site() as here:
        await resume(here)
        async with here.here.store() as engine:
            seen = await pausing.foresee_resume(engine, here.configuration(), "ehr")
            both = [pausing.resume(engine, here.configuration(), "ehr", who, seen.agreed) for who in ("kim", "lee")]
            done = [(await one).exit_code for one in both]
        assert done == [0, 1]
        assert [row[:3] for row in await here.query(NOTED)][-1:] == [("feed-resume", "ehr", "kim")]


async def test_only_an_operator_sees_and_opens_an_action(site):
    async with site("ae:1") as here:
        await sent(here)
        await here.feed("pause", "ehr", "--reason", "works")
        [(report_id,)] = await here.query("SELECT report_id FROM message WHERE number = 1")
        path, before = f"act/resend?at=ehr&report={report_id}", await here.query(NOTED)
        async with consoled(here.configuration()) as found:
            form = fields((await found.get(path, "operator")).text)
            for role in ("watcher", "reader"):
                assert (await found.get(path, role)).status_code == 403
                assert (await found.post(path, role, **form, reason=REASON)).status_code == 403
            assert (await found.get(path, None)).status_code == 401
            forged = await found.post(path, "operator", {"Sec-Fetch-Site": "cross-site"}, **form, reason=REASON)
            assert forged.status_code == 403
            assert await here.query("SELECT 1 FROM outbox WHERE state = 'waiting'") == []
            assert [one for one in await here.query(NOTED) if one not in before] == []
            for page in ("", "work", f"report/{report_id}"):
                assert "/console/act/" not in (await found.get(page, "reader")).text
                assert "/console/act/" in (await found.get(page, "operator")).text


async def test_an_action_that_cannot_be_noted_is_not_done(site):
    async with site() as here:
        here.settings(destination(here.receiver.port), audit(here))
        wanted = await resend(here)
        async with consoled(here.configuration()) as found:

            def closed(*_):
                raise AuditUnavailable("the disk is full")

            form = fields((await found.get(f"act/{wanted.page}", "operator")).text)
            found.app.state.audit._journal.append = closed
            answer = await found.post(f"act/{wanted.page}", "operator", **form, reason=REASON)
            assert answer.status_code == 503
            assert await here.query(NOTED) == []
            assert await here.query(wanted.effect[0]) == []


@pytest.mark.parametrize(
    "path", ["resume", "resume?at=nobody", "resend?at=ehr", "let-go?at=ehr&held=x", "nothing?at=ehr"]
)
async def test_an_address_that_lacks_something_has_no_action(site, path):
    async with site() as here:
        await here.sync()
        async with consoled(here.configuration()) as found:
            answer = await found.get(f"act/{path}", "operator")
            assert (answer.status_code, fields(answer.text)) == (404, {})


async def test_what_the_command_refuses_has_no_form(site):
    async with site() as here:
        await sent(here)
        await run(here, "UPDATE destination SET paused = 'restored' WHERE name = 'ehr'")
        async with consoled(here.configuration()) as found:
            answer = await found.get("act/resume?at=ehr", "operator")
            assert "ehr is paused as restored" in answer.text
            assert fields(answer.text) == {}
            answer = await found.post("act/resume?at=ehr", "operator", reason=REASON, agreed="x", form="y")
            assert "ehr is paused as restored" in answer.text
            assert await here.query(NOTED) == []


async def test_each_action_that_work_offers_opens_and_what_was_done_is_no_work_any_more(site):
    async with site("ae:1", faults=()) as here:
        await cancelled(here)
        await here.feed("pause", "ehr", "--reason", "works")
        async with consoled(here.configuration()) as found:
            links = re.findall(
                r'href="/console/(act/[^"]*)"', html.unescape((await found.get("work", "operator")).text)
            )
            assert {one.partition("?")[0] for one in links} == {"act/resume", "act/let-go", "act/withdraw", "act/leave"}
            for one in links:
                form = fields((await found.get(one, "operator")).text)
                if not one.startswith("act/withdraw"):
                    await found.post(one, "operator", **form, reason=REASON)
            assert "/console/act/" not in (await found.get("work", "operator")).text


async def test_a_study_without_an_order_is_work_and_shows_the_orders_near_it(site):
    async with site() as here:
        found_orders = await ordered(here.here)
        async with consoled(here.configuration()) as found:
            work = html.unescape((await found.get("work", "operator")).text)
            assert f"/console/act/release?study={found_orders.study_id}" in work
            answer = await found.get(f"act/match?study={found_orders.study_id}", "operator")
            assert f"order {found_orders.hers}  open, of his" in answer.text
            assert fields(answer.text).get("agreed") is None
            path = f"act/match?study={found_orders.study_id}&order={found_orders.another}"
            assert "Nothing was decided" in (await found.get(path, "operator")).text
