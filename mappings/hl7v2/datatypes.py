"""The HL7 v2 data types that our fields are made of, as ER7 text.

HL7 v2.5.1 §2.A.88 (XPN), §2.A.86 (XCN), §2.A.11 (CNN), §2.A.36 (HD), decision D14.
"""

from __future__ import annotations

from dataclasses import dataclass

from mappings.hl7v2.er7 import components, subcomponents, value
from mappings.identifiers import is_npi, is_oid
from mappings.issues import MappingIssue
from mappings.model import User
from mappings.names import PersonName, is_generation


def hd(text: str | None, separator: str = "^") -> str:
    """HD: an OID as universal id (`^1.2.3^ISO`), anything else as namespace id; `separator` `&` inside a component."""
    plain = value(text)
    return f"{separator}{plain}{separator}ISO" if is_oid(plain) else plain


def _suffix_and_degree(suffixes: tuple[str, ...]) -> tuple[str, str]:
    """XPN.4 and XPN.6."""
    if not suffixes:
        return "", ""
    generations = [one for one in suffixes if is_generation(one)]
    degrees = [one for one in suffixes if not is_generation(one)]
    return value(" ".join(generations)), value(" ".join(degrees))


def _parts(name: PersonName) -> tuple[str, str, str, str, str, str]:
    """Family, given, middle, suffix, prefix, degree, in the order of XPN and XCN; unsplit, the whole is the family."""
    if not (name.family or name.given):
        return value(name.text), "", "", "", "", ""
    given, middle = (*name.given, "")[0], " ".join(name.given[1:])
    suffix, degree = _suffix_and_degree(name.suffix)
    return value(name.family), value(given), value(middle), suffix, value(" ".join(name.prefix)), degree


def xpn(name: PersonName, type_code: str) -> str:
    """XPN; `type_code` of table 0200."""
    return components(*_parts(name), type_code)


def xcn(name: PersonName) -> str:
    """XCN of someone of whom only the name is known."""
    return components("", *_parts(name))


@dataclass(frozen=True, slots=True)
class Signer:
    """A User as the fields have it: `npi` or "", and family, given, middle, suffix, prefix, degree, all escaped."""

    user: User
    npi: str
    parts: tuple[str, str, str, str, str, str]

    @property
    def xcn(self) -> str:
        """XCN, with the authority of the NPI (XCN.9) and its type (XCN.13, table 0203)."""
        authority = "NPI" if self.npi else ""
        name_type = "L" if any(self.parts) else ""
        return components(self.npi, *self.parts, "", authority, name_type, "", "", authority)

    @property
    def cnn(self) -> str:
        """CNN as sub-components of one component."""
        return subcomponents(self.npi, *self.parts)

    @property
    def display(self) -> str:
        """First, middle and last name with suffixes, not escaped."""
        user = self.user
        parts = (user.first_name, user.middle_name, user.last_name, user.suffix1, user.suffix2)
        return " ".join(part.strip() for part in parts if part and part.strip())


def signer(user: User, issues: list[MappingIssue]) -> Signer:
    """The User behind Report.userId, with the NPI only where it is one."""
    npi = value(user.npi_number)
    if npi and not is_npi(npi):
        issues.append(MappingIssue("npi-invalid", "warning", f"{user.pointer}/npiNumber", "not sent as an NPI"))
        npi = ""
    suffix, degree = _suffix_and_degree(tuple(one.strip() for one in (user.suffix1, user.suffix2) if one))
    names = value(user.last_name), value(user.first_name), value(user.middle_name)
    return Signer(user, npi, (*names, suffix, "", degree))
