"""Trace a report of a stored study: the part of `$trace` that runs in a worker, which need not load the web server.

Carries out no clause of a standard; decisions D6 and D46.
Proved by tests/gateway/fhir_api/operations/test_trace.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any

from gateway.store.studies.stored_reports import StoredStudy
from mappings.profile import Receiver, Site
from mappings.trace import TraceRow, trace


def trace_rows(
    stored: StoredStudy, document: dict[str, Any], own: AbstractSet[str], site: Site, receiver: Receiver
) -> Sequence[TraceRow]:
    """Trace the leaves of the study document that are of the study or in a report's `own` places (`reports/0`)."""
    return trace(document, site, receiver, stored.kept().facts, partial(is_of, own))


def is_of(own: AbstractSet[str], pointer: str) -> bool:
    """True for a pointer into one of these places, and for one into the study itself."""
    first, second = (*pointer.split("/"), "", "")[1:3]
    return first not in {"reports", "users"} or not second or f"{first}/{second}" in own
