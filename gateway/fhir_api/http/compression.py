"""Compress large JSON and XML answers with gzip; pass everything else on untouched.

RFC 9110 §8.4, §12.5.3 (Accept-Encoding) and §12.5.5 (Vary).
"""

from __future__ import annotations

import asyncio
import gzip
import re
from functools import lru_cache
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SMALLEST: Final = 1024
LARGE: Final = 64 * 1024  # compress from this size on in a thread, so that the event loop is not blocked
LEVEL: Final = 5
MOST_CODINGS: Final = 100  # of Accept-Encoding that count
TYPES: Final = frozenset({"application/fhir+json", "application/fhir+xml", "application/json"})
_TYPES: Final = frozenset(one.encode() for one in TYPES)
_QUALITY: Final = re.compile(r"q\s*=\s*([\d.]+)", re.IGNORECASE)
_NOT_MODIFIED: Final = 304
_PARTIAL: Final = 206


class Compressed:
    """ASGI middleware: compresses answers of `TYPES` that are at least `SMALLEST` bytes, if the client accepts gzip.

    A HEAD gets the headers of the compressed GET without Content-Length, since nothing was compressed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and compress its answer if that applies."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        takes_gzip = _takes_gzip(",".join(Headers(scope=scope).getlist("accept-encoding")))
        held: Message | None = None

        async def watch(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _varies(message):
                if takes_gzip and scope["method"] != "HEAD":
                    held = message  # until the body shows whether it is large enough
                    return
                if takes_gzip and int(Headers(raw=message["headers"]).get("content-length", 0)) >= SMALLEST:
                    _mark(message, None)
            elif held is not None:
                start, held = held, None
                message = await _compressed(start, message)
                await send(start)
            await send(message)

        await self.app(scope, receive, watch)


def _varies(start: Message) -> bool:
    """True if the answer may be compressed; adds `Vary: Accept-Encoding` to it, and to a 304 too."""
    headers = dict(start["headers"])
    if b"content-encoding" in headers or start["status"] == _PARTIAL:
        return False
    is_of_type = headers.get(b"content-type", b"").partition(b";")[0] in _TYPES
    if is_of_type or start["status"] == _NOT_MODIFIED:
        start["headers"].append((b"vary", b"Accept-Encoding"))  # a second Vary line adds to the first (RFC 9110 §5.3)
    return is_of_type


async def _compressed(start: Message, message: Message) -> Message:
    """Compress the body if it is complete and not small; set the headers in `start`."""
    body = message.get("body", b"")
    if message.get("more_body", False) or len(body) < SMALLEST:
        return message
    if len(body) < LARGE:
        packed = gzip.compress(body, LEVEL, mtime=0)
    else:
        packed = await asyncio.to_thread(gzip.compress, body, LEVEL, mtime=0)
    _mark(start, len(packed))
    return {**message, "body": packed}


def _mark(start: Message, length: int | None) -> None:
    """Set Content-Encoding and Content-Length; make a strong ETag weak, since the bytes differ."""
    headers = MutableHeaders(raw=start["headers"])
    headers["Content-Encoding"] = "gzip"
    del headers["Content-Length"]
    if length is not None:
        headers["Content-Length"] = str(length)
    tag = headers.get("etag", "W/")
    if not tag.startswith("W/"):
        headers["ETag"] = f"W/{tag}"


@lru_cache(maxsize=256)
def _takes_gzip(accept_encoding: str) -> bool:
    """True if Accept-Encoding gives gzip a weight above 0, and not below that of `identity`."""
    weights = {}
    for one in accept_encoding.lower().split(",", MOST_CODINGS)[:MOST_CODINGS]:
        name, _, parameters = one.partition(";")
        weights[name.strip()] = _weight(parameters)
    gzipped = weights.get("gzip", weights.get("*", 0.0))
    return gzipped > 0 and gzipped >= weights.get("identity", 0.0)


def _weight(parameters: str) -> float:
    match = _QUALITY.search(parameters)
    try:
        return float(match[1]) if match else 1.0
    except ValueError:
        return 0.0
