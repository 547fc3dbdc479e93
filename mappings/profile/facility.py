"""Settings of a facility: issuers of patient and order numbers, time zone, name order, and FHIR Organization details.

HL7 v2.5.1 §2.A.36 (HD), https://hl7.org/fhir/R4/organization.html, decisions D11, D14, D15, D48. No setting has a
default that could file a report under the wrong patient or at the wrong hour.
Proved by tests/mappings/profile/test_site.py and tests/mappings/profile/test_organization.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Literal, TypeGuard, cast
from urllib.parse import quote
from zoneinfo import ZoneInfo

from mappings.profile.table import Table, exact, is_npi, is_oid, read_pattern

ORGANIZATION_KEYS: Final = frozenset(
    {"npi", "oid", "phone", "address_lines", "city", "state", "postal_code", "country"},
)
_PHONE: Final = re.compile(r"\+?[0-9(][0-9 ().x/-]{2,38}")
_POSTAL_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 -]{1,11}")
_COUNTRY: Final = re.compile(r"[A-Z]{2,3}")
_NAME: Final = re.compile(r"[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,98}[^\s\x00-\x1f\x7f])?")


@dataclass(frozen=True, slots=True)
class OrganizationDetails:
    """Details of an Organization: `npi` with check digit, `oid` in dots and digits, `country` of ISO 3166."""

    npi: str = ""
    oid: str = ""
    phone: str = ""
    address_lines: tuple[str, ...] = ()
    city: str = ""
    state: str = ""
    postal_code: str = ""
    country: str = ""

    @property
    def address(self) -> tuple[str, ...]:
        """Address lines, city, state, postal code and country, as far as given."""
        parts = (*self.address_lines, self.city, self.state, self.postal_code, self.country)
        return tuple(part for part in parts if part)


NO_DETAILS: Final = OrganizationDetails()


def read_organization(table: Table) -> OrganizationDetails:
    """Read the details in the table of a facility."""
    place = "Write it as on a letter, in one line of up to 100 characters."
    return OrganizationDetails(
        npi=_checked(table, "npi", is_npi, "not a National Provider Identifier", "Write its ten digits."),
        oid=_checked(table, "oid", is_oid, "not an OID", "Write dots and digits, such as 1.2.840.99999.1."),
        phone=_matching(table, "phone", _PHONE, "Write a number such as +1 555 010 0100."),
        address_lines=table.texts("address_lines", '["1 Main Street", "Suite 2"]'),
        city=_matching(table, "city", _NAME, place),
        state=_matching(table, "state", _NAME, place),
        postal_code=_matching(table, "postal_code", _POSTAL_CODE, "Write a code such as 33602."),
        country=_matching(table, "country", _COUNTRY, "Write the ISO 3166 code, such as US."),
    )


def _checked(table: Table, key: str, is_good: Callable[[str], bool], problem: str, remedy: str) -> str:
    text = table.text(key)
    if text is None or is_good(text):
        return text or ""
    table.refuse(key, problem, remedy)
    return ""


def _matching(table: Table, key: str, pattern: re.Pattern[str], remedy: str) -> str:
    problem = "not in the form it must have"
    return _checked(table, key, lambda text: pattern.fullmatch(text) is not None, problem, remedy)


NameOrder = Literal["given_family", "given_two_families", "family_given", "marked_only"]
NAME_ORDERS: Final = ("given_family", "given_two_families", "family_given", "marked_only")
URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[^\s<>\"{}|\\^`]+")
_NO_ZONES: Final = frozenset({"localtime", "posixrules", "Factory"})  # files of a zone database that name no place
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_HD_NAMESPACE: Final = re.compile(r"[^\s\x00-\x1f\x7f|^~\\&]{1,20}")


@dataclass(frozen=True, slots=True)
class AssigningAuthority:
    """Issuer of an identifier: `system` for FHIR (a URI), `namespace` for PID-3.4 (HD.1)."""

    system: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Facility:
    """One `[[mapping.facilities]]` table: the settings for a `snapshotMetadata.facilityName`.

    `accession`, `placer` and `filler` issued its order numbers; `Site.order_authority` knows what stands without them.
    `visit` issued its visit numbers (PV1-19), and `account` its account numbers (PID-18).
    `clinic_ids` are the clinics under which AutoScribe asks about its studies. `dicomweb` is the base of the DICOMweb
    service with its images, `viewer` the address of a viewer, with the places `_PLACES`; empty: none.
    """

    name: str
    aliases: tuple[str, ...] = ()
    time_zone: ZoneInfo | None = None
    name_order: NameOrder | None = None
    mrn: AssigningAuthority | None = None
    external_patient_id: AssigningAuthority | None = None
    mrn_pattern: re.Pattern[str] | None = None
    accession: AssigningAuthority | None = None
    placer: AssigningAuthority | None = None
    filler: AssigningAuthority | None = None
    visit: AssigningAuthority | None = None
    account: AssigningAuthority | None = None
    clinic_ids: tuple[str, ...] = ()
    code: str | None = None
    dicomweb: str = ""
    viewer: str = ""
    organization: OrganizationDetails = NO_DETAILS

    @property
    def authorities(self) -> tuple[AssigningAuthority, ...]:
        """All issuers that the table names: of patients, orders, visits and accounts."""
        people = (self.mrn, self.external_patient_id, self.visit, self.account)
        issuers = (*people, self.accession, self.placer, self.filler)
        return tuple([one for one in issuers if one is not None])

    def viewer_address(self, study_uid: str, accession_number: str) -> str:
        """Return the address at which the viewer shows a study; empty without a viewer, or if a number is unknown."""
        address = self.viewer
        for place, number in zip(_PLACES, (study_uid, accession_number), strict=True):
            if place in address and not number:
                return ""
            address = address.replace(place, quote(number, safe=""))
        return address


_PLACES: Final = ("{studyUID}", "{accessionNumber}")  # as IHE RAD TF-2 §4.106 (Invoke Image Display) names them
_WEB: Final = re.compile(r"https?://[A-Za-z0-9\[\]][A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*")
_ISSUED: Final = ("mrn", "external_patient_id", "accession", "placer", "filler", "visit", "account")
_PAIRS: Final = tuple((f"{kind}_system", f"{kind}_namespace") for kind in _ISSUED)
_KEYS: Final = frozenset(
    {
        *("name", "aliases", "time_zone", "name_order", "code", "mrn_pattern", "clinic_ids", *ORGANIZATION_KEYS),
        *("dicomweb", "viewer"),
        *chain.from_iterable(_PAIRS),
    }
)
_CUSTOMER_KEYS: Final = frozenset({"id", "external_patient_id_system", "external_patient_id_namespace"})


def read_facilities(mapping: Table) -> dict[str, Facility]:
    """Read the facilities of `[[mapping.facilities]]` by name and alias, normalized by `exact`."""
    facilities: dict[str, Facility] = {}
    for table in mapping.tables("facilities", "Write each facility under `[[mapping.facilities]]`."):
        facility = _facility(table)
        names = (facility.name, *facility.aliases)
        if len({*names}) < len(names) or any(exact(name) in facilities for name in names):
            problem = "two facilities have this name or alias, case and blanks apart, or it is written twice"
            table.refuse("name", problem, "Give each name once.")
        facilities.update((exact(name), facility) for name in names)
    return facilities


def read_express_customers(mapping: Table) -> dict[str, AssigningAuthority]:
    """Read the authorities of `Study.externalPatientId` by the id of the express customer that sent the study (D11)."""
    customers: dict[str, AssigningAuthority] = {}
    for table in mapping.tables("express_customers", "Write each customer under `[[mapping.express_customers]]`."):
        table.refuse_unknown(_CUSTOMER_KEYS)
        customer, authority = (table.text("id") or "").strip(), read_authority(table, "external_patient_id")
        if not customer:
            table.refuse("id", "missing", "Write the expressCustomerId as AutoScribe reports it, such as cus_….")
        elif customer in customers:
            table.refuse("id", "two tables have this id", "Give each customer once.")
        elif authority:
            customers[customer] = authority
        elif "external_patient_id_system" not in table.row:
            remedy = "Write the URI of the customer's patient numbers, such as urn:oid:1.2.3."
            table.refuse("external_patient_id_system", "missing", remedy)
    return customers


def with_whole_pairs(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `[mapping]` table with whole pairs: to a system or a namespace without the other, that one is added.

    The other is the one beside it in another pair, of any facility or express customer: a namespace stands for one
    system, and a system for one namespace. Without such a pair, or with two, nothing is added.
    """
    lists = {key: mapping.get(key) for key in ("facilities", "express_customers")}
    whole = {**mapping, **{key: [dict(row) for row in rows] for key, rows in lists.items() if _is_rows(rows)}}
    rows = [whole, *(row for key, rows in lists.items() if _is_rows(rows) for row in whole[key])]
    pairs = [(row.get(system), row.get(namespace)) for row in rows for system, namespace in _PAIRS]
    written = {
        (system, namespace) for system, namespace in pairs if isinstance(system, str) and isinstance(namespace, str)
    }
    systems, namespaces = _unique({(namespace, system) for system, namespace in written}), _unique(written)
    for row in rows:
        for system, namespace in _PAIRS:
            for key, other, known in ((system, namespace, namespaces), (namespace, system, systems)):
                if isinstance(row.get(key), str) and row[key] in known:
                    row.setdefault(other, known[row[key]])
    return whole


