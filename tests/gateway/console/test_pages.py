"""Each page of the console shows the answer of its command, to the right role, with its headers, as text (D42, D53)."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from html.parser import HTMLParser
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import pytest
import trustme
from fakes.audited import entries
from fakes.consoled import ORIGIN, consoled
from fakes.feed_site import destination
from httpx import ASGITransport, AsyncClient

from gateway.app import create_app
from gateway.auth.operators import hashed
from gateway.console.lookup import FindFilter
from gateway.console.overview import Shared
from gateway.console.pages import PAGES
from gateway.feed.operator import forms
from gateway.runtime import clock
from gateway.runtime.errors import AuditUnavailable, StoreUnavailable
from gateway.store.clients import ConsoleSession, StoredOperator, StoredOperators
from gateway.store.database.engine import Statement, ask, micros
from gateway.store.feed.alerts import AlertCase, StandingAlert, store_alerts
from gateway.store.feed.messages import add_minute
from gateway.store.stored_reports import Pdfs

DELIVERED = "SELECT control_id, report_id, study_id, patient_id FROM message WHERE state = 'delivered' ORDER BY number"
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"&amp;"
VOID = {"meta", "link", "input", "br", "img"}


class Read(HTMLParser):
    """Elements and text of a page; an element that is not closed in its place fails."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self._open = "", list[str]()
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture
def console(site):
    """Open the console of a site whose reports were sent; yields it, its messages that were delivered, and the site."""

    @asynccontextmanager
    async def opened(ack="aa", *, tables=(), change=lambda _: None, **more):
        async with site(ack, **more) as here:
            if tables:
                here.settings(destination(here.receiver.port), *tables)
            change(here.here.account)
            await here.sync()
            await here.served()
            async with consoled(here.configuration()) as found:
                yield found, await here.query(DELIVERED), here

    return opened


def pages_of(sent):
    """Every page that a reader may open, of the first message that was sent."""
    control_id, report_id, study_id, _ = sent[0]
    report = f"report/{report_id}"
    return [
        *("", "work", "alerts", "certificate", "find", f"find?q={study_id}", f"find?q={control_id}"),
        *(report, f"{report}/why?field=PID-5", f"{report}/why?field=DiagnosticReport.conclusion"),
        *(f"message/{control_id}", "nowhere"),
    ]


async def test_every_page_is_whole_html_with_headings_and_the_guards_of_a_browser(console):
    async with console() as (found, sent, _):
        for path in pages_of(sent):
            answer = await found.get(path)
            assert answer.status_code == (404 if path == "nowhere" else 200), (path, answer.text)
            page = Read(answer.text)
            assert len(page.all("h1")) == 1, path
            assert page.all("html") == [{"lang": "en"}]
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["referrer-policy"] == "no-referrer"
            [script] = page.all("script")
            assert f"script-src '{script['integrity']}'" in policy
        [script] = Read((await found.get()).text).all("script")
        assert (await found.client.get(f"http://127.0.0.1:8800{script['src']}")).status_code == 200


async def test_each_link_of_a_page_leads_to_a_page(console):
    async with console() as (found, sent, _):
        links = set()
        for path in pages_of(sent)[:-1]:
            page = Read((await found.get(path)).text)
            links |= {one["href"].partition("#")[0] for one in page.all("a") if one["href"]}
        links = sorted(one for one in links if one and "/why?" not in one)
        assert any(one.startswith("/console/message/") for one in links)
        for one in links:
            answer = await found.client.get(f"http://127.0.0.1:8800{one}", headers={"x-test-role": "admin"})
            assert answer.status_code == 200, one


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        (None, [], ["", "work", "alerts", "find", "access"]),
        (
            "watcher",
            ["", "work", "alerts", "certificate"],
            ["find", "report/{0}", "report/{0}/why?field=PID-5", "report/{0}/pdf"],
        ),
        ("watcher", [], ["message/{1}", "access"]),
        ("reader", ["find", "report/{0}", "message/{1}"], ["access"]),
        ("operator", ["find"], ["access"]),
        ("admin", ["find", "access"], []),
    ],
)
async def test_a_role_sees_its_pages_and_no_others(console, role, may, may_not):
    async with console() as (found, sent, _):
        control_id, report_id, *_ = sent[0]
        for path in may:
            assert (await found.get(path.format(report_id, control_id), role)).status_code == 200, path
        for path in may_not:
            answer = await found.get(path.format(report_id, control_id), role)
            assert answer.status_code == (403 if role else 401), path
            assert "Demoski" not in answer.text
        assert "role" in (await found.get("access", "reader")).text


