"""The page of the certificate: the answer of `feed certificate`, a new run, and its reports as CSV (D53)."""

from __future__ import annotations

import asyncio
import csv
import json
from datetime import timedelta
from functools import partial

import pytest
from fakes.consoled import consoled

from gateway.feed.operator import certificate
from gateway.runtime import clock
from gateway.runtime.errors import StoreUnavailable
from gateway.store.database.engine import micros
from gateway.store.erasing import ErasureOrder, erase_studies
from gateway.store.feed.destinations import CertificateRuns


@pytest.fixture
def unread(site):
    """Return a site two of whose messages were refused, so that its certificate is open."""
    return lambda: site("ar:2", faults=())


async def made(found):
    """Wait until no run goes on; return the page as a reader and as a watcher see it."""
    async with asyncio.timeout(30):
        while "A run goes on" in (await found.get("certificate")).text:
            await asyncio.sleep(0.05)
    return [" ".join((await found.get("certificate", role)).text.split()) for role in ("reader", "watcher")]


async def test_a_run_says_what_the_command_says_with_reports_only_for_a_reader(unread, tmp_path):
    async with unread() as here:
        await here.sync()
        await here.served()
        await here.feed("certificate", "ehr", "--out", str(tmp_path / "out.json"))
        said = json.loads((tmp_path / "out.json").read_text())
        [account] = said["destinations"]
        async with consoled(here.configuration()) as found:
            assert "No certificate was made here yet" in (await found.get("certificate")).text
            assert (await found.post("certificate/run", "reader")).status_code == 403
            assert (await found.post("certificate/run", "operator", {"Sec-Fetch-Site": "none"})).status_code == 403
            answer = await found.post("certificate/run", "operator", at="ehr")
            assert (answer.status_code, answer.headers["location"]) == (303, "/console/certificate")
            await made(found)
        async with consoled(here.configuration()) as found:  # another process, or the same after a restart
            reader, watcher = await made(found)
            rows = list(csv.DictReader((await found.get("certificate/ehr/csv")).text.splitlines()))
            assert (await found.get("certificate/ehr/csv", "watcher")).status_code == 403
            assert (await found.get("certificate/pacs/csv")).status_code == 404
            async with here.here.store() as engine:
                order = ErasureOrder([rows[0]["study"]], "", "asked", b"key", 1)
                await engine.do(partial(erase_studies, order, is_trial=False))
            assert "No certificate was made here yet" in (await found.get("certificate")).text
            assert (await found.get("certificate/ehr/csv")).status_code == 404
        listed = [one["reportId"] for one in account["reports"]]
        assert [one["report"] for one in rows] == listed
        assert [one["fate"] for one in rows] == [one["fate"] for one in account["reports"]]
        assert listed
        for text in (reader, watcher):
            assert f"</span> {said['verdict']}</span>" in text
            assert f"<dt>Open</dt><dd>{account['open']}" in text
            assert "by local:operator, in" in text
        assert [one for one in listed if one not in reader] == []
        assert [one for one in listed if one in watcher] == []


async def test_one_run_goes_on_at_a_time_and_shows_who_began_it(site, monkeypatch):
    begun, may = [], asyncio.Event()

    async def slow(*asked, count):
        begun.append(asked[-1])
        count(1_200, None)
        await may.wait()
        raise StoreUnavailable("away")

    monkeypatch.setattr(certificate, "make_certificate", slow)
    monkeypatch.setattr(certificate, "_TOLD_EVERY", 0.01)
    async with site() as here, consoled(here.configuration()) as found:
        for _ in range(2):
            await found.post("certificate/run", "operator", since="2026-03-08", until="2026-03-08")
            async with asyncio.timeout(30):
                while "1,200 reports are listed" not in (page := (await found.get("certificate", "watcher")).text):
                    await asyncio.sleep(0.01)
            assert "begun" in page
            assert "local:operator" in page
            assert 'data-every="2"' in page
        may.set()
        _, watcher = await made(found)
        [span] = begun
        assert span.until - span.since == 24 * 3_600 * 1_000_000
        assert "made no certificate: store-unavailable: away" in watcher


async def test_a_run_whose_process_ended_is_over_and_another_may_begin(site):
    async with site() as here, consoled(here.configuration()) as found:
        async with here.here.store() as engine:
            runs, begun = CertificateRuns(engine), clock.now() - timedelta(minutes=2)
            await runs.begin("ehr", "local:ann", micros(begun))
        page = (await found.get("certificate", "operator")).text
        assert ("local:ann" in page, "its process ended" in page, "Make a certificate" in page) == (True, True, True)


async def test_a_span_that_is_empty_and_a_destination_that_is_none_begin_no_run(site):
    async with site() as here, consoled(here.configuration()) as found:
        answer = await found.post("certificate/run", "operator", since="2026-03-08", until="2026-03-01")
        assert (answer.status_code, "The last day is before the first." in answer.text) == (400, True)
        assert (await found.post("certificate/run", "operator", at="nobody")).status_code == 404
        assert "A run goes on" not in (await found.get("certificate")).text
