"""Settings of a site for the mappings: secret key, facilities, codes, providers, order numbers, and policies.

Parsed from the text of the gateway's TOML file (https://toml.io/en/v1.0.0), table `[mapping]`, and of the files named
there, which the gateway reads (decisions D11, D12, D16, D18, D21, D23, D34).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from mappings.codes import CANONICAL
from mappings.issues import SiteError
from mappings.profile.dictionary import (
    Dictionary,
    ProcedureCode,
    read_dictionary,
    read_fallbacks,
    read_local_codes,
    starter,
)
from mappings.profile.directory import NO_PROVIDERS, Directory, Provider, read_providers
from mappings.profile.facility import (
    AssigningAuthority,
    Facility,
    read_authority,
    read_express_customers,
    read_facilities,
    refuse_ambiguous,
    with_whole_pairs,
)
from mappings.profile.receiver import Receiver
from mappings.profile.receiver_reading import RECEIVERS, read_receiver, receiver, unknown
from mappings.profile.table import Table, exact, read_toml
from mappings.profile.vista import NO_VISTA, VISTA_KEYS, Vista, read_vista

OnCancelled = Literal["hold", "withdraw"]
OnConflict = Literal["send", "hold"]
MrnAuthority = Literal["hash", "facility", "receiver"]
OrderNumberKind = Literal["accession", "placer", "filler"]
DEMO_SITE_KEY: Final = b"autoscribe-gateway published demo key: never for patients"
SITE_KEY_MIN_BYTES: Final = 32
SITE_FILES: Final = ("procedures", "providers")
"""Settings of `[mapping]` that name a file."""
_NOTHING: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Site:
    """All site settings that the mappings read. `site_key` makes patient ids opaque and is a secret.

    `facilities` are by name and alias, normalized by `exact`. `accession_keys` and `placer_keys` name the keys of
    `Study.metadata` with accession and placer order numbers; `number_separator` separates several in one value.
    `accession_authority` and `placer_authority` are their issuers where the facility names none. `send_drafts`
    publishes unsigned text (D16). `fhir_base` is the address clients see, for links in HL7 v2. `canonical` is the base
    of the gateway's own definitions, such as those of its extensions. `express_customers` are the authorities of
    externalPatientId, by expressCustomerId. `procedure_fallbacks` are the codes of OBR-4 by DICOM modality if no text
    matches. `provider_authority` issued the local ids of `providers`. `default_facility` owns the MRNs of facilities
    not among `facilities`. `mrn_authority` decides in HL7 v2 about an MRN without a known authority: `hash` puts it
    under a hash of its facility, `facility` holds the message, and with `receiver` every MRN is the receiver's own.
    `bare_namespace` is the one namespace whose MRNs are sent without authority (`pid3_plain`); all other MRNs are held.
    It is empty if no namespace may be sent so, None if authorities are sent. `vista` names the places of VistA's
    numbers.
    """

    site_key: bytes = field(default=DEMO_SITE_KEY, repr=False)
    facilities: Mapping[str, Facility] = field(default_factory=dict)
    default_facility: Facility | None = None
    mrn_authority: MrnAuthority = "hash"
    bare_namespace: str | None = None
    express_customers: Mapping[str, AssigningAuthority] = field(default_factory=dict)
    sending_application: str = "AUTOSCRIBE_GW"
    sending_facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""
    processing_id: str = "P"
    accession_keys: tuple[str, ...] = ()
    placer_keys: tuple[str, ...] = ()
    number_separator: str = ""
    accession_authority: AssigningAuthority | None = None
    placer_authority: AssigningAuthority | None = None
    send_drafts: bool = False
    on_cancelled_after_sign: OnCancelled = "hold"
    on_conflict: OnConflict = "hold"
    fhir_base: str = ""
    canonical: str = CANONICAL
    procedures: Dictionary = field(default_factory=starter, repr=False)
    procedure_fallbacks: Mapping[str, ProcedureCode] = field(default_factory=dict)
    providers: Directory = field(default=NO_PROVIDERS, repr=False)
    provider_authority: AssigningAuthority | None = None
    vista: Vista = NO_VISTA
    receivers: Mapping[str, Receiver] = field(default_factory=dict)

    def __post_init__(self) -> None:
        by_name = {exact(name): facility for name, facility in self.facilities.items()}
        object.__setattr__(self, "facilities", by_name)

    def facility(self, name: str | None) -> Facility | None:
        """Find the facility of that name or alias: case and blanks aside, only an exact match counts."""
        return self.facilities.get(exact(name)) if name else None

    def order_authority(self, kind: OrderNumberKind, facility: Facility | None) -> AssigningAuthority | None:
        """Return the issuer of a facility's order numbers: its own, else the site's. There is no filler of a site."""
        if kind == "filler":
            return facility.filler if facility else None
        if kind == "placer":
            return (facility.placer if facility else None) or self.placer_authority
        return (facility.accession if facility else None) or self.accession_authority

    def provider(self, spelling: str | None) -> Provider | None:
        """Find the provider of that name in the directory: only an exact match counts."""
        return self.providers.by_name.get(exact(spelling)) if spelling and self.providers.by_name else None

    def user(self, user_id: str) -> Provider | None:
        """Find the directory's provider for the AutoScribe user with that userId."""
        return self.providers.by_user_id.get(user_id)

    def receiver(self, name: str) -> Receiver:
        """Return the receiver profile of that name, of the site or else of this package.

        Raises:
            SiteError: there is no such profile.
        """
        if name not in self.receivers and name not in RECEIVERS:
            raise SiteError("receiver", *unknown(name, (*self.receivers, *RECEIVERS)))
        return self.receivers.get(name) or receiver(name)


