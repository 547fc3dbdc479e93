"""What a site says about itself: its key, its facilities, where orders are named, and its policies.

Parsed from the text of the gateway's TOML file (https://toml.io/en/v1.0.0), table `[mapping]`, and of the files it
names, which the gateway reads (decisions D11, D12, D16, D18, D21).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, cast

from mappings.issues import SiteError
from mappings.profile.facility import Facility, read_facilities, refuse_ambiguous
from mappings.profile.table import Table, read_toml

OnCancelled = Literal["hold", "withdraw"]
OnConflict = Literal["send", "hold"]
DEMO_SITE_KEY: Final = b"autoscribe-gateway published demo key: never for patients"
SITE_KEY_MIN_BYTES: Final = 32
_NO_FILES: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Site:
    """All site settings the mappings read. `site_key` makes patient ids opaque and is a secret.

    `accession_keys` and `placer_keys` name the keys of `Study.metadata` that hold accession and placer order numbers;
    `number_separator` parts several in one value. `send_drafts` lets unsigned text out (D16). `fhir_base` is the
    address clients see, for links in HL7 v2.
    """

    site_key: bytes = field(default=DEMO_SITE_KEY, repr=False)
    facilities: Mapping[str, Facility] = field(default_factory=dict)
    sending_application: str = "AUTOSCRIBE_GW"
    sending_facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""
    processing_id: str = "P"
    accession_keys: tuple[str, ...] = ()
    placer_keys: tuple[str, ...] = ()
    number_separator: str = ""
    send_drafts: bool = False
    on_cancelled_after_sign: OnCancelled = "hold"
    on_conflict: OnConflict = "send"
    fhir_base: str = ""

    def facility(self, name: str | None) -> Facility | None:
        """The facility of that exact name or alias (outer white space off), or None: no near match is ever taken."""
        return self.facilities.get(name.strip()) if name else None


_TEXT_KEYS: Final = ("sending_application", "sending_facility", "receiving_application", "receiving_facility")
_KEYS: Final = frozenset(
    {
        *("site_key", "facilities", "processing_id", "accession_keys", "placer_keys", "number_separator"),
        *("send_drafts", "on_cancelled_after_sign", "on_conflict", *_TEXT_KEYS),
    }
)


def parse_site(text: str, *, site_key: bytes | None = None, files: Mapping[str, str] = _NO_FILES) -> Site:
    """Read the `[mapping]` table of the gateway's TOML text; see `read_site`.

    Raises:
        SiteError: the first setting that is wrong, with its key and what to write instead.
    """
    site, faults = read_site(text, site_key=site_key, files=files)
    if faults:
        raise faults[0]
    return site


def read_site(
    text: str, *, site_key: bytes | None = None, files: Mapping[str, str] = _NO_FILES
) -> tuple[Site, list[SiteError]]:
    """The site of the gateway's TOML text without what is wrong in it, and every setting that is wrong.

    `files` holds the text of each file that a setting of `[mapping]` names, by the name of the setting.
    """
    table = read_toml(text, "file").get("mapping", {})
    faults: list[SiteError] = []
    if not isinstance(table, dict):
        return Site(), [SiteError("mapping", "not a table", "Write the settings under `[mapping]`.")]
    mapping = Table(table, "mapping", faults)
    mapping.refuse_unknown(_KEYS)
    given = {key: mapping.text(key) for key in _TEXT_KEYS}
    on_cancelled = mapping.one_of("on_cancelled_after_sign", ("hold", "withdraw"))
    on_conflict = mapping.one_of("on_conflict", ("send", "hold"))
    facilities = read_facilities(mapping)
    refuse_ambiguous(mapping, (one for row in facilities.values() for one in (row.mrn, row.external_patient_id)))
    site = Site(
        site_key=_site_key(site_key, mapping),
        facilities=facilities,
        processing_id=mapping.one_of("processing_id", ("P", "T", "D")) or "P",
        accession_keys=mapping.texts("accession_keys", '["accession"]'),
        placer_keys=mapping.texts("placer_keys", '["order"]'),
        number_separator=mapping.text("number_separator") or "",
        send_drafts=mapping.flag("send_drafts"),
        on_cancelled_after_sign=cast("OnCancelled", on_cancelled or "hold"),
        on_conflict=cast("OnConflict", on_conflict or "send"),
        **{key: value for key, value in given.items() if value is not None},
    )
    return site, faults


def _site_key(given: bytes | None, mapping: Table) -> bytes:
    key = given if given is not None else (mapping.text("site_key") or "").encode()
    if key and len(key) < SITE_KEY_MIN_BYTES:
        mapping.refuse("site_key", "shorter than 32 bytes", "Make one with `autoscribe-gateway keys site`.")
    return key or DEMO_SITE_KEY