async def test_a_watcher_reads_no_name_and_no_number_of_a_patient(console):
    async with console() as (found, _, here):
        names = {one["reportMetadata"]["patientName"] for one in here.here.account.studies.values()}
        names |= {one["reportMetadata"].get("mrn") for one in here.here.account.studies.values()}
        for path in ("", "work", "alerts"):
            text = (await found.get(path, "watcher")).text
            assert [one for one in names if one and one in text] == []
            assert not re.search(r'href="/console/(report|message|find)', text)


async def test_a_visit_is_in_the_audit_before_its_answer_with_the_person_the_purpose_and_the_patient(console, tmp_path):
    audit = f'[audit]\ndir = "{tmp_path / "audit"}"\nseal_key = "{tmp_path / "seal.pem"}"\n'
    async with console(tables=(audit,)) as (found, sent, _):
        control_id, report_id, _, patient_id = sent[0]
        before = len(entries(tmp_path / "audit"))
        assert (await found.get("")).status_code == 200
        assert len(entries(tmp_path / "audit")) == before
        for path, kind in (
            (f"report/{report_id}", "read"),
            (f"message/{control_id}", "read"),
            (f"report/{report_id}/why?field=PID-5", "read"),
            (f"find?q={control_id}", "search"),
        ):
            before = len(entries(tmp_path / "audit"))
            assert (await found.get(path)).status_code == 200
            [entry] = entries(tmp_path / "audit")[before:]
            assert (entry.kind, entry.client, entry.user, entry.status) == (kind, "console", "local:reader", 200)
            assert entry.why
            assert patient_id in entry.patients
            assert f"DiagnosticReport/{report_id.replace('_', '-')}" in entry.shown
            assert control_id not in json.dumps(entry.parameters)


async def test_without_an_audit_that_takes_entries_no_data_of_a_patient_is_shown(console, tmp_path):
    audit = f'[audit]\ndir = "{tmp_path / "audit"}"\nseal_key = "{tmp_path / "seal.pem"}"\n'
    async with console(tables=(audit,)) as (found, sent, _):
        control_id, report_id, *_ = sent[0]

        def closed(*_):
            raise AuditUnavailable("the disk is full")

        found.app.state.audit._journal.append = closed
        for path in (f"report/{report_id}", f"message/{control_id}", f"find?q={control_id}"):
            answer = await found.get(path)
            assert answer.status_code == 503
            assert control_id not in answer.text.replace(path, "")
            assert "MSH-7" not in answer.text
        assert (await found.get("", "watcher")).status_code == 200