def _is_rows(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _unique(pairs: AbstractSet[tuple[str, str]]) -> dict[str, str]:
    """Return what stands beside each text, if that is one text."""
    counts = Counter(key for key, _ in pairs)
    return {key: other for key, other in pairs if counts[key] == 1}


def read_authority(table: Table, kind: str) -> AssigningAuthority | None:
    """Read the authority of the settings `<kind>_system` and `<kind>_namespace`, which go together."""
    system, namespace = table.text(f"{kind}_system"), table.text(f"{kind}_namespace")
    if system is None and namespace is None:
        return None
    if system is None:
        remedy = f"Write the URI of the numbers, such as urn:oid:1.2.3, or take out {kind}_namespace."
        table.refuse(f"{kind}_system", "missing, with a namespace there", remedy)
    elif not URI.fullmatch(system):
        table.refuse(f"{kind}_system", "not an absolute URI", "Write one such as urn:oid:1.2.3 or https://….")
    if namespace is None:
        remedy = f"Write the HL7 assigning authority, such as MERCY, or take out {kind}_system."
        table.refuse(f"{kind}_namespace", "missing, with a system there", remedy)
    elif not _HD_NAMESPACE.fullmatch(namespace):
        problem = "not 1 to 20 letters without | ^ ~ \\ & or space"
        table.refuse(f"{kind}_namespace", problem, "Write the HL7 assigning authority, such as MERCY.")
    return AssigningAuthority(system or "", namespace or "")


def refuse_ambiguous(mapping: Table, authorities: Iterable[AssigningAuthority | None]) -> None:
    """Refuse a namespace with two FHIR systems, or the reverse: PID-3.4 must distinguish authorities as FHIR does."""
    given = {one for one in authorities if one is not None}
    namespaces = Counter(one.namespace for one in given)
    systems = Counter(one.system for one in given)
    clashes = [f"the namespace {one} stands for two systems" for one, count in namespaces.items() if count > 1]
    clashes += [f"the system {one} has two namespaces" for one, count in systems.items() if count > 1]
    if clashes:
        mapping.refuse("facilities", "; ".join(sorted(clashes)), "Give each system a namespace of its own.")


def _facility(table: Table) -> Facility:
    table.refuse_unknown(_KEYS)
    name = (table.text("name") or "").strip()
    if not name:
        table.refuse("name", "missing", "Write the facilityName exactly as AutoScribe reports it.")
    return Facility(
        name=name,
        aliases=table.texts("aliases", '["Mercy", "Mercy East"]'),
        time_zone=_time_zone(table),
        name_order=cast("NameOrder | None", table.one_of("name_order", NAME_ORDERS)),
        mrn=read_authority(table, "mrn"),
        external_patient_id=read_authority(table, "external_patient_id"),
        mrn_pattern=read_pattern(table, "mrn_pattern"),
        accession=read_authority(table, "accession"),
        placer=read_authority(table, "placer"),
        filler=read_authority(table, "filler"),
        visit=read_authority(table, "visit"),
        account=read_authority(table, "account"),
        clinic_ids=_clinic_ids(table),
        code=_code(table),
        dicomweb=_checked(
            table, "dicomweb", _is_base, "not a base URL", "Write one such as https://pacs.example/dicom-web."
        ),
        viewer=_checked(
            table,
            "viewer",
            _is_viewer,
            "not a URL with {studyUID} or {accessionNumber}",
            "Write one such as https://viewer.example/?studyUID={studyUID}.",
        ),
        organization=read_organization(table),
    )


def _is_base(text: str) -> bool:
    """True for a URL to which a path is added: it has no user, no query and no fragment."""
    return _WEB.fullmatch(text) is not None and not set(text) & set("?#@") and not text.endswith("/")


def _is_viewer(text: str) -> bool:
    plain = text
    for place in _PLACES:
        plain = plain.replace(place, "1")
    return plain != text and _WEB.fullmatch(plain) is not None and "@" not in plain


def _clinic_ids(table: Table) -> tuple[str, ...]:
    """Read the clinics; one clinic may have several facilities, so an id may stand in several tables."""
    given = table.texts("clinic_ids", '["123e4567-e89b-12d3-a456-426614174000"]')
    if all(_UUID.fullmatch(one) for one in given):
        return given
    table.refuse("clinic_ids", "one is no UUID", "Write the clinicId of AutoScribe's events, such as 123e4567-….")
    return ()


def _code(table: Table) -> str | None:
    code = table.text("code")
    if code is None or _HD_NAMESPACE.fullmatch(code):
        return code
    table.refuse(
        "code", "not 1 to 20 letters without | ^ ~ \\ & or space", "Write the code for MSH-4, such as MERCY_EAST."
    )
    return None


def _time_zone(table: Table) -> ZoneInfo | None:
    name = table.text("time_zone")
    if name is None:
        return None
    try:
        if name not in _NO_ZONES:
            return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        pass
    table.refuse("time_zone", "not an IANA time zone", "Write a name such as America/New_York.")
    return None
