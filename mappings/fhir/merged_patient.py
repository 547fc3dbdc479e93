"""Make the inactive Patients of numbers that a hospital merged into others, and one Patient of several descriptions.

https://hl7.org/fhir/R4/patient.html#merge, https://hl7.org/fhir/R4/patient-definitions.html#Patient.link, decisions
D12, D48. Each study that follows a merge describes the surviving Patient, with `replaces`, and the old one, inactive
with `replaced-by`. An old Patient that other studies still describe as active stays active until they follow too, so
the result does not depend on the order in which the studies follow.
Proved by tests/mappings/fhir/test_merged_patient.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from mappings.fhir.datatypes import Json, identifier, line, reference, said
from mappings.fhir.rendering import json_bytes
from mappings.patient.identifiers import Identity, ReplacedPatient

REPLACES: Final = "replaces"
_REPLACED_BY: Final = "replaced-by"
_LINKED: Final = b'"link":['
_OLD: Final = "old"


def patient_link(patient_id: str, link_type: str) -> Json:
    """Make a Patient.link to another Patient.

    https://hl7.org/fhir/R4/valueset-link-type.html
    """
    return {"other": reference("Patient", patient_id), "type": link_type}


def replaced_patients(resource: Json, identity: Identity) -> Iterator[Json]:
    """Yield the Patients that the Patient `resource` replaces: described as it is, inactive, with the old number."""
    for one in identity.replaced:
        yield {
            **resource,
            "id": one.patient_id,
            "identifier": [_old_identifier(one)],
            "active": False,
            "link": [patient_link(identity.patient_id, _REPLACED_BY)],
        }


def survivor_id(resource: Mapping[str, Any]) -> str:
    """Return the id of the Patient by which a merge replaced this one; empty if it stands for itself."""
    return next(iter(_linked(resource, _REPLACED_BY)), "")


def replaced_ids(resource: Mapping[str, Any]) -> list[str]:
    """Return the ids of the Patients whom this one replaces since a merge."""
    return _linked(resource, REPLACES)


def is_replaced(resource: Mapping[str, Any]) -> bool:
    """True for a Patient that a merge replaced by another one."""
    return bool(survivor_id(resource))


def described(claims: Sequence[bytes]) -> bytes | None:
    """Return the Patient that these descriptions give, oldest first: the newest one; None if there is none.

    One of an active Patient goes before all of a replaced one. It gets the old numbers and links of the others.
    """
    if not any(_LINKED in one for one in claims):
        return claims[-1] if claims else None
    resources = [json.loads(one) for one in claims]
    active = [place for place, one in enumerate(resources) if not is_replaced(one)]
    if not active:
        return claims[-1]
    newest, others = resources[active[-1]], [resources[place] for place in active]
    numbers = [one for one in newest["identifier"] if one.get("use") != _OLD]
    known = {(one["system"], one["value"]) for one in numbers}
    old = [one for resource in others for one in resource["identifier"] if one.get("use") == _OLD]
    old = [one for one in old if (one["system"], one["value"]) not in known]
    links = [one for resource in others for one in resource.get("link", ())]
    made = said({**newest, "identifier": [*numbers, *_each_once(old)], "link": _each_once(links)})
    return claims[active[-1]] if made == newest else json_bytes(made)


def _linked(resource: Mapping[str, Any], link_type: str) -> list[str]:
    links = [one["other"]["reference"] for one in resource.get("link", ()) if one["type"] == link_type]
    return [one.partition("/")[2] for one in links]


def _each_once(elements: Iterable[Json]) -> list[Json]:
    """Return each element once, in an order that does not depend on theirs."""
    known = {json.dumps(one, sort_keys=True): one for one in elements}
    return [known[key] for key in sorted(known)]


def _old_identifier(one: ReplacedPatient) -> Json:
    number = one.number
    return identifier(number.system, line(number.value) or "", number.type, line(number.assigner), is_old=True)
