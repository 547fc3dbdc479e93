"""SQL for one search criterion: a test of a resource, or an indexed query for matches; search_sql.py joins several.

https://hl7.org/fhir/R4/search.html#ptypes; one table of each. Placeholders are `?`.
Proved by tests/contract/test_search.py and tests/contract/test_plans.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias, cast

from gateway.index.criteria import (
    All,
    At,
    Clause,
    Comparison,
    Contains,
    Criterion,
    During,
    Ends,
    Has,
    Is,
    Not,
    Nothing,
    Referred,
    Refers,
    Says,
    Starts,
    Updated,
    Within,
)
from gateway.index.extract import longest
from gateway.store.studies.shared_terms import KEYS, OF_TYPE, TYPE_OF
from gateway.store.studies.short_values import forms
from gateway.store.studies.within import within

_LAST: Final = "\U0010ffff"
OF_SETS: Final = " sets CROSS JOIN resource a WHERE a.term_set = sets.resource"
SAID: Final = "w.report_words MATCH ?"  # in SQLite; search_sql has PostgreSQL's
_OfTerm: TypeAlias = Is | Starts | Ends | Contains | Has


class Sql(NamedTuple):
    """SQL text and the values of its placeholders."""

    text: str
    values: tuple[Any, ...] = ()


def glued(*parts: Sql | str) -> Sql:
    """Concatenate SQL parts, and their values in the same order."""
    texts: list[str] = []
    values: list[Any] = []
    for part in parts:
        text, more = (part, ()) if isinstance(part, str) else part
        texts.append(text)
        values += more
    return Sql("".join(texts), tuple(values))


def joined(word: str, parts: Sequence[Sql]) -> Sql:
    """Join SQL parts with a word between them."""
    return Sql(word.join([one.text for one in parts]), tuple([value for one in parts for value in one.values]))


# Comparison -> condition on a moment; `:l` and `:h` are the ends of the searched interval
_MOMENT: Final[dict[Comparison, str]] = {
    "eq": "{m}.low >= :l AND {m}.high <= :h",
    "ne": "({m}.low < :l OR {m}.high > :h)",
    "gt": "{m}.high > :h",
    "lt": "{m}.low < :l",
    "ge": "({m}.high > :h OR ({m}.low >= :l AND {m}.high <= :h))",
    "le": "({m}.low < :l OR ({m}.low >= :l AND {m}.high <= :h))",
    "sa": "{m}.low >= :h",
    "eb": "{m}.high <= :l",
    "ap": "{m}.low < :h AND {m}.high > :l",
}
# Comparison -> its bound on `low` alone, where the index range starts and ends
_BOUND: Final[dict[Comparison, str]] = {
    "eq": "{m}.low >= :l AND {m}.low < :h",
    "gt": "{m}.low > :hs",
    "lt": "{m}.low < :l",
    "ge": "{m}.low > :ls",
    "le": "{m}.low < :h",
    "sa": "{m}.low >= :h",
    "eb": "{m}.low < :l",
    "ap": "{m}.low < :h AND {m}.low > :ls",
}
# Comparison -> condition on the instant of the last update
_INSTANT: Final[dict[Comparison, str]] = {
    "eq": "{m}.updated >= :l AND {m}.updated < :h",
    "ne": "({m}.updated < :l OR {m}.updated >= :h)",
    "gt": "{m}.updated >= :h",
    "lt": "{m}.updated < :l",
    "ge": "{m}.updated >= :l",
    "le": "{m}.updated < :h",
    "sa": "{m}.updated >= :h",
    "eb": "{m}.updated < :l",
    "ap": "{m}.updated >= :l AND {m}.updated < :h",
}


@lru_cache(maxsize=1024)
def _with_places(template: str, alias: str) -> tuple[str, tuple[str, ...]]:
    """Replace the names in the template by placeholders; return it with the names in their order."""
    names: list[str] = []
    parts = template.replace("{m}", alias).split(":")
    text = parts[0]
    for part in parts[1:]:
        name = part[:2] if part[1:2] == "s" else part[:1]
        names.append(name)
        text += "?" + part[len(name) :]
    return text, tuple(names)


def _compared(template: str, alias: str, low: int, high: int, span: int = 0) -> Sql:
    text, names = _with_places(template, alias)
    given = {"l": low, "h": high, "ls": low - span, "hs": high - span}
    return Sql(text, tuple([given[name] for name in names]))


def holds(criterion: Criterion, alias: str = "r") -> Sql:
    """Return the SQL condition that a resource (table alias) meets a criterion."""
    return _CONDITIONS[type(criterion)](criterion, alias)


def _there_is(rows: str) -> str:
    """Return the SQL condition that a FROM clause has rows.

    OFFSET keeps PostgreSQL from turning the subquery into a join, which might start at the wrong end. The rows are then
    looked up one resource at a time, as SQLite does.
    """
    return f"EXISTS (SELECT 1 FROM {rows} LIMIT 1 OFFSET 0)"


def _term(one: _OfTerm, alias: str) -> Sql:
    """Return the condition that a resource has such a term, in the set it shares with others or of its own.

    Of a term that is shared most resources have no row of their own. If none has, no resource is looked at for one. The
    index of values does not tell that of the end of a value.
    """
    condition, values = _has_value(one)
    text = f"term t WHERE t.resource = {alias}.{{}} AND t.key = ?{condition}"
    own = _there_is(text.format("number"))
    if one.key not in KEYS:
        return Sql(own, (one.key, *values))
    shared = _there_is(text.format("term_set"))
    if isinstance(one, Ends | Contains):
        return Sql(f"({shared} OR {own})", (one.key, *values) * 2)
    any_own = f"term y WHERE y.resource > 0 AND y.key = ?{condition.replace('t.value', 'y.value')}"
    return Sql(f"({shared} OR ({_there_is(any_own)} AND {own}))", (one.key, *values) * 3)


def _has_value(one: _OfTerm) -> Sql:
    """Return the condition on a term's value. Contains is done without LIKE, which ignores case in one engine only."""
    match one:
        case Is(key=key, value=value):
            values = forms(key, value)
            return Sql(f" AND t.value {'= ?' if len(values) == 1 else 'IN (?, ?)'}", values)
        case Starts(value=value):
            return Sql(" AND t.value >= ? AND t.value < ?", (value, value + _LAST))
        case Ends(key=key, value=value):
            ends = [Sql("substr(t.value, length(t.value) - ? + 1) = ?", (len(end), end)) for end in forms(key, value)]
            return glued(" AND (", joined(" OR ", ends), ")")
        case Contains(value=value):
            return Sql(" AND replace(t.value, ?, '') <> t.value", (value,))
    return Sql("")


