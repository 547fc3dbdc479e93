"""Comparison of two answers, whole, after taking out what may differ between two gateways.

What may differ is named in decision D41: request ids, page tokens, and the instant of a version within its millisecond.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from fakes.twins.gateways import Answer

_TOKEN = re.compile(rb"_page=[A-Za-z0-9_-]+")
_INSTANT = re.compile(rb"(T\d\d:\d\d:\d\d\.\d{3})\d{1,6}")


def plain(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return status, headers and body without what may differ."""
    body = _INSTANT.sub(rb"\1", _TOKEN.sub(b"_page=*", answer.body))
    has_token = body != _INSTANT.sub(rb"\1", answer.body)
    is_bare = not answer.body and answer.status == HTTPStatus.OK  # to HEAD: a page token, in what GET has, has a length
    changing = {"x-request-id", *(["content-length"] if has_token or is_bare else [])}
    headers = [(name.lower(), "*" if name.lower() in changing else value) for name, value in answer.headers]
    return answer.status, headers, body


def difference(whole: Answer, bare: Answer) -> str:
    """Return in what two answers differ; empty if in nothing."""
    (status, headers, body), (bare_status, bare_headers, bare_body) = plain(whole), plain(bare)
    if status != bare_status:
        return f"status {status} instead of {bare_status}: {body[:600]!r} instead of {bare_body[:600]!r}"
    if headers != bare_headers:
        here, there = (
            [one for one in some if one not in other]
            for some, other in ((headers, bare_headers), (bare_headers, headers))
        )
        return f"headers {here} instead of {there}; {_first(body, bare_body)}"
    return "" if body == bare_body else _first(body, bare_body)


def _first(body: bytes, other: bytes) -> str:
    place = next((at for at, (one, two) in enumerate(zip(body, other, strict=False)) if one != two), -1)
    low = max(0, place - 200)
    return f"body at {place}: {body[low : place + 300]!r} instead of {other[low : place + 300]!r}"
