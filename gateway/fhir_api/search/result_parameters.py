"""Search parameters that shape the result and select nothing: page size, order, includes, totals and format.

https://hl7.org/fhir/R4/search.html#modifyingresults, decision D30.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from gateway.fhir_api.http.query import RESULT_PARAMETERS, Parameters
from gateway.index.escaping import alternatives
from gateway.index.parameter import Parameter
from gateway.index.parameter_lookup import PARAMETERS, parameter
from gateway.index.sorting import sort_key
from gateway.runtime.request_errors import BadRequest, NotSupported
from gateway.store.studies.search_sql import Sort

LIFETIME: Final = timedelta(hours=1)
MOST_SORTS: Final = 5

# Parameter -> all its values, where they can be listed
VALUES: Final = {
    "_total": {"none", "estimate", "accurate"},
    "_pretty": {"true", "false"},
    "_explain": {"true", "false"},
    "_contained": {"false"},
}


@dataclass(frozen=True, slots=True)
class Include:
    """A reference parameter to follow from a match, or back to it; `target` is the wanted type, empty for any."""

    reference: Parameter
    target: str = ""
    is_back: bool = False
    is_iterated: bool = False


def check(name: str, value: str) -> None:
    """Check the name and value of a result parameter.

    Raises:
        BadRequest: the value is not one of its values.
        NotSupported: the modifier is not offered.
    """
    plain, colon, _ = name.partition(":")
    if colon and name not in RESULT_PARAMETERS:
        raise NotSupported(f"{plain}: this modifier is not offered", expression=f"http.{plain}")
    if value not in VALUES.get(name, {value}):
        allowed = ", ".join(sorted(VALUES[name]))
        raise BadRequest(f"{name}: not a value it can have here: {allowed}", expression=f"http.{name}")


def sorts(resource_type: str, given: Parameters) -> tuple[dict[str, Sort], list[str]]:
    """Parse `_sort`: sort keys in order, by name with `-`; and the names that the type cannot be sorted by.

    Raises:
        BadRequest: more than `MOST_SORTS` keys.
    """
    keys: dict[str, Sort] = {}
    unknown: list[str] = []
    for term in (part for name, value in given if name == "_sort" for part in alternatives(value)):
        key = sort_key(resource_type, term.removeprefix("-"))
        if key is None:
            unknown.append(term.removeprefix("-"))
            continue
        by = "address" if key.kind == "id" else key.kind
        keys[term] = Sort(by, key.key or 0, term.startswith("-"))
    if len(keys) > MOST_SORTS:
        raise BadRequest(f"_sort: more than {MOST_SORTS} keys", expression="http._sort")
    return keys, unknown


def includes(resource_type: str, name: str, value: str) -> tuple[Include, ...]:
    """Parse one `_include` or `_revinclude`, which `_include=*` makes several; empty if it is not offered.

    Raises:
        NotSupported: the value has a `*` that is not offered.
    """
    if name == "_include" and value in {"*", f"{resource_type}:*"}:
        own = [one for one in _references() if one.resource_type == resource_type]
        return tuple(Include(one) for one in own if one.shares not in {other.name for other in own})
    one = include(resource_type, name, value)
    return () if one is None else (one,)


def include(resource_type: str, name: str, value: str) -> Include | None:
    """Parse one `_include` or `_revinclude`; None if it is not offered.

    Raises:
        NotSupported: the value has a `*` that is not offered.
    """
    if "*" in value:
        raise NotSupported(f"{name}: * is offered only for _include; name what to include", expression=f"http.{name}")
    source, _, rest = value.partition(":")
    wanted, _, target = rest.partition(":")
    row = parameter(source, wanted)
    if row is None or row.type != "reference" or (target and target not in row.targets):
        return None
    is_back, is_iterated = name.startswith("_revinclude"), name.endswith(":iterate")
    if is_back:
        is_led_to = resource_type in row.targets and target in {"", resource_type}
        return Include(row, is_back=True) if is_led_to else None
    return Include(row, target, is_iterated=is_iterated) if is_iterated or source == resource_type else None


def includes_of(resource_type: str) -> Iterable[str]:
    """List every `_include` that is offered for a type."""
    return (f"{one.resource_type}:{one.name}" for one in _references() if one.resource_type == resource_type)


def revincludes_of(resource_type: str) -> Iterable[str]:
    """List every `_revinclude` that is offered for a type."""
    return (f"{one.resource_type}:{one.name}" for one in _references() if resource_type in one.targets)


def _references() -> Iterable[Parameter]:
    return (one for one in PARAMETERS if one.type == "reference" and one.targets)
