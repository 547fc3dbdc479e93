"""Read one page of search matches, and find the pages around it; no match is skipped if the index changes.

https://hl7.org/fhir/R4/http.html#paging. A resource that matches throughout is seen exactly once. A resource that
changes meanwhile is seen at least once. A search sorted by last update meets it again. Any other search first pages
through the state at its start (`begun`), then through later updates (`since`). The server keeps no pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from gateway.fhir_api.search.search_query import Query
from gateway.store.database.engine import Engine
from gateway.store.studies import search as store
from gateway.store.studies.search import Version
from gateway.store.studies.search_sql import UPDATED, Search, Way

Part = Literal["whole", "begun", "since"]


@dataclass(frozen=True, slots=True)
class PagePosition:
    """Position of a page: after `after` (sort-key values and number of the last match), or before it if `is_back`.

    `part` is `whole` for a search that needs one order only, or that may fit on one page. Otherwise it is `begun` (the
    state at the instant `began`) or `since` (updates after it).
    """

    part: Part = "whole"
    after: tuple[Any, ...] = ()
    began: int = 0
    is_back: bool = False

    def as_json(self) -> list[Any]:
        """Convert to JSON for a page token."""
        return [self.part, list(self.after), self.began, int(self.is_back)]

    @staticmethod
    def of_json(value: Sequence[Any]) -> PagePosition:
        """Convert back from `as_json`."""
        part, after, began, is_back = value
        return PagePosition(part, tuple(after), began, bool(is_back))


BEGINNING = PagePosition()


@dataclass(frozen=True, slots=True)
class Page:
    """One page of matches, with the positions of the previous, next and last page, where there are any.

    `way` is how its first part was found; None if no page was read.
    """

    versions: Sequence[Version]
    previous: PagePosition | None = None
    next: PagePosition | None = None
    last: PagePosition | None = None
    way: Way | None = None


async def page(engine: Engine, query: Query, place: PagePosition) -> Page:
    """Read the page at a position.

    Raises:
        StoreTooSlow: the database took too long.
    """
    each, began, way = await _fetch(engine, query, place)
    is_more = len(each) > query.count
    each = each[-query.count :] if place.is_back else each[: query.count]
    if place == BEGINNING and not is_more:
        return Page([version for _, version in each], way=way)
    in_parts = query.sort != (UPDATED,) and not query.is_unversioned
    start = PagePosition("begun", began=began) if in_parts else BEGINNING
    end = replace(start, part="since" if in_parts else "whole", is_back=True)
    if not each:  # the expected matches changed meanwhile, and match no more
        return Page((), None if place.is_back else end, start if place.is_back else None, end, way)
    is_further = bool(place.after)
    has_previous, has_next = (is_more, is_further) if place.is_back else (is_further, is_more)
    return Page(
        [version for _, version in each],
        previous=replace(_position_of(start, *each[0]), is_back=True) if has_previous else None,
        next=_position_of(start, *each[-1]) if has_next else None,
        last=end,
        way=way,
    )


def search_at(query: Query, place: PagePosition) -> Search:
    """Build the store's search for a position, with one match more than a page holds."""
    search = query.search(query.count + 1, after=place.after, is_back=place.is_back, patients=query.patients)
    if place.part == "begun":
        return replace(search, until=place.began)
    if place.part == "since":
        return replace(search, sort=(UPDATED,), since=place.began)
    return search


def _position_of(start: PagePosition, part: Part, version: Version) -> PagePosition:
    """Return the position of a version, in a walk that starts at `start`."""
    return replace(start, part=start.part if part == "whole" else part, after=version.position)


async def _fetch(
    engine: Engine, query: Query, place: PagePosition
) -> tuple[list[tuple[Part, Version]], int, Way | None]:
    """Fetch one match more than a page holds, forward or back from a position.

    Also return when the walk began, and how the first part was found.
    """
    if place.part == "whole":
        fetched = await store.page(engine, search_at(query, place))
        return [("whole", one) for one in fetched.versions], fetched.last, fetched.way
    order: tuple[Part, Part] = ("since", "begun") if place.is_back else ("begun", "since")
    each: list[tuple[Part, Version]] = []
    way: Way | None = None
    for part in order[order.index(place.part) :]:
        here = place if part == place.part else replace(place, part=part, after=())
        most = query.count + 1 - len(each)
        if most > 0:
            fetched = await store.page(engine, replace(search_at(query, here), most=most))
            more: list[tuple[Part, Version]] = [(part, one) for one in fetched.versions]
            each, way = more + each if place.is_back else each + more, way or fetched.way
    return each, place.began, way
