"""Sort keys: the parameters that `_sort` may name, and the index rows or columns to sort by.

https://hl7.org/fhir/R4/search.html#sort
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from gateway.index.parameter_lookup import parameter, parameters_of

_SORTABLE: Final = frozenset(
    {
        *("date", "issued", "signed", "started", "authored", "occurrence", "period", "recorded", "birthdate"),
        *("patient", "subject", "status", "name", "family", "given"),
    }
)


class SortKey(NamedTuple):
    """A sort key: index rows with this key, or a column of the resource (`key` is None)."""

    kind: Literal["term", "moment", "updated", "id"]
    key: int | None


_OWN: Final = {"_id": SortKey("id", None), "_lastUpdated": SortKey("updated", None)}


def sort_key(resource_type: str, name: str) -> SortKey | None:
    """Return the sort key of a name in `_sort` (without `-`); None if it is not offered."""
    row = parameter(resource_type, name)
    if row is None or name in _OWN:
        return _OWN[name] if row else None
    owner = parameter(resource_type, row.shares)
    if name not in _SORTABLE or (owner is not None and owner.targets != row.targets):
        return None  # the rows it shares lead to other types, too
    return SortKey("moment" if row.type == "date" else "term", row.key)


def sort_keys_of(resource_type: str) -> tuple[str, ...]:
    """Return the names that `_sort` may have for a type, in the order of its parameters."""
    return tuple(one.name for one in parameters_of(resource_type) if sort_key(resource_type, one.name))
