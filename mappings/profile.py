"""What a site says about itself: its key, and per facility the time zone, the MRN's system and the name order.

Parsed from the text of the gateway's TOML file (https://toml.io/en/v1.0.0), table `[mapping]`; nothing has a default
that could file a report under the wrong patient or at the wrong hour (decisions D11, D14, D15).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
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
    try:
        table: Any = tomllib.loads(text).get("mapping", {})
    except tomllib.TOMLDecodeError as error:
        raise SiteError(
            "file", f"not TOML: {error}", "Mend the line named; https://toml.io shows the syntax."
        ) from None
    if not isinstance(table, dict):
        raise SiteError("mapping", "not a table", "Write the settings under `[mapping]`.")
    allowed = {"site_key", "facilities", "processing_id", *_TEXT_KEYS}
    _refuse_unknown(table, allowed, "mapping")
    facilities: dict[str, Facility] = {}
    for index, row in enumerate(_tables(table.get("facilities", []))):
        facility = _facility(row, f"mapping.facilities[{index}]")
        for name in (facility.name, *facility.aliases):
            if name in facilities:
                raise SiteError(
                    f"mapping.facilities[{index}].name",
                    "two facilities have this name or alias",
                    "Give each name once.",
                )
            facilities[name] = facility
    given = {key: _text(table, key, "mapping") for key in _TEXT_KEYS}
    texts = {key: text for key, text in given.items() if text is not None}
    return Site(
        site_key=_site_key(site_key, table),
        facilities=facilities,
        processing_id=_one_of(table, "processing_id", "mapping", ("P", "T", "D")) or "P",
        **texts,
    )


def parse_receiver(text: str) -> Receiver:
    """Read a receiver profile from the text of its TOML file; a switch that is left out is as in `generic`.

    Raises:
        SiteError: the first switch that is wrong or not known, with what to write instead.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SiteError(
            "receiver", f"not TOML: {error}", "Mend the line named; https://toml.io shows the syntax."
        ) from None
    _refuse_unknown(table, {"name", *RECEIVER_SWITCHES}, "receiver")
    name = _text(table, "name", "receiver")
    if not name:
        raise SiteError("receiver.name", "missing", "Write the name of the profile.")
    given = {key: _one_of(table, key, "receiver", allowed) for key, allowed in RECEIVER_SWITCHES.items()}
    return Receiver(name, **{key: value for key, value in given.items() if value is not None})


def _site_key(given: bytes | None, table: Mapping[str, Any]) -> bytes:
    key = given if given is not None else (_text(table, "site_key", "mapping") or "").encode()
    if not key:
        return DEMO_SITE_KEY
    if len(key) < SITE_KEY_MIN_BYTES:
        raise SiteError("mapping.site_key", "shorter than 32 bytes", "Make one with `autoscribe-gateway keys site`.")
    return key


def _tables(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise SiteError(
            "mapping.facilities", "not a list of tables", "Write each facility under `[[mapping.facilities]]`."
        )
    return value


def _facility(row: Mapping[str, Any], place: str) -> Facility:
    _refuse_unknown(row, _FACILITY_KEYS, place)
    name = _text(row, "name", place)
    if not name or not name.strip():
        raise SiteError(f"{place}.name", "missing", "Write the facilityName exactly as AutoScribe reports it.")
    aliases = row.get("aliases", [])
    if not isinstance(aliases, list) or not all(isinstance(alias, str) and alias.strip() for alias in aliases):
        raise SiteError(f"{place}.aliases", "not a list of names", 'Write a list, such as ["Mercy", "Mercy East"].')
    order = cast("NameOrder | None", _one_of(row, "name_order", place, NAME_ORDERS))
    return Facility(
        name=name.strip(),
        aliases=tuple(alias.strip() for alias in aliases),
        time_zone=_time_zone(row, place),
        name_order=order,
        mrn=_authority(row, "mrn", place),
        external_patient_id=_authority(row, "external_patient_id", place),
        code=_text(row, "code", place),
    )


def _time_zone(row: Mapping[str, Any], place: str) -> ZoneInfo | None:
    name = _text(row, "time_zone", place)
    if name is None:
        return None
    try:
        zone = None if name in _NO_ZONES else ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        zone = None
    if zone is None:
        raise SiteError(f"{place}.time_zone", "not an IANA time zone", "Write a name such as America/New_York.")
    return zone


def _authority(row: Mapping[str, Any], kind: str, place: str) -> AssigningAuthority | None:
    system, namespace = _text(row, f"{kind}_system", place), _text(row, f"{kind}_namespace", place)
    if system is None and namespace is None:
        return None
    if system is None or not _URI.fullmatch(system):
        raise SiteError(
            f"{place}.{kind}_system", "not an absolute URI", "Write one such as urn:oid:1.2.3 or https://…."
        )
    if namespace is None or not _HD_NAMESPACE.fullmatch(namespace):
        raise SiteError(
            f"{place}.{kind}_namespace",
            "not 1 to 20 letters without | ^ ~ \\ & or space",
            "Write the HL7 assigning authority, such as MERCY.",
        )
    return AssigningAuthority(system, namespace)


def _one_of(row: Mapping[str, Any], key: str, place: str, allowed: tuple[str, ...]) -> str | None:
    value = _text(row, key, place)
    if value is not None and value not in allowed:
        raise SiteError(f"{place}.{key}", "not one of the values it can have", f"Write one of {', '.join(allowed)}.")
    return value


def _text(row: Mapping[str, Any], key: str, place: str) -> str | None:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise SiteError(f"{place}.{key}", "not a string", "Put it in quotes.")
    return value


def _refuse_unknown(row: Mapping[str, Any], allowed: set[str] | frozenset[str], place: str) -> None:
    for key in row:
        if key not in allowed:
            raise SiteError(f"{place}.{key}", "no such setting", f"Known here: {', '.join(sorted(allowed))}.")
