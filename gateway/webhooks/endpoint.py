"""Webhook endpoint `POST /webhooks/autoscribe`: verify an event, store it, and only then answer.

AutoScribe REST API, webhooks: seven events, each with the reply its contract asks for. A `report.delivered` is
processed later (`gateway.webhooks.worker`). Requests to a viewer, worklist or archive are answered "not authorised". An
event of an unknown kind is stored as received, for a person to look at, and answered as accepted. The two questions
about a study are answered from the hospital's orders (`gateway.webhooks.answering`), or with nothing if that is late.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, cast

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.runtime import clock
from gateway.runtime.computing import computed
from gateway.runtime.log import code_of, get_logger
from gateway.runtime.metrics import ROUTE, Metrics
from gateway.store.enrichment import StoredEnrichments, StoredWebhooks
from gateway.webhooks.answering import CONTEXT_REQUESTED, NOTHING, GivenAnswer, HospitalAnswers
from gateway.webhooks.event import (
    ENRICHMENT_REQUESTED,
    REPORT_DELIVERED,
    Event,
    Verifier,
    WebhookDelivery,
    delivered,
    enrichment,
    event,
)
from mappings.issues import WireError

PATH: Final = "/webhooks/autoscribe"
MOST_BYTES: Final = 2**20
_LARGE: Final = 32 * 1024  # bytes: parsing the worst body of this size takes 13 ms
BODY_PATIENCE: Final = 10.0
STORE_PATIENCE: Final = 0.8  # an answer is due within 1 s
_RETRY_AFTER: Final = "5"
_OTHER: Final = "other"  # kind under which unknown kinds are counted
# Replies to requests that this gateway does not serve: an empty enrichment, and "not authorised"
_NOT_DONE_HERE: Final[Mapping[str, Mapping[str, Any]]] = {
    CONTEXT_REQUESTED: {},
    "modality_worklist.requested": {"authorized": False, "items": []},
    "study.access_requested": {"authorized": False, "urls": []},
    "ephemeral.access_requested": {"authorized": False, "urls": []},
    "secondary_capture.access_requested": {"authorized": False, "uploadUrls": []},
}


NoteShown = Callable[[Scope, str, Sequence[str]], None]
"""Notes in the audit the addresses that the answer to a request shows, by its scope and request id."""


def _unnoted(_: bool) -> None:
    """Note nothing: stands in for the audit where there is none."""


@dataclass(frozen=True, slots=True)
class WebhookInbox:
    """Everything that the endpoint uses. `wake` tells the worker of a stored delivery. Times in seconds.

    `note_signature` is called for each signature: True if it holds. `answers` knows the hospital's orders; without it
    every question is answered with nothing. `note_shown` notes in the audit what an answer shows, before it is given.
    If it raises, nothing is shown. None: there is no audit.
    """

    verifier: Verifier
    webhooks: StoredWebhooks
    enrichments: StoredEnrichments
    metrics: Metrics
    wake: Callable[[], None]
    note_signature: Callable[[bool], None] = _unnoted
    now: Callable[[], datetime] = clock.now
    body_patience: float = BODY_PATIENCE
    store_patience: float = STORE_PATIENCE
    answers: HospitalAnswers | None = None
    note_shown: NoteShown | None = None


@dataclass(frozen=True, slots=True)
class _Reply:
    """Answer to a delivery, with what the metrics count."""

    status: HTTPStatus
    outcome: str
    body: Mapping[str, Any]
    kind: str = "none"
    headers: Mapping[str, str] = field(default_factory=dict)
    shown: tuple[str, ...] = ()


def webhook_routes() -> list[Route]:
    """Return the endpoint's one route; `app.state.inbox` must be a `WebhookInbox`."""
    return [Route(PATH, _Door())]


