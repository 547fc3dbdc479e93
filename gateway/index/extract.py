"""Extract the index rows of a resource, as defined by the table of search parameters.

https://hl7.org/fhir/R4/search.html#ptypes, #token, #reference, #string, #date. Each data type gives the values that a
search compares: the codings of a CodeableConcept, the parts of a HumanName, the days of a Period.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import tzinfo
from typing import Any, Final, NamedTuple, TypeAlias

from gateway.index.intervals import interval
from gateway.index.keys import key
from gateway.index.parameter import Parameter
from gateway.index.parameters import OWN_COLUMNS, PARAMETERS, TYPES
from gateway.index.terms import code_term, exact, typed_term, words

# No interval in the index is longer than a day in any zone, so a search for overlaps looks back only this far. The
# mappings produce days and instants only; a longer Period is indexed by its start, or by its end if it has no start.
LONGEST: Final = 26 * 60 * 60 * 1_000_000
# Except a birth date, which may be a year only
_YEAR: Final = 366 * 24 * 60 * 60 * 1_000_000
_BIRTH_DATE: Final = key("Patient", "birthdate")
# The elements of HumanName and Address that are compared
_PARTS: Final = (
    *("text", "family", "given", "prefix", "suffix"),
    *("line", "city", "district", "state", "postalCode", "country"),
)
# How the URL of one of our extensions ends: whatever the base is
_EXTENSION_URLS: Final = ("/StructureDefinition/{}", "urn:autoscribe-gateway:extension:{}")
_EXTENSION: Final = re.compile(r"extension\('([^']+)'\)\.(\w+)")

Term: TypeAlias = tuple[int, str]
Moment: TypeAlias = tuple[int, int, int]
# By the ids of a rule of extraction, and of the element whose rows these are
Seen: TypeAlias = dict[tuple[int, int], tuple[list[Term], list[Moment]]]


class Rows(NamedTuple):
    """Index rows of a resource: `terms` as (key, value), and `moments` (dates) as (key, low, high)."""

    terms: frozenset[Term]
    moments: frozenset[Moment]


class _Source(NamedTuple):
    """Extraction rule of one element: its path, the keys of its rows, and the function that builds its terms.

    `endings` are those of the URL of an extension.
    `unread_key` is that of the row which says that the element is there, if nothing else in the index says so.
    """

    first: str
    rest: tuple[str, ...]
    endings: tuple[str, ...]
    key: int
    text_key: int | None
    typed_key: int | None
    exact_key: int
    identifier_key: int
    unread_key: int | None
    system: str
    absent: str
    terms: Callable[[Any, _Source], Iterable[Term]] | None


def rows(resource: Mapping[str, Any], zone: tzinfo, *, signed: str | None = None, seen: Seen | None = None) -> Rows:
    """Extract the index rows of a resource; dates without an offset are in `zone`.

    `signed` is the signature instant of a DiagnosticReport's own report, which an appended version no longer contains.
    `seen` has the rows of elements by identity, and gets more: resources of one study, all alive, share many elements.
    """
    terms: set[Term] = set()
    moments: set[Moment] = set()
    seen = {} if seen is None else seen
    for source in _SOURCES.get(resource["resourceType"], ()):
        if source.first not in resource:  # of most sources
            if source.absent:
                terms.add((source.key, code_term(source.absent)))
            continue
        place = id(source), id(resource[source.first])
        found = seen.get(place)
        if found is None:
            found = seen[place] = _found(_values(resource, source), source, zone)
        terms.update(found[0])
        moments.update(found[1])
    if signed is not None:
        moments.update(_moments([signed], _SIGNED, zone))
    return Rows(frozenset(terms), frozenset(moments))


def _found(values: Sequence[Any], source: _Source, zone: tzinfo) -> tuple[list[Term], list[Moment]]:
    """Return the index rows for the values of one element that is present."""
    if not values:
        return [(source.key, code_term(source.absent))] if source.absent else [], []
    moments = [] if source.terms else list(_moments(values, source.key, zone))
    terms = [term for value in values for term in source.terms(value, source)] if source.terms else []
    if source.unread_key is not None and not moments and source.key not in [one for one, _ in terms]:
        terms.append((source.unread_key, ""))
    return terms, moments


def _values(resource: Mapping[str, Any], source: _Source) -> list[Any]:
    values = _as_list(resource[source.first])
    if source.endings:
        values = [one for one in values if one.get("url", "").endswith(source.endings)]
    for step in source.rest:
        values = [value for one in values for value in _as_list(one.get(step))]
    return values


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _token_terms(value: Any, source: _Source) -> Iterator[Term]:
    """Yield the terms of a code, boolean, Identifier, CodeableConcept or Coding."""
    if not isinstance(value, dict):
        code = str(value).lower() if isinstance(value, bool) else value
        yield source.key, code_term(code, source.system)
    elif "value" in value:
        yield from _identifier_terms(value, source)
    else:
        yield from _concept_terms(value, source)


def _identifier_terms(value: Mapping[str, Any], source: _Source) -> Iterator[Term]:
    yield source.key, code_term(value["value"], value.get("system", ""))
    if source.typed_key is not None and "type" in value:
        for coding in value["type"].get("coding", ()):
            yield source.typed_key, typed_term(value["value"], coding.get("system", ""), coding.get("code", ""))


def _concept_terms(value: Mapping[str, Any], source: _Source) -> Iterator[Term]:
    codings = value.get("coding", (value,))
    for coding in codings:
        if "code" in coding:
            yield source.key, code_term(coding["code"], coding.get("system", ""))
    if source.text_key is not None:
        for text in (value.get("text"), *(coding.get("display") for coding in codings)):
            if text:
                yield source.text_key, words(text)


def _reference_terms(value: Mapping[str, Any], source: _Source) -> Iterator[Term]:
    if "reference" in value:
        yield source.key, exact(value["reference"])
    if "value" in (identifier := value.get("identifier", {})):
        yield source.identifier_key, code_term(identifier["value"], identifier.get("system", ""))


def _string_terms(value: Any, source: _Source) -> Iterator[Term]:
    texts = [value] if isinstance(value, str) else [text for part in _PARTS for text in _as_list(value.get(part))]
    for text in texts:
        yield source.exact_key, exact(text)
        yield source.key, words(text)


def _uri_terms(value: str, source: _Source) -> Iterator[Term]:
    yield source.key, exact(value)


def longest(parameter_key: int) -> int:
    """Return the longest date interval that the index stores for a parameter, in microseconds."""
    return _YEAR if parameter_key == _BIRTH_DATE else LONGEST


def _moments(values: Iterable[Any], parameter_key: int, zone: tzinfo) -> Iterator[Moment]:
    """Yield the index rows of dates, dateTimes, instants and Periods; cut long or open Periods to `longest`."""
    for value in values:
        start, end = (value.get("start"), value.get("end")) if isinstance(value, dict) else (value, value)
        first, last = interval(start or end or "", zone), interval(end or start or "", zone)
        if first and last:
            low = first[0] if start else last[1] - longest(parameter_key)
            high = last[1] if end else low + longest(parameter_key)
            if low < high:
                yield parameter_key, low, min(high, low + longest(parameter_key))


_TERMS: Final[dict[str, Callable[[Any, _Source], Iterable[Term]] | None]] = {
    "token": _token_terms,
    "reference": _reference_terms,
    "string": _string_terms,
    "uri": _uri_terms,
    "date": None,
}


def _source(row: Parameter, path: str) -> _Source:
    extension = _EXTENSION.fullmatch(path)
    first, *rest = ("extension", extension[2]) if extension else path.split(".")
    return _Source(
        first,
        tuple(rest),
        tuple(form.format(extension[1]) for form in _EXTENSION_URLS) if extension else (),
        row.key,
        row.key_with("text") if "text" in row.modifiers else None,
        row.key_with("of-type") if "of-type" in row.modifiers else None,
        row.key_with("exact"),
        row.key_with("identifier"),
        row.key_with("missing") if "missing" in row.modifiers else None,
        row.system,
        row.absent,
        _TERMS[row.type],
    )


_SOURCES: Final = {
    name: tuple(
        _source(row, path)
        for row in PARAMETERS
        if row.resource_type == name and not row.shares and row.name not in OWN_COLUMNS
        for path in row.paths
    )
    for name in TYPES
}
_SIGNED: Final = next(row.key for row in PARAMETERS if (row.resource_type, row.name) == ("DiagnosticReport", "signed"))