async def test_markup_in_texts_names_answers_and_search_words_is_shown_as_text(console):
    def spoil(account):
        for report in account.reports.values():
            for one in report:
                if one.get("reportPlainText"):
                    one["reportPlainText"] += f"\n{MARKUP}"
                one["snapshotMetadata"]["patientName"] = f"Doe {MARKUP}"
        for study in account.studies.values():
            study["studyDescription"] = MARKUP

    async with console(change=spoil) as (found, sent, here):
        answered = Statement("UPDATE attempt SET answer = :answer, reason = :text, connection = :connection")
        answer = f"MSH|^~\\&|A|B|||1||ACK|1|P|2.5.1\rMSA|AA|{sent[0][0]}|{MARKUP}".encode()
        connection = json.dumps({"to": MARKUP, "subject": MARKUP})
        async with here.here.store() as engine:
            await engine.do(partial(ask, answered, answer=answer, text=MARKUP, connection=connection))
        shown = 0
        for path in (*pages_of(sent), f"find?q={MARKUP}&at=ehr&state={MARKUP}&since={MARKUP}", f"message/{MARKUP}"):
            page = Read((await found.get(path)).text)
            assert [one["src"] for one in page.all("script")] == ["/console/console.js"], path
            assert page.all("img") == []
            assert [key for _, attrs in page.elements for key in attrs if key.startswith("on")] == []
            shown += MARKUP in page.text
        assert shown >= 3
        assert "<script>alert" in unquote(Read((await found.get(f"message/{sent[0][0]}")).text).text)


async def test_a_number_of_a_patient_is_posted_and_stands_in_no_address(console):
    async with console() as (found, sent, here):
        [mrn] = {
            study["reportMetadata"]["mrn"]
            for study_id, study in here.here.account.studies.items()
            if study_id == sent[0][2]
        }
        answer = await found.post("find", patient=mrn)
        assert answer.status_code == 200
        assert sent[0][1] in answer.text
        page = Read(answer.text)
        values = [value for _, attrs in page.elements for value in attrs.values() if value]
        assert [one for one in values if mrn in one] == []
        other = await found.post("find", headers={"Sec-Fetch-Site": "cross-site"}, patient=mrn)
        assert other.status_code == 403
        assert sent[0][1] not in other.text


async def test_the_page_of_a_report_says_what_feed_show_says(console):
    async with console("ae:1") as (found, _, here):
        [(report_id, *_), *_] = await here.query("SELECT report_id FROM message ORDER BY number")
        _, lines, _ = await here.feed("show", report_id, "--json")
        [fate] = json.loads("\n".join(lines))["fates"]
        text = Read((await found.get(f"report/{report_id}")).text).text
        assert fate["fate"] in text
        assert fate["detail"] in text


async def test_a_field_says_its_rule_and_where_it_comes_from(console):
    async with console() as (found, sent, _):
        report = f"report/{sent[0][1]}"
        page = Read((await found.get(f"{report}/why?field=PID-5&at=ehr")).text)
        assert "pid_5_patient_name" in page.text
        [source, *_] = [one["href"] for one in page.all("a") if one["href"].startswith(f"/console/{report}#")]
        places = {attrs.get("id") for attrs in Read((await found.get(report)).text).all("tr")}
        assert source.partition("#")[2] in places
        assert (await found.get(f"{report}/why?field=nonsense")).status_code == 404


async def test_a_form_that_is_too_large_or_has_too_many_fields_is_refused(console):
    async with console() as (found, *_):
        assert (await found.post("find", patient="x" * 20_000)).status_code == 413
        assert (await found.post("find", **{f"f{number}": "x" for number in range(30)})).status_code == 400


async def test_a_stored_pdf_is_shown_beside_its_report_unless_that_was_withdrawn(console, monkeypatch):
    async with console() as (found, sent, here):
        report_id = sent[0][1]
        assert (await found.get(f"report/{report_id}/pdf")).status_code == 404
        async with here.here.store() as engine:
            [wanted] = [one for one in await Pdfs(engine).wanted(clock.now(), 500) if one.report_id == report_id]
            claim = await Pdfs(engine).claim(wanted)
            await claim.write(b"%PDF-1.4 invented")
            await claim.keep()
        answer = await found.get(f"report/{report_id}/pdf")
        assert (answer.headers["content-type"], answer.content) == ("application/pdf", b"%PDF-1.4 invented")
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
        page = await found.get(f"report/{report_id}")
        assert [one["src"] for one in Read(page.text).all("iframe")] == [f"/console/report/{report_id}/pdf"]
        assert "frame-src 'self'" in page.headers["content-security-policy"]

        async def withdrawn(*_):
            return {"status": "entered-in-error"}

        monkeypatch.setattr(forms, "_diagnostic_report", withdrawn)
        assert (await found.get(f"report/{report_id}/pdf")).status_code == 404
        assert Read((await found.get(f"report/{report_id}")).text).all("iframe") == []


