"""Before a search, read from AutoScribe the studies and reports that the query names, if unknown here or too old.

RFC 9111 §5.2.1 (`no-cache`, `max-age` of a request), decisions D25 and D26.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request

from gateway.fhir_api.facade import Facade, facade
from gateway.fhir_api.freshness import wants_newer
from gateway.fhir_api.http.outcome import Issue, issue_of_error
from gateway.fhir_api.search.search_query import Query
from gateway.index.naming import Name, named
from gateway.runtime.errors import UpstreamError, UpstreamNotFound
from gateway.runtime.request_errors import ResourceNotFound, SearchTooCostly
from gateway.store.database.engine import Statement, micros, uid_key
from gateway.store.studies.limited import limited, met
from mappings.patient.identifiers import fhir_id

MOST: Final = 20
_KNOWN: Final = {
    "report": Statement(
        "SELECT s.study_id, s.fetched FROM report r JOIN study s ON s.study_id = r.study_id WHERE r.report_id = :value"
    ),
    "study": Statement("SELECT study_id, fetched FROM study WHERE study_id = :value"),
    "uid": Statement("SELECT study_id, fetched FROM study WHERE study_instance_uid = :value"),
}
_OF_SEEN: Final = (
    "SELECT 1 FROM resource r WHERE r.owner = :owner AND r.address >= :first AND r.address < :beyond{limit} LIMIT 1"
)
_INDEX_ONLY: Final = Issue(
    "information",
    "informational",
    "not as new as asked for: AutoScribe is asked anew only for studies and reports that a search names",
    "index-only",
)


@dataclass(frozen=True, slots=True)
class Looked:
    """Result of the look-ups: how many studies and reports were read from AutoScribe, and the failures.

    `is_too_old`: the client wants a newer answer than the index has, but the search names nothing to ask for.
    """

    asked: int = 0
    failures: tuple[UpstreamError, ...] = ()
    is_too_old: bool = False

    @property
    def issues(self) -> list[Issue]:
        """Warnings about failed look-ups: the answer may be incomplete."""
        warnings = []
        for error in self.failures:
            _, issue = issue_of_error(error)
            diagnostics = f"AutoScribe could not be asked, this is what was known before: {issue.diagnostics}"
            warnings.append(Issue("warning", "incomplete", diagnostics, issue.detail, issue.text))
        return warnings

    @property
    def remarks(self) -> list[Issue]:
        """Notes that only `_explain` shows, since the header `Age` gives every client the age."""
        return [_INDEX_ONLY] if self.is_too_old else []


async def look_up(request: Request, query: Query) -> Looked:
    """Read the studies and reports that the search names from AutoScribe, if they are unknown or too old.

    Raises:
        SearchTooCostly: more than `MOST` requests to AutoScribe would be needed.
    """
    serving = facade(request)
    names = named(query.clauses)
    if not names and not query.explain:
        return Looked()
    if not names:
        finished = serving.sweep().finished
        return Looked(is_too_old=wants_newer(request, micros(finished.started) if finished else None))
    unknown: list[Name] = []
    stale: set[str] = set()
    for name in sorted(names):
        value = uid_key(name.value) if name.by == "uid" else name.value
        rows = await serving.engine.fetch(_KNOWN[name.by], value=value)
        rows = [row for row in rows if await _is_seen(serving, query, name, str(row[0]))]
        stale.update(str(study_id) for study_id, fetched in rows if wants_newer(request, int(fetched)))
        if not rows:
            unknown.append(name)
    if len(unknown) + len(stale) > MOST:
        raise SearchTooCostly(f"more than {MOST} studies or reports to ask AutoScribe for in one search")
    is_limited = bool(query.limits)
    asked: list[Awaitable[Any]] = [_unknown(serving, one, is_limited=is_limited) for one in unknown]
    asked += [serving.reads.study(study_id, fresh=True) for study_id in sorted(stale)]
    outcomes = await asyncio.gather(*map(_failure, asked))
    return Looked(len(asked), tuple(one for one in outcomes if one is not None))


async def _is_seen(serving: Facade, query: Query, name: Name, study_id: str) -> bool:
    """True if the client may see what it searches of this study or report."""
    if not query.limits:
        return True
    first, beyond = f"{query.resource_type}/", f"{query.resource_type}0"  # `0` follows `/` in byte order
    if name.by == "report":
        first += fhir_id(name.value)
        beyond = f"{first}~"
    statement, values = limited(_OF_SEEN, met(query.limits))
    return bool(await serving.engine.fetch(statement, owner=study_id, first=first, beyond=beyond, **values))


def _unknown(serving: Facade, name: Name, *, is_limited: bool) -> Awaitable[Any]:
    """Ingest a report, a study, or a study by its UID."""
    if name.by == "report":
        return serving.reads.report(name.value, as_unknown=is_limited)
    if name.by == "study":
        return serving.reads.study(name.value)
    return serving.reads.study_by_uid(name.value)


async def _failure(asked: Awaitable[Any]) -> UpstreamError | None:
    """Wait for a look-up and return its failure; "not found" is none, since a dropped resource stays stored (D21)."""
    try:
        await asked
    except (ResourceNotFound, UpstreamNotFound):
        return None
    except UpstreamError as error:
        return error
    return None
