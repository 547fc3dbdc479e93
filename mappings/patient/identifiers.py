"""Derive stable ids of patients, FHIR resources and HL7 v2 messages from AutoScribe's ids and patient numbers.

https://hl7.org/fhir/R4/datatypes.html#id, HL7 v2.5.1 §2.A.28 (EI) and §2.14.9.10 (MSH-10), decisions D3, D11, D18.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal, NamedTuple
from unicodedata import normalize

from mappings.codes import SID_EXTERNAL_UNASSIGNED, SID_MRN_UNASSIGNED, SID_STUDY_PATIENT
from mappings.issues import MappingIssue
from mappings.model import Cause, Snapshot, Study
from mappings.profile import AssigningAuthority, Site, exact, is_npi, is_oid

__all__ = [
    "Identity",
    "PatientIdentifier",
    "base62",
    "fhir_id",
    "identify",
    "is_dicom_uid",
    "is_doubtful",
    "is_npi",
    "is_oid",
    "is_placeholder",
    "long_id",
    "message_control_id",
    "mrn_key",
    "mrn_number",
    "organization_id",
    "role_id",
    "short_id",
    "stand_alone",
    "unmatched",
    "upstream_id",
    "visit_id",
]

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS: Final = tuple(first + second for first in _BASE62 for second in _BASE62)
_BASE62_LENGTH_OF_128_BITS: Final = 22
_CONTROL_ID_LENGTH: Final = 20
_DICOM_UID_LENGTH: Final = 64
_ONE_MESSAGE: Final = ("0", "report", "")
_FHIR_ID: Final = re.compile(r"(rep|stu|usr)-([0-9a-f]{32})")

# Table 0203: a number by which no receiver may match
UNSPECIFIED: Final = "U"
# Type of a number without a known authority -> its system, and the setting that would name the authority
_UNASSIGNED: Final[dict[str, tuple[str, str]]] = {
    "MR": (SID_MRN_UNASSIGNED, "mrn_system for its facility in [[mapping.facilities]]"),
    "PI": (SID_EXTERNAL_UNASSIGNED, "external_patient_id_system for its facility or express customer"),
}
_HASH_LENGTH: Final = 14  # hex digits: 20 characters of HD.1 with `AGWMR-` in front

# Placeholders that people type when they have no identifier (D11); compared in upper case, letters and digits only.
_PLACEHOLDER: Final = re.compile(
    r"0*|9*|XXX+|(?:TEMP|TEST)[0-9]*"
    r"|UNKNOWN|UNK|NA|NONE|NULL|NOMRN|NOTAVAILABLE|NOTGIVEN|PENDING|TBD|UNASSIGNED"
)
# Doubtful numbers, which may be anyone's; compared in upper case, with their grouping
_SOCIAL_SECURITY: Final = re.compile(r"[0-9]{3}-[0-9]{2}-[0-9]{4}")
_ONE_DIGIT_ALONE: Final = re.compile(r"0*([0-9])|0*([1-9])\2{2,}")
_INSTRUCTIONS: Final = frozenset(
    {"SEE", "ASK", "CALL", "ORDER", "REQUEST", "REQUISITION", "CHART", "UNKNOWN", "PENDING", "TEMP", "TRAUMA", "NEW"}
)
_SEQUENCES: Final = ("12345678901234567890", "98765432109876543210")
_LEAST_SEQUENCE: Final = 3
_LONGEST_MRN: Final = 32
_CARETS_BEFORE_AUTHORITY: Final = 3
_BLANKS: Final = re.compile(r"[\s\-]+")
_LEADING_ZEROS: Final = re.compile(r"^0*([A-Z]*)0*(?=[0-9])")


def fhir_id(upstream_id: str) -> str:
    """Return a FHIR id for an upstream id: `rep_…` -> `rep-…`, since a FHIR id cannot hold an underscore (D3)."""
    return upstream_id.replace("_", "-", 1)


def upstream_id(resource_id: str) -> str | None:
    """Invert `fhir_id`: `rep-…` -> `rep_…`; None if the id comes from no upstream id."""
    match = _FHIR_ID.fullmatch(resource_id)
    return f"{match[1]}_{match[2]}" if match else None


def base62(number: int, length: int) -> str:
    """Write a number in base 62 (`0-9A-Za-z`), left-padded with `0` to `length` characters."""
    text = ""
    while number:
        number, pair = divmod(number, len(_PAIRS))
        text = _PAIRS[pair] + text
    return text.lstrip("0").rjust(length, "0")


@lru_cache(maxsize=256)
def short_id(upstream_id: str) -> str:
    """Write the 128 bits of an id in 22 characters, to fit EI.1 (ST 22); `long_id` inverts it for upstream ids."""
    return base62(int(upstream_id[4:], 16), _BASE62_LENGTH_OF_128_BITS)


def long_id(prefix: Literal["rep", "stu", "usr"], short: str) -> str:
    """Return the upstream id from the 22 characters of `short_id`.

    Raises:
        ValueError: a character outside base 62.
    """
    number = 0
    for character in short:
        number = number * 62 + _BASE62.index(character)
    return f"{prefix}_{number:032x}"


def message_control_id(cause: Cause, destination: str) -> str:
    """MSH-10 Message Control ID: 20 characters from report, version, destination and cause; a retry has the same.

    A replay has its own id, and so has each of several messages of one cause.
    """
    parts = (cause.report_id, cause.content_version, destination, cause.kind)
    several = (str(cause.replay), cause.part, cause.accession_number)
    document = (cause.document,) if cause.document else ()
    is_only = several == _ONE_MESSAGE and not document
    text = "\x1f".join(parts if is_only else (*parts, *several, *document))
    number = int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest(), "big")
    return base62(number % 62**_CONTROL_ID_LENGTH, _CONTROL_ID_LENGTH)


@lru_cache(maxsize=256)
def organization_id(facility_name: str) -> str:
    """Id of a facility's Organization: the same name gives the same id."""
    return "org-" + hashlib.sha256(facility_name.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def role_id(practitioner_id: str, organization_id: str) -> str:
    """Id of the PractitionerRole of a practitioner at an organization; both ids can be read from it (D3).

    The Practitioner's id comes first, then the 128 bits of the Organization's id, written by `short_id`.
    """
    return f"{practitioner_id}-{short_id(organization_id)}"


def visit_id(study_fhir_id: str, system: str, number: str, site: Site) -> str:
    """Id of a study's Encounter, from the visit's number and its authority under the site key (D3, D48)."""
    message = f"visit\x1f{system}\x1f{number}".encode("utf-8", "surrogatepass")
    return f"{study_fhir_id}-enc-{hmac.digest(site.site_key, message, 'sha256').hex()[:16]}"


@dataclass(frozen=True, slots=True)
class PatientIdentifier:
    """One identifier of a patient: `type` of table 0203 (MR, PI) or empty, `namespace` for PID-3.4.

    `assigner` names the issuer of an identifier without a configured system. If `is_assigned` is False, no setting
    names its authority: `system` and `namespace` are then derived from its origin, so that an equal number of another
    origin never shares them. `is_old` if the hospital merged it into another number.
    """

    type: str
    system: str
    value: str
    namespace: str = ""
    assigner: str = ""
    is_assigned: bool = True
    is_old: bool = False


class ReplacedPatient(NamedTuple):
    """Patient id made from a number that the hospital merged into another, and that number."""

    patient_id: str
    number: PatientIdentifier


@dataclass(frozen=True, slots=True)
class Identity:
    """Patient of a snapshot: opaque `patient_id` and identifiers. If `is_linked`, other studies may share the patient.

    `is_contested`: the numbers also belong to somebody else (D12). `replaced` are the Patients that this one replaces
    since a merge.
    """

    patient_id: str
    identifiers: tuple[PatientIdentifier, ...]
    is_linked: bool
    issues: tuple[MappingIssue, ...]
    is_contested: bool = False
    replaced: tuple[ReplacedPatient, ...] = ()

    @property
    def shown(self) -> tuple[PatientIdentifier, ...]:
        """Identifiers as published: those that must not be used for matching have type `U` and come last (D11).

        These are numbers without an authority, and in a conflict all numbers, with the MRN last.
        """
        own = [one for one in self.identifiers if not one.type]
        numbers = [one for one in self.identifiers if one.type]
        if self.is_contested:
            return (*own, *(replace(one, type=UNSPECIFIED) for one in reversed(numbers)))
        known = sorted((one for one in numbers if one.is_assigned), key=lambda one: one.is_old)
        return (*own, *known, *(replace(one, type=UNSPECIFIED) for one in numbers if not one.is_assigned))

    @property
    def lacks_authority(self) -> bool:
        """True if the patient has an MRN and no setting names its authority."""
        mrns = [one for one in self.identifiers if one.type == "MR" and not is_placeholder(one.value)]
        return bool(mrns) and not any(one.is_assigned for one in mrns)

    @property
    def mrn_namespaces(self) -> frozenset[str]:
        """Namespaces of the MRNs with a configured authority."""
        return frozenset(one.namespace for one in self.identifiers if one.type == "MR" and one.is_assigned)


def identify(study: Study, snapshot: Snapshot, site: Site, pointer: str) -> Identity:
    """Derive Patient.id and the identifiers of PID-3 and Patient.identifier from the snapshot at `pointer` (D11).

    The key is the MRN under its facility's configured system, else externalPatientId under a configured system, else
    the study alone. Without a system, or with a doubtful value or a placeholder, a patient is never linked to another
    study; nor with an MRN that is written with another authority. An MRN of an unknown facility belongs to the site's
    `default_facility`, if there is one.
    """
    issues: list[MappingIssue] = []
    shown: list[PatientIdentifier] = []
    keys: list[PatientIdentifier] = []
    mrn, external_id = _mrn(study, snapshot, site, pointer), _external_id(study, snapshot, site)
    for claim in (mrn, external_id):
        if claim is not None:
            identifier, issue = _assigned(claim)
            shown.append(identifier)
            if issue is None:
                keys.append(identifier)
            else:
                issues.append(issue)
    if mrn_number(snapshot, site) is None:
        action = "it names another authority or type than its facility's MRN: no number is said, HL7 v2 is held"
        issues.append(MappingIssue("mrn-unreadable", "error", f"{pointer}/mrn", action))
        shown, keys = [unmatched(one, study.study_id) for one in shown], []
    elif mrn is None:
        issues.append(MappingIssue("mrn-absent", "warning", f"{pointer}/mrn", "the patient is not linked by MRN"))
    elif mrn.authority and site.facility(snapshot.facility_name) is None:
        action = "no [[mapping.facilities]] has this name: the MRN is taken for one of default_facility"
        issues.append(MappingIssue("facility-default", "information", f"{pointer}/facilityName", action))
    if keys:
        return Identity(_patient_id(keys[0], site), tuple(shown), True, tuple(issues))
    alone = PatientIdentifier("", SID_STUDY_PATIENT, study.study_id)
    return Identity(_patient_id(alone, site), (alone, *shown), False, tuple(issues))


def stand_alone(identity: Identity, upstream_id: str, site: Site) -> Identity:
    """Make a patient that is linked to no other study or report, since its identifiers are disputed (D12).

    In FHIR each identifier is under a system of its own, so that nobody matches by it.
    """
    key = PatientIdentifier("", SID_STUDY_PATIENT, upstream_id)
    others = [one for one in identity.identifiers if one.system != SID_STUDY_PATIENT]
    shown = tuple(replace(unmatched(one, upstream_id), type=one.type) for one in others)
    return Identity(_patient_id(key, site), (key, *shown), False, identity.issues, is_contested=True)


def unmatched(identifier: PatientIdentifier, upstream_id: str) -> PatientIdentifier:
    """Mark a number as unfit for matching: type `U`, and a FHIR system only for this study or report."""
    system = _made_authority(identifier.type, f"alone\x1f{upstream_id}").system
    assigner = identifier.assigner or (identifier.namespace if identifier.is_assigned else "")
    return replace(identifier, type=UNSPECIFIED, system=system, assigner=assigner)


def is_placeholder(value: str) -> bool:
    """True for placeholders typed in place of an identifier: all 0 or 9, UNKNOWN, N/A, punctuation only (D11)."""
    text = value if value.isascii() else normalize("NFKC", value)
    return _PLACEHOLDER.fullmatch("".join(filter(str.isalnum, text)).upper()) is not None


def is_doubtful(mrn: str, pattern: re.Pattern[str] | None = None) -> bool:
    """True for an MRN that may be anyone's: `1`, `12345678`, `SEE ORDER`, the form of a social security number.

    A `pattern` of the site decides instead: an MRN is good if the pattern matches all of it, at most 32 characters.
    """
    written = mrn.strip()
    if pattern is not None:
        return len(written) > _LONGEST_MRN or pattern.fullmatch(written) is None
    written = (written if written.isascii() else normalize("NFKC", written)).upper()
    bare = "".join(filter(str.isalnum, written))
    if (
        not any(map(str.isdigit, bare))
        or _SOCIAL_SECURITY.fullmatch(written)
        or not _INSTRUCTIONS.isdisjoint(written.split())
    ):
        return True
    return _ONE_DIGIT_ALONE.fullmatch(bare) is not None or _is_sequence(written.replace("-", "").lstrip("0"))


def _is_sequence(digits: str) -> bool:
    """True for digits in keyboard order. A number grouped by blanks is no sequence."""
    return len(digits) >= _LEAST_SEQUENCE and digits.isdigit() and any(digits in one for one in _SEQUENCES)


def mrn_key(mrn: str) -> str:
    """Normalize an MRN for comparison within one study: no case, blanks, hyphens or leading zeros."""
    text = mrn if mrn.isascii() else normalize("NFKC", mrn)
    return _LEADING_ZEROS.sub(r"\1", _BLANKS.sub("", text).upper())


def mrn_number(snapshot: Snapshot, site: Site) -> str | None:
    """Return the number in snapshotMetadata.mrn, empty if it has none; None if it is a CX of another authority.

    HL7 v2.5.1 §2.A.14 (CX): `4711^^^CITY^MR` is the number 4711 only where CITY is the `mrn_namespace` of its facility,
    and the type MR or empty. Taken as it is written, it would be a number that no system has (D11). Fewer than three
    `^` name no authority.
    """
    written = (snapshot.mrn or "").strip()
    if written.count("^") < _CARETS_BEFORE_AUTHORITY:
        return written
    number, _, _, namespace, number_type = [part.strip() for part in f"{written}^".split("^")[:5]]
    facility = site.facility(snapshot.facility_name) or site.default_facility
    own = facility.mrn.namespace if facility and facility.mrn else ""
    return number if number and namespace == own != "" and number_type in {"", "MR"} else None


def is_dicom_uid(text: str) -> bool:
    """True for an OID of at most 64 characters (DICOM PS3.5 §9.1)."""
    return len(text) <= _DICOM_UID_LENGTH and is_oid(text)


class _Claim(NamedTuple):
    """A number claimed for the patient: `type` of table 0203, and its authority if the site knows it.

    `origin` is its source. Two sources that may issue an equal number have different origins.
    """

    type: str
    value: str
    authority: AssigningAuthority | None
    assigner: str
    origin: str
    pointer: str
    is_doubtful: bool = False


def _mrn(study: Study, snapshot: Snapshot, site: Site, pointer: str) -> _Claim | None:
    value = mrn_number(snapshot, site)
    if not value:
        return None
    facility = site.facility(snapshot.facility_name) or site.default_facility
    assigner, origin = (snapshot.facility_name or "").strip(), _origin(study, snapshot, site)
    authority, pattern = (facility.mrn, facility.mrn_pattern) if facility else (None, None)
    doubtful = is_doubtful(value, pattern) if pattern else _is_doubtful_of(authority, value, site)
    return _Claim("MR", value, authority, assigner, origin, f"{pointer}/mrn", doubtful)


def _is_doubtful_of(authority: AssigningAuthority | None, value: str, site: Site) -> bool:
    """True for a doubtful number. The form of a Social Security number is no doubt if its authority issues them."""
    is_social = authority is not None and authority.namespace == site.vista.ssn_namespace != ""
    return is_doubtful(value.replace("-", "") if is_social else value)


def _origin(study: Study, snapshot: Snapshot, site: Site) -> str:
    """Origin of a snapshot's numbers: its facility in one spelling for all its names, else the study."""
    facility = site.facility(snapshot.facility_name)
    name = exact(facility.name if facility else snapshot.facility_name)
    return f"facility\x1f{name}" if name else f"study\x1f{study.study_id}"


def _external_id(study: Study, snapshot: Snapshot, site: Site) -> _Claim | None:
    """Claim externalPatientId under the system of the study's express customer, else of its facility (D11)."""
    value = (study.external_patient_id or "").strip()
    if not value:
        return None
    customer, facility = study.express_customer, site.facility(snapshot.facility_name)
    assigner = customer.express_customer_name.strip() if customer else ""
    customer_id = customer.express_customer_id.strip() if customer else ""
    authority = site.express_customers.get(customer_id)
    if authority is None and facility:
        authority = facility.external_patient_id
    origin = f"customer\x1f{customer_id}" if customer_id else _origin(study, snapshot, site)
    doubtful = _is_doubtful_of(authority, value, site)
    return _Claim("PI", value, authority, assigner, origin, "/externalPatientId", doubtful)


def _assigned(claim: _Claim) -> tuple[PatientIdentifier, MappingIssue | None]:
    """Assign the claim to its authority. Without one, or with a doubtful value or placeholder, it links to nobody.

    A doubtful number keeps its authority in HL7 v2; in FHIR its system allows no matching.
    """
    authority, is_nobodys = claim.authority, is_placeholder(claim.value)
    if authority and not is_nobodys and not claim.is_doubtful:
        return PatientIdentifier(claim.type, authority.system, claim.value, authority.namespace), None
    setting = _UNASSIGNED[claim.type][1]
    made = _made_authority(claim.type, claim.origin)
    unassigned = PatientIdentifier(
        claim.type, made.system, claim.value, made.namespace, assigner=claim.assigner, is_assigned=False
    )
    if is_nobodys:
        action = "kept, links the patient to nobody"
        return unassigned, MappingIssue("identifier-placeholder", "warning", claim.pointer, action)
    if authority:
        action = "it may be anybody's: sent, links the patient to nobody"
        doubtful = PatientIdentifier(claim.type, made.system, claim.value, authority.namespace, claim.assigner)
        return doubtful, MappingIssue("identifier-doubtful", "warning", claim.pointer, action)
    action = f"no {setting}: kept, links the patient to nobody"
    return unassigned, MappingIssue("identifier-system-unknown", "warning", claim.pointer, action)


@lru_cache(maxsize=1024)
def _made_authority(number_type: str, origin: str) -> AssigningAuthority:
    """Derive an authority for a number without a configured one from its origin, so that it is never shared."""
    digest = hashlib.sha256(f"{number_type}\x1f{origin}".encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    return AssigningAuthority(f"{_UNASSIGNED[number_type][0]}:{digest}", f"AGW{number_type}-{digest.upper()}")


def keyed_patient_id(system: str, value: str, site: Site) -> str:
    """Return the id of the Patient whose key is this number: every description of the Patient has the number (D11).

    A number that is nobody's key gives an id that no Patient has.
    """
    return _patient_id(PatientIdentifier("", system, value), site)


def _patient_id(key: PatientIdentifier, site: Site) -> str:
    message = f"{key.system}\x1f{key.value}".encode("utf-8", "surrogatepass")
    return "pat-" + hmac.digest(site.site_key, message, "sha256").hex()[:32]
