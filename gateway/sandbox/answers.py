"""Build the HTTP responses of the AutoScribe look-alike: error bodies, pages of a list, and results of actions.

Carries out no clause of a standard: AutoScribe publishes no schema of its errors.
Proved by tests/gateway/sandbox/test_switches.py.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.sandbox.state import SandboxAccount, refusal
from gateway.sandbox.switches import Switches

Json = dict[str, Any]


def account(request: Request) -> SandboxAccount:
    """Return the account that the application serves."""
    state: SandboxAccount = request.app.state.account
    return state


def error_response(status: int, detail: str, switches: Switches) -> Response:
    """Build an error response with the body that the switch `error_body` selects."""
    match switches.error_body:
        case "empty":
            return Response(status_code=status)
        case "text":
            return Response(detail, status, media_type="text/plain")
        case "html":
            return Response(f"<html><body>{status}: {detail}</body></html>", status, media_type="text/html")
        case "message":
            return JSONResponse({"message": detail}, status)
        case "errors_list":
            return JSONResponse({"errors": [{"status": status, "title": detail}]}, status)
        case _:
            return JSONResponse({"error": {"code": status, "message": detail}}, status)


async def on_refusal(request: Request, error: Exception) -> Response:
    """Answer a refusal; Starlette's exception handler."""
    refused = error if isinstance(error, HTTPException) else HTTPException(500)
    return error_response(refused.status_code, refused.detail, account(request).switches)


def action(request: Request, act: Callable[[], Any], **said: str) -> Response:
    """Carry out an action and report success; do nothing if the switch `action_success` is false."""
    switches = account(request).switches
    success = switches.action_success == "true"
    result = act() if success else None
    body: Json = {"success": success}
    if switches.action_message == "present":
        body["message"] = "Done" if success else "Not done"
    if success:
        body |= {key: result for key, switch in said.items() if switch == "report_id"}
    return JSONResponse(body)


def page(request: Request, key: str, items: Sequence[Json], view: Callable[[Json], Json]) -> Response:
    """Build one page of the items, with a cursor that is base64 of `{"offset": n}`."""
    switches = account(request).switches
    limit = _limit(request.query_params.get("limit", "20"))
    start = _offset(request)
    end = start + limit
    has_more = end < len(items)
    body: Json = {key: [view(one) for one in items[start:end]], "hasMore": has_more}
    if has_more:
        moved = {"repeats": max(end - 1, start + 1), "skips": end + 1}.get(switches.cursor, end)
        body["cursor"] = _cursor(request, moved)
    elif switches.last_cursor != "absent":
        body["cursor"] = "" if switches.last_cursor == "empty" else _cursor(request, end)
    return JSONResponse(body)


def _limit(text: str) -> int:
    try:
        limit = int(float(text))
    except (ValueError, OverflowError):
        raise refusal(422, "limit is not a number") from None
    if not 1 <= limit <= 100:
        raise refusal(422, "limit is not in 1 to 100")
    return limit


def _cursor(request: Request, offset: int) -> str:
    content: Json = {"offset": offset}
    if account(request).switches.cursor == "once":
        request.app.state.cursors.append(None)
        content["serial"] = len(request.app.state.cursors)
    return base64.b64encode(json.dumps(content, separators=(",", ":")).encode()).decode()


def _offset(request: Request) -> int:
    cursor = request.query_params.get("cursor")
    if not cursor:
        return 0
    try:
        content = json.loads(base64.b64decode(cursor, validate=True))
        offset = content["offset"]
        serial = content.get("serial", 0)
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise refusal(422, "cursor is not one of ours") from None
    if not isinstance(offset, int) or offset < 0:
        raise refusal(422, "cursor is not one of ours")
    if serial:
        used = request.app.state.used_cursors
        if serial in used:
            raise refusal(422, "cursor was used")
        used.add(serial)
    return offset