async def test_filters_leave_out_what_does_not_fit(console):
    async with console() as (found, sent, _):
        study_id, report_id = sent[0][2], sent[0][1]
        assert report_id in (await found.get(f"find?q={study_id}&state=AA&at=ehr")).text
        assert report_id in (await found.get(f"find?q={study_id}&since=1999-01-01&until=2998-02-30")).text
        for more in ("state=held", "since=2999-01-01", "until=1999-01-01", "critical=1"):
            page = Read((await found.get(f"find?q={study_id}&{more}")).text)
            assert "Nothing was found" in page.text
        assert (await found.get(f"find?q={study_id}&at=nobody")).status_code == 404
        answer = await found.get(f"find?q={report_id}")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/console/report/{report_id}")


async def test_the_filters_go_with_the_number_of_a_patient_and_with_any_other(console):
    async with console() as (found, sent, here):
        control_id, report_id, study_id, _ = sent[0]
        mrn = here.here.account.studies[study_id]["reportMetadata"]["mrn"]
        for more in ({}, {"at": "ehr", "state": "AA", "since": "1999-01-01"}):
            assert report_id in (await found.post("find", patient=mrn, **more)).text
        for more in ({"state": "held"}, {"since": "2999-01-01"}, {"until": "1999-01-01"}, {"critical": "1"}):
            page = Read((await found.post("find", patient=mrn, **more)).text)
            assert "Nothing was found" in page.text, more
            chosen = {one.get("value") for one in page.all("option") if "selected" in one}
            chosen |= {one.get("value") for one in page.all("input") if one.get("type") == "date" or "checked" in one}
            assert set(more.values()) <= chosen, more
        assert (await found.post("find", patient=mrn, at="nobody")).status_code == 404
        answer = await found.post("find", q=control_id, patient=" ", at="ehr", state="", critical="1")
        assert answer.status_code == 303
        assert answer.headers["location"] == f"/console/find?q={control_id}&at=ehr&critical=1"
        both = await found.post("find", q=control_id, patient=mrn)
        assert (both.status_code, report_id in both.text, "not both" in both.text) == (400, False, True)


async def test_without_a_word_the_newest_messages_are_listed(console):
    async with console() as (found, sent, _):
        text = Read((await found.get("find")).text).text
        assert text.index(sent[-1][0]) < text.index(sent[0][0])
        assert "Newest messages" not in Read((await found.get(f"find?q={sent[0][0]}")).text).text
        for more in ("at=ehr", "since=1999-01-01"):
            assert sent[0][0] in (await found.get(f"find?{more}")).text
        for more in ("at=nobody", "since=2999-01-01", "until=1999-01-01"):
            assert "No message fits" in (await found.get(f"find?{more}")).text


def test_a_day_of_a_filter_is_one_of_the_site():
    day = FindFilter("", "", "2026-03-08", "2026-03-08", "", ZoneInfo("America/New_York"))
    within = [hour for hour in range(72) if day._is_within(datetime(2026, 3, 8, tzinfo=UTC) + timedelta(hours=hour))]
    assert (within[0], within[-1]) == (5, 27)


async def test_the_overview_names_what_needs_somebody(site):
    alert = StandingAlert("critical-overdue", "ehr", 1, {1: AlertCase(100, "stu_1")})
    async with site() as here:
        await here.sync()
        async with consoled(here.configuration()) as found:
            page = Read((await found.get("", "watcher")).text)
            assert "ehr is not served" in page.text
            assert "AA means accepted by the interface of the receiver" in page.text
        async with here.here.store() as engine:
            await engine.do(partial(store_alerts, [alert]))
        await here.feed("pause", "ehr", "--reason", "works")
        async with consoled(here.configuration()) as found:
            page = Read((await found.get("", "watcher")).text)
            assert "1 alert nobody acknowledged" in page.text
            assert "ehr is paused" in page.text
            assert "feed resume ehr" in Read((await found.get("work", "watcher")).text).text
            assert "A critical result was signed longer ago" in Read((await found.get("alerts", "watcher")).text).text


