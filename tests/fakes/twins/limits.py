"""Oracle of what a client may see, written from the meaning: it reads every resource as JSON, without an index.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html, decision D41. Facilities are not looked at
here: the other AutoScribe never had the studies of hidden ones.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from random import Random
from typing import Any
from urllib.parse import quote

from fakes.crawled import PATHS, asked_for, holds
from fakes.twins.accounts import FACILITIES

from gateway.auth.access import Access
from gateway.auth.scopes import SmartScope, scope_list

Json = dict[str, Any]
Resources = Mapping[str, Json]
EVERY = "*"
OWNED = ("DiagnosticReport", "ImagingStudy", "Observation", "ServiceRequest", "DocumentReference", "Provenance")
SHARED = ("Patient", "Practitioner", "PractitionerRole", "Organization")
_NO_END = 2**62
_REFINED = {
    "DiagnosticReport": ("category", "code", "date", "issued", "status", "identifier"),
    "Observation": ("category", "code", "date", "status"),
    "DocumentReference": ("type", "date", "status", "period"),
    "ServiceRequest": ("category", "code", "status"),
    "Patient": ("identifier", "birthdate", "gender"),
    "Practitioner": ("identifier",),
}


def access(scopes: Iterable[str], facilities: Collection[str] | None = None, patient: str | None = None) -> Access:
    """Return an access with these scopes."""
    of = None if facilities is None else frozenset(facilities)
    return Access("client-1", scope_list(" ".join(scopes)), of, _NO_END, patient=patient)


class RandomAccess:
    """Accesses of a seed over the resources of the gateway that has everything."""

    def __init__(self, dice: Random, resources: Resources) -> None:
        self.dice, self.resources = dice, resources

    def of_types(self) -> Access:
        """Return an access to some types whole, without further limits."""
        return access(self._scopes())

    def refined(self) -> Access:
        """Return an access to the resources of some types that have certain values."""
        return access(self._scopes(refines=True))

    def of_facilities(self) -> Access:
        """Return an access to what comes from some facilities."""
        return access(self._scopes(), self._facilities())

    def of_facilities_refined(self) -> Access:
        """Return an access to what comes from some facilities and has certain values."""
        return access(self._scopes(refines=True), self._facilities())

    def of_patient(self) -> Access:
        """Return an access to what concerns one patient."""
        return access(self._scopes("patient", refines=self.dice.random() < 0.3), patient=self._patient())

    def of_patient_and_others(self) -> Access:
        """Return an access to what concerns one patient, and to some types of all patients."""
        others = [f"system/{one}.rs" for one in self.dice.sample((*OWNED, *SHARED), 2)]
        facilities = self._facilities() if self.dice.random() < 0.5 else None
        mine = [one for one in self._scopes("patient") if not one.startswith("system/")]
        return access([*mine, *others], facilities, self._patient())

    def _facilities(self) -> list[str]:
        return self.dice.sample(FACILITIES, self.dice.choice((1, 1, 2, 3)))

    def _patient(self) -> str:
        patients = [one["id"] for one in self.resources.values() if one["resourceType"] == "Patient"]
        return str(self.dice.choice([*patients, "pat-" + "f" * 32]))

    def _scopes(self, context: str = "system", *, refines: bool = False) -> list[str]:
        dice = self.dice
        if not refines and dice.random() < 0.3:
            return [f"{context}/*.{dice.choice(('rs', 'rs', 'r', 's'))}"]
        wanted = dice.sample((*OWNED, *SHARED), dice.randrange(3, 10))
        letters = {one: dice.choice(("rs", "rs", "rs", "r", "s")) for one in wanted}
        made: list[str] = []
        for kind, allowed in letters.items():
            if refines and kind in _REFINED and dice.random() < 0.7:
                made += [f"{context}/{kind}.rs?{self._refinement(kind)}" for _ in range(dice.choice((1, 1, 2)))]
            else:
                made.append(f"{context}/{kind}.{allowed}")
        if "r" in letters.get("DiagnosticReport", ""):
            made += [f"{context}/Binary.r"] if dice.random() < 0.7 else []
            made += ["system/DiagnosticReport.$addendum"] if context == "system" and dice.random() < 0.4 else []
        return made

    def _refinement(self, kind: str) -> str:
        """Return one or two search parameters with values that resources have."""
        found = [one for one in self.resources.values() if one["resourceType"] == kind]
        pairs: dict[str, str] = {}
        for name in self.dice.sample(_REFINED[kind], min(len(_REFINED[kind]), self.dice.choice((1, 1, 2)))):
            values = [value for one in found if (value := asked_for(one, name))]
            value = self.dice.choice(values) if values else "2024"
            if PATHS[kind][name][0] == "date":
                value = self.dice.choice(("ge", "lt", "")) + value
            pairs[name] = value
        return "&".join(f"{name}={quote(value, safe=':/|')}" for name, value in sorted(pairs.items()))


def types_of(asking: Access) -> list[str]:
    """Return the types of which the scopes of a client grant anything."""
    return [one for one in (*OWNED, *SHARED) if any(scope.resource_type in {one, EVERY} for scope in asking.scopes)]


def hides(asking: Access) -> Callable[[Collection[Json]], tuple[set[str], set[str]]]:
    """Return the function that names the hidden ones among all resources that are stored, in two sets.

    Of the first set nothing is left. Those of the second lie within facility and patient, and other limits hide them:
    that they are of this facility and this patient stays known, since it decides what else may be seen. The facilities
    themselves stay for the same reason.
    """
    is_limited = asking.facilities is not None or asking.patient is not None

    def hidden(resources: Collection[Json]) -> tuple[set[str], set[str]]:
        hidden = {address(one) for one in resources} - seen(asking, resources)
        if not is_limited:
            return hidden, set()
        within = (_of_patient if asking.facilities is None else _of_facilities)(asking, resources)
        bared = {address(one) for one in within if one["resourceType"] in {*OWNED, "Patient"}} & hidden
        facilities = {address(one) for one in within if one["resourceType"] == "Organization"}
        return hidden - bared - facilities, bared

    return hidden


def seen(asking: Access, resources: Collection[Json]) -> set[str]:
    """Return the addresses that a client may see, of all resources that are stored.

    A resource that several studies describe is seen while one refers to it that lies within facility and patient.
    """
    found: set[str] = set()
    for scope in asking.scopes:
        within = (_of_patient if scope.context == "patient" else _of_facilities)(asking, resources)
        found |= {address(one) for one in within if _allows(scope, one)}
    return found


def _of_facilities(asking: Access, resources: Collection[Json]) -> Collection[Json]:
    """Return what comes from the facilities of a client: AutoScribe never had the others."""
    return resources if asking.facilities is None else _led_to(resources, resources)


def _allows(scope: SmartScope, resource: Json) -> bool:
    """True if a scope grants anything of a resource."""
    is_of_type = scope.resource_type in {resource["resourceType"], EVERY} and not scope.access.startswith("$")
    return is_of_type and all(holds(resource, name, value) for name, value in scope.refinements)


def _of_patient(asking: Access, resources: Collection[Json]) -> list[Json]:
    """Return what is about the patient of a client, and what that refers to."""
    patient = f"Patient/{asking.patient}"
    about = {patient, *(address(one) for one in resources if one.get("subject", {}).get("reference") == patient)}
    kept = [one for one in resources if address(one) in about or address(one) == patient]
    kept += [
        one
        for one in resources
        if one["resourceType"] == "Provenance" and about.intersection(references(one["target"]))
    ]
    return [one for one in _led_to(kept, resources) if one["resourceType"] != "Patient" or address(one) == patient]


def _led_to(within: Collection[Json], resources: Collection[Json]) -> list[Json]:
    """Return those of one study among `within`, and those of several that they refer to."""
    own = [one for one in within if one["resourceType"] in OWNED]
    targets = {one for resource in within if resource["resourceType"] not in SHARED[1:] for one in references(resource)}
    targets |= {address(one) for one in within if one["resourceType"] == "Patient"}
    shared = [one for one in resources if one["resourceType"] in SHARED]
    return own + [one for one in shared if _is_target(one, targets, own)]


def _is_target(resource: Json, targets: set[str], own: Collection[Json]) -> bool:
    """True for a target; a role is one with its practitioner and its organization, in one and the same resource."""
    if resource["resourceType"] != "PractitionerRole":
        return address(resource) in targets
    both = {resource[name]["reference"] for name in ("practitioner", "organization")}
    return any(both <= set(references(one)) for one in own)


def address(resource: Json) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def references(value: Any) -> Iterator[str]:
    """Yield every literal reference in a resource."""
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)
