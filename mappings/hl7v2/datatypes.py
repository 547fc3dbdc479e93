"""Write names and authorities as HL7 v2 types (XPN, XCN, CNN, HD) in ER7; the caller of `xpn` gives XPN.7.

HL7 v2.5.1 §2.A.88 (XPN), §2.A.86 (XCN), §2.A.11 (CNN), §2.A.36 (HD), §2.A.28 (EI), decision D14.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mappings.hl7v2.er7 import components, repetitions, subcomponents, value
from mappings.hl7v2.versions import DEGREE_IS_PROFESSIONAL_SUFFIX
from mappings.issues import MappingIssue
from mappings.model import User
from mappings.patient.identifiers import is_npi, is_oid
from mappings.profile import NameOrder, Provider
from mappings.study.signers import spoken_name
from mappings.values.names import PersonName, is_generation, parse_name

# Family, given, middle, suffix, prefix, degree, in the order of XPN and XCN
_Parts = tuple[str, str, str, str, str, str]
_NOTHING: Final = ("",) * 6


@lru_cache
def hd(text: str | None, separator: str = "^") -> str:
    """Write HD: an OID as universal id (`^1.2.3^ISO`), else a namespace id; `separator` is `&` inside a component."""
    plain = value(text)
    return f"{separator}{plain}{separator}ISO" if is_oid(plain) else plain


@lru_cache
def _suffix_and_degree(suffixes: tuple[str, ...]) -> tuple[str, str]:
    """Split suffixes into XPN.4 and XPN.6."""
    if not suffixes:
        return "", ""
    degrees = [one for one in suffixes if not is_generation(one)]
    generations = [one for one in suffixes if one not in degrees]
    return value(" ".join(generations)), value(" ".join(degrees))


def _parts(name: PersonName) -> _Parts:
    """Family, given, middle, suffix, prefix, degree, in the order of XPN and XCN; an unsplit name is the family."""
    if not (name.family or name.given):
        return value(name.text), "", "", "", "", ""
    given, middle = (name.given[0], " ".join(name.given[1:])) if name.given else ("", "")
    suffix, degree = _suffix_and_degree(name.suffix)
    return value(name.family), value(given), value(middle), suffix, value(" ".join(name.prefix)), degree


def xpn(name: PersonName, type_code: str, version: str = "2.5.1") -> str:
    """Write XPN; `type_code` is of table 0200. A degree is XPN.6, or professional suffix in versions without XPN.6."""
    parts = _parts(name)
    if parts[5] and version in DEGREE_IS_PROFESSIONAL_SUFFIX:
        return components(*parts[:5], "", type_code, *[""] * 6, parts[5])
    return components(*parts, type_code)


def xcn(name: PersonName, version: str = "2.5.1") -> str:
    """Write XCN of a person known only by name."""
    return _xcn("", _parts(name), _NOTHING, version)


@lru_cache(maxsize=1024)
def referrer(text: str | None, order: NameOrder | None, version: str) -> tuple[PersonName | None, str]:
    """Return a referring physician's name, split on evidence, and its XCN; cached, since a site has few."""
    name = parse_name(text, order)
    return name, xcn(name, version) if name else ""


def provider_xcn(provider: Provider, namespace: str, version: str) -> str:
    """Write XCN of a provider in the site's directory: a repetition for the NPI and one for the id of `namespace`."""
    suffix, prefix, degree = value(provider.suffix), value(provider.prefix), value(provider.degree)
    parts = value(provider.family), value(provider.given), value(provider.middle), suffix, prefix, degree
    numbers = ((provider.npi, "NPI"), (value(provider.local_id), namespace))
    known = [one for one in numbers if one[0]] or [("", "")]
    return repetitions(_identified(number, parts, authority, version) for number, authority in known)


def _identified(number: str, parts: _Parts, authority: str, version: str) -> str:
    """Write XCN with the authority of its number (XCN.9) and the number's type (XCN.13, table 0203): NPI, else PRN."""
    type_code = authority if authority in ("", "NPI") else "PRN"
    return identified_xcn(number, parts, (value(authority), type_code), version)


def identified_xcn(number: str, parts: _Parts, issued: tuple[str, str], version: str) -> str:
    """Write XCN from escaped parts; `issued` has the number's authority (XCN.9) and type (XCN.13)."""
    name_type = "L" if any(parts) else ""
    return _xcn(number, parts, ("", issued[0], name_type, "", "", issued[1]), version)


def _xcn(number: str, parts: _Parts, rest: tuple[str, ...], version: str) -> str:
    """Write XCN from XCN.1, the names, and XCN.8 to .13; a degree is XCN.7, or the professional suffix as in `xpn`."""
    if parts[5] and version in DEGREE_IS_PROFESSIONAL_SUFFIX:
        return components(number, *parts[:5], "", *rest, *[""] * 7, parts[5])
    return components(number, *parts, *rest)


@dataclass(frozen=True, slots=True)
class Signer:
    """Signer of a report, in the fields of `version`: the `number` issued by `authority`, or "", and the escaped name.

    `user` has the person's data from AutoScribe and the site's provider directory.
    """

    user: User
    number: str
    authority: str
    parts: _Parts
    version: str

    @property
    def xcn(self) -> str:
        """Write XCN, with the authority of the number (XCN.9) and its type (XCN.13, table 0203)."""
        return _identified(self.number, self.parts, self.authority, self.version)

    @property
    def cnn(self) -> str:
        """Write CNN as sub-components of one component, with the authority of the number (CNN.9)."""
        return subcomponents(self.number, *self.parts, "", value(self.authority))

    @property
    def vista_name(self) -> str:
        """Write `FAMILY,GIVEN` for VistA's lookup: the family name alone if no given name is known."""
        return ",".join(filter(None, self.parts[:2])).upper()

    @property
    def display(self) -> str:
        """First, middle and last name with suffixes, not escaped."""
        return spoken_name(self.user)


def signer(user: User, provider: Provider | None, namespace: str, version: str, issues: list[MappingIssue]) -> Signer:
    """Build the signer from Report.userId, with the NPI only if it is valid.

    A number missing in AutoScribe comes from the site's `provider` directory: its NPI, else the local id of
    `namespace`.
    """
    number, authority = value(user.npi_number), "NPI"
    if number and not is_npi(number):
        issues.append(MappingIssue("npi-invalid", "warning", f"{user.pointer}/npiNumber", "not sent as an NPI"))
        number = ""
    if provider and not number:
        number, authority = (provider.npi, "NPI") if provider.npi else (value(provider.local_id), namespace)
    suffix, degree = _suffix_and_degree(tuple([one.strip() for one in (user.suffix1, user.suffix2) if one]))
    names = value(user.last_name), value(user.first_name), value(user.middle_name)
    return Signer(user, number, authority if number else "", (*names, suffix, "", degree), version)
