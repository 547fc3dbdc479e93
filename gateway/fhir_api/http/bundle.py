"""Build Bundles by joining resources that are already rendered as JSON bytes.

https://hl7.org/fhir/R4/bundle.html#searchset, https://hl7.org/fhir/R4/http.html#history,
https://hl7.org/fhir/R4/search.html#include (`search.mode`).
Proved by tests/gateway/fhir_api/test_batch.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

from gateway.fhir_api.http.outcome import Issue, outcome
from gateway.store.database.engine import instant_text
from gateway.store.studies.search import Version
from mappings.fhir.datatypes import json_bytes

_MATCH: Final = b',"search":{"mode":"match"}}'
_INCLUDE: Final = b',"search":{"mode":"include"}}'
_OUTCOME: Final = b',"search":{"mode":"outcome"}}'


def searchset(  # noqa: PLR0913 (the parts of a searchset)
    base: str,
    links: Mapping[str, str],
    matches: Sequence[Version],
    included: Iterable[Version],
    issues: Sequence[Issue],
    *,
    total: int | None,
    canonical: str,
) -> bytes:
    """Build a searchset Bundle: matches, included resources, then one OperationOutcome if there are issues.

    `canonical` is the base of the site's own definitions, for the codes of the issues.
    """
    head: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset"}
    if total is not None:
        head["total"] = total
    head["link"] = _links(links)
    here = _entry_start(base)
    entries = [_entry(here, one, _MATCH) for one in matches]
    entries += [_entry(here, one, _INCLUDE) for one in included]
    if issues:
        warnings = json_bytes(outcome(issues, canonical))
        entries.append(b'{"fullUrl":"' + _outcome_url(warnings) + b'","resource":' + warnings + _OUTCOME)
    return _bundle(head, entries)


def history_bundle(base: str, links: Mapping[str, str], versions: Sequence[Version], total: int | None) -> bytes:
    """Build a history Bundle from versions, newest first; `total` None means not counted."""
    counted = {} if total is None else {"total": total}
    head = {"resourceType": "Bundle", "type": "history", **counted, "link": _links(links)}
    here = _entry_start(base)
    return _bundle(head, [_entry(here, one, _request_and_response(one)) for one in versions])


async def batch_response(entries: Sequence[bytes]) -> memoryview:
    """Build a batch-response Bundle from rendered entries, piece by piece: other tasks run in between."""
    whole, before = bytearray(json_bytes({"resourceType": "Bundle", "type": "batch-response"})[:-1]), b',"entry":['
    for entry in entries:
        whole += before
        whole += entry
        before = b","
        await asyncio.sleep(0)
    whole += b"]}" if entries else b"}"
    return memoryview(whole)


def _request_and_response(version: Version) -> bytes:
    """Render `entry.request` and `entry.response` as if a client had created or updated this version."""
    kind = version.address.partition("/")[0]
    first = version.version == 1
    request = {"method": "POST", "url": kind} if first else {"method": "PUT", "url": version.address}
    response = {
        "status": "201 Created" if first else "200 OK",
        "etag": f'W/"{version.version}"',
        "lastModified": instant_text(version.updated),
    }
    return b"," + json_bytes({"request": request, "response": response})[1:]


def _links(links: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"relation": relation, "url": url} for relation, url in links.items()]


def _bundle(head: dict[str, Any], entries: Sequence[bytes]) -> bytes:
    made, parts = json_bytes(head), list(entries)
    if not parts:
        return made
    parts[0] = made[:-1] + b',"entry":[' + parts[0]
    parts[-1] += b"]}"
    return b",".join(parts)  # a large Bundle is copied once


@lru_cache(maxsize=256)
def _entry_start(base: str) -> bytes:
    """Render the start of an entry, up to the address of its resource (which needs no JSON escapes)."""
    return b'{"fullUrl":' + json_bytes({"": f"{base}/"})[4:-2]


def _entry(here: bytes, version: Version, rest: bytes) -> bytes:
    return here + version.address.encode() + b'","resource":' + version.body + rest


def _outcome_url(body: bytes) -> bytes:
    """Make a fullUrl for an OperationOutcome, which has no address: a UUID from its hash (RFC 9562 §5.8)."""
    made = sha256(body).hexdigest()
    return f"urn:uuid:{made[:8]}-{made[8:12]}-8{made[13:16]}-a{made[17:20]}-{made[20:32]}".encode()
