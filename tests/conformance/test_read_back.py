"""Failures at an EHR that AA does not show are found in a FHIR server of others, by the searches that Oracle offers.

Our messages go through hl7v2-fhir-bridge (PyPI) into HAPI FHIR JPA, both unmodified. The gateway asks a stand-in that
refuses whatever https://docs.oracle.com/en/industries/health/millennium-platform-apis/mfrap/ does not offer. Needs a
JDK, Maven and PostgreSQL. `EXAMPLES=all` reads 2,000 reports back for each of three seeds, with a hundred failures.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from bench.peers.hapi import hapi
from fakes.databases import Server
from fakes.ehr import Json
from fakes.filing import FAILURES, filing
from fakes.scale import IS_WHOLE

from gateway.store.database.sqlite import Sqlite

pytestmark = pytest.mark.timeout(5_400)
SEEDS = (1, 2, 3) if IS_WHOLE else (1,)
REPORTS, PLANTED = (2_000, 100) if IS_WHOLE else (100, 10)


class HapiCharts:
    """Charts in HAPI: transactions go in as the bridge made them."""

    def __init__(self, base: str, client: httpx.AsyncClient) -> None:
        self._base, self._client = base, client

    async def file(self, bundle: Json) -> None:
        """File a transaction."""
        answer = await self._client.post(self._base, json=bundle)
        assert answer.status_code == httpx.codes.OK, answer.text[:2_000]

    async def search(self, kind: str, asked: Any) -> list[Json]:
        """Return all that matches."""
        query = urlencode({**asked, "_count": "100"}, doseq=True)
        answer = await self._client.get(f"{self._base}/{kind}?{query}", headers={"Cache-Control": "no-cache"})
        assert answer.status_code == httpx.codes.OK, answer.text[:2_000]
        bundle = answer.json()
        assert not any(one["relation"] == "next" for one in bundle["link"])
        return [one["resource"] for one in bundle.get("entry", ())]


@pytest.fixture
def base(postgres_server: Server, tmp_path: Path) -> Iterator[str]:
    """Run a HAPI with no charts yet; yield the base of its FHIR API."""
    if shutil.which("mvn") is None or shutil.which("javac") is None:
        pytest.skip("needs a JDK and Maven for HAPI FHIR JPA")
    with postgres_server.database("template0") as url, hapi(url, tmp_path) as server:
        yield server.base


@pytest.fixture
async def store(migrated_sqlite, tmp_path):
    async with (engine := Sqlite(Path(shutil.copy(migrated_sqlite, tmp_path)))).opened():
        yield engine


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_planted_failure_is_found_within_two_rounds_and_none_besides(
    seed, store, base, tmp_path, monkeypatch, record_property
):
    async with (
        httpx.AsyncClient(timeout=120, trust_env=False) as client,
        filing(store, HapiCharts(base, client), tmp_path, monkeypatch, seed=seed) as one,
    ):
        await one.sign(REPORTS, PLANTED)
        await one.file()
        for minutes in (10, 120):
            await one.ask(minutes)
        found = await one.found()
        asked, refused = dict(one.stand_in.requests), one.stand_in.refused
    checked = sum(found.values())
    record_property("summary", [f"read back, seed {seed}: {checked} messages, {asked}, {dict(found)}"])
    planted = Counter({(kind, *told): PLANTED // len(FAILURES) for kind, told in FAILURES.items()})
    assert {key: count for key, count in found.items() if key[0]} == planted
    assert {fate for kind, fate, _ in found if not kind} == {"found"}
    assert sum(asked.values()) <= 3 * checked
    assert refused == []