def _during(one: During, alias: str) -> Sql:
    condition = _compared(_MOMENT[one.comparison], "m", one.low, one.high)
    text = _there_is(f"moment m WHERE m.resource = {alias}.number AND m.key = ? AND {condition.text}")
    return Sql(text, (one.key, *condition.values))


def _has(one: Has, alias: str) -> Sql:
    if one.kind == "term":
        return _term(one, alias)
    return Sql(_there_is(f"moment t WHERE t.resource = {alias}.number AND t.key = ?"), (one.key,))


def _not(one: Not, alias: str) -> Sql:
    inner = holds(one.criterion, alias)
    return Sql(f"NOT ({inner.text})", inner.values)


def _refers(one: Refers, alias: str) -> Sql:
    target = f"{alias}x"
    inner = holds(one.criterion, target)
    text = _there_is(
        f"term t CROSS JOIN resource {target} WHERE t.resource = {alias}.number AND t.key = ?"
        f" AND {target}.address = t.value AND {inner.text}"
    )
    return Sql(text, (one.key, *inner.values))


def _referred(one: Referred, alias: str) -> Sql:
    source = f"{alias}x"
    inner = holds(one.criterion, source)
    text = _there_is(
        f"term t CROSS JOIN resource {source} WHERE t.key = ? AND t.value = {alias}.address"
        f" AND {source}.number = t.resource AND {inner.text}"
    )
    return Sql(text, (one.key, *inner.values))


def any_of(clause: Clause, alias: str = "r") -> Sql:
    """Return the condition that a resource meets one of the criteria of a clause."""
    conditions = [holds(one, alias) for one in clause]
    return conditions[0] if len(conditions) == 1 else glued("(", joined(" OR ", conditions), ")")


def all_of(clauses: Sequence[Clause], alias: str = "r") -> Sql:
    """Return the condition that a resource meets all clauses, of which there is at least one."""
    return joined(" AND ", [any_of(one, alias) for one in clauses])