async def test_the_overview_draws_a_day_of_each_destination_and_says_the_same_in_words(console):
    async with console() as (found, *_, here):
        now = micros(clock.now())
        for ago, sent in ((23 * 3600, {("ehr", 0.0): 4, ("ehr", 5.0): 4}), (60, {("ehr", 0.0): 2, ("ehr", 60.0): 2})):
            async with here.here.store() as engine:
                await engine.do(partial(add_minute, now - ago * 1_000_000, sent, 0))
        page = Read((await found.get("", "watcher")).text)
        [drawn] = page.all("svg")
        assert drawn["role"] == "img"
        assert drawn["aria-label"] == "6 sent in 24 hours, at most 4 in half an hour, 2 in the last"
        bars = [one for one in page.all("rect") if one["width"] == "2"]
        assert [(one["x"], one["height"]) for one in bars] == [("3", "22"), ("141", "12")]
        assert "p50 within 5 s" in page.text
        assert "p99 within 60 s" in page.text
        assert [key for _, attrs in page.elements for key in attrs if key == "style"] == []


async def test_the_overview_says_when_our_certificate_for_a_destination_expires(site, tmp_path):
    def table(port, name, days):
        file = tmp_path / f"{name}.pem"
        until = datetime.now(UTC) + timedelta(days=days)
        trustme.CA().issue_cert("gateway.example", not_after=until).private_key_and_cert_chain_pem.write_to_path(file)
        return destination(port, name, tls="true", client_cert=f'"{file}"')

    async with site() as here:
        others = table(1, "good", 90), table(2, "soon", 12), table(3, "late", -1), table(4, "gone", 90)
        here.settings(destination(here.receiver.port), *others)
        (tmp_path / "gone.pem").write_text("")
        async with consoled(here.configuration()) as found:
            page = Read((await found.get("", "watcher")).text)
    text = " ".join(page.text.split())
    words = ("our: ● valid until", "our: ◆ expires soon until", "our: ▲ expired until")
    assert [text.count(word) for word in words] == [1, 1, 1]
    assert "our certificate for late is expired; our certificate for gone is not readable" in text
    assert text.count("none none seen") == 1


