"""What `_sort` may name, and where its values stand.

https://hl7.org/fhir/R4/search.html#sort
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from gateway.index.parameters import parameter

_SORTABLE: Final = frozenset(
    {
        *("date", "issued", "signed", "started", "authored", "occurrence", "period", "recorded", "birthdate"),
        *("patient", "status", "name", "family", "given"),
    }
)


class SortKey(NamedTuple):
    """By what to sort: rows of the index with that key, or a column of the resource itself, which has none."""

    kind: Literal["term", "moment", "updated", "id"]
    key: int | None


_OWN: Final = {"_id": SortKey("id", None), "_lastUpdated": SortKey("updated", None)}


def sort_key(resource_type: str, name: str) -> SortKey | None:
    """What a name of `_sort`, without `-`, sorts by; None for one that is not offered."""
    row = parameter(resource_type, name)
    if row is None or name in _OWN:
        return _OWN[name] if row else None
    if name not in _SORTABLE:
        return None
    return SortKey("moment" if row.type == "date" else "term", row.key)
