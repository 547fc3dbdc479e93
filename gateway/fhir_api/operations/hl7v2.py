"""`DiagnosticReport/[id]/$hl7v2`: preview the HL7 v2 messages that a receiver would get for a stored report.

HL7 v2.5.1 §7.3.1 (ORU^R01), decisions D6, D34, D39. The preview assumes that nothing was sent to the receiver before.
It queues, sends and records nothing, and its MSH-10 is never one of the feed. A FHIR answer has every message with its
issues; an ER7 answer has only messages that may be sent. For a destination, its own switches apply, and the answer
also gives the state that the report would have there.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.fhir_api.facade import Facade, facade
from gateway.fhir_api.http.headers import answer, fhir_answer
from gateway.fhir_api.http.outcome import issue_of_mapping, outcome
from gateway.fhir_api.http.query import Parameters, value_of
from gateway.fhir_api.operations.operation_input import formats, inputs, prefers
from gateway.fhir_api.operations.study_of_report import profile, study_of
from gateway.fhir_api.served import Operation
from gateway.routing import Destination
from gateway.routing.preview import KEPT_BACK, Preview, PreviewDelivery, PreviewRequest, delivery, preview
from gateway.runtime import clock
from gateway.runtime.computing import computed
from gateway.runtime.request_errors import BadRequest, NoMessage, NotSupported
from gateway.store.feed.ledger import HeldBack, held_back
from gateway.store.stored_reports import Pdfs
from mappings.fhir.datatypes import json_bytes
from mappings.patient.identifiers import fhir_id
from mappings.profile import Receiver, Site

ER7: Final = "x-application/hl7-v2+er7"
# The last one: a `+` in a query string decodes to a space
_TAKEN: Final = frozenset({ER7, ER7.removeprefix("x-"), ER7.replace("+", " ")})
_CHARSETS: Final = {"UNICODE UTF-8": "utf-8", "8859/1": "iso-8859-1", "ASCII": "us-ascii"}


@dataclass(frozen=True, slots=True)
class _Addressee:
    """Target of the preview: the receiver, the site settings that apply to it, and the destination if one is named."""

    receiver: Receiver
    site: Site
    destination: Destination | None = None


def hl7v2(row: Operation, _: str) -> Callable[[Request], Awaitable[Response]]:
    """Make the handler of GET and POST [base]/DiagnosticReport/[id]/$hl7v2: Parameters, or the messages as ER7."""

    async def handle(request: Request) -> Response:
        given, serving = await inputs(request, row), facade(request)
        as_er7, addressee = prefers(request, given, _TAKEN), _read_addressee(serving, given)
        stored = await study_of(request)
        kept = await asyncio.to_thread(stored.kept)
        if addressee.receiver.takes_pdf:
            pdf = await Pdfs(serving.engine).with_data(kept.facts.pdf, addressee.receiver.pdf_max)
            kept = replace(kept, facts=replace(kept.facts, pdf=pdf))
        asked = PreviewRequest(kept.study, kept.facts, stored.report_id)
        made = await computed(preview, asked, addressee.site, addressee.receiver, clock.now())
        becomes = delivery(asked, made, addressee.destination) if addressee.destination else None
        media_type = f"{ER7}; charset={_CHARSETS[addressee.receiver.charset]}"
        if as_er7:
            return answer(request, _bytes(made, becomes), media_type=media_type)
        rows = _messages(made, media_type)
        if addressee.destination is not None and becomes is not None:
            held = await held_back(serving.engine, addressee.destination.name, stored.study_id)
            rows.append(_delivery(addressee.destination, becomes, held))
        if made.issues:
            whose = f"ImagingStudy/{fhir_id(kept.study.study_id)}"
            issues = [issue_of_mapping(one, whose) for one in made.issues]
            rows.append({"name": "outcome", "resource": outcome(issues, serving.site.canonical)})
        body = json_bytes({"resourceType": "Parameters", "parameter": rows})
        return await fhir_answer(request, formats(given), body)

    return handle


def _read_addressee(serving: Facade, given: Parameters) -> _Addressee:
    """Read the receiver or destination from the parameters.

    Raises:
        BadRequest: neither a receiver nor a destination is named, or both are.
        NotSupported: there is none of that name; the error lists the names.
    """
    name, receiver = value_of(given, "destination"), value_of(given, "receiver")
    if (name is None) is (receiver is None):
        problem = "receiver or destination is needed" if name is None else "receiver and destination: one of them"
        raise BadRequest(f"$hl7v2: {problem}", expression="http.receiver")
    if name is None:
        return _Addressee(profile(serving.site, receiver or ""), serving.site)
    known = {one.name: one for one in serving.destinations}
    if name not in known:
        raise NotSupported(
            f"no such destination; there are {', '.join(known) or 'none'}", expression="http.destination"
        )
    return _Addressee(known[name].receiver, known[name].site(serving.site), known[name])


def _bytes(made: Preview, becomes: PreviewDelivery | None) -> bytes:
    """Join the messages, each segment ended by CR.

    Raises:
        NoMessage: one of the messages would not be sent.
    """
    if becomes is not None and becomes.state in KEPT_BACK:
        raise NoMessage(f"not to be sent: {' '.join(filter(None, (becomes.state, becomes.reason)))}")
    if made.against:
        raise NoMessage(f"not to be sent: {', '.join(sorted({one.code for one in made.against}))}")
    return b"".join(made.messages)


def _messages(made: Preview, media_type: str) -> list[dict[str, Any]]:
    return [
        {
            "name": "message",
            "resource": {"resourceType": "Binary", "contentType": media_type, "data": b64encode(one).decode()},
        }
        for one in made.messages
    ]


def _delivery(destination: Destination, becomes: PreviewDelivery, held: HeldBack) -> dict[str, Any]:
    """Build the parameter `delivery`: the predicted state at a destination, and anything that delays sending now."""
    values = {"state": becomes.state, "reason": becomes.reason, "lane": held.lane, "paused": held.paused}
    parts = [{"name": "destination", "valueString": destination.name}]
    parts += [{"name": name, "valueString": text} for name, text in values.items() if text]
    return {"name": "delivery", "part": parts}
