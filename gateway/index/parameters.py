"""Table of all search parameters of all searchable types.

https://hl7.org/fhir/R4/searchparameter-registry.html, https://hl7.org/fhir/R4/search.html#all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway.index.document_parameters import DOCUMENT_REFERENCE, PROVENANCE, SERVICE_REQUEST
from gateway.index.parameter import CODE, PRESENCE, Parameter
from gateway.index.people_parameters import ORGANIZATION, PATIENT, PRACTITIONER, PRACTITIONER_ROLE
from gateway.index.report_parameters import DIAGNOSTIC_REPORT
from gateway.index.study_parameters import IMAGING_STUDY, OBSERVATION

_R4: Final = "http://hl7.org/fhir/SearchParameter"
_OF_TYPE: Final = {
    "DiagnosticReport": DIAGNOSTIC_REPORT,
    "Patient": PATIENT,
    "Practitioner": PRACTITIONER,
    "PractitionerRole": PRACTITIONER_ROLE,
    "Organization": ORGANIZATION,
    "ImagingStudy": IMAGING_STUDY,
    "Observation": OBSERVATION,
    "DocumentReference": DOCUMENT_REFERENCE,
    "ServiceRequest": SERVICE_REQUEST,
    "Provenance": PROVENANCE,
}
TYPES: Final = tuple(_OF_TYPE)
# Parameters stored in columns of the resource itself, not in index rows
OWN_COLUMNS: Final = frozenset({"_id", "_lastUpdated"})
# (type, reference) -> parameters of that type that `_has` may ask for
REVERSE_CHAINS: Final = {("Provenance", "target"): ("recorded",)}


_OF_EVERY_TYPE: Final = (
    Parameter("Resource", "_id", "token", ("id",), f"{_R4}/Resource-id", "The id of the resource.", narrows=True),
    Parameter(
        "Resource",
        "_lastUpdated",
        "date",
        ("meta.lastUpdated",),
        f"{_R4}/Resource-lastUpdated",
        "When the gateway stored this version; later versions have later instants.",
        narrows=True,
    ),
    Parameter("Resource", "_tag", "token", ("meta.tag",), f"{_R4}/Resource-tag", "A tag of the resource.", CODE),
    Parameter(
        "Resource",
        "_profile",
        "uri",
        ("meta.profile",),
        f"{_R4}/Resource-profile",
        "The canonical URL of a profile that the resource claims.",
        PRESENCE,
    ),
    Parameter(
        "Resource",
        "_security",
        "token",
        ("meta.security",),
        f"{_R4}/Resource-security",
        "A security label of the resource.",
        CODE,
    ),
    Parameter(
        "Resource",
        "_source",
        "uri",
        ("meta.source",),
        f"{_R4}/Resource-source",
        "Where the resource comes from, where its meta says so.",
        PRESENCE,
    ),
)
_BY_TYPE: Final = {
    name: (*(replace(one, resource_type=name) for one in _OF_EVERY_TYPE), *rows) for name, rows in _OF_TYPE.items()
}
# Names of the parameters that every type has
EVERY: Final = frozenset(one.name for one in _OF_EVERY_TYPE)
PARAMETERS: Final = tuple(one for rows in _BY_TYPE.values() for one in rows)
_BY_NAME: Final = {(one.resource_type, one.name): one for one in PARAMETERS}


def parameter(resource_type: str, name: str) -> Parameter | None:
    """Return the parameter of a type by its plain name (no modifier, no chain); None if there is none."""
    return _BY_NAME.get((resource_type, name))


def parameters_of(resource_type: str) -> tuple[Parameter, ...]:
    """Return all parameters of a type in table order; empty for a type that is not searched."""
    return _BY_TYPE.get(resource_type, ())
