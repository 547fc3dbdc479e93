"""A gateway that is killed at any instant has an entry for each read that it answered; so has one of two processes.

https://man7.org/linux/man-pages/man2/write.2.html: what was written survives the end of the process.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import ExitStack
from random import Random

import httpx
import pytest
from fakes.audited import entries
from fakes.facade import sandboxed
from fakes.gateway_process import environment, site_file, started

from gateway.audit.seal_key import read_seal_key
from gateway.audit.segment import hex_of
from gateway.audit.segment_file import segment_of, segment_paths
from gateway.audit.verification import chain_faults, verify_segment
from mappings.patient.identifiers import fhir_id

ROUNDS, READERS = 3, 4
READS = 20  # answers in each round before the gateways are killed


async def read_on(url, ids, answered):
    """Read reports, one after another, until the gateway is gone; count the answers that began."""
    async with httpx.AsyncClient(timeout=30) as client:
        while True:
            for one in ids:
                try:
                    async with client.stream("GET", f"{url}/fhir/DiagnosticReport/{one}") as answer:
                        if answer.status_code == 200:
                            answered[one] += 1
                except httpx.HTTPError:
                    return


pytestmark = pytest.mark.full


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)])
def database(request):
    """Return the URL of a database, and how many gateways serve it at once."""
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('sqlite_database')}", 1
    return request.getfixturevalue("postgres_database"), 2


@pytest.mark.timeout(240)
async def test_each_read_that_was_answered_has_its_entry_whenever_the_gateways_are_killed(database, tmp_path):
    database_url, gateways = database
    dice, answered, folder = Random(15), Counter(), tmp_path / "audit"
    more = {"GATEWAY_AUDIT__DIR": str(folder), "GATEWAY_AUDIT__SEAL_KEY": str(tmp_path / "seal.pem")}
    async with sandboxed() as sandbox:
        env = environment(sandbox.options.base_url, database_url, site_file(tmp_path), **more)
        reports = [one for every in sandbox.account.reports.values() for one in every if one["status"] == "completed"]
        ids = [fhir_id(one["reportId"]) for one in reports[:8]]
        for number in range(ROUNDS):
            with ExitStack() as stack:
                logs = [tmp_path / f"{number}-{one}.log" for one in range(gateways)]
                command = ["serve", "--port", "0", "--roles", "api"]
                running = [stack.enter_context(started(command, env, log)) for log in logs]
                urls = [await one.address() for one in running]
                readers = [asyncio.create_task(read_on(url, ids, answered)) for url in urls for _ in range(READERS)]
                before = answered.total()
                while answered.total() < before + READS:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(dice.random())
                for one in running:
                    one.kill()
                await asyncio.gather(*readers)
    noted = Counter(one.shown[0].partition("/")[2] for one in entries(folder) if one.status == 200)
    assert [one for one in answered if noted[one] < answered[one]] == []
    # A kill may come between the entry and the answer
    assert noted.total() <= answered.total() + READERS * ROUNDS * gateways
    paths = segment_paths(folder)
    assert len(paths) == gateways
    keys = {hex_of(read_seal_key(tmp_path / "seal.pem").public_key())}
    found = [verify_segment(path.read_bytes().splitlines(keepends=True), keys, segment_of(path)) for path in paths]
    assert [fault for one in found for fault in one.faults] == chain_faults(found, {}) == []


@pytest.mark.timeout(120)
async def test_of_two_processes_the_one_that_works_loads_what_the_one_that_answers_noted(postgres_database, tmp_path):
    more = {"GATEWAY_AUDIT__DIR": str(tmp_path / "audit"), "GATEWAY_AUDIT__SEAL_KEY": str(tmp_path / "seal.pem")}
    async with sandboxed() as sandbox:
        env = environment(sandbox.options.base_url, postgres_database, site_file(tmp_path), **more)
        reports = [one for every in sandbox.account.reports.values() for one in every if one["status"] == "completed"]
        address = f"DiagnosticReport/{fhir_id(reports[0]['reportId'])}"
        with started(["serve", "--port", "0"], env, tmp_path / "log") as gateway:
            url = await gateway.address()
            async with httpx.AsyncClient(base_url=f"{url}/fhir", timeout=30) as client:
                assert (await client.get(f"/{address}")).status_code == 200
                for _ in range(300):
                    found = (await client.get("/AuditEvent", params={"entity": address, "subtype": "read"})).json()
                    if found.get("entry"):
                        break
                    await asyncio.sleep(0.1)
                assert len(found["entry"]) == 1
            assert await gateway.stop() == 0
    keys = {hex_of(read_seal_key(tmp_path / "seal.pem").public_key())}
    paths = segment_paths(tmp_path / "audit")
    found = [verify_segment(path.read_bytes().splitlines(keepends=True), keys, segment_of(path)) for path in paths]
    assert [(one.faults, one.unsealed) for one in found] == [([], 0)]  # the end of the service seals
