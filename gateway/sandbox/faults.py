"""Table of faults that the AutoScribe look-alike can simulate, by name, for `sandbox --fault`.

RFC 9110 §15.5 and §15.6 (status codes), §10.2.3 (Retry-After), RFC 9112 §8 (incomplete messages).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.runtime import clock

API: Final = "/v1/"
STORAGE: Final = "/storage/"


@dataclass(frozen=True, slots=True)
class StruckRequest:
    """A struck request, with the fault's options from its SPEC."""

    app: ASGIApp
    scope: Scope
    receive: Receive
    send: Send
    options: Mapping[str, float]

    async def answer(self, response: Response) -> None:
        """Answer with this response; the request is not carried out."""
        await response(self.scope, self.receive, self.send)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Action of a fault, with its description, its default paths, and its options with defaults."""

    act: Callable[[StruckRequest], Awaitable[None]]
    doc: str
    scope: str = API
    options: Mapping[str, float] = field(default_factory=dict)


async def _throttled(call: StruckRequest) -> None:
    wait = f"{call.options['retry-after']:g}"
    await call.answer(JSONResponse({"error": "slow down"}, 429, {"retry-after": wait}))


async def _failed(call: StruckRequest) -> None:
    await call.answer(JSONResponse({"error": "internal"}, 500))


async def _bad_gateway(call: StruckRequest) -> None:
    await call.answer(Response("<html><body>502 Bad Gateway</body></html>", 502, media_type="text/html"))


async def _unavailable(call: StruckRequest) -> None:
    await call.answer(Response("unavailable", 503, media_type="text/plain"))


async def _timeout(call: StruckRequest) -> None:
    await _silence(call)


async def _lost(call: StruckRequest) -> None:
    await _carried_out(call)
    await _silence(call)


async def _cut_off(call: StruckRequest) -> None:
    start, body = await _carried_out(call)
    await call.send(start)
    await call.send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})


async def _non_json(call: StruckRequest) -> None:
    await call.answer(Response("<html><body>Sign in</body></html>", media_type="text/html"))


async def _broken_json(call: StruckRequest) -> None:
    await call.answer(Response('{"reports": [{"reportId": ', media_type="application/json"))


async def _expired_pdf(call: StruckRequest) -> None:
    await call.answer(expired_link())


# name -> behaviour; `sandbox --fault NAME[:option=value…]`
BEHAVIOURS: Final[dict[str, Behaviour]] = {
    "429": Behaviour(_throttled, "too many requests, with Retry-After in seconds", options={"retry-after": 1}),
    "500": Behaviour(_failed, "internal error; the request is not carried out"),
    "502": Behaviour(_bad_gateway, "an HTML page of a proxy"),
    "503": Behaviour(_unavailable, "unavailable, plain text"),
    "timeout": Behaviour(_timeout, "no answer for so many seconds, then 504", options={"seconds": 120}),
    "lost": Behaviour(
        _lost, "the request is carried out, no answer for so many seconds, then 504", options={"seconds": 120}
    ),
    "cut-off": Behaviour(_cut_off, "the request is carried out, half of the promised bytes come"),
    "non-json": Behaviour(_non_json, "200 with an HTML page"),
    "broken-json": Behaviour(_broken_json, "200 with JSON that ends too early"),
    "expired-pdf": Behaviour(_expired_pdf, "403: the PDF's link has expired", scope=STORAGE),
}


def expired_link() -> Response:
    """Build the answer of an object store to an expired link."""
    return Response("<Error><Code>AccessDenied</Code></Error>", 403, media_type="application/xml")


async def _carried_out(call: StruckRequest) -> tuple[Message, bytes]:
    """Let the application handle the request; capture its answer instead of sending it."""
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    await call.app(call.scope, call.receive, keep)
    return messages[0], b"".join(message.get("body", b"") for message in messages[1:])


async def _silence(call: StruckRequest) -> None:
    """Send nothing until the time is up or the client disconnects."""
    gone = asyncio.ensure_future(_client_gone(call.receive))
    over = asyncio.ensure_future(clock.sleep(call.options["seconds"]))
    try:
        await asyncio.wait({gone, over}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        over.cancel()
    await call.send({"type": "http.response.start", "status": 504, "headers": [(b"connection", b"close")]})
    await call.send({"type": "http.response.body", "body": b""})


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
