"""Compose the SQL of a FHIR search: the starting criterion, the other criteria, the sort order, and the page.

https://hl7.org/fhir/R4/search.html. A search starts from the index rows of one narrowing clause and tests each result
against the other clauses. It never reads a whole table (D8).
Proved by tests/contract/test_search.py and tests/contract/test_plans.py.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

from gateway.index.criteria import (
    All,
    At,
    Clause,
    Criterion,
    During,
    Ends,
    Has,
    Is,
    Not,
    Nothing,
    Referred,
    Refers,
    Starts,
    Updated,
    Within,
)
from gateway.index.keys import SEPARATOR
from gateway.index.parameter_lookup import PARAMETERS
from gateway.store.database.engine import Dialect, by_resource
from gateway.store.studies.fragments import OF_SETS, SAID, Sql, all_of, any_of, found_by, found_during, glued, joined
from gateway.store.studies.shared_terms import KEYS
from gateway.store.studies.short_values import short_in_sql, short_value
from mappings.fhir.resource_types import types_at

_NEVER: Final = 2**63 - 1
_SAME: Final = Sql("r.number = d.resource")
_ALL: Final = Sql("")
_BY_WAY_OF: Final = " d CROSS JOIN resource r"
# SQLite joins in the written order. PostgreSQL would start with all resources of a type if its statistics are poor.
# Each searches for words in its own way
_IN_THAT_ORDER: Final = {
    _BY_WAY_OF: " d CROSS JOIN LATERAL (SELECT * FROM resource x WHERE x.number = d.resource OFFSET 0) r",
    OF_SETS: " s CROSS JOIN LATERAL (SELECT * FROM resource x WHERE x.term_set = s.resource OFFSET 0) a WHERE true",
    SAID: "w.words @@ websearch_to_tsquery('simple', ?)",
}
_BY_TYPE: Final = Sql("resource r")  # read by the index of updates, or of what is suppressed
_ALL_OF_TYPE: Final = Sql("1 = 1")
_LOW: Final = Sql("d.low")
# Kind and direction of a sort -> its column, and the value for resources without one, which come last
_UNSORTED: Final = {
    ("moment", False): ("low", _NEVER),
    ("moment", True): ("low", -_NEVER),
    ("term", False): ("value", "\U0010ffff"),
    ("term", True): ("value", ""),
}
_LAST: Final = "(SELECT k.last FROM tick k WHERE k.one = 1)"


@dataclass(frozen=True, slots=True)
class Sort:
    """Sort key: `by` a column of the resource, or by the index rows of the search parameter `key`."""

    by: Literal["updated", "address", "term", "moment"]
    key: int = 0
    descending: bool = False

    def reversed(self) -> Sort:
        """Return this sort key in the opposite direction."""
        return Sort(self.by, self.key, not self.descending)


@dataclass(frozen=True, slots=True)
class Search:
    """Search for at most `most` resources of a type that match every clause, sorted, from behind `after`.

    `start` is the place of the starting clause (`cheapest`). `after` has the value of each sort key of the last result
    seen, then its number; `is_back` pages the other way. `until` and `since` limit the last update: no later, and
    later. `patients` are the patient ids that the search names, for the warnings. `limits` are those of the clauses
    that a client is limited by.
    """

    resource_type: str
    clauses: tuple[Clause, ...]
    start: int
    sort: tuple[Sort, ...]
    most: int
    after: tuple[Any, ...] = ()
    until: int | None = None
    since: int | None = None
    is_back: bool = False
    patients: tuple[str, ...] = ()
    limits: tuple[Clause, ...] = ()


class Way(NamedTuple):
    """Way in which a page was found, in words and as SQL without values."""

    how: str
    sql: str

    @staticmethod
    def of(how: str, sql: Sql, dialect: Dialect) -> Way:
        """Describe a page that this SQL found."""
        return Way(how, for_dialect(sql.text, dialect))


UPDATED: Final = Sort("updated")
SECONDS: Final = 5.0  # that a search may take
# Bits for the kinds of warnings that may apply to a result
DISPUTED: Final = 1
SUPPRESSED: Final = 2
CONFLICTS: Final = 4
ANY_REMARK: Final = DISPUTED + SUPPRESSED + CONFLICTS
_MAY_HAVE_REMARKS: Final = (
    f"coalesce((SELECT s.has_warnings FROM study s WHERE s.study_id = p.owner), 0) * {DISPUTED} + CASE WHEN EXISTS"
    f" (SELECT 1 FROM resource h WHERE h.is_suppressed = 1 AND h.type = ?) THEN {SUPPRESSED} ELSE 0 END"
)


def cheapest(clauses: Sequence[Clause], narrowing: Sequence[int]) -> int:
    """Return the place of the cheapest clause to start from, among those at the places `narrowing`.

    Raises:
        ValueError: no clause narrows.
    """
    return narrowing[0] if len(narrowing) == 1 else min(narrowing, key=lambda one: max(map(_cost, clauses[one])))


def window(clauses: Sequence[Clause], place: int) -> list[int]:
    """Return the places of all clauses that bound the same date as the clause at that place; else only this place.

    A resource has one moment of a parameter at most: what meets all bounds lies in one range of the index.
    """
    key = _bounded(clauses[place])
    return [place] if key is None else [one for one, clause in enumerate(clauses) if _bounded(clause) == key]


def _bounded(clause: Clause) -> int | None:
    """Return the key of the date that a clause bounds to one range; None if it does not."""
    match clause:
        case (During(key=key, comparison=comparison),) if comparison != "ne":
            return key
    return None


def is_bounded(search: Search) -> bool:
    """True if the search is short: few criteria, and a start from few rows, such as those of a patient or number."""
    return not is_broad(search) and has_few_criteria(search) and not has_far_criteria(search)


def is_broad(search: Search) -> bool:
    """True if very many resources may meet the starting clause: a name, a date, a code, a radiologist."""
    return any(map(_is_broad, search.clauses[search.start]))


def _is_broad(criterion: Criterion) -> bool:
    match criterion:
        case Refers(key=key, criterion=inner):
            return key in OF_MANY or _is_broad(inner)
        case Referred(criterion=inner):
            return _is_broad(inner)
        case All(clauses=((first,), *_)):
            return _is_broad(first)
        case Is(key=key) | Starts(key=key) if key in OF_MANY:
            return True
    return _cost(criterion) > _FEW


def has_few_criteria(search: Search) -> bool:
    """True if there are few enough conditions for a database to plan the search quickly."""
    return sum(map(len, search.clauses)) <= _LITTLE


def has_far_criteria(search: Search) -> bool:
    """True if testing one result against some clause may read many rows."""
    return any(map(goes_far, search.clauses))


def goes_far(clause: Clause) -> bool:
    """True if testing one resource may read many rows, such as all reports of a radiologist or a facility."""
    return any(map(_goes_far, clause))


def _goes_far(criterion: Criterion) -> bool:
    """True for a criterion on whatever refers to a resource, a chain of two steps, or a limit that reads many rows."""
    match criterion:
        case Referred() | Refers(criterion=Refers()):
            return True
        case Refers(criterion=inner) | Not(criterion=inner):
            return _goes_far(inner)
        case All(clauses=clauses):
            return any(map(goes_far, clauses))
        case Within(resource_type=kind):
            return kind in _FAR
    return False


def reads_many(clause: Clause) -> bool:
    """True if testing one resource may read very many rows: all that refer to a radiologist or a facility."""
    return any(map(_reads_many, clause))


def _reads_many(criterion: Criterion) -> bool:
    match criterion:
        case Referred(key=key, criterion=inner):
            return key in OF_MANY or _reads_many(inner)
        case Refers(criterion=inner) | Not(criterion=inner):
            return _reads_many(inner)
        case All(clauses=clauses):
            return any(map(reads_many, clauses))
    return isinstance(criterion, Within) and _goes_far(criterion)


def usual_sort(clauses: Sequence[Clause], place: int) -> Sort:
    """Choose the sort order if the client names none: by the date in the search, else by last update.

    A search from a code or a name goes by a date that it has beside it, as their index rows tell no order: from a day
    on, the first matches are soon found. Who asks by last update gets that order.
    """
    dates = [key for key in map(_bounded, clauses) if key is not None]
    if not dates:
        return UPDATED
    if (key := _bounded(clauses[place])) is not None:
        return Sort("moment", key)
    by_update = any(isinstance(one, Updated) for clause in clauses for one in clause)
    return Sort("moment", dates[0]) if any(map(_is_broad, clauses[place])) and not by_update else UPDATED


_FEW: Final = 2
# Keys of codes and statuses, and of references that very many resources have alike
OF_MANY: Final = KEYS.union(
    one.key
    for one in PARAMETERS
    if (one.type == "token" and "text" in one.modifiers) or (one.type == "reference" and not one.narrows)
)
_FAR: Final = frozenset(types_at("referred", "apart"))
_LITTLE: Final = 30
_COSTS: Final[dict[type, int]] = {Nothing: 0, At: 1, Is: 2, Starts: 3, During: 4, Updated: 5}


def _cost(criterion: Criterion) -> int:
    if isinstance(criterion, Refers | Referred):
        return _cost(criterion.criterion)
    if isinstance(criterion, All):
        return max(map(_cost, criterion.clauses[0]))
    if isinstance(criterion, Starts) and criterion.value.endswith(SEPARATOR):
        return _COSTS[Is]  # a whole code or number, of any system
    return _COSTS.get(type(criterion), _COSTS[Updated])


def page(search: Search, found: Sql | None = None, settled: Collection[int] = (), *, has_sort_key: bool = False) -> Sql:
    """Return SQL for a page: address, version, updated, owner, number, body, last instant, remarks, sort keys.

    The remarks are a sum of bits: a `DISPUTED` study, `SUPPRESSED` resources of the type, and `CONFLICTS` about
    the patients that are named or found. `found` is a query for the resources to start from, as `resource`, which meet
    the clauses at the `settled` places; `has_sort_key`: with their first sort key, as `low`. None: those of the
    starting clause.
    """
    if found is None:
        keys = [_LOW if _is_in_order(one, search) else _sort_key(one) for one in search.sort]
    else:
        keys = [_LOW if has_sort_key and not place else _sort_key(one) for place, one in enumerate(search.sort)]
    columns = "".join([f", {one.text} AS k{place}" for place, one in enumerate(keys)])
    source = _from_where(search) if found is None else _where(search, by_way_of(found), _SAME, settled)
    order = _order(search.sort, is_back=search.is_back)
    behind = _behind(search) if search.after else _ALL
    remarks = _remarks_of(len(search.patients), finds_patients=search.resource_type == "Patient")
    return Sql(
        f"SELECT p.address, p.version, p.updated, p.owner, p.number, v.body, {_LAST}, {remarks}{_listed(len(keys))}"
        f" FROM (SELECT q.* FROM (SELECT r.address, r.version, r.updated, r.owner, r.number{columns}"
        f" FROM {source.text}) q{behind.text} ORDER BY {order} LIMIT ?) p"
        f" CROSS JOIN version v WHERE v.resource = p.number AND v.version = p.version ORDER BY {order}",
        (
            search.resource_type,
            *search.patients,
            *[value for one in keys for value in one.values],
            *source.values,
            *behind.values,
            search.most,
        ),
    )


def way_from_start(search: Search, sql: Sql, dialect: Dialect) -> Way:
    """Describe a page that was found from the starting clause of the search."""
    kind = type(search.clauses[search.start][0]).__name__
    return Way.of(f"starting from a clause of kind {kind}", sql, dialect)


@lru_cache(maxsize=16)
def _listed(number: int) -> str:
    return "".join(f", p.k{place}" for place in range(number))


@lru_cache(maxsize=128)
def _remarks_of(number: int, *, finds_patients: bool) -> str:
    about = ["c.patient_id = ?"] * number
    if finds_patients:
        about.append(f"c.patient_id = substr(p.address, {len('Patient/') + 1})")
    if not about:
        return _MAY_HAVE_REMARKS
    held_apart = f"SELECT 1 FROM conflict c WHERE {' OR '.join(about)}"
    return f"{_MAY_HAVE_REMARKS} + CASE WHEN EXISTS ({held_apart}) THEN {CONFLICTS} ELSE 0 END"


def count(search: Search, found: Sql | None = None, settled: Collection[int] = ()) -> Sql:
    """Return SQL that counts the results; `found` and `settled` as for `page`."""
    source = _from_where(search) if found is None else _where(search, by_way_of(found), _SAME, settled)
    return glued("SELECT count(*) FROM ", source)


def suppressed(search: Search, most: int) -> Sql:
    """Return SQL for the addresses of suppressed resources (D2) that match the search."""
    source = _where(search, _BY_TYPE, _ALL_OF_TYPE, is_suppressed=1) if is_broad(search) else _from_where(search, 1)
    return glued("SELECT r.address FROM ", source, Sql(" LIMIT ?", (most,)))


def is_count_of_rows(search: Search) -> bool:
    """True if counting the rows of one index range gives the count, apart from suppressed resources."""
    if len(window(search.clauses, search.start)) < len(search.clauses) or (search.until, search.since) != (None, None):
        return False
    return is_broad(search) and all(map(_is_of_index, search.clauses[search.start]))


def _is_of_index(criterion: Criterion) -> bool:
    """True if index rows alone tell which resources meet a criterion."""
    return isinstance(criterion, Is | Starts | Ends | Has | During)


def count_of_rows(search: Search) -> Sql:
    """Return SQL that counts the results by index rows, without the resources."""
    of_type = Sql("r.is_suppressed = 1 AND r.type = ? AND ", (search.resource_type,))
    hidden = glued("SELECT count(*) FROM resource r WHERE ", of_type, all_of(search.clauses))
    return glued("SELECT (SELECT count(*) FROM (", found_by_range(search.clauses), ") f) - (", hidden, ")")


def _from_where(search: Search, is_suppressed: int = 0) -> Sql:
    """Return FROM and WHERE of the search, from its starting clause."""
    clause = search.clauses[search.start]
    if any(isinstance(one, Updated) for one in clause):
        return _where(search, _BY_TYPE, _any(clause), (search.start,), is_suppressed=is_suppressed)
    places = window(search.clauses, search.start)
    source = _of_clauses(tuple([search.clauses[place] for place in places]))
    return _where(search, source, _SAME, places, is_suppressed=is_suppressed)


def _where(search: Search, source: Sql, first: Sql, settled: Collection[int] = (), *, is_suppressed: int = 0) -> Sql:
    """Return FROM and WHERE of the search: `first` in the source, and all clauses except the `settled` ones."""
    conditions = [Sql(f"r.type = ? AND r.is_suppressed = {is_suppressed}", (search.resource_type,)), first]
    others = [clause for place, clause in enumerate(search.clauses) if place not in settled]
    conditions += map(_any, sorted(others, key=goes_far))  # what most resources fail soonest is tested first
    for limit, more in ((search.until, "r.updated <= ?"), (search.since, "r.updated > ?")):
        if limit is not None:
            conditions.append(Sql(more, (limit,)))
    text = f"{source.text} WHERE {' AND '.join([one.text for one in conditions])}"
    return Sql(text, (*source.values, *[value for one in conditions for value in one.values]))


@lru_cache(maxsize=4096)
def _of_clauses(clauses: tuple[Clause, ...]) -> Sql:
    """Return a FROM part: the resources that meet a clause (or all bounds of a date), by index."""
    return by_way_of(found_by_range(clauses))


def found_by_range(clauses: Sequence[Clause]) -> Sql:
    """Return a query for the numbers of resources that meet a clause (or all bounds of a date, see `window`)."""
    match clauses[0]:
        case (During() as first,):
            return found_during(first, *[one for clause in clauses[1:] for one in clause])
    ways = [found_by(one) for one in clauses[0]]
    several = [glued("SELECT u.resource FROM (", one, ") u") for one in ways]
    return ways[0] if len(ways) == 1 else joined(" UNION ", several)


def by_way_of(found: Sql) -> Sql:
    """Return a FROM part with the resources `r` that a query finds by number (column `resource` of `d`)."""
    return glued("(", found, f"){_BY_WAY_OF}")


@lru_cache(maxsize=4096)
def _any(clause: Clause) -> Sql:
    return any_of(clause)


def _is_in_order(sort: Sort, search: Search) -> bool:
    """True if the index that the search starts from has the sort order."""
    clause = search.clauses[search.start]
    return len(clause) == 1 and isinstance(clause[0], During) and (sort.by, sort.key) == ("moment", clause[0].key)


def _sort_key(sort: Sort) -> Sql:
    if sort.by in {"updated", "address"}:
        return Sql(f"r.{sort.by}")
    column, nothing = _UNSORTED[sort.by, sort.descending]
    value = short_in_sql(sort.key, f"o.{column}")
    first = f"SELECT {'max' if sort.descending else 'min'}({value}) FROM {sort.by} o"
    where = "IN (r.number, r.term_set)" if sort.key in KEYS else "= r.number"
    return Sql(f"coalesce(({first} WHERE o.resource {where} AND o.key = ?), ?)", (sort.key, nothing))


def unsorted(sort: Sort) -> Any:
    """Return the sort key for resources that lack the element to sort by."""
    return _UNSORTED[sort.by, sort.descending][1]


def _ways(sort: Sequence[Sort], *, is_back: bool) -> list[tuple[str, bool]]:
    """Return the columns to sort by, each with True if descending."""
    keys = [(f"k{place}", one.descending != is_back) for place, one in enumerate(sort)]
    return [*keys, ("number", is_back)]


@lru_cache(maxsize=256)
def _order(sort: tuple[Sort, ...], *, is_back: bool) -> str:
    return ", ".join(f"{column}{' DESC' if goes_down else ''}" for column, goes_down in _ways(sort, is_back=is_back))


def _behind(search: Search) -> Sql:
    """Return the condition that a resource comes after the last one seen; page links of earlier releases work, too."""
    ways = _ways(search.sort, is_back=search.is_back)
    keys = zip(search.sort, search.after, strict=False)
    after = [short_value(sort.key, one) if sort.by == "term" else one for sort, one in keys] + [search.after[-1]]
    alternatives = []
    for place, (column, goes_down) in enumerate(ways):
        same = [Sql(f"q.{other} = ?", (after[before],)) for before, (other, _) in enumerate(ways[:place])]
        further = Sql(f"q.{column} {'<' if goes_down else '>'} ?", (after[place],))
        alternatives.append(glued("(", joined(" AND ", [*same, further]), ")"))
    first, goes_down = ways[0]
    bound = Sql(f"q.{first} {'<' if goes_down else '>'}= ?", (after[0],))
    return glued(" WHERE ", bound, " AND (", joined(" OR ", alternatives), ")")


@lru_cache(maxsize=2048)
def for_dialect(text: str, dialect: Dialect) -> str:
    """Return the SQL with the engine's placeholders."""
    if dialect == "sqlite":
        return text
    for join, in_order in _IN_THAT_ORDER.items():
        text = text.replace(join, in_order)
    first, *rest = by_resource(text).split("?")
    return first + "".join(f"${place}{part}" for place, part in enumerate(rest, 1))
