"""What a site says about itself: its key, and per facility the time zone, the MRN's system and the name order.

Parsed from the text of the gateway's TOML file (https://toml.io/en/v1.0.0), table `[mapping]`; nothing has a default
that could file a report under the wrong patient or at the wrong hour (decisions D11, D14, D15).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast
from zoneinfo import ZoneInfo

from mappings.issues import SiteError

NameOrder = Literal["given_family", "family_given", "marked_only"]
NAME_ORDERS: Final = ("given_family", "family_given", "marked_only")
DEMO_SITE_KEY: Final = b"autoscribe-gateway published demo key: never for patients"
SITE_KEY_MIN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class AssigningAuthority:
    """Who gave out an identifier: `system` for FHIR (a URI), `namespace` for PID-3.4 (HD.1)."""

    system: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Facility:
    """One `[[mapping.facilities]]` table: what `snapshotMetadata.facilityName` alone does not say."""

    name: str
    aliases: tuple[str, ...] = ()
    time_zone: ZoneInfo | None = None
    name_order: NameOrder | None = None
    mrn: AssigningAuthority | None = None
    external_patient_id: AssigningAuthority | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """All site settings the mappings read. `site_key` makes patient ids opaque and is a secret."""

    site_key: bytes = field(default=DEMO_SITE_KEY, repr=False)
    facilities: Mapping[str, Facility] = field(default_factory=dict)
    sending_application: str = "AUTOSCRIBE_GW"
    sending_facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""
    processing_id: str = "P"

    def facility(self, name: str | None) -> Facility | None:
        """The facility of that exact name or alias (outer white space off), or None: no near match is ever taken."""
        return self.facilities.get(name.strip()) if name else None


@dataclass(frozen=True, slots=True)
class Receiver:
    """A receiver profile (D34): what the messages to one kind of receiver look like; each field is a switch.

    `version` MSH-12; `charset` MSH-18, table 0211; `uid` where the Study Instance UID goes (`zds`: a ZDS segment);
    `vitals` height and weight as OBX of type NM; `critical` how a critical result is marked (`obx8_is`: OBX-8 `AA`).
    """

    name: str
    version: str = "2.5.1"
    charset: str = "UNICODE UTF-8"
    uid: str = "zds"
    vitals: str = "off"
    critical: str = "obx8_is"


# Switch of a receiver profile -> the values it can have
RECEIVER_SWITCHES: Final[dict[str, tuple[str, ...]]] = {
    "version": ("2.5.1",),
    "charset": ("UNICODE UTF-8",),
    "uid": ("zds", "none"),
    "vitals": ("off", "on"),
    "critical": ("obx8_is", "none"),
}
_TEXT_KEYS: Final = ("sending_application", "sending_facility", "receiving_application", "receiving_facility")
_FACILITY_KEYS: Final = frozenset(
    {
        "name",
        "aliases",
        "time_zone",
        "name_order",
        "code",
        "mrn_system",
        "mrn_namespace",
        "external_patient_id_system",
        "external_patient_id_namespace",
    }
)
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[^\s<>\"{}|\\^`]+")
_NO_ZONES: Final = frozenset({"localtime", "posixrules", "Factory"})  # files of a zone database that name no place
_HD_NAMESPACE: Final = re.compile(r"[^\s\x00-\x1f\x7f|^~\\&]{1,20}")


def parse_site(text: str, *, site_key: bytes | None = None) -> Site:
    """Read the `[mapping]` table of the gateway's TOML text.

    Raises:
        SiteError: the first setting that is wrong, with its key and what to write instead.
    """
    site, faults = read_site(text, site_key=site_key)
    if faults:
        raise faults[0]
    return site


def read_site(text: str, *, site_key: bytes | None = None) -> tuple[Site, list[SiteError]]:
    """The site of the gateway's TOML text without what is wrong in it, and every setting that is wrong."""
    table = _toml(text, "file").get("mapping", {})
    faults: list[SiteError] = []
    if not isinstance(table, dict):
        return Site(), [SiteError("mapping", "not a table", "Write the settings under `[mapping]`.")]
    mapping = _Table(table, "mapping", faults)
    mapping.refuse_unknown({"site_key", "facilities", "processing_id", *_TEXT_KEYS})
    given = {key: mapping.text(key) for key in _TEXT_KEYS}
    site = Site(
        site_key=_site_key(site_key, mapping),
        facilities=_facilities(mapping),
        processing_id=mapping.one_of("processing_id", ("P", "T", "D")) or "P",
        **{key: value for key, value in given.items() if value is not None},
    )
    return site, faults


def parse_receiver(text: str) -> Receiver:
    """Read a receiver profile from the text of its TOML file; a switch that is left out is as in `generic`.

    Raises:
        SiteError: the first switch that is wrong or not known, with what to write instead.
    """
    faults: list[SiteError] = []
    table = _Table(_toml(text, "receiver"), "receiver", faults)
    table.refuse_unknown({"name", *RECEIVER_SWITCHES})
    name = table.text("name")
    if not name:
        table.refuse("name", "missing", "Write the name of the profile.")
    given = {key: table.one_of(key, allowed) for key, allowed in RECEIVER_SWITCHES.items()}
    if faults:
        raise faults[0]
    return Receiver(name or "", **{key: value for key, value in given.items() if value is not None})


