"""Add the limits of a client to SQL statements: which types it may see, and which resources of each type.

Carries out no clause of a standard; decision D41. A statement has `{limit}` where the limits of the resource `r` stand.
For a client without limits its text is the one without them.
Proved by tests/gateway/store/studies/test_limited.py and tests/contract/test_plans.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from gateway.index.criteria import Clause
from gateway.store.database.engine import Statement
from gateway.store.studies.fragments import Sql, all_of, joined

# Type -> what its resources must meet; a type that is not there is not visible
Limits = Mapping[str, tuple[Clause, ...]]
PLACE: Final = "{limit}"
_NONE: Final = Sql("1 = 0")


@lru_cache(maxsize=512)
def _statement(sql: str) -> Statement:
    return Statement(sql)


def unlimited(template: str) -> Statement:
    """Return the statement for a client without limits."""
    return Statement(template.replace(PLACE, ""))


def limited(template: str, limit: Sql, **more: Sql) -> tuple[Statement, dict[str, Any]]:
    """Return the statement with a client's limits, and the values of their placeholders by name.

    `limit` stands at `{limit}`, as one condition more. `more` are whole conditions at places of their own.
    """
    values: dict[str, Any] = {}
    for place, sql in {"limit": Sql(f" AND {limit.text}", limit.values), **more}.items():
        first, *rest = sql.text.split("?")
        text = first + "".join(f":{place}_{number}{part}" for number, part in enumerate(rest))
        template = template.replace(f"{{{place}}}", text)
        values |= {f"{place}_{number}": value for number, value in enumerate(sql.values)}
    return _statement(template), values


def of_types(limits: Limits, alias: str = "r") -> Sql:
    """Return the condition that a resource has one of these types and meets the limits of its type."""
    whole = [kind for kind, clauses in limits.items() if not clauses]
    ways = [Sql(f"{alias}.type IN ({', '.join('?' * len(whole))})", tuple(whole))] if whole else []
    for kind, clauses in limits.items():
        if clauses:
            narrowed = all_of(clauses, alias)
            ways.append(Sql(f"({alias}.type = ? AND {narrowed.text})", (kind, *narrowed.values)))
    either = joined(" OR ", ways)
    return Sql(f"({either.text})", either.values) if ways else _NONE


def met(clauses: Sequence[Clause]) -> Sql:
    """Return the condition that a resource meets these limits, of which there is at least one."""
    return all_of(clauses)
