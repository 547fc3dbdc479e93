"""Read the settings for a facility's FHIR Organization: identifiers, telephone, address.

https://hl7.org/fhir/R4/organization.html, US Core Organization Profile. Nothing is made up: absent values are empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mappings.profile.registered import is_npi, is_oid
from mappings.profile.table import Table

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
