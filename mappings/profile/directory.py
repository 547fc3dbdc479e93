"""Provider directory of a site: find a provider's identifiers by the name in AutoScribe, or by userId.

HL7 v2.5.1 §2.A.86 (XCN), https://hl7.org/fhir/R4/practitioner.html, issue B. A spelling finds a provider only by exact
match (`mappings.profile.table.exact`); error texts never show the content of a row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mappings.issues import SiteError
from mappings.profile.table import SheetRow, exact, is_npi, read_rows

NAME_PARTS: Final = ("family", "given", "middle", "prefix", "suffix", "degree")
PROVIDER_COLUMNS: Final = ("name", "user_id", "local_id", "npi", *NAME_PARTS)
_USER_ID: Final = re.compile(r"usr_[0-9a-f]{32}")
_LOCAL_ID: Final = re.compile(r"[^\s\x00-\x1f\x7f]{1,15}")  # HL7 v2.5.1 §2.A.86, XCN.1 ST


@dataclass(frozen=True, slots=True)
class Provider:
    """A row of the directory: `local_id` is under the site's `provider_authority`; absent values are empty.

    The name parts are those of XCN.2 to XCN.7; several given or middle names share one part, separated by blanks.
    """

    family: str
    given: str = ""
    middle: str = ""
    prefix: str = ""
    suffix: str = ""
    degree: str = ""
    npi: str = ""
    local_id: str = ""


@dataclass(frozen=True, slots=True)
class Directory:
    """Providers by the key of each spelling of their name, and by userId."""

    by_name: Mapping[str, Provider]
    by_user_id: Mapping[str, Provider]

    @property
    def has_local_ids(self) -> bool:
        """True if a provider has an identifier that needs an authority."""
        return any(one.local_id for rows in (self.by_name, self.by_user_id) for one in rows.values())


NO_PROVIDERS: Final = Directory({}, {})


def read_providers(text: str, faults: list[SiteError]) -> Directory:
    """Read the providers of a CSV text with the columns `name,user_id,local_id,npi,family,given,…`."""
    by_name: dict[str, Provider] = {}
    by_user_id: dict[str, Provider] = {}
    lines: dict[str, int] = {}
    npi_of: dict[str, str] = {}
    for row in read_rows(text, "mapping.providers", PROVIDER_COLUMNS, ("family",), faults):
        provider = _provider(row)
        _refuse_another_person(row, provider, npi_of)
        for column, key, rows in (("name", exact(row.text("name")), by_name), ("user_id", _user_id(row), by_user_id)):
            first = lines.setdefault(f"{column} {key}", row.line)
            if key and first != row.line:
                row.refuse(column, f"the same {column} as in line {first}", "Keep one of them.")
            elif key and provider:
                rows[key] = provider
    return Directory(by_name, by_user_id)


def _refuse_another_person(row: SheetRow, provider: Provider | None, npi_of: dict[str, str]) -> None:
    """Refuse a local id with two NPIs: a receiver would take the two persons for one."""
    if provider is None or not (provider.local_id and provider.npi):
        return
    if npi_of.setdefault(provider.local_id, provider.npi) != provider.npi:
        row.refuse("local_id", "the id of an earlier line with another NPI", "Give each person an id of their own.")


def _user_id(row: SheetRow) -> str:
    """Return the userId of a row, empty if it is invalid; a row needs a userId or a name."""
    user_id = row.text("user_id")
    if not user_id and not row.text("name"):
        row.refuse("name", "neither name nor user_id", "Write the name as AutoScribe spells it, or the userId.")
    if not user_id or _USER_ID.fullmatch(user_id):
        return user_id
    row.refuse("user_id", "not a userId", "Write usr_ and 32 hex digits, as AutoScribe has it.")
    return ""


def _provider(row: SheetRow) -> Provider | None:
    parts = {column: " ".join(row.text(column).split()) for column in NAME_PARTS}
    npi, local_id = row.text("npi"), row.text("local_id")
    known = len(row.faults)
    if not parts["family"]:
        row.refuse("family", "missing", "Write the family name.")
    if npi and not is_npi(npi):
        row.refuse("npi", "not a National Provider Identifier", "Write its ten digits; the last is a check digit.")
    if local_id and not _LOCAL_ID.fullmatch(local_id):
        row.refuse("local_id", "not 1 to 15 characters without a blank", "Write the id as the site's system has it.")
    return Provider(**parts, npi=npi, local_id=local_id) if len(row.faults) == known else None
