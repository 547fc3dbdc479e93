"""Convert a single search value into match criteria, by the parameter's type (date, string, reference) and modifier.

https://hl7.org/fhir/R4/search.html#reference, #date, #string, #uri, #modifiers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias, get_args

from gateway.index.criteria import (
    All,
    At,
    Clause,
    Comparison,
    Contains,
    During,
    Has,
    Is,
    Not,
    Nothing,
    Refers,
    Starts,
    Updated,
)
from gateway.index.escaping import token, unescaped
from gateway.index.intervals import interval, widened
from gateway.index.parameter_lookup import parameter
from gateway.index.route import identifiers_of
from gateway.index.search_value import Value
from gateway.index.terms import exact, words
from gateway.index.tokens import (
    STUDY_ID,
    by_code,
    by_identifier_of_reference,
    by_study_id,
    by_text,
    by_typed_identifier,
)
from gateway.runtime.request_errors import BadRequest

_ID: Final = re.compile(r"[A-Za-z0-9.-]{1,64}")
_RELATIVE: Final = re.compile(r"([A-Z][A-Za-z]*)/[A-Za-z0-9.-]{1,64}")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_COMPARISONS: Final[dict[str, Comparison]] = {one: one for one in get_args(Comparison)}
_TRUTHS: Final = ("true", "false")

Reader: TypeAlias = Callable[[Value], Clause]


def criteria_of(value: Value) -> Clause:
    """Parse a value into criteria, any of which may hold; the caller negates them for `:not`.

    Raises:
        BadRequest: the value is malformed.
    """
    return _reader(value)(value)


def _reader(value: Value) -> Reader:
    row = value.parameter
    if value.modifier in _OF_MODIFIER:
        return _OF_MODIFIER[value.modifier]
    return _OF_NAME.get(row.name) or _OF_TYPE[row.type]


def _id(value: Value) -> Clause:
    text = unescaped(value.text)
    if not _ID.fullmatch(text):
        raise BadRequest("expected a FHIR id such as rep-<32 hex>: letters, digits, `-` and `.`, 64 at most")
    return (At(f"{value.parameter.resource_type}/{text}"),)


def _reference(value: Value) -> Clause:
    """Parse `id`, `Type/id` or an absolute URL; a URL outside the facade's base matches nothing."""
    row, text = value.parameter, unescaped(value.text)
    types = (value.modifier,) if value.modifier else row.targets
    if _SCHEME.match(text):
        base = value.circumstances.base.rstrip("/") + "/"
        if not text.startswith(base):
            return (Nothing(),)
        text = text.removeprefix(base)
    elif _ID.fullmatch(text):
        return tuple(Is(row.key, f"{resource_type}/{text}") for resource_type in types)
    match = _RELATIVE.fullmatch(text)
    if match is None:
        raise BadRequest("expected an id, Type/id, or the address of a resource")
    return (Is(row.key, text),) if match[1] in types else (Nothing(),)


def _study(value: Value) -> Clause:
    """Parse `imagingStudy` or `study`: a reference, or a study id in any form."""
    code = token(value.text)[1]
    return _reference(value) if "/" in code and not STUDY_ID.fullmatch(code) else by_study_id(value)


def _by_identifier(value: Value) -> Clause:
    """Parse `:identifier`: match the identifier in the Reference, or one of the resource that it refers to."""
    row = value.parameter
    values = [value._replace(parameter=one, modifier="") for one in identifiers_of(row)]
    criteria = [criterion for one in values for criterion in by_code(one)]
    return (*by_identifier_of_reference(value), *(Refers(row.key, criterion) for criterion in criteria))


def _date(value: Value) -> Clause:
    row, circumstances = value.parameter, value.circumstances
    text = unescaped(value.text)
    comparison = _COMPARISONS.get(text[:2], "eq")
    span = interval(text.removeprefix(comparison), circumstances.zone)
    if span is None:
        raise BadRequest(
            "expected a date such as 2026-01-05, 2026-01 or 2026-01-05T14:20:00Z, with one of eq, ne, gt, ge, lt, le, "
            "sa, eb and ap before it or none"
        )
    low, high = widened(*span, circumstances.now) if comparison == "ap" else span
    if row.name == "_lastUpdated":
        return (Updated(comparison, low, high),)
    return (During(row.key, comparison, low, high),)


def _string(value: Value) -> Clause:
    return (Starts(value.parameter.key, words(unescaped(value.text))),)


def _exact(value: Value) -> Clause:
    return (Is(value.parameter.key_with("exact"), exact(unescaped(value.text))),)


def _contains(value: Value) -> Clause:
    return (Contains(value.parameter.key, words(unescaped(value.text))),)


def _uri(value: Value) -> Clause:
    return (Is(value.parameter.key, exact(unescaped(value.text))),)


def _missing(value: Value) -> Clause:
    """Parse `:missing`: is the element there, even without a code, an address or a date that can be searched?

    A parameter may share the rows of one that leads to more types. It is missing without a reference to its own type.
    """
    row = value.parameter
    if value.text not in _TRUTHS:
        raise BadRequest("expected true or false")
    owner = parameter(row.resource_type, row.shares)
    if owner is not None and owner.targets != row.targets:
        there: Clause = (Starts(row.key, f"{row.targets[0]}/"),)
    else:
        there = (Has(row.key, "moment" if row.type == "date" else "term"), Has(row.key_with("missing"), "term"))
    return (All(tuple((Not(one),) for one in there)),) if value.text == "true" else there


_OF_MODIFIER: Final[dict[str, Reader]] = {
    "missing": _missing,
    "text": by_text,
    "of-type": by_typed_identifier,
    "exact": _exact,
    "contains": _contains,
    "identifier": _by_identifier,
}
_OF_NAME: Final[dict[str, Reader]] = {"_id": _id, "study": _study, "imagingStudy": _study}
_OF_TYPE: Final[dict[str, Reader]] = {
    "token": by_code,
    "reference": _reference,
    "date": _date,
    "string": _string,
    "uri": _uri,
}
