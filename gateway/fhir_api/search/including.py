"""Find the included resources of a search (`_include`, `_revinclude`), each once, up to a limit.

https://hl7.org/fhir/R4/search.html#include, https://hl7.org/fhir/R4/search.html#revinclude.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.auth.visibility import Visibility
from gateway.fhir_api.http.outcome import Issue
from gateway.fhir_api.search.paging import Page, PagePosition, page
from gateway.fhir_api.search.result_parameters import Include
from gateway.fhir_api.search.search_query import Query
from gateway.store.database.engine import Engine
from gateway.store.studies import search as store
from gateway.store.studies.limited import Limits
from gateway.store.studies.search import Version

MOST: Final = 1_000
# More references than resources: a reference parameter may lead to several types, and only one is wanted
_MOST_REFERENCES: Final = 20 * MOST
_SHOWN: Final = 5


async def page_with_included(
    engine: Engine, query: Query, place: PagePosition
) -> tuple[Page, list[Version], list[Issue]]:
    """Return a page of matches with the included resources, and warnings about those left out.

    A page with too many of them has fewer matches, so that none is left out. Only those of one match are cut.

    Raises:
        StoreTooSlow: the database took too long.
    """
    count = query.count
    while True:
        results = await page(engine, query if count == query.count else replace(query, count=count), place)
        if not query.includes:
            return results, [], []
        beside, issues = await included(engine, query.includes, results.versions, query.sight)
        count = len(results.versions) // 2
        if count == 0 or not any(one.detail == "includes-cut" for one in issues):
            return results, beside, issues


async def included(
    engine: Engine, includes: Iterable[Include], matches: Sequence[Version], sight: Visibility
) -> tuple[list[Version], list[Issue]]:
    """Return the included resources, and warnings about those left out.

    `sight` is what the client may see; of anything else it learns nothing.
    """
    found = _Included(engine, sight)
    start = reached = [one.address for one in matches]
    for include in sorted(dict.fromkeys(includes), key=lambda one: one.is_iterated):
        if include.is_iterated and reached is start:
            reached = [*start, *found.resources]
        await found.follow(include, reached)
    for address in start:
        found.resources.pop(address, None)
    if len(found.resources) > MOST:
        diagnostics = f"only the first {MOST} resources are included, of one match"
        found.issues.append(Issue("warning", "too-costly", diagnostics, "includes-cut"))
    return list(found.resources.values())[:MOST], found.issues


@dataclass(slots=True)
class _Included:
    """Resources included so far, by address, and the warnings about others."""

    engine: Engine
    sight: Visibility
    resources: dict[str, Version] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)

    async def follow(self, include: Include, start: Sequence[str]) -> None:
        """Follow one include; one resource more than the limit shows that some are left out."""
        room = MOST + 1 - len(self.resources)
        if not start or room <= 0:
            return
        key = include.reference.key
        if include.is_back:
            source = include.reference.resource_type
            if not self.sight.allows(source, "r"):
                return
            current = await store.referring(self.engine, key, start, room, self._limits([source]))
            addresses = list(current)
        else:
            every = await store.referenced(self.engine, key, start, _MOST_REFERENCES)
            wanted = [one for one in every if _is_of(one, include.target) and self.sight.allows(_type(one), "r")]
            addresses = [one for one in wanted if one not in self.resources]
            limits = self._limits(map(_type, addresses))
            if limits is None:
                addresses = addresses[:room]
            current = await store.current(self.engine, addresses, limits)
            if limits is not None:  # what is not visible is as if it were not stored: nothing is said of either
                addresses = [one for one in addresses if one in current][:room]
        self.resources.update({one: found for one in addresses if (found := current.get(one)) is not None})
        self.issues += _missing(address for address in addresses if current.get(address) is None)

    def _limits(self, types: Iterable[str]) -> Limits | None:
        """Return the limits of these types for this client; None if it sees everything."""
        if self.sight.is_whole:
            return None
        return {kind: self.sight.limits(kind, "r") for kind in dict.fromkeys(types)}


def _type(address: str) -> str:
    return address.partition("/")[0]


def _is_of(address: str, resource_type: str) -> bool:
    return not resource_type or address.startswith(f"{resource_type}/")


def _missing(addresses: Iterable[str]) -> list[Issue]:
    every = list(addresses)
    reason = "is not served: it is not stored, or does not pass the check that all resources go through"
    return [Issue("warning", "suppressed", f"{one} {reason}", "suppressed", about=one) for one in every[:_SHOWN]]
