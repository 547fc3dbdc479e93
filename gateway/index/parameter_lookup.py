"""Look up search parameters in the rows of `parameter_table`: one by type and name, or all of a type in table order.

https://hl7.org/fhir/R4/searchparameter-registry.html, https://hl7.org/fhir/R4/search.html#all.
"""

from __future__ import annotations

from typing import Final

from gateway.index.parameter import Parameter
from gateway.index.parameter_table import CONTENT, OF_EVERY_TYPE, TABLE

TYPES: Final = tuple(TABLE)
# Parameters stored in columns of the resource itself, not in index rows
OWN_COLUMNS: Final = frozenset({"_id", "_lastUpdated"})
PARAMETERS: Final = tuple(one for rows in TABLE.values() for one in rows)
# Names of the parameters that every type has
EVERY: Final = frozenset(row.name for row in OF_EVERY_TYPE)
_BY_NAME: Final = {(one.resource_type, one.name): one for one in PARAMETERS}


def parameter(resource_type: str, name: str) -> Parameter | None:
    """Return the parameter of a type by its plain name (no modifier, no chain); None if there is none."""
    return _BY_NAME.get((resource_type, name))


def parameters_of(resource_type: str) -> tuple[Parameter, ...]:
    """Return all parameters of a type in table order; empty for a type that is not searched."""
    return TABLE.get(resource_type, ())


def offered_of(resource_type: str, *, has_words: bool) -> tuple[Parameter, ...]:
    """Return all parameters of a type that clients are told of; `has_words`: reports are found by words."""
    also = (CONTENT,) if has_words and resource_type == CONTENT.resource_type else ()
    return (*parameters_of(resource_type), *also)