_TEXT_KEYS: Final = ("sending_application", "sending_facility", "receiving_application", "receiving_facility")
_KEYS: Final = frozenset(
    {
        *("site_key", "facilities", "default_facility", "processing_id"),
        *("accession_keys", "placer_keys", "number_separator"),
        *("send_drafts", "on_cancelled_after_sign", "on_conflict", "express_customers", "receivers", *_TEXT_KEYS),
        *("procedures", "starter", "procedure_system", "procedure_coding_system", "procedure_fallbacks"),
        *("providers", "provider_system", "provider_namespace"),
        *("accession_system", "accession_namespace", "placer_system", "placer_namespace"),
        *VISTA_KEYS,
    }
)


def parse_site(
    text: str,
    *,
    site_key: bytes | None = None,
    files: Mapping[str, str] = _NOTHING,
    given: Mapping[str, Any] = _NOTHING,
) -> Site:
    """Read the `[mapping]` table of the gateway's TOML text; see `read_site`.

    Raises:
        SiteError: the first wrong setting, with its key and remedy.
    """
    site, faults = read_site(text, site_key=site_key, files=files, given=given)
    if faults:
        raise faults[0]
    return site


def read_site(
    text: str,
    *,
    site_key: bytes | None = None,
    files: Mapping[str, str] = _NOTHING,
    given: Mapping[str, Any] = _NOTHING,
) -> tuple[Site, list[SiteError]]:
    """Read the site from the gateway's TOML text, without its wrong settings, and return every wrong setting.

    `files` holds the text of each file named by a setting of `[mapping]`, by the setting (`SITE_FILES`). `given` are
    settings of `[mapping]` that outrank those of the text. A fault in a file has a key such as
    `mapping.procedures, line 3, column code`.
    """
    table = read_toml(text, "file").get("mapping", {})
    if not isinstance(table, dict):
        return Site(), [SiteError("mapping", "not a table", "Write the settings under `[mapping]`.")]
    mapping = Table(with_whole_pairs({**table, **given}), "mapping", [])
    mapping.refuse_unknown(_KEYS)
    return _site(mapping, site_key, files), mapping.faults