async def test_an_alert_has_its_runbook_and_an_operator_acknowledges_it_with_a_reason(site, tmp_path):
    held = StandingAlert("lane-held", "ehr", 1, {1: AlertCase(100, "stu_1")})
    asked = {"alert": "lane-held", "at": "ehr"}
    async with site() as here:
        audit = f'[audit]\ndir = "{tmp_path / "audit"}"\nseal_key = "{tmp_path / "seal.pem"}"\n'
        here.settings(destination(here.receiver.port), audit)
        await here.sync()
        async with here.here.store() as engine:
            await engine.do(partial(store_alerts, [held]))
        async with consoled(here.configuration()) as found:
            page = Read((await found.get("alerts", "watcher")).text)
            assert "feed resume ehr" in page.text
            assert [one for one in page.all("form") if "acknowledge" in one["action"]] == []
            assert "An operator can acknowledge it here" in page.text
            assert "Acknowledge lane-held" in (await found.get("alerts", "operator")).text
            for role, status in (("reader", 403), ("operator", 400)):
                answer = await found.post(
                    "alerts/acknowledge", role, **asked, reason=" " if role == "operator" else "x"
                )
                assert answer.status_code == status
            answer = await found.post("alerts/acknowledge", "operator", {"Sec-Fetch-Site": "none"}, **asked, reason="x")
            assert answer.status_code == 403
            assert "nobody yet" in (await found.get("alerts", "watcher")).text
            answer = await found.post("alerts/acknowledge", "operator", **asked, reason=MARKUP)
            assert (answer.status_code, answer.headers["location"]) == (303, "/console/alerts")
            for role, sees in (("watcher", False), ("reader", True)):
                page = Read((await found.get("alerts", role)).text)
                assert "nobody yet" not in page.text
                assert "local:operator@" in page.text
                assert (MARKUP in page.text) is sees
        entry = entries(tmp_path / "audit")[-1]
        assert (entry.kind, entry.user, entry.route, entry.why) == ("act", "local:operator", "feed ack", MARKUP)
        kept = await here.query('SELECT verb, argument, reason, "user" FROM audit')
        assert kept == [("feed-ack", "lane-held ehr", MARKUP, "local:operator")]
        async with here.here.store() as engine:
            await engine.do(partial(store_alerts, [replace(held, cases={})]))
            await engine.do(partial(store_alerts, [StandingAlert("not-served", "ehr", 1, {0: AlertCase(200)})]))
            await engine.do(partial(store_alerts, [StandingAlert("not-served", "ehr")]))
        async with consoled(here.configuration()) as found:
            for role, sees in (("watcher", False), ("reader", True)):
                page = Read((await found.get("alerts", role)).text)
                assert "No alert is open." in page.text
                unseen, seen = page.text[page.text.index("Past alerts") :].split("lane-held")
                assert ("not-served" in unseen, "nobody" in unseen, "local:operator@" in seen) == (True, True, True)
                assert (MARKUP in seen) is sees
                assert "1970-01-01" in seen


async def test_an_alert_at_two_destinations_stands_twice_with_ids_of_its_own(site):
    async with site() as here:
        await here.sync()
        async with here.here.store() as engine:
            alerts = [StandingAlert("lane-held", at, 1, {1: AlertCase(100, "stu_1")}) for at in ("ehr", "pacs")]
            await engine.do(partial(store_alerts, alerts))
        async with consoled(here.configuration()) as found:
            overview, page = [Read((await found.get(one, "operator")).text) for one in ("", "alerts")]
            ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
            assert len(ids) == len(set(ids))
            links = [one["href"] for one in overview.all("a") if one["href"].startswith("/console/alerts#")]
            assert [one.partition("#")[2] for one in links] == ["lane-held-at-ehr", "lane-held-at-pacs"]
            assert {one.partition("#")[2] for one in links} <= set(ids)


async def test_an_alert_that_nobody_knows_is_not_acknowledged(site):
    async with site() as here:
        await here.sync()
        async with consoled(here.configuration()) as found:
            answer = await found.post("alerts/acknowledge", "operator", alert=MARKUP, at="ehr", reason="x")
            assert answer.status_code == 404
            assert "no alert that can be acknowledged" in Read(answer.text).text


async def test_a_conflict_about_a_patient_is_work(console):
    def spoil(account):
        first, *others = [one for one in account.studies.values() if one["studyReportStatus"] == "completed"]
        for study in others[:1]:
            for report in account.reports[study["studyId"]]:
                mrn = first["reportMetadata"]["mrn"]
                report["snapshotMetadata"] |= {"mrn": mrn, "facilityName": first["reportMetadata"]["facilityName"]}

    async with console(change=spoil) as (found, _, here):
        _, out, _ = await here.here.run("identity", "list")
        conflicts = re.findall("stu_[0-9a-f]{32}  (?:held apart|contradicted)", out)
        text = Read((await found.get("work", "watcher")).text).text
        assert text.count("identity conflict") == len(conflicts) > 0


