"""The console in a browser: few clicks, no overflow, by keyboard, without its script, and nothing is blocked (D53)."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from fakes.browsing import browsed
from fakes.consoled import ROLE

from gateway.runtime import clock
from gateway.store.database.engine import Statement, ask, micros
from gateway.store.feed.alerts import AlertCase, StandingAlert, store_alerts
from gateway.store.feed.messages import add_minute

PICTURES = Path(__file__).parents[3] / "docs" / "console"
DELIVERED = "SELECT control_id, report_id, study_id FROM message WHERE state = 'delivered' ORDER BY number"
WIDTHS = (360, 1024, 1280, 1920)
BOX = (
    "[...document.querySelectorAll('.wide')].filter(one => one.scrollWidth > one.clientWidth).map(one => one.ariaLabel)"
)


@pytest.fixture
def browser(site):
    """Open the console of a site in a browser; yields it, and the first message that was delivered."""

    @asynccontextmanager
    async def opened():
        async with site("ar:2", faults=()) as here:
            here.here.account.sign_new(critical=True)
            await here.sync()
            await here.served()
            sent = await here.query(DELIVERED)
            async with browsed(here.configuration()) as found:
                yield found, sent[0], here

    return opened


def pages_of(sent):
    control_id, report_id, study_id = sent
    return {
        "overview": "",
        "work": "work",
        "alerts": "alerts",
        "find": f"find?q={study_id}",
        "report": f"report/{report_id}",
        "why": f"report/{report_id}/why?field=PID-5",
        "message": f"message/{control_id}",
        "certificate": "certificate",
        "access": "access",
    }


async def test_every_page_fits_every_width_and_axe_finds_nothing_in_light_and_dark(browser):
    async with browser() as (found, sent, _):
        for scheme in ("light", "dark"):
            for width in WIDTHS:
                async with found.page(width=width, color_scheme=scheme) as page:
                    action = {"action": f"act/resend?at=ehr&report={sent[1]}"}
                    for name, path in (pages_of(sent) | action).items():
                        await page.goto(found.root + path)
                        wide = await page.evaluate("document.documentElement.scrollWidth")
                        assert wide <= width, (name, width, wide)
                        assert width < 1280 or await page.evaluate(BOX) == [], (name, width)
                        if width == WIDTHS[-1]:
                            found_by_axe = (await Axe().run(page)).response["violations"]
                            assert [(one["id"], one["nodes"][0]["html"]) for one in found_by_axe] == [], (name, scheme)
        assert found.complaints == []


async def test_a_stranger_finds_a_report_and_its_answer_in_few_clicks(browser):
    async with browser() as (found, (control_id, report_id, study_id), _), found.page("reader") as page:
        await page.goto(found.root)
        await page.get_by_role("textbox").fill(study_id)
        await page.get_by_role("button", name="Find").click()
        await page.get_by_role("link", name=report_id).first.click()
        assert await page.locator("tr", has_text="ehr").get_by_text("acknowledged (AA)").count() == 1
        await page.get_by_role("link", name=control_id).first.click()
        assert f"AA for {control_id}" in await page.locator("main").inner_text()
        await page.get_by_role("link", name="PID-5").click()
        assert "pid_5_patient_name" in await page.locator("main").inner_text()
        assert found.complaints == []


@asynccontextmanager
async def task(found):
    """Begin a task at the overview; at most four clicks may be made."""
    async with found.page("operator") as page:
        await page.goto(found.root)
        clicks = []

        async def click(role, name):
            clicks.append(name)
            await page.get_by_role(role, name=name, exact=True).first.click()

        yield page, click
        assert len(clicks) <= 4, clicks


async def test_a_stranger_finds_a_patient_sends_a_report_again_and_proves_a_day_by_four_clicks_each(browser):
    async with browser() as (found, (_, report_id, study_id), here):
        async with task(found) as (page, click):
            await click("link", "Find")
            await page.get_by_label("Or patient number").fill(
                here.here.account.studies[study_id]["reportMetadata"]["mrn"]
            )
            await page.locator("main").get_by_role("button", name="Find").click()
            await click("link", report_id)
            assert report_id in await page.locator("h1").inner_text()
        async with task(found) as (page, click):
            await page.get_by_role("textbox").fill(report_id)
            await click("button", "Find")
            await click("link", "Send again")
            await page.get_by_label("Reason").fill("asked for by ward 7")
            await click("button", "Send again")
            await page.get_by_text("ehr is sent 1 report of 1 study again").wait_for()
        async with task(found) as (page, click):
            await click("link", "Certificate")
            day = f"{clock.now() - timedelta(days=1):%Y-%m-%d}"
            await page.get_by_label("Signed from").fill(day)
            await page.get_by_label("To").fill(day)
            await click("button", "Make a certificate")
            await page.get_by_text("not listed by AutoScribe").first.wait_for()
            assert "certified" in await page.locator("main").inner_text()
        assert found.complaints == []


async def test_the_overview_is_used_by_keyboard_and_without_the_script(browser):
    async with browser() as (found, (_, report_id, _), _):
        async with found.page("reader", java_script_enabled=False) as page:
            await page.goto(found.root)
            await page.keyboard.press("Tab")
            assert await page.locator(":focus").inner_text() == "Skip to the content"
            for _ in range(20):
                await page.keyboard.press("Tab")
                if await page.locator("input:focus").count():
                    break
            await page.keyboard.type(report_id)
            await page.keyboard.press("Enter")
            await page.wait_for_url(f"**/report/{report_id}")
            assert report_id in await page.locator("h1").inner_text()
        assert found.complaints == []


async def test_the_script_renews_the_part_that_changes_and_says_when_nobody_is_signed_in(browser):
    async with browser() as (found, _, here), found.page("watcher") as page:
        await page.clock.install()
        await page.goto(found.root)
        assert "ehr is paused" not in await page.locator("main").inner_text()
        await here.feed("pause", "ehr", "--reason", "works")
        for _ in range(30):  # the answer is shared for some seconds of the server's own clock
            await page.clock.run_for(10_000)
            await asyncio.sleep(0.5)
            if await page.get_by_text("ehr is paused").count():
                break
        assert await page.get_by_text("ehr is paused").count() == 1
        await page.set_extra_http_headers({ROLE: ""})
        await page.clock.run_for(10_000)
        await page.get_by_text("You are signed out.").wait_for()
        assert [one for one in found.complaints if "401" not in one] == []


async def test_what_somebody_types_stays_while_a_page_renews_itself(browser):
    alert = StandingAlert("lane-held", "ehr", 1, {1: AlertCase(micros(clock.now()), "stu_1")})
    async with browser() as (found, _, here), found.page("operator") as page:
        async with here.here.store() as engine:
            await engine.do(partial(store_alerts, [alert]))
        await page.clock.install()
        await page.goto(f"{found.root}alerts")
        await page.get_by_label("Reason, for the audit.").fill("called the ward")
        await page.clock.run_for(30_000)
        await asyncio.sleep(0.5)
        await page.get_by_role("button", name="Acknowledge lane-held").click()
        await page.get_by_text("by local:operator@").first.wait_for()
        assert found.complaints == []


async def test_the_pictures_of_the_document_show_what_an_operator_sees(site, request):
    """With `--update-golden` they are written anew."""
    alert = StandingAlert("lane-held", "ehr", 2, {1: AlertCase(micros(clock.now()) - 600_000_000, "stu_1")})
    now = micros(clock.now())
    recent = "UPDATE message SET signed = :now - 1000000 * 60 * (number % 90 + 2) WHERE is_critical = 1"
    async with site("ae:2") as here:
        signed = [here.here.account.sign_new(critical=True) for _ in range(4)]
        await here.sync()
        await here.served()
        ids = {one.report_id for one in signed}
        sent = next(one for one in await here.query(DELIVERED) if one[1] in ids)
        async with here.here.store() as engine:
            await engine.do(partial(ask, Statement(recent), now=now))
            await engine.do(partial(store_alerts, [alert]))
            for hour in range(24):
                counts = {("ehr", 0.0): 9 + 5 * hour % 17, ("ehr", 10.0): 9, ("ehr", 60.0): 5 * hour % 17}
                await engine.do(partial(add_minute, now - 3_600_000_000 * hour, counts, 0))
        async with here.serving(), browsed(here.configuration()) as found:
            for name, path in pages_of(sent).items():
                async with found.page("admin", width=1280) as page:
                    await page.goto(found.root + path)
                    if name == "certificate":
                        await page.get_by_role("button", name="Make a certificate").click()
                        await page.get_by_text("Download as CSV").wait_for()
                    taken = await page.screenshot(type="png")
                    text = await page.locator("main").inner_text()
                if request.config.getoption("--update-golden"):
                    (PICTURES / f"{name}.png").write_bytes(taken)
                assert SHOWN.get(name, "") in text, name


SHOWN = {
    "overview": "acknowledged (AA)",
    "work": "held study critical",
    "alerts": "lane-held at ehr",
    "message": "AA",
    "certificate": "not listed by AutoScribe",
}


def test_the_document_has_a_picture_of_each_page():
    text = (PICTURES.parent / "console.md").read_text()
    assert [name for name in pages_of(("", "", "")) if f"](console/{name}.png)" not in text] == []