_CONDITIONS: Final[dict[type, Callable[[Any, str], Sql]]] = {
    **dict.fromkeys((Is, Starts, Ends, Contains), _term),
    During: _during,
    Updated: lambda one, alias: _compared(_INSTANT[one.comparison], alias, one.low, one.high),
    Has: _has,
    At: lambda one, alias: Sql(f"{alias}.address = ?", (one.address,)),
    Not: _not,
    Refers: _refers,
    Referred: _referred,
    Nothing: lambda one, alias: Sql("1 = 0"),
    All: lambda one, alias: glued("(", all_of(one.clauses, alias), ")"),
    Within: lambda one, alias: Sql(*within(one, alias)),
    Says: lambda one, alias: Sql(_there_is(f"report_words w WHERE w.rowid = {alias}.number AND {SAID}"), (one.words,)),
}


def found_by(criterion: Criterion) -> Sql:
    """Return a query for the numbers (column `resource`) of the resources that meet a criterion, found by an index."""
    return _STARTS[type(criterion)](criterion)


def lies(one: During, alias: str) -> Sql:
    """Return the condition that a date's row of `moment` compares as asked; the index of `low` bounds it."""
    bound = _compared(_BOUND[one.comparison], alias, one.low, one.high, longest(one.key))
    return glued(bound, " AND ", _compared(_MOMENT[one.comparison], alias, one.low, one.high))


def found_during(first: During, *others: Criterion) -> Sql:
    """Return a query as `found_by` does, for all bounds of one date together, also with the moment's start as `low`.

    The resource is a sum, in which PostgreSQL sees no order: it would read all moments, to have them by resource.
    """
    ranges = joined(" AND ", [lies(one, "m") for one in (first, *others) if isinstance(one, During)])
    text = "SELECT m.resource + 0 AS resource, m.low FROM moment m WHERE m.key = ? AND "
    return glued(Sql(text, (first.key,)), ranges)


def _found_term(one: _OfTerm) -> Sql:
    several = "" if isinstance(one, Is) else "DISTINCT "
    found = glued(Sql(f"SELECT {several}t.resource FROM term t WHERE t.key = ?", (one.key,)), _has_value(one))
    return glued(found, " AND t.resource > 0 UNION ", _found_by_set(one)) if one.key in KEYS else found


def _found_by_set(one: _OfTerm, *, lacks: bool = False) -> Sql:
    """Return a query for resources by their set of shared terms; with `lacks`, those whose set has no such term.

    All sets are tried, since they are few. The sign before the key keeps databases from the index of values, where rows
    of very many single resources lie between those of sets.
    """
    condition, values = _has_value(one)
    if lacks:
        keys = OF_TYPE[TYPE_OF[one.key]]
        scope = Sql(f"+t.key IN ({', '.join('?' * len(keys))}) GROUP BY t.resource", keys)
        meets = Sql(f" HAVING max(CASE WHEN t.key = ?{condition} THEN 1 ELSE 0 END) = 0", (one.key, *values))
    else:
        scope, meets = Sql("+t.key = ?", (one.key,)), Sql(f"{condition} GROUP BY t.resource", values)
    sets = glued("SELECT t.resource FROM term t WHERE t.resource < 0 AND ", scope, meets)
    return glued("SELECT a.number AS resource FROM (", sets, f"){OF_SETS}")


def _found_not(one: Not) -> Sql:
    inner, meets = cast("_OfTerm", one.criterion), holds(one, "a")
    return glued(_found_by_set(inner, lacks=True), " AND ", meets, " UNION ALL ", _without_set(inner), " AND ", meets)


def _without_set(one: _OfTerm) -> Sql:
    """Return a query for the resources of the type that have no set of shared terms."""
    text = "SELECT a.number AS resource FROM resource a WHERE a.term_set IS NULL AND a.type = ?"
    return Sql(text, (TYPE_OF[one.key],))


def _found_refers(one: Refers) -> Sql:
    return _led_back(one, found_by(one.criterion), "DISTINCT ")


def _led_back(one: Refers, inner: Sql, several: str = "") -> Sql:
    text = (
        f"SELECT {several}t.resource FROM ({inner.text}) led CROSS JOIN resource a CROSS JOIN term t"
        " WHERE a.number = led.resource AND t.key = ? AND t.value = a.address"
    )
    return Sql(text, (*inner.values, one.key))


def _found_referred(one: Referred) -> Sql:
    return _led_on(one, found_by(one.criterion), "DISTINCT ")


def _led_on(one: Referred, inner: Sql, several: str = "") -> Sql:
    text = (
        f"SELECT {several}a.number AS resource FROM ({inner.text}) led CROSS JOIN term t CROSS JOIN resource a"
        " WHERE t.resource = led.resource AND t.key = ? AND a.address = t.value"
    )
    return Sql(text, (*inner.values, one.key))