async def test_a_critical_result_of_the_day_is_shown_and_what_is_not_acknowledged_comes_first(console):
    def sign(account):
        for _ in range(2):
            account.sign_new(critical=True)

    async with console(change=sign) as (found, _, here):
        recent = "UPDATE message SET signed = CAST(strftime('%s', 'now') AS INTEGER) * 1000000 WHERE is_critical = 1"
        waits = "UPDATE message SET state = 'queued', ack = '' WHERE is_critical = 1 AND report_id = :report_id"
        rows = await here.query("SELECT report_id FROM message WHERE is_critical = 1 ORDER BY number")
        first, *_, last = (report_id for (report_id,) in rows)
        async with here.here.store() as engine:
            await engine.do(partial(ask, Statement(recent)))
            await engine.do(partial(ask, Statement(waits), report_id=last))
        page = Read((await found.get("", "watcher")).text)
        at_last, at_first = page.text.index(last), page.text.index(first)
        assert at_last < at_first
        assert "critical not acknowledged" in page.text


async def test_the_part_that_the_script_asks_for_has_no_frame(console):
    async with console() as (found, *_):
        answer = await found.get("?part=1")
        page = Read(answer.text)
        assert page.all("h1") == page.all("script") == []
        assert "Destinations" in page.text
        assert (await found.get("?part=1", None)).status_code == 401


async def test_the_address_without_its_slash_leads_to_the_overview_without_a_token(site):
    async with site() as here:
        here.here.env["GATEWAY_AUTH__MODE"] = "builtin"
        async with consoled(here.configuration()) as found:
            answer = await found.client.get(f"{ORIGIN}/console")
            assert (answer.status_code, answer.headers["location"]) == (308, "/console/")


async def test_an_admin_sees_the_local_accounts_and_no_hash_of_a_password(console):
    async with console() as (found, _, here):
        assert "There is no local account." in (await found.get("access", "admin")).text
        now = clock.now()
        async with here.here.store() as engine:
            for name, role in (("kim", "reader"), ("lee", "admin")):
                await StoredOperators(engine).add(StoredOperator(name, role, "hash-text", micros(now), micros(now)), "")
            for _ in range(5):
                await StoredOperators(engine).failed("lee", lambda _: micros(now + timedelta(hours=1)))
        answer = await found.get("access", "admin")
        assert "hash-text" not in answer.text
        text = "".join(Read(answer.text).text.split())
        assert re.search(r"kimreader[\d:-]+○notlocked" + r"leeadmin[\d:-]+◆lockeduntil\d", text)


async def test_an_admin_ends_the_sessions_of_a_person_with_a_reason_that_the_audit_keeps(site, tmp_path):
    path, now = "access/sign-out", micros(clock.now())
    who = ConsoleSession("oidc:248-1", MARKUP, None, ("radiology",), now)
    async with site() as here:
        audit = f'[audit]\ndir = "{tmp_path / "audit"}"\nseal_key = "{tmp_path / "seal.pem"}"\n'
        here.settings(destination(here.receiver.port), audit)
        await here.sync()
        async with consoled(here.configuration()) as found:
            assert "Nobody is signed in." in (await found.get("access", "admin")).text
            async with here.here.store() as engine:
                stored = StoredOperators(engine)
                for digest in ("one", "two"):
                    await stored.begin(digest, who, None, "", None)
            page = Read((await found.get("access", "admin")).text)
            assert [one["value"] for one in page.all("option")] == ["oidc:248-1"]
            assert MARKUP in page.text
            asked = {"subject": "oidc:248-1", "reason": "left the hospital"}
            assert (await found.post(path, "operator", **asked)).status_code == 403
            assert (await found.post(path, "admin", {"Sec-Fetch-Site": "cross-site"}, **asked)).status_code == 403
            answer = await found.post(path, "admin", subject="oidc:248-1", reason=" ")
            assert (answer.status_code, "Write why" in answer.text, "oidc:248-1" in answer.text) == (400, True, True)
            assert (await here.query("SELECT count(*) FROM console_session")) == [(2,)]
            answer = await found.post(path, "admin", **asked)
            assert (answer.status_code, answer.headers["location"]) == (303, "/console/access")
            assert (await here.query("SELECT count(*) FROM console_session")) == [(0,)]
        entry = next(one for one in entries(tmp_path / "audit") if one.user == "local:admin" and one.kind == "act")
        assert (entry.user, entry.route, entry.why) == ("local:admin", "operators sign-out", "left the hospital")
        kept = await here.query('SELECT verb, argument, reason, "user" FROM audit')
        assert kept == [("operator-sign-out", "oidc:248-1", "left the hospital", "local:admin")]


