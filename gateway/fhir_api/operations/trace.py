"""`DiagnosticReport/[id]/$trace`: show where each AutoScribe field of a stored report goes in FHIR and HL7 v2.

https://hl7.org/fhir/R4/operations.html#response (Parameters), decision D6. The answer shows places of fields, never
their values. A trace takes about a tenth of a second of CPU time, in the worker for long computations, and is
remembered.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.fhir_api.facade import facade
from gateway.fhir_api.http.headers import answer, fhir_answer
from gateway.fhir_api.http.outcome import outcome
from gateway.fhir_api.http.permission import sight_of
from gateway.fhir_api.http.query import value_of
from gateway.fhir_api.operations.operation_input import formats, inputs, prefers
from gateway.fhir_api.operations.study_of_report import profile, study_of
from gateway.fhir_api.operations.trace_rows import cells, is_of, table, trace_rows
from gateway.fhir_api.search import warnings
from gateway.fhir_api.served import Operation
from gateway.runtime.computing import computed_apart
from gateway.runtime.request_errors import ResourceNotFound
from gateway.store.stored_reports import StoredStudy
from mappings.fhir.datatypes import TEXT_PLAIN, json_bytes
from mappings.profile import Receiver, Site
from mappings.trace import TraceRow

_USUAL: Final = "generic"
_MOST_REMEMBERED: Final = 64  # reports, of about 0.1 MB each
_TEXT: Final = frozenset({"text/plain", "text/*"})


def trace(row: Operation, _: str) -> Callable[[Request], Awaitable[Response]]:
    """Make the handler of GET and POST [base]/DiagnosticReport/[id]/$trace: Parameters, or a table."""
    remembered = _Remembered()

    async def handle(request: Request) -> Response:
        given, serving = await inputs(request, row), facade(request)
        as_text = prefers(request, given, _TEXT)
        receiver = profile(serving.site, value_of(given, "receiver") or _USUAL)
        sight, stored = await sight_of(request), await study_of(request)
        document = await asyncio.to_thread(stored.document)
        own = _own_places(document, stored.report_id)
        rows = await remembered.rows(stored, document, own, serving.site, receiver)
        if as_text:
            lines = [cells(one, one.pointer) for one in rows]
            text = table(lines, pretty=value_of(given, "_pretty") == "true")
            return answer(request, text.encode(), media_type=TEXT_PLAIN)
        told = await warnings.study_warnings(serving, stored.study_id) if sight.has_whole_studies else []
        issues = [issue for place, issue in told if is_of(own, place)]
        said = [{"name": "outcome", "resource": outcome(issues, serving.site.canonical)}] if issues else []
        parameters = [*map(_parameter, rows), *said]
        body = json_bytes({"resourceType": "Parameters", "parameter": parameters})
        return await fhir_answer(request, formats(given), body)

    return handle


class _Remembered:
    """Cache of the reports traced last, by stored study, site and receiver.

    Rows hold places of fields and no values.
    """

    def __init__(self) -> None:
        self._site: Site | None = None
        self._rows: OrderedDict[tuple[bytes, str, str], Sequence[TraceRow]] = OrderedDict()

    async def rows(
        self, stored: StoredStudy, document: dict[str, Any], own: frozenset[str], site: Site, receiver: Receiver
    ) -> Sequence[TraceRow]:
        """Return the trace rows of a report: from the cache, or measured now; `own` are its places in the document."""
        if self._site is not site:
            self._site, self._rows = site, OrderedDict()
        digest = hashlib.sha256(stored.packed + b"\0" + stored.received).digest()
        key = digest, stored.report_id, receiver.name
        kept, found = self._rows, self._rows.get(key)
        if found is None:
            found = kept[key] = await computed_apart(trace_rows, stored, document, own, site, receiver)
        kept.move_to_end(key)
        if len(kept) > _MOST_REMEMBERED:
            kept.popitem(last=False)
        return found


def _own_places(document: Mapping[str, Any], report_id: str) -> frozenset[str]:
    """Return the places of the report and its signer in the study document (`reports/0`, `users/1`).

    Raises:
        ResourceNotFound: AutoScribe no longer lists the report.
    """
    reports, users = document["reports"], document["users"]
    place = next((number for number, one in enumerate(reports) if one["reportId"] == report_id), None)
    if place is None:
        raise ResourceNotFound("AutoScribe no longer lists this report: there is nothing to trace")
    signers = {f"users/{number}" for number, one in enumerate(users) if one["userId"] == reports[place]["userId"]}
    return frozenset({f"reports/{place}", *signers})


def _parameter(row: TraceRow) -> Mapping[str, Any]:
    parts: list[dict[str, str]] = [
        {"name": "pointer", "valueString": row.pointer},
        {"name": "class", "valueCode": row.kind},
    ]
    for name, texts in (
        ("fhir", row.fhir),
        ("hl7v2", row.hl7v2),
        ("rule", row.rules),
        ("hiddenBy", row.hidden_by),
        ("loss", row.losses),
    ):
        parts += [{"name": name, "valueString": text} for text in texts]
    return {"name": "field", "part": parts}
