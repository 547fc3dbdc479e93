"""R4 search parameters that are not offered here, by type: they are refused, since ignoring one would widen an answer.

https://hl7.org/fhir/R4/searchparameter-registry.html, https://hl7.org/fhir/R4/search.html#all.
Proved by tests/gateway/index/test_standard.py.
"""

from __future__ import annotations

from typing import Final

_OF_EVERY_TYPE: Final = "_content _text _list _filter _query _type _has _containedType"
_OF_ADDRESS: Final = "address-city address-country address-postalcode address-state address-use"
_OF_PERSON: Final = f"{_OF_ADDRESS} email phone phonetic"
_OF_DEFINITIONS: Final = (
    "_lastUpdated _profile _security _source _tag context context-quantity context-type context-type-quantity"
    " context-type-value date description jurisdiction publisher"
)
_NOT_OFFERED: Final = {
    "DiagnosticReport": "media specimen",
    "Patient": f"{_OF_PERSON} deceased general-practitioner language link",
    "Practitioner": f"{_OF_PERSON} active communication gender telecom",
    "PractitionerRole": "active date email endpoint location phone service telecom",
    "Organization": f"{_OF_ADDRESS} active endpoint partof phonetic type",
    "ImagingStudy": "bodysite dicom-class encounter endpoint instance interpreter performer reason referrer series",
    "Observation": (
        "based-on code-value-concept code-value-date code-value-quantity code-value-string combo-code"
        " combo-code-value-concept combo-code-value-quantity combo-data-absent-reason combo-value-concept"
        " combo-value-quantity component-code component-code-value-concept component-code-value-quantity"
        " component-data-absent-reason component-value-concept component-value-quantity data-absent-reason"
        " derived-from device focus has-member method part-of specimen value-concept value-date value-quantity"
        " value-string"
    ),
    "DocumentReference": (
        "authenticator contenttype description event facility format language location relatesto relation"
        " relationship security-label setting"
    ),
    "ServiceRequest": (
        "based-on body-site instantiates-canonical instantiates-uri intent order-detail performer performer-type"
        " priority replaces requester requisition specimen"
    ),
    "Encounter": (
        "account appointment based-on diagnosis episode-of-care length location-period part-of participant"
        " participant-type practitioner reason-code reason-reference service-provider special-arrangement"
    ),
    "OperationDefinition": f"{_OF_DEFINITIONS} base input-profile instance kind output-profile system title type",
    "SearchParameter": f"{_OF_DEFINITIONS} component derived-from target",
    "StructureDefinition": (
        f"{_OF_DEFINITIONS} abstract base base-path derivation experimental ext-context identifier keyword kind path"
        " title valueset"
    ),
    "CodeSystem": f"{_OF_DEFINITIONS} code content-mode identifier language supplements system title",
    "ValueSet": f"{_OF_DEFINITIONS} code expansion identifier reference title",
    "NamingSystem": f"{_OF_DEFINITIONS} contact id-type period responsible telecom type url version",
    "Provenance": "agent agent-role agent-type entity location signature-type when",
}
_BY_TYPE: Final = {kind: frozenset(f"{_OF_EVERY_TYPE} {names}".split()) for kind, names in _NOT_OFFERED.items()}


def is_standard(resource_type: str, name: str) -> bool:
    """True for a search parameter that R4 defines for the type and that is not offered here."""
    return name in _BY_TYPE.get(resource_type, ())
