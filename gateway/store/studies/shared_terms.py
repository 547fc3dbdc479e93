"""Sets of index terms that many resources share, stored once: statuses, codes, profiles, and the gateway's own texts.

https://hl7.org/fhir/R4/search.html#token. Most resources repeat their status, category, code and profile. `term` has
such a set once, under a number of its own, and every resource with these terms names it in `term_set`. A search that
starts from shared terms tries all sets, which are few, and reads the resources of those that meet it. Only words of
this package are shared: they say nothing of any patient, so a set may stay when a study is erased. What is shared may
differ from release to release, since a search reads both kinds of rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Final, NamedTuple

from gateway.index.extract import Term
from gateway.index.keys import SEPARATOR
from gateway.index.parameter import Parameter
from gateway.index.parameter_lookup import PARAMETERS, TYPES, parameters_of
from gateway.index.terms import code_term, words
from gateway.store.studies.short_values import PROFILES, short_value
from mappings.codes import (
    DIAGNOSTIC_IMAGING_STUDY,
    DICOM_DCM,
    DICOM_MODALITY,
    HL70074,
    LOINC,
    OBSERVATION_CATEGORY,
    RADIOLOGY_CATEGORY,
    RADIOLOGY_OBSERVATION,
    SECTION_LOINC,
    US_CORE_DOCUMENT_CATEGORY,
    V2_0074,
)
from mappings.profile import starter
from mappings.sections import HEADINGS

_MODIFIERS: Final = ("text", "missing")
# System, code and display of what most resources are coded with
_CODED: Final = (
    *((LOINC, *one) for one in (DIAGNOSTIC_IMAGING_STUDY, RADIOLOGY_CATEGORY, RADIOLOGY_OBSERVATION)),
    *((LOINC, *one) for one in SECTION_LOINC.values()),
    (LOINC, "8302-2", "Body height"),
    (LOINC, "29463-7", "Body weight"),
    (OBSERVATION_CATEGORY, "imaging", "Imaging"),
    (OBSERVATION_CATEGORY, "vital-signs", "Vital Signs"),
    (US_CORE_DOCUMENT_CATEGORY, "clinical-note", "Clinical Note"),
    *((V2_0074, code, "Radiology") for code in ("RAD", *HL70074.values())),
    *((DICOM_DCM, code, "") for code in DICOM_MODALITY.values()),
)


class TermSet(NamedTuple):
    """Set of index terms: its number, a negative digest of the terms; and the terms as JSON, [[key, value], …].

    It is JSON so that one statement writes a set, or finds it written.
    """

    number: int
    terms: str


def _keys(row: Parameter) -> set[int]:
    """Return the keys of a search parameter's index rows, except those of numbers and references."""
    return {row.key, *(row.key_with(one) for one in _MODIFIERS)}


def _starts_searches(row: Parameter) -> bool:
    """True if a search may start from the parameter, or follow it from one resource to another."""
    return row.narrows or row.type not in {"token", "uri"}


_OF_URIS: Final = frozenset(row.key for row in PARAMETERS if row.type == "uri")
# Keys of the terms that may be shared
KEYS: Final = frozenset(key for row in PARAMETERS for key in _keys(row)).difference(
    *(_keys(row) for row in PARAMETERS if _starts_searches(row))
)
# The same by resource type. Every set has one of those of its type
OF_TYPE: Final = {
    kind: tuple(sorted(KEYS.intersection(key for row in parameters_of(kind) for key in _keys(row)))) for kind in TYPES
}
TYPE_OF: Final = {key: kind for kind, keys in OF_TYPE.items() for key in keys}
# Those of elements whose codes FHIR or the gateway lists
_LISTED: Final = KEYS.intersection(row.key for row in PARAMETERS if row.system or row.values)


def divided(terms: Iterable[Term]) -> tuple[list[Term], TermSet | None]:
    """Divide the terms of a resource, as rows have them: its own ones, and the set that it shares, if any."""
    own: list[Term] = []
    shared: list[Term] = []
    for key, value in terms:
        if key in KEYS:
            one, is_shared = _of_vocabulary(key, value)
            (shared if is_shared else own).append(one)
        else:
            own.append((key, short_value(key, value)))
    return own, set_of(frozenset(shared)) if shared else None


@lru_cache(maxsize=4096)
def _of_vocabulary(key: int, value: str) -> tuple[Term, bool]:
    """Return a term that may be shared as rows have it, and True if it is."""
    short = short_value(key, value)
    return (key, short), key in _LISTED or short in _vocabulary()


@cache
def _vocabulary() -> frozenset[str]:
    """Return the terms in the gateway's own tables, and the empty term: an element is present, but not indexed."""
    procedures = starter()
    coded = [*_CODED, *((one.system, one.code, one.display) for codes in procedures.values() for one in codes)]
    codes = [short_value(0, code_term(code, system)) for system, code, _ in coded]
    texts = [display for *_, display in coded if display]
    headings = [phrase for phrases in HEADINGS.values() for phrase in phrases]
    profiles = [short_value(key, one) for key in _OF_URIS for one in PROFILES]
    return frozenset(["", *codes, *map(words, [*texts, *headings, *procedures]), *profiles])


@lru_cache(maxsize=4096)
def set_of(terms: frozenset[Term]) -> TermSet:
    """Build the set of these terms; equal terms have an equal number, in every database."""
    said = SEPARATOR.join(f"{key}{SEPARATOR}{value}" for key, value in sorted(terms))
    digest = hashlib.sha256(said.encode()).digest()
    return TermSet(-1 - (int.from_bytes(digest[:8], "big") >> 1), json.dumps(sorted(terms)))
