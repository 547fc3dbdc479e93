"""Studies ingested into a store by the pipeline, and the content of the store after it."""

from __future__ import annotations

from typing import Any

from fakes.fhir_studies import report
from fakes.store import resource_of, rows
from fakes.upstream_json import STUDY_ID, STUDY_UID, response_json, study_json, user_json

from gateway.ingest import Fetched, Ingested, Pipeline
from gateway.store.database.engine import Engine

Json = dict[str, Any]
DRAFT = {"status": "in_progress", "signedAt": None}


def study_id(digit: str) -> str:
    return "stu_" + digit * 32


def said(
    *reports: Json, digit: str = "1", users: tuple[Json, ...] = (user_json(),), asked: int = 1, **study: Any
) -> Fetched:
    """Make AutoScribe's data of a study with these reports; `study` are changes to the study."""
    ids = {"studyId": study_id(digit), "studyInstanceUid": f"{STUDY_UID}.{int(digit, 16)}"}
    if digit == "1":
        ids = {"studyId": STUDY_ID, "studyInstanceUid": STUDY_UID}
    own = [{**one, "studyId": ids["studyId"]} for one in reports]
    return Fetched(study_json(**{**ids, **study}), {**response_json(*own), **ids}, users, asked)


def giving(fetched: Fetched) -> Any:
    """Return a fetch function that gives this data."""

    async def fetch() -> Fetched:
        return fetched

    return fetch


async def take(pipeline: Pipeline, *reports: Json, **more: Any) -> Ingested:
    """Ingest a study with these reports, or with one signed report."""
    fetched = said(*(reports or (report(),)), **more)
    return await pipeline.ingest(fetched.study["studyId"], giving(fetched))


async def current(engine: Engine, kind: str = "") -> dict[str, Json]:
    """Map the current version of each resource by address, of one type or of all."""
    found = await rows(
        engine,
        "SELECT r.address, v.body, v.version, v.updated FROM resource r JOIN version v ON v.resource = r.number"
        " AND v.version = r.version"
        " ORDER BY r.address",
    )
    return {address: resource_of(*row) for address, *row in found if address.startswith(kind)}


async def contents(engine: Engine, address: str) -> list[Json]:
    """Return every version of a resource, the first first."""
    found = await rows(
        engine,
        "SELECT v.body, v.version, v.updated FROM resource r JOIN version v ON v.resource = r.number"
        " WHERE r.address = ? ORDER BY v.version",
        address,
    )
    return [resource_of(*row) for row in found]


async def outbox(engine: Engine) -> list[tuple[str, str]]:
    """Rows of the outbox in order: the last digit of the report, and the cause."""
    found = await rows(engine, "SELECT report_id, kind FROM outbox ORDER BY number")
    return [(report_id[-1], kind) for report_id, kind in found]


def written(ingested: Ingested | None) -> set[str]:
    """Addresses of the versions that were written."""
    assert ingested is not None
    return {one.address for one in ingested.written}
