"""A client that polls `_history?_since=` or `_lastUpdated=gt` misses nothing while two processes write (D29).

https://hl7.org/fhir/R4/http.html#history. The processes are real, and the clock of one is wrong by an hour.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from fakes.facade import BASE, sandboxed
from fakes.store import rows

TESTS = Path(__file__).parents[1]
SECONDS = 4
ALL = (
    "SELECT r.address, v.version FROM version v JOIN resource r ON r.number = v.resource"
    " WHERE v.faults IS NULL AND r.address LIKE ?"
)


async def pages(stage, url):
    """Return the resources on a page and on all that follow it."""
    found = []
    while url:
        answer = await stage.client.get(url)
        assert answer.status_code == 200, answer.text
        bundle = answer.json()
        found += [one["resource"] for one in bundle.get("entry", ()) if one.get("search", {}).get("mode") != "outcome"]
        url = next((one["url"] for one in bundle["link"] if one["relation"] == "next"), None)
    return found


class Poll:
    """Client that asks again and again from the last instant that it saw."""

    def __init__(self, stage, url):
        self._stage, self._url, self.last, self.rounds = stage, url, "2020-01-01T00:00:00Z", 0
        self.seen = set()

    async def once(self):
        found = await pages(self._stage, self._url.format(BASE, self.last))
        self.seen |= {(f"{one['resourceType']}/{one['id']}", int(one["meta"]["versionId"])) for one in found}
        self.last = max([self.last, *(one["meta"]["lastUpdated"] for one in found)])
        self.rounds += 1


async def writer(url, name, skew):
    python_path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fakes.writing_process", url, name, str(SECONDS), str(skew)),
        env={**os.environ, "PYTHONPATH": python_path},
        stdout=asyncio.subprocess.PIPE,
    )


@pytest.mark.full
@pytest.mark.timeout(180)
async def test_polling_misses_no_version_and_no_resource_while_two_processes_write(postgres_database):
    async with sandboxed() as box, box.gateway(postgres_database) as stage:
        system = Poll(stage, "{}/_history?_since={}&_count=50")
        of_type = Poll(stage, "{}/DiagnosticReport/_history?_since={}&_count=20")
        search = Poll(stage, "{}/DiagnosticReport?_lastUpdated=gt{}&_count=20&_sort=_lastUpdated")
        polls = (system, of_type, search)
        processes = [await writer(postgres_database, "a", 0), await writer(postgres_database, "b", -3_600)]
        while any(one.returncode is None for one in processes):
            for one in polls:
                await one.once()
            await asyncio.sleep(0)
        written = [int((await one.communicate())[0]) for one in processes]
        for one in polls:
            await one.once()
        engine = stage.app.state.facade.engine
        every, of_reports = set(await rows(engine, ALL, "%")), set(await rows(engine, ALL, "DiagnosticReport/%"))
        assert min(written) > 20
        assert min(one.rounds for one in polls) > 5
        assert system.seen == every
        assert of_type.seen == of_reports
        newest = {}
        for address, version in sorted(of_reports):
            newest[address] = max(version, newest.get(address, 0))
        assert search.seen >= set(newest.items())
        assert search.seen <= of_reports