def _found_all(one: All) -> Sql:
    [[first], *others] = one.clauses
    if not others:
        return found_by(first)
    found = glued("SELECT a.number AS resource FROM (", found_by(first), ") led CROSS JOIN resource a")
    return glued(found, " WHERE a.number = led.resource AND ", all_of(others, "a"))


def _found_has(one: Has) -> Sql:
    if one.kind == "term":
        return _found_term(one)
    return Sql("SELECT DISTINCT o.resource FROM moment o WHERE o.key = ?", (one.key,))


_STARTS: Final[dict[type, Callable[[Any], Sql]]] = {
    **dict.fromkeys((Is, Starts, Ends), _found_term),
    Not: _found_not,
    During: found_during,
    At: lambda one: Sql("SELECT a.number AS resource FROM resource a WHERE a.address = ?", (one.address,)),
    Refers: _found_refers,
    Referred: _found_referred,
    All: _found_all,
    Has: _found_has,
    Says: lambda one: Sql(f"SELECT w.rowid AS resource FROM report_words w WHERE {SAID}", (one.words,)),
    Nothing: lambda one: Sql("SELECT a.number AS resource FROM resource a WHERE a.address = ?", ("",)),
}


def is_countable(criterion: Criterion, resource_type: str) -> bool:
    """True if ranges of an index hold what meets the criterion; of a chain or `_has`, what meets its last step.

    Of the end of a value, it is the range of all values. `resource_type` is that of the resources, empty in a chain.
    """
    match criterion:
        case Refers(criterion=inner) | Referred(criterion=inner):
            return is_countable(inner, "")
        case All(clauses=((inner,), *_)):
            return is_countable(inner, resource_type)
        case Not(criterion=inner):
            return isinstance(inner, _OfTerm) and TYPE_OF.get(inner.key, "") == resource_type != ""
        case Updated():
            return bool(resource_type)
        case During(comparison=comparison):
            return comparison in _BOUND
    return isinstance(criterion, Is | Starts | Ends | At | Has | Nothing | Says)


def innermost(criterion: Criterion) -> Criterion:
    """Return the criterion that a search looks up first: of a chain or `_has`, that of its last step."""
    match criterion:
        case Refers(criterion=inner) | Referred(criterion=inner) | All(clauses=((inner,), *_)):
            return innermost(inner)
    return criterion


def leads_by(criterion: Criterion, keys: Collection[int]) -> bool:
    """True if a chain goes backwards over a reference with one of these keys."""
    match criterion:
        case Refers(key=key, criterion=inner):
            return key in keys or leads_by(inner, keys)
        case Referred(criterion=inner) | All(clauses=((inner,), *_)):
            return leads_by(inner, keys)
    return False


def reached(criterion: Criterion) -> Sql:
    """Return a query for the resources that a chain leads to; one reached in several ways comes several times."""
    match criterion:
        case All(clauses=((inner,), *_)):
            return reached(inner)
        case Refers(criterion=inner):
            return _led_back(criterion, reached(inner))
        case Referred(criterion=inner):
            return _led_on(criterion, reached(inner))
    return found_by(criterion)


def index_ranges(criterion: Criterion, *bounds: Criterion) -> list[Sql]:
    """Return a query for each range of the index that a criterion reads, in index order, also for shared sets.

    `bounds` are more of its date. Without an order PostgreSQL may read a whole range before it gives a row, also where
    one value is frequent.
    """
    text = "SELECT 1 FROM term t WHERE t.key = ? AND t.value >= ? AND t.value {} ? ORDER BY t.value"
    match criterion:
        case Is(key=key, value=value):
            ranges = [Sql(text.format("<="), (key, one, one)) for one in forms(key, value)]
        case Starts(key=key, value=value):
            ranges = [Sql(text.format("<"), (key, value, value + _LAST))]
        case During():
            ranges = [glued(found_during(criterion, *bounds), " ORDER BY m.low")]
        case Ends(key=key):  # the index tells no ends: all values are read
            ranges = [Sql("SELECT 1 FROM term o WHERE o.key = ? ORDER BY o.value", (key,))]
        case Has(key=key, kind=kind):
            order = "value" if kind == "term" else "low"
            ranges = [Sql(f"SELECT 1 FROM {kind} o WHERE o.key = ? ORDER BY o.{order}", (key,))]
        case Not(criterion=Is() | Starts() | Ends() | Contains() | Has() as inner):
            ranges = [_found_by_set(inner, lacks=True), _without_set(inner)]
        case _:
            ranges = [found_by(criterion)]
    if isinstance(criterion, _OfTerm) and criterion.key in KEYS:
        ranges.append(_found_by_set(criterion))
    return ranges
