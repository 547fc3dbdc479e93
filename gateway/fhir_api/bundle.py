"""The searchset Bundle, put together from bytes that are ready.

https://hl7.org/fhir/R4/bundle.html#searchset, https://hl7.org/fhir/R4/search.html#include (`search.mode`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import NAMESPACE_URL, uuid5

from gateway.fhir_api.outcome import Issue, outcome
from gateway.store.seen import Version
from mappings.fhir.rendering import json_bytes


def searchset(
    base: str, self_url: str, matches: Sequence[Version], included: Iterable[Version], issues: Sequence[Issue]
) -> bytes:
    """The Bundle: matches, what they include, then one OperationOutcome if there is anything to say. Total: matches."""
    head = json_bytes(
        {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": len(matches),
            "link": [{"relation": "self", "url": self_url}],
        }
    )
    entries = [_entry(_address(base, one), one.body, b"match") for one in matches]
    entries += [_entry(_address(base, one), one.body, b"include") for one in included]
    if issues:
        said = json_bytes(outcome(issues))
        entries.append(_entry(_outcome_url(said), said, b"outcome"))
    return head[:-1] + b',"entry":[' + b",".join(entries) + b"]}" if entries else head


def _address(base: str, version: Version) -> str:
    return f"{base}/{version.resource_type}/{version.resource_id}"


def _outcome_url(body: bytes) -> str:
    """Every entry of a searchset has a fullUrl: that of an OperationOutcome, which has no address, follows from it."""
    return uuid5(NAMESPACE_URL, body.decode()).urn


def _entry(full_url: str, body: bytes, mode: bytes) -> bytes:
    url = json_bytes({"fullUrl": full_url})
    return url[:-1] + b',"resource":' + body + b',"search":{"mode":"' + mode + b'"}}'