async def test_without_the_role_console_there_is_no_page(site):
    async with site() as here:
        app = create_app(here.configuration(), ("api",), console=PAGES)
        async with app.router.lifespan_context(app), AsyncClient(transport=ASGITransport(app)) as client:
            assert (await client.get(f"{ORIGIN}/console/")).status_code == 404


async def test_all_who_look_share_one_answer_and_wait_only_for_one_that_is_too_old(monkeypatch):
    now, asked, shared = [0.0], [], Shared()
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])

    async def ask():
        asked.append(now[0])
        await asyncio.sleep(0)
        return len(asked)

    async def failing():
        raise StoreUnavailable("away")

    assert await asyncio.gather(shared.get(ask), shared.get(ask)) == [1, 1]
    now[0] = 4.0
    assert await shared.get(ask) == 1
    now[0] = 6.0
    assert await shared.get(ask) == 1
    await asyncio.sleep(0.01)
    assert (await shared.get(ask), asked) == (2, [0.0, 6.0])
    now[0] = 20.0
    assert await shared.get(failing) == 2
    await asyncio.sleep(0.01)
    now[0] = 90.0
    with pytest.raises(StoreUnavailable):
        await shared.get(failing)
    now[0] = 96.0
    assert await shared.get(ask) == 3


@asynccontextmanager
async def signed_in_site(here, role="reader"):
    """Serve the console with its own gate, and a local account."""
    async with here.here.store() as engine:
        now = micros(clock.now())
        await StoredOperators(engine).add(StoredOperator("kim", role, hashed(PASSWORD), now, now), "")
    app = create_app(here.configuration(), ("api", "console"), console=PAGES)
    client = AsyncClient(transport=ASGITransport(app, client=("127.0.0.1", 1)), base_url=ORIGIN)
    async with app.router.lifespan_context(app), client:
        yield client


OPENED = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
POSTED = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
PASSWORD = "three words and a number"


async def test_somebody_signs_in_comes_back_to_the_page_and_signs_out(site, tmp_path):
    async with site() as here:
        audit = f'[audit]\ndir = "{tmp_path / "audit"}"\nseal_key = "{tmp_path / "seal.pem"}"\n'
        here.settings(destination(here.receiver.port), audit)
        await here.sync()
        await here.served()
        [(report_id,), *_] = await here.query("SELECT report_id FROM message ORDER BY number")
        async with signed_in_site(here) as client:
            away = await client.get(f"/console/report/{report_id}", headers=OPENED)
            assert away.status_code == 303
            page = Read((await client.get(away.headers["location"], headers=OPENED)).text)
            assert {one.get("name") for one in page.all("input")} == {"name", "password", "to"}
            [to] = [one["value"] for one in page.all("input") if one.get("name") == "to"]
            wrong = await client.post(
                "/console/sign-in", data={"name": MARKUP, "password": "x", "to": MARKUP}, headers=POSTED
            )
            assert [one.get("src") for one in Read(wrong.text).all("script")] == ["/console/console.js"]
            given = {"name": "kim", "password": PASSWORD, "to": to}
            back = await client.post("/console/sign-in", data=given, headers=POSTED)
            assert (back.status_code, back.headers["location"]) == (303, f"/console/report/{report_id}")
            answer = await client.get(back.headers["location"], headers=OPENED)
            assert answer.status_code == 200
            assert "kim, reader" in answer.text
            assert entries(tmp_path / "audit")[-1].user == "local:kim"
            assert (await client.get("/console/access", headers=OPENED)).status_code == 403
            await client.post("/console/sign-out", headers=POSTED)
            assert (await client.get(f"/console/report/{report_id}")).status_code in {303, 401}
