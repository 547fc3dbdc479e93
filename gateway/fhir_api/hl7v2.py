"""`DiagnosticReport/[id]/$hl7v2`: the messages that a report causes for a receiver, made of the study as it is stored.

HL7 v2.5.1 §7.3.1 (ORU^R01), decisions D6, D34. As though nothing had been sent to the receiver before: nothing is
queued, sent or noted here, and MSH-10 is none that the feed gives. A resource has every message, with what there is to
say of it; as bytes there are only messages that may be sent.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway import clock
from gateway.errors import NoMessage
from gateway.fhir_api.facade import facade
from gateway.fhir_api.headers import answer, fhir_answer
from gateway.fhir_api.operation_input import formats, inputs, prefers
from gateway.fhir_api.outcome import of_mapping, outcome
from gateway.fhir_api.query import value_of
from gateway.fhir_api.served import Operation
from gateway.fhir_api.stored_study import profile, study_of
from gateway.store.kept import Kept
from gateway.store.pdfs import Pdfs
from mappings import to_oru
from mappings.changes import changes
from mappings.fhir.rendering import json_bytes
from mappings.hl7v2 import messages_of_all
from mappings.hl7v2.rules import check_rules
from mappings.identifiers import fhir_id, message_control_id
from mappings.issues import MappingIssue
from mappings.model import Cause
from mappings.profile import Receiver, Site

ER7: Final = "x-application/hl7-v2+er7"
# With a blank where a `+` of the query string was one
_TAKEN: Final = frozenset({ER7, ER7.removeprefix("x-"), ER7.replace("+", " ")})
_CHARSETS: Final = {"UNICODE UTF-8": "utf-8", "8859/1": "iso-8859-1", "ASCII": "us-ascii"}


@dataclass(frozen=True, slots=True)
class _Preview:
    """The messages in their order, the issues of study and messages, and those for which one is not to be sent."""

    messages: Sequence[bytes]
    issues: Sequence[MappingIssue]
    against: Sequence[MappingIssue]


def hl7v2(row: Operation, _: str) -> Callable[[Request], Awaitable[Response]]:
    """The handler of GET and POST [base]/DiagnosticReport/[id]/$hl7v2: Parameters, or the bytes of the messages."""

    async def handle(request: Request) -> Response:
        given, serving = await inputs(request, row), facade(request)
        as_er7 = prefers(request, given, _TAKEN)
        receiver = profile(serving.site, value_of(given, "receiver") or "")
        stored = await study_of(request)
        kept = await asyncio.to_thread(stored.kept)
        if receiver.takes_pdf:
            pdf = await Pdfs(serving.engine).with_data(kept.facts.pdf, receiver.pdf_max)
            kept = replace(kept, facts=replace(kept.facts, pdf=pdf))
        made = await asyncio.to_thread(_preview, kept, stored.report_id, serving.site, receiver, clock.now())
        media_type = f"{ER7}; charset={_CHARSETS[receiver.charset]}"
        if as_er7:
            return answer(request, _bytes(made), media_type=media_type)
        whose = f"ImagingStudy/{fhir_id(kept.study.study_id)}"
        return await fhir_answer(request, formats(given), json_bytes(_parameters(made, whose, media_type)))

    return handle


def _preview(kept: Kept, report_id: str, site: Site, receiver: Receiver, at: datetime) -> _Preview:
    """The messages that the report causes.

    Raises:
        NoMessage: it is not signed, and the site lets no draft out.
    """
    study, facts = kept.study, kept.facts
    causes = [one for one in changes(None, study, site).causes if one.report_id == report_id]
    if not causes and report_id not in {one.report_id for one in study.completed}:
        raise NoMessage("the report is not signed: it causes no message")
    causes = causes or [Cause(report_id)]
    messages: list[bytes] = []
    issues, against = list(study.issues), list[MappingIssue]()
    for cause in messages_of_all(study, causes, site, receiver, facts, sent=frozenset()):
        control_id = message_control_id(cause, f"$hl7v2 {receiver.name}")
        mapped = to_oru(study, cause, site, receiver, facts, control_id=control_id, at=at)
        issues += mapped.issues
        if mapped.output is None:
            against += mapped.issues
            continue
        messages.append(mapped.output)
        broken = [one.issue for one in check_rules(mapped.output, receiver)]
        issues += broken
        against += [one for one in broken if one.severity == "error"]
    return _Preview(messages, tuple(dict.fromkeys(issues)), against)


def _bytes(made: _Preview) -> bytes:
    """The messages one after the other, each segment ended by CR.

    Raises:
        NoMessage: there is one that is not to be sent.
    """
    if made.against:
        raise NoMessage(f"not to be sent: {', '.join(sorted({one.code for one in made.against}))}")
    return b"".join(made.messages)


def _parameters(made: _Preview, whose: str, media_type: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = [
        {
            "name": "message",
            "resource": {"resourceType": "Binary", "contentType": media_type, "data": b64encode(one).decode()},
        }
        for one in made.messages
    ]
    if made.issues:
        rows.append({"name": "outcome", "resource": outcome(of_mapping(one, whose) for one in made.issues)})
    return {"resourceType": "Parameters", "parameter": rows}
