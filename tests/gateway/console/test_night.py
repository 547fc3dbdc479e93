"""At night the console names cause, object, criticals concerned and next step, and what it offers works (D53)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fakes.night import GENERAL, MOBILE, PEOPLE, Night, certify, night
from playwright.async_api import Page

from gateway.console import overview
from gateway.feed.alerts import monitor, webhook
from gateway.fhir_api.ops import health
from gateway.store.database import probe

MOST_CLICKS = 3
REASON = "the night shift"


@dataclass
class Watch:
    """Somebody at the console: what was read since the overview, and by how many clicks."""

    here: Night
    page: Page
    clicks: int = 0
    read: str = ""

    async def begin(self, *words: str, gone: str = "") -> None:
        """Open the overview, and wait until it says all of that, and not what is to be gone."""
        async with asyncio.timeout(40):
            while True:
                await self.page.goto(self.here.found.root)
                self.clicks, self.read = 0, ""
                await self._look()
                if all(one in self.read for one in words) and (not gone or gone not in self.read):
                    return
                await asyncio.sleep(0.3)

    async def click(self, name: str, *within: str) -> None:
        """Follow a link, in the row with these texts if there are any."""
        links = self.page.locator("main tr" if within else "body")
        for text in within:
            links = links.filter(has_text=text)
        await links.get_by_role("link", name=name, exact=True).first.click()
        self.clicks += 1
        await self._look()

    async def does(self, action: str) -> None:
        """Give a reason, and have it done."""
        assert self.clicks <= MOST_CLICKS
        button = self.page.get_by_role("button", name=action, exact=True)
        form = self.page.locator("main form", has=button).first
        await form.get_by_label("Reason").fill(REASON)
        await form.get_by_role("button").click()
        await self._look()

    def told(self, *words: str) -> None:
        """See that all of that was read by so few clicks."""
        assert self.clicks <= MOST_CLICKS
        missing = [one for one in words if one not in self.read]
        assert missing == [], self.read

    async def until(self, is_so) -> None:
        """Wait for the effect."""
        async with asyncio.timeout(30):
            while not is_so():
                await asyncio.sleep(0.1)

    async def message_at(self, destination: str) -> tuple[str, str]:
        """Return the MSH-10 of a message in the list, and its destination."""
        row = self.page.locator("main tr", has=self.page.locator("td:nth-child(2)", has_text=destination)).last
        return (await row.get_by_role("link").first.inner_text()), destination

    async def _look(self) -> None:
        self.read += " " + " ".join((await self.page.locator("main").inner_text()).split())


async def receiver_down(watch):
    here = watch.here
    await watch.begin("▲ down connect-failed", "connection-down", "▲ queued connect-failed down")
    watch.told("down is down", here.reports["0"].report_id)
    await watch.click("connection-down", "down")
    watch.told("connection-down at down", "check-config --online")
    await watch.does("Acknowledge connection-down")
    watch.told("by local:operator")
    await here.receivers["down"].__aenter__()
    await watch.until(lambda: here.arrived("down") >= len(PEOPLE))


async def critical_overdue(watch):
    await watch.begin("critical-overdue down", "▲ queued connect-failed down", "waits for 2 min")
    await watch.click("critical-overdue", "down")
    watch.told("critical-overdue at down", "Notify the clinician by other means now")
    await watch.does("Acknowledge critical-overdue")
    watch.told("by local:operator")


async def receiver_refuses_one(watch):
    await watch.begin("AE-101 one")
    await watch.click("Work")
    [study_id] = {one.study_id for one in watch.here.reports.values() if f"one {one.study_id} refused" in watch.read}
    watch.told(f"held study critical one {study_id} refused")
    await watch.click(study_id, "refused")
    await watch.click(*await watch.message_at("one"))
    watch.told("Error 101 at PID^1^3: Required field missing")
    await watch.begin()
    await watch.click("Work")
    before = watch.here.arrived("one")
    await watch.click("Let held work go on", "one " + study_id, "refused")
    await watch.does("Let held work go on")
    await watch.until(lambda: watch.here.arrived("one") > before)


async def receiver_refuses_all(watch):
    await watch.begin("▲ probing refused-for-now", "AR-207 every", "circuit-breaker-open every")
    await watch.click("circuit-breaker-open")
    watch.told("circuit-breaker-open at every", "Ask the receiver's operators")
    await watch.begin()
    await watch.click("Work")
    watch.told("probing every - refused-for-now", "feed resume every")
    await watch.click("Resume sending", "every")
    await watch.does("Resume sending")
    watch.told("every is sent to again")
    watch.here.receivers["every"].ack = "aa"
    await watch.begin("acknowledged (AA) every")


async def receiver_hangs(watch):
    await watch.begin("indeterminate ack-timeout silent")
    await watch.click("Work")
    watch.told("held study critical silent", "indeterminate", "feed resume silent")
    watch.here.receivers["silent"].ack = "aa"
    await watch.click("Let held work go on", "silent", "held study")
    await watch.does("Let held work go on")
    await watch.begin("acknowledged (AA) silent")


async def wrong_patient(watch):
    here = watch.here
    await watch.begin("held identity-conflict-held ehr")
    two = here.reports["hers"], here.reports["another"]
    [study_id] = [one.study_id for one in two if f"conflict-held ehr {one.report_id}" in watch.read]
    await watch.click("Work")
    watch.told(
        f"held report critical ehr {study_id} identity-conflict-held", f"identity conflict - {study_id} held apart"
    )
    before = here.arrived("ehr")
    await watch.click("Separate", study_id, "held apart")
    await watch.does("Separate")
    watch.told("is kept apart from Patient/")
    await watch.until(lambda: here.arrived("ehr") > before)


async def plan_waiting(watch):
    await watch.begin("plan-waits planned", "of them critical")
    await watch.click("Work")
    watch.told("plan critical planned", "feed plan planned --reports")
    await watch.click("Apply the plan", "planned")
    watch.told(watch.here.reports["0"].report_id)
    assert watch.here.arrived("planned") == 0
    await watch.does("Apply the plan")
    await watch.until(lambda: watch.here.arrived("planned") >= len(PEOPLE))


async def certificate_expires(watch):
    await watch.begin("expires soon until")
    watch.told("our certificate for secured expires soon" if "Something waits" in watch.read else "expires soon until")
    watch.told("write the new one to its file", "check-config --online")
    certify(watch.here.site.folder, 400, watch.here.authority)
    await watch.begin("valid until")


async def restored_database(watch):
    await watch.begin("▲ paused restored", "database-restored restored")
    await watch.click("Work")
    watch.told("paused restored - restored", "feed resume restored --restored")
    code, out, err = await watch.here.site.feed("resume", "restored", "--restored")
    assert code == 0, (out, err)
    await watch.until(lambda: watch.here.arrived("restored") >= len(PEOPLE))


async def facility_unknown(watch):
    report = watch.here.reports["mobile"]
    await watch.begin(f"held authority-unknown ehr {report.report_id}")
    await watch.click("Work")
    watch.told(f"held report critical ehr {report.study_id} authority-unknown")
    assert await watch.page.locator("main tr", has_text="authority-unknown").get_by_text("Let held").count() == 0
    await watch.click(report.study_id, "authority-unknown")
    await watch.click(report.report_id)
    watch.told(MOBILE)


async def autoscribe_down(watch):
    await watch.here.autoscribe.cut()
    await watch.begin("autoscribe-unreachable")
    await watch.click("autoscribe-unreachable")
    watch.told("no report is read", "Notify clinicians of critical results", "check-config --online")
    await watch.here.autoscribe.mend()
    await watch.begin(gone="autoscribe-unreachable")


async def disk_full(watch):
    here = watch.here
    [(pages,)] = await here.write("PRAGMA page_count")
    await here.write(f"PRAGMA max_page_count = {pages}")
    late = here.site.here.account.sign_new(critical=True)
    here.site.here.account.change_patient(late.report_id, {"facilityName": GENERAL, "mrn": "SBXGEN-1009"})
    here.site.here.account.change_text(late.report_id, "FINDINGS: " + "long " * 40_000)
    await watch.begin("store-full")
    await watch.click("store-full")
    watch.told("its disk is full", "Nothing is lost", "Free space, but delete no file of the gateway")
    before = here.arrived("ehr")
    await here.write("PRAGMA max_page_count = 4294967294")
    await watch.begin(gone="store-full")
    await watch.until(lambda: here.arrived("ehr") > before)


INCIDENTS = (
    critical_overdue,
    receiver_down,
    receiver_refuses_one,
    receiver_refuses_all,
    receiver_hangs,
    wrong_patient,
    plan_waiting,
    certificate_expires,
    restored_database,
    facility_unknown,
    autoscribe_down,
    disk_full,
)
PATIENCE = (
    (overview, "_FRESH", 0.0),
    (overview, "_STALE", 0.0),
    (monitor, "EVERY", 0.5),
    (webhook, "_PATIENCE", 0.0),
    (health, "PATIENCE", 0.0),
    (probe, "_STAYS", 3.0),
)


async def test_at_night_the_console_says_what_to_do_and_what_it_offers_works(site, monkeypatch):
    for where, name, value in PATIENCE:
        monkeypatch.setattr(where, name, value)
    async with site(faults=()) as here, night(here) as made, made.found.page("operator") as page:
        for incident in INCIDENTS:
            await incident(Watch(made, page))
        assert made.found.complaints == []