class _Door:
    """ASGI application of the endpoint; a class, since it must answer requests of every HTTP method."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ROUTE] = PATH
        request = Request(scope, receive, send)
        inbox = cast(WebhookInbox, request.app.state.inbox)
        reply, request_id = await _answer(inbox, request), secrets.token_hex(8)
        if reply.shown and inbox.note_shown:
            reply = _audited(inbox.note_shown, reply, scope, request_id)
        inbox.metrics.received_webhook(reply.kind, reply.outcome)
        _log(reply, request_id)
        headers = {"X-Request-Id": request_id, **reply.headers}
        await JSONResponse(reply.body, reply.status, headers)(scope, receive, send)


async def _answer(inbox: WebhookInbox, request: Request) -> _Reply:
    if request.method != "POST":
        return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed", headers={"Allow": "POST"})
    if not inbox.verifier.has_key:
        return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, "no-webhook-key", headers={"Retry-After": _RETRY_AFTER})
    body = await _body(inbox, request)
    if isinstance(body, _Reply):
        return body
    delivery = inbox.verifier.verified(request.headers.raw, body, inbox.now())
    if isinstance(delivery, WebhookDelivery) or delivery == "wrong-signature":
        inbox.note_signature(isinstance(delivery, WebhookDelivery))
    if isinstance(delivery, str):
        return _refusal(HTTPStatus.UNAUTHORIZED, delivery)
    kind = "none"
    try:
        told = event(delivery.text) if len(body) <= _LARGE else await computed(event, delivery.text)
        kind = told.kind if told.kind in _KINDS else _OTHER
        until = asyncio.get_running_loop().time() + inbox.store_patience
        reply = await _taken(inbox, delivery, told, kind, until)
        return await _with_answer(inbox, told, reply, until) if reply.status == HTTPStatus.OK else reply
    except WireError:
        return _refusal(HTTPStatus.BAD_REQUEST, "not-understood", kind)


async def _body(inbox: WebhookInbox, request: Request) -> bytes | _Reply:
    """Read the body, no further than the limit; return a refusal if that fails."""
    read = bytearray()
    try:
        async with asyncio.timeout(inbox.body_patience):
            async for chunk in request.stream():
                read += chunk
                if len(read) > MOST_BYTES:
                    return _refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large")
    except TimeoutError:
        return _refusal(HTTPStatus.REQUEST_TIMEOUT, "too-slow")
    except ClientDisconnect:
        return _refusal(HTTPStatus.BAD_REQUEST, "cut-off")
    return bytes(read)


async def _taken(inbox: WebhookInbox, delivery: WebhookDelivery, told: Event, kind: str, until: float) -> _Reply:
    """Answer a verified event, after its data are stored; at the loop's time `until` at the latest.

    Raises:
        WireError: its data do not follow the contract.
    """
    if kind in _NOT_DONE_HERE:
        return _Reply(HTTPStatus.OK, "answered", _NOT_DONE_HERE[kind], kind)
    handler = HANDLERS.get(kind, _keep_unknown)
    try:
        async with asyncio.timeout_at(until):
            return await handler(inbox, delivery, told)
    except WireError:
        raise
    except Exception as error:
        get_logger().error("webhook-not-kept", operation=kind, exc_info=error)
        return _refusal(
            HTTPStatus.SERVICE_UNAVAILABLE, "store-unavailable", kind, headers={"Retry-After": _RETRY_AFTER}
        )


async def _with_answer(inbox: WebhookInbox, told: Event, reply: _Reply, until: float) -> _Reply:
    """Add the answer to a question to the reply, unless it fails or takes too long."""
    ask = _ASKED.get(told.kind)
    if ask is None or inbox.answers is None:
        return reply
    try:
        async with asyncio.timeout_at(until):
            answered = await ask(inbox.answers, told)
    except Exception as error:
        get_logger().error("webhook-not-answered", operation=told.kind, code=code_of(error))
        answered = NOTHING
    if not answered.body:
        return reply
    return replace(reply, outcome="told", body=answered.body, shown=answered.shown)


async def _about_study(answers: HospitalAnswers, told: Event) -> GivenAnswer:
    return await answers.of_study(enrichment(told.data))


async def _about_context(answers: HospitalAnswers, told: Event) -> GivenAnswer:
    return await answers.of_context(told.data)


def _audited(note: NoteShown, reply: _Reply, scope: Scope, request_id: str) -> _Reply:
    """Write to the audit what a reply shows; if that fails, the reply shows nothing (D42)."""
    try:
        note(scope, request_id, reply.shown)
    except Exception as error:
        get_logger().error("webhook-not-answered", operation=reply.kind, code=code_of(error))
        return replace(reply, outcome="answered", body={}, shown=())
    return reply


async def _record(inbox: WebhookInbox, delivery: WebhookDelivery, told: Event) -> _Reply:
    """Store a delivery before answering. A repeated one gets the same answer, since the first may have been lost."""
    kept = delivered(told.data)
    is_new = await inbox.webhooks.record(delivery.webhook_id, told.event_id, told.kind, kept, inbox.now())
    inbox.wake()
    return _Reply(HTTPStatus.OK, "recorded" if is_new else "repeated", {"success": True}, told.kind)


async def _keep_unknown(inbox: WebhookInbox, delivery: WebhookDelivery, told: Event) -> _Reply:
    """Store an event of an unknown kind whole; it is never processed."""
    whole = told.data if isinstance(told.data, dict) else {"data": told.data}
    ids = delivery.webhook_id, told.event_id
    is_new = await inbox.webhooks.set_aside(*ids, told.kind, whole, inbox.now())
    return _Reply(HTTPStatus.OK, "recorded" if is_new else "repeated", {"success": True}, _OTHER)


async def _store_identifiers(inbox: WebhookInbox, delivery: WebhookDelivery, told: Event) -> _Reply:
    """Store the accession number and patient id of a study (D18); the stored study is not changed here."""
    order = enrichment(told.data)
    if order.accession_number is None and order.patient_id is None:
        return _Reply(HTTPStatus.OK, "answered", {}, told.kind)
    await inbox.enrichments.keep(order.study_instance_uid, order.accession_number, order.patient_id, at=delivery.signed)
    return _Reply(HTTPStatus.OK, "recorded", {}, told.kind)


HANDLERS: Final[Mapping[str, Callable[[WebhookInbox, WebhookDelivery, Event], Awaitable[_Reply]]]] = {
    REPORT_DELIVERED: _record,
    ENRICHMENT_REQUESTED: _store_identifiers,
}
# StudyQuestion -> what answers it
_ASKED: Final[Mapping[str, Callable[[HospitalAnswers, Event], Awaitable[GivenAnswer]]]] = {
    ENRICHMENT_REQUESTED: _about_study,
    CONTEXT_REQUESTED: _about_context,
}
_KINDS: Final = HANDLERS.keys() | _NOT_DONE_HERE.keys()


def _refusal(status: HTTPStatus, outcome: str, kind: str = "none", headers: Mapping[str, str] | None = None) -> _Reply:
    """Refuse with a fixed word, so that an unverified sender does not learn what is wrong with its signature."""
    error = "unauthorized" if status == HTTPStatus.UNAUTHORIZED else outcome
    return _Reply(status, outcome, {"success": False, "error": error}, kind, headers or {})


def _log(reply: _Reply, request_id: str) -> None:
    fields = {"code": reply.outcome, "operation": reply.kind, "status": int(reply.status), "request_id": request_id}
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR or reply.outcome == "not-understood":
        get_logger().error("webhook-refused", **fields)
    elif reply.status != HTTPStatus.OK:
        get_logger().warning("webhook-refused", **fields)
    else:
        get_logger().debug("webhook-taken", **fields)