def _site(mapping: Table, site_key: bytes | None, files: Mapping[str, str]) -> Site:
    texts = {key: mapping.text(key) for key in _TEXT_KEYS}
    on_cancelled = mapping.one_of("on_cancelled_after_sign", ("hold", "withdraw"))
    on_conflict = mapping.one_of("on_conflict", ("send", "hold"))
    local = read_local_codes(mapping)
    providers, provider_authority = _providers(mapping, _file(mapping, "providers", files))
    facilities, customers = read_facilities(mapping), read_express_customers(mapping)
    assigned = [one for row in facilities.values() for one in (row.mrn, row.external_patient_id)]
    issuers = [one for row in facilities.values() for one in row.authorities]
    accession, placer = read_authority(mapping, "accession"), read_authority(mapping, "placer")
    refuse_ambiguous(mapping, (*issuers, *customers.values(), accession, placer))
    return Site(
        site_key=_site_key(site_key, mapping),
        facilities=facilities,
        default_facility=_default_facility(mapping, Site(facilities=facilities)),
        mrn_authority="hash",
        express_customers=customers,
        processing_id=mapping.one_of("processing_id", ("P", "T", "D")) or "P",
        accession_keys=mapping.texts("accession_keys", '["accession"]'),
        placer_keys=mapping.texts("placer_keys", '["order"]'),
        number_separator=mapping.text("number_separator") or "",
        accession_authority=accession,
        placer_authority=placer,
        send_drafts=mapping.flag("send_drafts"),
        on_cancelled_after_sign=cast("OnCancelled", on_cancelled or "hold"),
        on_conflict=cast("OnConflict", on_conflict or "hold"),
        procedures=read_dictionary(mapping, local, _file(mapping, "procedures", files)),
        procedure_fallbacks=read_fallbacks(mapping, local),
        providers=providers,
        provider_authority=provider_authority,
        vista=read_vista(mapping, {one.namespace for one in (*assigned, *customers.values()) if one}),
        receivers=_receivers(mapping),
        **{key: value for key, value in texts.items() if value is not None},
    )


def _default_facility(mapping: Table, site: Site) -> Facility | None:
    name = mapping.text("default_facility")
    if name is None:
        return None
    facility = site.facility(name)
    if facility is None:
        remedy = "Write the name or an alias of one of the [[mapping.facilities]] tables."
        mapping.refuse("default_facility", "no [[mapping.facilities]] has this name or alias", remedy)
    elif facility.mrn is None:
        remedy = "Write mrn_system and mrn_namespace in its table."
        mapping.refuse("default_facility", "its table does not say whose numbers its MRNs are", remedy)
    return facility


def _file(mapping: Table, key: str, files: Mapping[str, str]) -> str | None:
    """Return the text of the file that a setting names; None without the setting or the text."""
    if mapping.text(key) is None:
        return None
    if key not in files:
        mapping.refuse(key, "the file it names was not read", "Name a file that is there and readable.")
    return files.get(key)


def _providers(mapping: Table, text: str | None) -> tuple[Directory, AssigningAuthority | None]:
    authority = read_authority(mapping, "provider")
    providers = NO_PROVIDERS if text is None else read_providers(text, mapping.faults)
    if providers.has_local_ids and authority is None:
        problem = "missing, and the providers file has local ids"
        mapping.refuse("provider_system", problem, "Write the URI of those ids, and provider_namespace for XCN.9.")
    return providers, authority


def _receivers(mapping: Table) -> dict[str, Receiver]:
    receivers: dict[str, Receiver] = {}
    for table in mapping.tables("receivers", "Write each receiver under `[[mapping.receivers]]`."):
        faults = len(mapping.faults)
        made = read_receiver(table)
        if made.name in RECEIVERS:
            table.refuse("name", "a profile of this package has that name", "Choose another, and name it as `base`.")
        elif made.name in receivers:
            table.refuse("name", "two receivers have this name", "Give each receiver a name of its own.")
        elif made.name and len(mapping.faults) == faults:
            receivers[made.name] = made
    return receivers


def _site_key(given: bytes | None, mapping: Table) -> bytes:
    key = given if given is not None else (mapping.text("site_key") or "").encode()
    if key and len(key) < SITE_KEY_MIN_BYTES:
        mapping.refuse("site_key", "shorter than 32 bytes", "Make one with `autoscribe-gateway keys site`.")
    return key or DEMO_SITE_KEY
