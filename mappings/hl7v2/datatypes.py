"""The HL7 v2 data types that our fields are made of, as ER7 text.

HL7 v2.5.1 §2.A.88 (XPN), §2.A.86 (XCN), §2.A.11 (CNN), §2.A.36 (HD), decision D14.
"""

from __future__ import annotations

import re
from typing import Final

from mappings.hl7v2.er7 import components, subcomponents, value
from mappings.identifiers import is_npi
from mappings.issues import MappingIssue
from mappings.model import User
from mappings.names import PersonName

# Suffixes that belong to the name (XPN.4); the others are degrees (XPN.6)
_GENERATIONS: Final = frozenset({"JR", "SR", "II", "III", "IV", "V"})
_OID: Final = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*))+")


def hd(text: str | None, separator: str = "^") -> str:
    """HD: an OID as universal id (`^1.2.3^ISO`), anything else as namespace id; `separator` `&` inside a component."""
    plain = value(text)
    return f"{separator}{plain}{separator}ISO" if _OID.fullmatch(plain) else plain


def _suffix_and_degree(suffixes: tuple[str, ...]) -> tuple[str, str]:
    generations = [one for one in suffixes if one.strip(".,").upper() in _GENERATIONS]
    degrees = [one for one in suffixes if one not in generations]
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


def xcn_of_user(user: User, issues: list[MappingIssue]) -> str:
    """XCN of a User, with the NPI where it is one."""
    parts, npi = _user_parts(user), _npi(user, issues)
    if not any(parts):
        return npi and components(npi, *[""] * 7, "NPI", "", "", "", "NPI")
    return components(npi, *parts, "", "NPI" if npi else "", "L", "", "", "NPI" if npi else "")


def cnn_of_user(user: User, issues: list[MappingIssue]) -> str:
    """CNN of a User as sub-components of one component, with the NPI where it is one."""
    return subcomponents(_npi(user, issues), *_user_parts(user))


def display_name(user: User) -> str:
    """First, middle and last name with suffixes, not escaped."""
    parts = (user.first_name, user.middle_name, user.last_name, user.suffix1, user.suffix2)
    return " ".join(part.strip() for part in parts if part and part.strip())


def _user_parts(user: User) -> tuple[str, str, str, str, str, str]:
    suffix, degree = _suffix_and_degree(tuple(one.strip() for one in (user.suffix1, user.suffix2) if one))
    return value(user.last_name), value(user.first_name), value(user.middle_name), suffix, "", degree


def _npi(user: User, issues: list[MappingIssue]) -> str:
    number = value(user.npi_number)
    if not number or is_npi(number):
        return number
    issues.append(MappingIssue("npi-invalid", "warning", f"{user.pointer}/npiNumber", "not sent as an NPI"))
    return ""
