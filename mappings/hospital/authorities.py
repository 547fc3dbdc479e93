"""Find the authorities (in the settings) that issued a hospital's numbers, and build comparable keys of the numbers.

HL7 v2.5.1 §2.A.36 (HD), table 0203, decisions D11, D48. A number is a key only together with its authority. A number
that names no authority belongs to its facility's; if the facility is unknown or names none, it is no key.
Proved by tests/mappings/hospital/test_authorities.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Literal, NamedTuple

from mappings.hospital.events import Authority, IssuedNumber, NumberKind
from mappings.patient.identifiers import is_doubtful, is_placeholder, mrn_key
from mappings.profile import AssigningAuthority, Facility, OrderNumberKind, Site, is_oid

KeyKind = Literal["accession", "placer", "filler", "study_uid"]
ORDER_NUMBER_KINDS: Final[tuple[OrderNumberKind, ...]] = ("accession", "placer", "filler")
# Table 0203, types of a number that identifies a patient; a number without type is one, too
PATIENT_TYPES: Final = frozenset({"", "MR", "PI", "PT", "PN", "U"})
_DEFAULT_TYPE: Final = "MR"
# HD.3 -> beginning of the URI that FHIR has for HD.2
_URI_OF: Final = {"ISO": "urn:oid:", "UUID": "urn:uuid:", "GUID": "urn:uuid:", "URI": "", "": "urn:oid:"}
_OID: Final = "urn:oid:"


class OrderKey(NamedTuple):
    """Number by which studies and orders match; `authority` is its FHIR system, empty for a study UID."""

    kind: KeyKind
    authority: str
    value: str


class HospitalNumber(NamedTuple):
    """Number of a patient, visit or account, in its form for comparison; `authority` is empty if unknown.

    `type_code` is of table 0203; a patient number without type is taken for MR.
    """

    kind: NumberKind
    authority: str
    type_code: str
    value: str


@dataclass(frozen=True, slots=True)
class OrderSource:
    """Source of orders, as the settings describe it.

    `facility` is the name of the facility whose numbers are those that name no authority; empty if it sends for
    several. With `are_uids_keys`, its orders are matched by StudyInstanceUID, too.
    """

    name: str
    facility: str = ""
    are_uids_keys: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Authorities:
    """Issuers of a site's numbers, for each kind of number, by namespace and by system."""

    site: Site
    _known: dict[str, dict[str, str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        facilities = tuple(dict.fromkeys(self.site.facilities.values()))
        known: dict[str, dict[str, str]] = {
            kind: _by_namespace(_order_issuers(self.site, kind, facilities)) for kind in ORDER_NUMBER_KINDS
        }
        people = [one for facility in facilities for one in (facility.mrn, facility.external_patient_id)]
        known["patient"] = _by_namespace((*people, *self.site.express_customers.values()))
        known["visit"] = _by_namespace(facility.visit for facility in facilities)
        known["account"] = _by_namespace(facility.account for facility in facilities)
        object.__setattr__(self, "_known", known)

    @property
    def digest(self) -> str:
        """Digest of all settings that the keys of numbers depend on."""
        facilities = {
            name: [
                *(self.system_of(kind, one) for kind in ORDER_NUMBER_KINDS),
                *(issuer.system if issuer else "" for issuer in (one.mrn, one.visit, one.account)),
            ]
            for name, one in self.site.facilities.items()
        }
        return sha256(json.dumps([self._known, facilities], sort_keys=True).encode()).hexdigest()

    @property
    def patient_systems(self) -> frozenset[str]:
        """Systems of all authorities of patient numbers."""
        return frozenset(self._known["patient"].values())

    def order_key(self, kind: OrderNumberKind, number: IssuedNumber | None, source: OrderSource) -> OrderKey | None:
        """Return the key of an order's number; None without a number or a known authority."""
        if number is None or not number.value.strip():
            return None
        if number.authority.is_named:
            system = _system(self._known[kind], number.authority)
        else:
            system = self.system_of(kind, self.site.facility(source.facility))
        return OrderKey(kind, system, number.value.strip()) if system else None

    def system_of(self, kind: OrderNumberKind, facility: Facility | None) -> str:
        """Return the system of a facility's numbers that name no authority; empty if unknown or not set."""
        authority = self.site.order_authority(kind, facility) if facility else None
        return authority.system if authority else ""

    def number(self, kind: NumberKind, number: IssuedNumber, source: OrderSource) -> HospitalNumber:
        """Return a number in its form for comparison.

        An authority that the settings do not know stands for itself. A number without any authority is its facility's;
        if the settings name none for it, it is the source's own. A source without a facility has no own numbers: the
        authority is then empty.
        """
        authority = number.authority
        if authority.is_named:
            system = _system(self._known[kind], authority) or _unknown(self._known[kind], authority)
        elif issuer := _issuer_of(kind, self.site.facility(source.facility)):
            system = issuer.system
        else:
            system = f"source:{source.name}" if source.facility else ""
        if kind != "patient":
            return HospitalNumber(kind, system, "", number.value.strip())
        return HospitalNumber(kind, system, number.type_code or _DEFAULT_TYPE, mrn_key(number.value))

    def key_of(self, kind: NumberKind, number: IssuedNumber | None, source: OrderSource) -> HospitalNumber | None:
        """Return a number in its form for comparison; None without number or authority, since then it is no key."""
        made = self.number(kind, number, source) if number and number.value.strip() else None
        return made if made and made.authority else None

    def issuer(
        self, kind: OrderNumberKind | NumberKind | Literal["clinician"], authority: Authority, source: OrderSource
    ) -> AssigningAuthority | None:
        """Return the issuer of a number as messages and resources name it; system or namespace empty if unknown.

        None if nothing names it, if it names itself in no usable form, or if its parts name different ones.
        """
        known = self._known.get(kind, {})
        if not authority.is_named:
            facility = self.site.facility(source.facility)
            is_of_order = kind in ORDER_NUMBER_KINDS and facility is not None
            return self.site.order_authority(kind, facility) if is_of_order else _issuer_of(kind, facility)  # type: ignore[arg-type]
        if system := _system(known, authority):
            names = [name for name, one in known.items() if one == system]
            return AssigningAuthority(system, authority.namespace if authority.namespace in names else names[0])
        uri = _uri(authority)
        system = "" if uri.startswith(_OID) and not is_oid(uri.removeprefix(_OID)) else uri
        is_usable = bool(_unknown(known, authority) and (system or authority.namespace))
        return AssigningAuthority(system, authority.namespace) if is_usable else None

    def patient_numbers(self, numbers: Iterable[IssuedNumber], source: OrderSource) -> Iterator[HospitalNumber]:
        """Yield the numbers that identify a patient, each with its authority; placeholders are left out."""
        for number in numbers:
            if number.type_code in PATIENT_TYPES and not is_placeholder(number.value):
                made = self.number("patient", number, source)
                if made.authority:
                    yield made

    def own_numbers(self, numbers: Iterable[IssuedNumber], source: OrderSource) -> Iterator[HospitalNumber]:
        """Yield those of `patient_numbers` that cannot be another patient's, too (D11)."""
        for number in numbers:
            for made in self.patient_numbers([number], source):
                if not self.may_be_anybodys(made, number.value):
                    yield made

    def may_be_anybodys(self, number: HospitalNumber, written: str = "") -> bool:
        """Return True for a patient number that its facilities take for doubtful or a placeholder (D11).

        Without the number as it was `written`, what the form for comparison lacks (leading zeros) raises no doubt.
        """
        text = written or number.value
        facilities = self.site.facilities.values()
        patterns = {one.mrn_pattern for one in facilities if one.mrn and one.mrn.system == number.authority} or {None}
        is_social = self._known["patient"].get(self.site.vista.ssn_namespace) == number.authority
        plain = text.replace("-", "") if is_social else text
        if not any(is_doubtful(text if pattern else plain, pattern) for pattern in patterns):
            return is_placeholder(text)
        return bool(written) or is_doubtful(text)


def _issuer_of(kind: str, facility: Facility | None) -> AssigningAuthority | None:
    """Return the issuer of a facility's numbers that name no authority."""
    if facility is None:
        return None
    return {"patient": facility.mrn, "visit": facility.visit, "account": facility.account}.get(kind)


def _order_issuers(
    site: Site, kind: OrderNumberKind, facilities: Iterable[Facility]
) -> Iterator[AssigningAuthority | None]:
    yield {"accession": site.accession_authority, "placer": site.placer_authority, "filler": None}[kind]
    for facility in facilities:
        yield site.order_authority(kind, facility)


def _by_namespace(issuers: Iterable[AssigningAuthority | None]) -> dict[str, str]:
    return {one.namespace: one.system for one in issuers if one is not None}


def _system(known: dict[str, str], authority: Authority) -> str:
    """Return the system of a named authority; empty if unknown, or if namespace and universal id contradict.

    Two hospitals may use one namespace, such as EPIC: a universal id that is another OID than the setting's counts.
    """
    named, uri = known.get(authority.namespace, ""), _uri(authority)
    if uri and uri in known.values():
        return uri if named in ("", uri) else ""
    is_other = bool(uri and named) and uri.startswith(_OID) and named.startswith(_OID)
    return "" if is_other else named


def _unknown(known: dict[str, str], authority: Authority) -> str:
    """Make a system name for an authority in no setting; empty if the settings know one of its parts."""
    if authority.namespace in known or _uri(authority) in known.values():
        return ""
    return f"hd:{authority.namespace}&{_uri(authority)}"


def _uri(authority: Authority) -> str:
    start = _URI_OF.get(authority.universal_id_type)
    return f"{start}{authority.universal_id}" if authority.universal_id and start is not None else ""
