"""The searchset Bundle, put together from bytes that are ready.

https://hl7.org/fhir/R4/bundle.html#searchset, https://hl7.org/fhir/R4/search.html#include (`search.mode`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
    entries = [_entry(base, one, b"match") for one in matches]
    entries += [_entry(base, one, b"include") for one in included]
    if issues:
        entries.append(b'{"resource":' + json_bytes(outcome(issues)) + b',"search":{"mode":"outcome"}}')
    return head[:-1] + b',"entry":[' + b",".join(entries) + b"]}" if entries else head


def _entry(base: str, version: Version, mode: bytes) -> bytes:
    url = json_bytes({"fullUrl": f"{base}/{version.resource_type}/{version.resource_id}"})
    return url[:-1] + b',"resource":' + version.body + b',"search":{"mode":"' + mode + b'"}}'
