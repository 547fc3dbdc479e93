"""Choose the error class of a failed request to AutoScribe; retry.py decides if the request is repeated.

RFC 9110 §15.5 and §15.6 name the status codes. The answer's body is never read: its schema is not published, and it may
hold patient data. Of its headers, only the request id and Retry-After are kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.runtime.errors import (
    UpstreamAmbiguous,
    UpstreamConflict,
    UpstreamError,
    UpstreamFailed,
    UpstreamKeyRefused,
    UpstreamNotFound,
    UpstreamNotUnderstood,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamTooLarge,
    UpstreamUnprocessable,
    UpstreamUnreachable,
)
from gateway.upstream import retry

STATUS: Final[dict[int, type[UpstreamError]]] = {
    401: UpstreamKeyRefused,
    403: UpstreamKeyRefused,
    404: UpstreamNotFound,
    408: UpstreamTimeout,
    409: UpstreamConflict,
    422: UpstreamUnprocessable,
    429: UpstreamThrottled,
}
_REQUEST_ID_HEADERS: Final = ("x-request-id", "request-id", "x-amzn-requestid", "x-amz-request-id", "cf-ray")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}")


@dataclass(frozen=True, slots=True)
class Failure:
    """Failed try of a request: the error to raise, and whether a retry is safe and can help."""

    error: UpstreamError
    repeatable: bool


@dataclass(frozen=True, slots=True)
class Breakage:
    """Broken connection: only the name of its exception, never the exception's text.

    `sent`: the request may have reached the server. `trusted`: the server's certificate was not refused.
    """

    name: str
    sent: bool = True
    timed_out: bool = False
    trusted: bool = True


def request_id(headers: Mapping[str, str]) -> str | None:
    """Return the id by which AutoScribe's support finds the request; None if no header has a well-formed one."""
    for name in _REQUEST_ID_HEADERS:
        if _REQUEST_ID.fullmatch(value := headers.get(name, "").strip()):
            return value
    return None


def of_status(operation: str, method: str, status: int, headers: Mapping[str, str], now: datetime) -> Failure:
    """Return the failure for an answer with a status other than 2xx.

    A POST answered with 408 or 5xx may have been carried out. A 503 says that it was not.
    """
    kind = STATUS.get(status, UpstreamFailed if status >= 500 else UpstreamRefused)
    if method != "GET" and status != 503 and (status == 408 or status >= 500):
        kind = UpstreamAmbiguous
    detail = "a redirect, which is not followed: set AVARA_BASE_URL to where it leads" if status // 100 == 3 else ""
    error = kind(
        operation,
        status=status,
        request_id=request_id(headers),
        retry_after=retry.retry_after(headers, now),
        detail=detail,
    )
    return Failure(error, retry.may_repeat(method, status, headers.get("x-should-retry")))


def of_body(operation: str, method: str, status: int, headers: Mapping[str, str], *, too_large: bool) -> Failure:
    """Return the failure for a 2xx answer whose body is too large, or compressed without having been asked for."""
    kind: type[UpstreamError] = UpstreamTooLarge if too_large else UpstreamNotUnderstood
    detail = "the body is over upstream.max_response_bytes" if too_large else "a compressed body was not asked for"
    if method != "GET":
        kind = UpstreamAmbiguous
    return Failure(kind(operation, status=status, request_id=request_id(headers), detail=detail), repeatable=False)


def of_connection(operation: str, method: str, breakage: Breakage) -> Failure:
    """Return the failure for a broken connection; a POST that was sent may have been carried out."""
    if method != "GET" and breakage.sent:
        return Failure(UpstreamAmbiguous(operation, detail=breakage.name), repeatable=False)
    kind = UpstreamTimeout if breakage.timed_out else UpstreamUnreachable
    detail = breakage.name if breakage.trusted else "the server's certificate is not trusted: see upstream.ca_file"
    return Failure(kind(operation, detail=detail), repeatable=breakage.trusted)
