"""A walk through what a search finds, page by page, while it changes.

https://hl7.org/fhir/R4/http.html#paging. What matched all the while is seen exactly once. What changed meanwhile is
seen at least once: a search in the order of the last update comes by it again; any other walks through what was there
when it began, then through what was updated since. No page is empty but the only one, and none is kept on the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from gateway.fhir_api.search.search_query import Query
from gateway.store.database.engine import Engine
from gateway.store.studies import search as store
from gateway.store.studies.search import Version
from gateway.store.studies.search_sql import UPDATED, Search

Part = Literal["whole", "begun", "since"]


@dataclass(frozen=True, slots=True)
class PagePosition:
    """Where a page is: behind `after` (the values of the sort keys and the number of the last one), or before it.

    `part` is `whole` for a walk that needs but one order, or that is not known to need more than a page; else what was
    there when it began, at the instant `began`, or what was updated since.
    """

    part: Part = "whole"
    after: tuple[Any, ...] = ()
    began: int = 0
    is_back: bool = False

    def as_json(self) -> list[Any]:
        """As it stands in a page token."""
        return [self.part, list(self.after), self.began, int(self.is_back)]

    @staticmethod
    def of_json(value: Sequence[Any]) -> PagePosition:
        """What `as_json` made."""
        part, after, began, is_back = value
        return PagePosition(part, tuple(after), began, bool(is_back))


BEGINNING = PagePosition()


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and the places of those beside it, where there are any; `last` is that of the last page."""

    versions: Sequence[Version]
    previous: PagePosition | None = None
    next: PagePosition | None = None
    last: PagePosition | None = None


async def page(engine: Engine, query: Query, place: PagePosition) -> Page:
    """The page at a place.

    Raises:
        StoreTooSlow: it took too long to find.
    """
    each, began = await _found(engine, query, place)
    is_more = len(each) > query.count
    each = each[-query.count :] if place.is_back else each[: query.count]
    if place == BEGINNING and not is_more:
        return Page([version for _, version in each])
    in_parts = query.sort != (UPDATED,)
    start = PagePosition("begun", began=began) if in_parts else BEGINNING
    end = replace(start, part="since" if in_parts else "whole", is_back=True)
    if not each:  # what was to come has changed meanwhile, and does not match any more
        return Page((), None if place.is_back else end, start if place.is_back else None, end)
    is_further = bool(place.after)
    has_previous, has_next = (is_more, is_further) if place.is_back else (is_further, is_more)
    return Page(
        [version for _, version in each],
        previous=replace(_at(start, *each[0]), is_back=True) if has_previous else None,
        next=_at(start, *each[-1]) if has_next else None,
        last=end,
    )


def search_at(query: Query, place: PagePosition) -> Search:
    """The search of the part of the walk that a place is in."""
    search = query.search(query.count + 1, after=place.after, is_back=place.is_back, patients=query.patients)
    if place.part == "begun":
        return replace(search, until=place.began)
    if place.part == "since":
        return replace(search, sort=(UPDATED,), since=place.began)
    return search


def _at(start: PagePosition, part: Part, version: Version) -> PagePosition:
    """Where a version stands, of a walk that starts there."""
    return replace(start, part=start.part if part == "whole" else part, after=version.position)


async def _found(engine: Engine, query: Query, place: PagePosition) -> tuple[list[tuple[Part, Version]], int]:
    """One more than a page holds from a place on, or back from it, in order; the instant at which the walk began."""
    if place.part == "whole":
        found = await store.page(engine, search_at(query, place))
        return [("whole", one) for one in found.versions], found.last
    order: tuple[Part, Part] = ("since", "begun") if place.is_back else ("begun", "since")
    each: list[tuple[Part, Version]] = []
    for part in order[order.index(place.part) :]:
        here = place if part == place.part else replace(place, part=part, after=())
        most = query.count + 1 - len(each)
        if most > 0:
            found = await store.page(engine, replace(search_at(query, here), most=most))
            more: list[tuple[Part, Version]] = [(part, one) for one in found.versions]
            each = more + each if place.is_back else each + more
    return each, place.began
