"""`DiagnosticReport/[id]/$trace`: what each field of a report becomes, measured on the study as it is stored.

https://hl7.org/fhir/R4/operations.html#response (Parameters), decision D6. It shows where fields stand, never what
stands in them. One is measured at a time: it takes a second or more of a processor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway import trace_table
from gateway.errors import ResourceNotFound
from gateway.fhir_api.facade import facade
from gateway.fhir_api.headers import answer, fhir_answer
from gateway.fhir_api.operation_input import formats, inputs, prefers
from gateway.fhir_api.query import value_of
from gateway.fhir_api.served import Operation
from gateway.fhir_api.stored_study import StoredStudy, profile, study_of
from mappings.fhir.datatypes import TEXT_PLAIN
from mappings.fhir.rendering import json_bytes
from mappings.profile import Receiver, Site
from mappings.trace import Row
from mappings.trace import trace as measured

_USUAL: Final = "generic"
_TEXT: Final = frozenset({"text/plain", "text/*"})


def trace(row: Operation, _: str) -> Callable[[Request], Awaitable[Response]]:
    """The handler of GET and POST [base]/DiagnosticReport/[id]/$trace: Parameters, or a table."""

    async def handle(request: Request) -> Response:
        given, serving = await inputs(request, row), facade(request)
        as_text = prefers(request, given, _TEXT)
        receiver = profile(serving.site, value_of(given, "receiver") or _USUAL)
        stored = await study_of(request)
        async with serving.measuring:
            rows = await asyncio.to_thread(_rows, stored, serving.site, receiver)
        if as_text:
            cells = [trace_table.cells(one, one.pointer) for one in rows]
            table = trace_table.table(cells, pretty=value_of(given, "_pretty") == "true")
            return answer(request, table.encode(), media_type=TEXT_PLAIN)
        body = json_bytes({"resourceType": "Parameters", "parameter": [_parameter(one) for one in rows]})
        return await fhir_answer(request, formats(given), body)

    return handle


def _rows(stored: StoredStudy, site: Site, receiver: Receiver) -> Sequence[Row]:
    """The rows of the report: its own fields, those of who signed it, and those of the study.

    Raises:
        ResourceNotFound: AutoScribe no longer lists the report.
    """
    document = stored.document()
    reports, users = document["reports"], document["users"]
    place = next((number for number, one in enumerate(reports) if one["reportId"] == stored.report_id), None)
    if place is None:
        raise ResourceNotFound("AutoScribe no longer lists this report: there is nothing to trace")
    own = {f"reports/{place}"}
    own |= {f"users/{number}" for number, one in enumerate(users) if one["userId"] == reports[place]["userId"]}
    rows = measured(document, site, receiver, stored.kept().facts)
    return [one for one in rows if _is_of(one.pointer, own)]


def _is_of(pointer: str, own: set[str]) -> bool:
    _, first, *rest = pointer.split("/")
    return first not in {"reports", "users"} or f"{first}/{rest[0]}" in own


def _parameter(row: Row) -> Mapping[str, Any]:
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
