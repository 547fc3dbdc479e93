"""Warn that a search parameter of this release does not find what an older release stored, until `rerender`.

https://hl7.org/fhir/R4/search.html#Warnings, decision D43: an answer that may lack a critical result says so.
Proved by tests/gateway/fhir_api/search/test_unindexed.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from gateway.fhir_api.http.outcome import Issue
from gateway.store.database.engine import Engine
from gateway.store.database.facts import INDEX, INDEX_REVISION, value_of

# Parameters that the newest revision of the index has added
_ADDED: Final = frozenset({"interpretation"})
_DIAGNOSTICS: Final = (
    "what an older release stored is not found by {} before the command rerender has run: there may be more"
)


async def unindexed(engine: Engine, used: Iterable[tuple[str, str]]) -> list[Issue]:
    """Return a warning if a search uses a parameter, also in a chain, that not all stored resources are indexed by."""
    asked = _ADDED.intersection(part for name, _ in used for part in re.split("[:.]", name))
    if not asked or await value_of(engine, INDEX) == INDEX_REVISION:
        return []
    diagnostics = _DIAGNOSTICS.format(", ".join(sorted(asked)))
    return [Issue("warning", "incomplete", diagnostics, "index-incomplete")]
