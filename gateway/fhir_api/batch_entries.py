"""Parse the Bundle of a FHIR batch into GET requests to this server; any other entry becomes an error.

https://hl7.org/fhir/R4/bundle.html (`entry.request`), https://hl7.org/fhir/R4/references.html: a URL is relative to
the base, or absolute and below the base.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urljoin, urlsplit

from gateway.fhir_api.http.body import parsed
from gateway.runtime.request_errors import (
    BadRequest,
    MethodNotAllowed,
    NotSupported,
    RequestError,
    RequestTooLarge,
    ResourceNotFound,
)

MOST_BYTES: Final = 2**20
MOST_ENTRIES: Final = 100
# https://hl7.org/fhir/R4/valueset-http-verb.html
_VERBS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH")
_CONDITIONS: Final = {"ifNoneMatch": b"if-none-match", "ifModifiedSince": b"if-modified-since"}


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """A GET request: its path below the base (decoded in `path`, percent-encoded in `raw_path`), query and headers."""

    path: str
    raw_path: bytes
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


def entries_in(body: bytes, base: str) -> list[BatchEntry | RequestError]:
    """Parse the body of a batch, and return its entries as `entries` does.

    Raises:
        RequestError: as `entries`; or the body is no JSON.
    """
    return entries(parsed(body), base)


def entries(bundle: Any, base: str) -> list[BatchEntry | RequestError]:
    """Return the parsed entries of a batch in order; in place of a refused entry its RequestError.

    Raises:
        BadRequest: the body is no Bundle of type batch; the expression says where.
        NotSupported: the Bundle is a transaction.
        RequestTooLarge: the batch has too many entries.
    """
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise BadRequest("the body: expected a Bundle", expression="Bundle")
    if bundle.get("type") == "transaction":
        raise NotSupported("there are no transactions: nothing is written here", expression="Bundle.type")
    if bundle.get("type") != "batch":
        raise BadRequest("expected batch", expression="Bundle.type")
    rows = bundle.get("entry", [])
    if not isinstance(rows, list):
        raise BadRequest("expected a list", expression="Bundle.entry")
    if len(rows) > MOST_ENTRIES:
        raise RequestTooLarge(f"more than {MOST_ENTRIES} entries in one batch", expression="Bundle.entry")
    requests = [_request(row, f"Bundle.entry[{number}]") for number, row in enumerate(rows)]
    return [_entry(one, base) for one in requests]


def _request(row: Any, place: str) -> Mapping[str, Any]:
    """Return `entry.request`; raise BadRequest unless it has a known method and a URL."""
    request = row.get("request") if isinstance(row, dict) else None
    if not isinstance(request, dict):
        raise BadRequest("expected a request", expression=f"{place}.request")
    if request.get("method") not in _VERBS:
        raise BadRequest(f"expected one of {', '.join(_VERBS)}", expression=f"{place}.request.method")
    for name in ("url", *_CONDITIONS):
        if not isinstance(request.get(name, None if name == "url" else ""), str):
            raise BadRequest("expected a text", expression=f"{place}.request.{name}")
    return request


def _entry(request: Mapping[str, Any], base: str) -> BatchEntry | RequestError:
    """Parse one entry, or return the error that refuses it."""
    if request["method"] != "GET":
        return MethodNotAllowed("in a batch only GET is offered: reads, searches and operations that change nothing")
    url, headers = request["url"], tuple(_headers(request))
    if not (url.isascii() and url.isprintable()) or any(not value.isascii() for _, value in headers):
        return BadRequest("an address is percent-encoded, and a condition ASCII", expression="Bundle.entry.request")
    try:
        parts = urlsplit(urljoin(f"{base}/", url))
    except ValueError:
        return BadRequest("not an address", expression="Bundle.entry.request.url")
    address = f"{parts.scheme}://{parts.netloc}{parts.path}"
    if not address.startswith(f"{base}/"):
        return ResourceNotFound("the address is not below the base of this server")
    path = address.removeprefix(base)
    return BatchEntry(unquote(path), path.encode(), parts.query.encode(), headers)


def _headers(request: Mapping[str, Any]) -> Iterator[tuple[bytes, bytes]]:
    for name, header in _CONDITIONS.items():
        if request.get(name):
            yield header, request[name].encode("utf-8", "replace")