def _toml(text: str, key: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        remedy = "Mend the line named; https://toml.io shows the syntax."
        raise SiteError(key, f"not TOML: {error}", remedy) from None


@dataclass(frozen=True, slots=True)
class _Table:
    """One TOML table while it is read: what is wrong is noted and taken as not said, so that all faults are found."""

    row: Mapping[str, Any]
    place: str
    faults: list[SiteError]

    def refuse(self, key: str, problem: str, remedy: str) -> None:
        self.faults.append(SiteError(f"{self.place}.{key}", problem, remedy))

    def refuse_unknown(self, allowed: AbstractSet[str]) -> None:
        for key in self.row.keys() - allowed:
            self.refuse(key, "no such setting", f"Known here: {', '.join(sorted(allowed))}.")

    def text(self, key: str) -> str | None:
        value = self.row.get(key)
        if value is None or isinstance(value, str):
            return value
        self.refuse(key, "not a string", "Put it in quotes.")
        return None

    def one_of(self, key: str, allowed: tuple[str, ...]) -> str | None:
        value = self.text(key)
        if value is None or value in allowed:
            return value
        self.refuse(key, "not one of the values it can have", f"Write one of {', '.join(allowed)}.")
        return None


def _site_key(given: bytes | None, mapping: _Table) -> bytes:
    key = given if given is not None else (mapping.text("site_key") or "").encode()
    if key and len(key) < SITE_KEY_MIN_BYTES:
        mapping.refuse("site_key", "shorter than 32 bytes", "Make one with `autoscribe-gateway keys site`.")
    return key or DEMO_SITE_KEY


def _facilities(mapping: _Table) -> dict[str, Facility]:
    rows = mapping.row.get("facilities", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        mapping.refuse("facilities", "not a list of tables", "Write each facility under `[[mapping.facilities]]`.")
        return {}
    facilities: dict[str, Facility] = {}
    for index, row in enumerate(rows):
        table = _Table(row, f"mapping.facilities[{index}]", mapping.faults)
        facility = _facility(table)
        for name in (facility.name, *facility.aliases):
            if name in facilities:
                table.refuse("name", "two facilities have this name or alias", "Give each name once.")
            facilities[name] = facility
    _refuse_ambiguous(mapping, facilities)
    return facilities


def _facility(table: _Table) -> Facility:
    table.refuse_unknown(_FACILITY_KEYS)
    name = (table.text("name") or "").strip()
    if not name:
        table.refuse("name", "missing", "Write the facilityName exactly as AutoScribe reports it.")
    aliases = table.row.get("aliases", [])
    if not isinstance(aliases, list) or not all(isinstance(alias, str) and alias.strip() for alias in aliases):
        table.refuse("aliases", "not a list of names", 'Write a list, such as ["Mercy", "Mercy East"].')
        aliases = []
    return Facility(
        name=name,
        aliases=tuple(alias.strip() for alias in aliases),
        time_zone=_time_zone(table),
        name_order=cast("NameOrder | None", table.one_of("name_order", NAME_ORDERS)),
        mrn=_authority(table, "mrn"),
        external_patient_id=_authority(table, "external_patient_id"),
        code=_code(table),
    )


def _code(table: _Table) -> str | None:
    code = table.text("code")
    if code is None or _HD_NAMESPACE.fullmatch(code):
        return code
    table.refuse(
        "code", "not 1 to 20 letters without | ^ ~ \\ & or space", "Write the code for MSH-4, such as MERCY_EAST."
    )
    return None


def _refuse_ambiguous(mapping: _Table, facilities: Mapping[str, Facility]) -> None:
    """PID-3.4 must tell authorities apart as the FHIR systems do: a namespace stands for one system, and back."""
    given = {one for row in facilities.values() for one in (row.mrn, row.external_patient_id) if one is not None}
    if len({one.namespace for one in given}) < len(given) or len({one.system for one in given}) < len(given):
        problem = "a namespace that stands for two systems, or a system with two namespaces"
        mapping.refuse("facilities", problem, "Give each system a namespace of its own.")


def _time_zone(table: _Table) -> ZoneInfo | None:
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


def _authority(table: _Table, kind: str) -> AssigningAuthority | None:
    system, namespace = table.text(f"{kind}_system"), table.text(f"{kind}_namespace")
    if system is None and namespace is None:
        return None
    if system is None or not _URI.fullmatch(system):
        table.refuse(f"{kind}_system", "not an absolute URI", "Write one such as urn:oid:1.2.3 or https://….")
    if namespace is None or not _HD_NAMESPACE.fullmatch(namespace):
        problem = "not 1 to 20 letters without | ^ ~ \\ & or space"
        table.refuse(f"{kind}_namespace", problem, "Write the HL7 assigning authority, such as MERCY.")
    return AssigningAuthority(system or "", namespace or "")
