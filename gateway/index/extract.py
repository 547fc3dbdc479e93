"""Extract the index rows of a resource, as defined by the table of search parameters.

https://hl7.org/fhir/R4/search.html#ptypes, #token, #reference, #string, #date. Each data type gives the values that a
search compares: the codings of a CodeableConcept, the parts of a HumanName, the days of a Period.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import tzinfo
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from gateway.index.intervals import interval
from gateway.index.keys import key
from gateway.index.parameter import Parameter
from gateway.index.parameter_lookup import OWN_COLUMNS, PARAMETERS, TYPES, parameters_of
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
Found: TypeAlias = tuple[Sequence[Term], Sequence[Moment]]
# Makes the index rows of an element that is there; the zone is that of dates without an offset
Extract: TypeAlias = Callable[[Any, tzinfo], Found]
# By the ids of what extracts, and of the element whose rows these are
Seen: TypeAlias = dict[tuple[int, int], Found]


class Rows(NamedTuple):
    """Index rows of a resource: `terms` as (key, value), and `moments` (dates) as (key, low, high)."""

    terms: frozenset[Term]
    moments: frozenset[Moment]


class _Extractor(NamedTuple):
    """Compiled extractor of a resource type: what extracts each element, and the terms of elements that are absent."""

    elements: Mapping[str, Extract]
    absent: Sequence[tuple[str, Term]]


def rows(resource: Mapping[str, Any], zone: tzinfo, *, signed: str | None = None, seen: Seen | None = None) -> Rows:
    """Extract the index rows of a resource; dates without an offset are in `zone`.

    `signed` is the signature instant of a DiagnosticReport's own report, which an appended version no longer contains.
    `seen` has the rows of elements by identity, and gets more: resources of one study, all alive, share many elements.
    """
    terms: set[Term] = set()
    moments: set[Moment] = set()
    seen = {} if seen is None else seen
    elements, absent = _EXTRACTORS.get(resource["resourceType"], _NOTHING)
    for name, element in resource.items():
        extract = elements.get(name)
        if extract is None:  # of most elements
            continue
        place = id(extract), id(element)
        found = seen.get(place)
        if found is None:
            found = seen[place] = extract(element, zone)
        terms.update(found[0])
        moments.update(found[1])
    terms.update([term for name, term in absent if name not in resource])
    if signed is not None:
        moments.update(_moments([signed], _SIGNED, zone))
    return Rows(frozenset(terms), frozenset(moments))


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _path(path: str) -> tuple[str, Callable[[Any], list[Any]]]:
    """Return the first element of a path, and a function that returns the values to which the rest leads from it."""
    extension = _EXTENSION.fullmatch(path)
    first, *rest = ("extension", extension[2]) if extension else path.split(".")
    endings = tuple(form.format(extension[1]) for form in _EXTENSION_URLS) if extension else ()
    if not rest:
        return first, _as_list

    def values(element: Any) -> list[Any]:
        found = _as_list(element)
        if endings:
            found = [one for one in found if one.get("url", "").endswith(endings)]
        for step in rest:
            found = [value for one in found for value in _as_list(one.get(step))]
        return found

    return first, values


def _token(row: Parameter) -> Callable[[Any], list[Term]]:
    """Return what makes the terms of a code, boolean, Identifier, CodeableConcept or Coding."""
    key, system = row.key, row.system
    text_key = row.key_with("text") if "text" in row.modifiers else None
    typed_key = row.key_with("of-type") if "of-type" in row.modifiers else None

    def terms(value: Any) -> list[Term]:
        if not isinstance(value, dict):
            code = str(value).lower() if isinstance(value, bool) else value
            return [(key, code_term(code, system))]
        if "value" in value:
            return _identifier_terms(value, key, typed_key)
        codings = value.get("coding", (value,))
        found = [(key, code_term(one["code"], one.get("system", ""))) for one in codings if "code" in one]
        if text_key is not None:
            texts = (value.get("text"), *[one.get("display") for one in codings])
            found += [(text_key, _said(text)) for text in texts if text]
        return found

    return terms


# Texts of codes occur again and again
_said: Final = lru_cache(maxsize=4096)(words)


def _identifier_terms(value: Mapping[str, Any], key: int, typed_key: int | None) -> list[Term]:
    found = [(key, code_term(value["value"], value.get("system", "")))]
    if typed_key is not None and "type" in value:
        codings = [(one.get("system", ""), one.get("code", "")) for one in value["type"].get("coding", ())]
        found += [(typed_key, typed_term(value["value"], system, code)) for system, code in codings]
    return found


def _reference(row: Parameter) -> Callable[[Any], list[Term]]:
    key, identifier_key = row.key, row.key_with("identifier")

    def terms(value: Any) -> list[Term]:
        found = [(key, exact(value["reference"]))] if "reference" in value else []
        if "identifier" in value and "value" in (one := value["identifier"]):
            found.append((identifier_key, code_term(one["value"], one.get("system", ""))))
        return found

    return terms


def _string(row: Parameter) -> Callable[[Any], list[Term]]:
    key, exact_key = row.key, row.key_with("exact")

    def terms(value: Any) -> list[Term]:
        texts = [value] if isinstance(value, str) else [text for part in _PARTS for text in _as_list(value.get(part))]
        return [term for text in texts for term in ((exact_key, exact(text)), (key, words(text)))]

    return terms


def _uri(row: Parameter) -> Callable[[Any], list[Term]]:
    key = row.key
    return lambda value: [(key, exact(value))]


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


_TERMS: Final = {"token": _token, "reference": _reference, "string": _string, "uri": _uri}


def _compiled(row: Parameter, values: Callable[[Any], list[Any]]) -> Extract:
    """Return what makes a parameter's rows of the element that it reads; an element without any is there, unread."""
    key = row.key
    absent = [(key, code_term(row.absent))] if row.absent else []
    unread = [(row.key_with("missing"), "")] if "missing" in row.modifiers else []

    def dates(element: Any, zone: tzinfo) -> Found:
        found = values(element)
        moments = list(_moments(found, key, zone))
        return unread if found and not moments else (), moments

    if row.type == "date":
        return dates
    terms_of = _TERMS[row.type](row)

    def terms(element: Any, zone: tzinfo) -> Found:
        found = values(element)
        if not found:
            return absent, ()
        terms = [term for value in found for term in terms_of(value)]
        return terms if not unread or any(one == key for one, _ in terms) else terms + unread, ()

    return terms


def _all_of(extracts: Sequence[Extract]) -> Extract:
    """Return what makes the rows of an element that several parameters read."""

    def extract(element: Any, zone: tzinfo) -> Found:
        found = [one(element, zone) for one in extracts]
        return [term for terms, _ in found for term in terms], [moment for _, moments in found for moment in moments]

    return extracts[0] if len(extracts) == 1 else extract


def _extractor(resource_type: str) -> _Extractor:
    elements: dict[str, list[Extract]] = {}
    absent: list[tuple[str, Term]] = []
    for row in parameters_of(resource_type):
        if row.shares or row.name in OWN_COLUMNS:
            continue
        for path in row.paths:
            first, values = _path(path)
            elements.setdefault(first, []).append(_compiled(row, values))
            absent += [(first, (row.key, code_term(row.absent)))] if row.absent else []
    return _Extractor({name: _all_of(extracts) for name, extracts in elements.items()}, absent)


_EXTRACTORS: Final = {name: _extractor(name) for name in TYPES}
_NOTHING: Final = _Extractor({}, ())
_SIGNED: Final = next(row.key for row in PARAMETERS if (row.resource_type, row.name) == ("DiagnosticReport", "signed"))
