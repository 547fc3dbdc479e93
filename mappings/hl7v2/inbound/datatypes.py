"""Read the datatypes of inbound fields: numbers with issuers, names, codes, locations, and times.

HL7 v2.5.1 §2.A.14 (CX), §2.A.28 (EI), §2.A.36 (HD), §2.A.86 (XCN), §2.A.88 (XPN), §2.A.13 (CWE), §2.A.53 (PL), §2.A.77
(TS), §2.A.22 (DTM). Older versions have the same parts at the same positions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Final

from mappings.hl7v2.inbound.element import InboundElement
from mappings.hl7v2.inbound.source import KeyKind
from mappings.hospital.events import Authority, Clinician, CodedText, InboundIssueCode, IssuedNumber

_DTM: Final = re.compile(
    r"([0-9]{4})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:\.([0-9]{1,6}))?)?)?)?)?)?"
    r"([+-][0-9]{4})?"
)
_FURTHEST: Final = timedelta(hours=14)
_LEGAL_NAME: Final = "L"


def hd(element: InboundElement, number: int) -> Authority:
    """Read component `number`, an HD whose parts are subcomponents."""
    return Authority(*(element.component(number, part) for part in (1, 2, 3)))


def cx(element: InboundElement, kind: KeyKind) -> IssuedNumber | None:
    """Read a number of a patient, an account or a visit; None if it is empty, or of an authority of others."""
    number = IssuedNumber(element.component(), hd(element, 4), element.component(5))
    is_whole = not (element.is_valued(4) and not number.authority.is_named) and not (
        element.is_valued(5) and not number.type_code
    )
    return _known(element, kind, number, is_whole=is_whole)


def ei(element: InboundElement, kind: KeyKind) -> IssuedNumber | None:
    """Read a number of an order; None if it is empty, or of an authority of others."""
    number = IssuedNumber(element.component(), Authority(*(element.component(part) for part in (2, 3, 4))))
    is_whole = number.authority.is_named or not any(map(element.is_valued, (2, 3, 4)))
    return _known(element, kind, number, is_whole=is_whole)


def eip(element: InboundElement, number: int, kind: KeyKind) -> IssuedNumber | None:
    """Read component `number`, an EI whose parts are subcomponents; None as for `ei`."""
    mark = element.reader.delimiters
    part = element.raw.split(mark.component, number)[number - 1 : number]
    raw = "".join(part).replace(mark.subcomponent, mark.component)
    return ei(replace(element, raw=raw), kind)


def xcn(elements: Iterable[InboundElement]) -> tuple[Clinician, ...]:
    """Read clinicians. Repetitions under one name with numbers of different issuers are one clinician."""
    found: list[Clinician] = []
    for one in map(_clinician, elements):
        if one == Clinician():
            continue
        same = next((n for n, other in enumerate(found) if _is_same_clinician(one, other)), None)
        if same is None:
            found.append(one)
        else:
            found[same] = replace(found[same], numbers=found[same].numbers + one.numbers)
    return tuple(found)


def xpn(elements: tuple[InboundElement, ...]) -> tuple[str, str, str]:
    """Read family, given and middle name: of the first legal name (XPN.7 `L` or empty), else of the first one."""
    legal = (element for element in elements if element.component(7) in ("", _LEGAL_NAME))
    chosen = next(legal, elements[0] if elements else None)
    if chosen is None:
        return "", "", ""
    return chosen.text(1), chosen.text(2), chosen.text(3)


def cwe(element: InboundElement) -> CodedText:
    """Read a code with text; older versions name it CE."""
    code, text = element.component, element.text
    return CodedText(code(1), text(2), code(3), code(4), text(5), code(6))


def cwe_text(element: InboundElement) -> tuple[str, ...]:
    """Read the words of a code: its text, else the original text (CWE.9), else the code; lines apart."""
    return element.lines(2) or element.lines(9) or element.lines(1)


def pl(element: InboundElement) -> tuple[str, ...]:
    """Read the components of a location; empty ones at the end are left out."""
    parts = list(element.components())
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)


def ts_day(element: InboundElement) -> str:
    """Read a date as YYYYMMDD; "" if it is less than a day exact, or with an issue if it does not exist."""
    text = element.component()
    found = _DTM.fullmatch(text)
    if not text or (found and not found[3]):
        return ""
    try:
        if found:
            return date(int(found[1]), int(found[2]), int(found[3])).isoformat().replace("-", "")
    except ValueError:
        pass
    element.reader.note("date-impossible", element.place)
    return ""


def ts(element: InboundElement) -> datetime | None:
    """Read a moment with its offset, or in the source's time zone; None with an issue if it is not exactly known.

    It is not known if it is less than a minute exact, if it does not exist, or if clocks were set back and it is there
    twice: a guess would put messages into a wrong order.
    """
    text = element.component()
    if not text:
        return None
    found = _DTM.fullmatch(text)
    if found and not found[5]:
        element.reader.note("time-not-exact", element.place)
        return None
    try:
        read = _moment(found, element.reader.source.zone) if found else "time-impossible"
    except (ValueError, OverflowError):
        read = "time-impossible"
    if isinstance(read, datetime):
        return read
    element.reader.note(read, element.place)
    return None


def _moment(found: re.Match[str], zone: tzinfo | None) -> datetime | InboundIssueCode:
    """Return the moment, or the code of the issue; ValueError or OverflowError if it does not exist."""
    parts = [int(part or 0) for part in found.group(1, 2, 3, 4, 5, 6)]
    micro = int((found[7] or "").ljust(6, "0"))
    local = datetime(parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], micro)  # noqa: DTZ001
    if found[8]:
        offset = timedelta(hours=int(found[8][1:3]), minutes=int(found[8][3:]))
        if offset > _FURTHEST or int(found[8][3:]) > 59:
            raise ValueError
        moment = local.replace(tzinfo=timezone(-offset if found[8][0] == "-" else offset))
        moment.astimezone(UTC)
        return moment
    if zone is None:
        return "time-without-zone"
    first, second = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        first.astimezone(UTC)
        return local.replace(tzinfo=timezone(first.utcoffset() or timedelta()))
    back = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
    return "time-ambiguous" if back == local else "time-impossible"


def _known(element: InboundElement, kind: KeyKind, number: IssuedNumber, *, is_whole: bool) -> IssuedNumber | None:
    """Return the number with its authority as the source's settings write it; None if it cannot be a key.

    It cannot if its authority or type is there and not decodable: without them it would be another number.
    """
    if not number.value:
        return None
    if not is_whole:
        element.reader.note("authority-unreadable", element.place)
        return None
    authority = element.reader.source.recognised(number.authority, kind)
    if authority is None:
        element.reader.note("authority-not-of-source", element.place)
        return None
    return replace(number, authority=authority, named=number.authority)


def _clinician(element: InboundElement) -> Clinician:
    """Read one XCN. Its number is no key, and may be of any authority."""
    value = element.component()
    return Clinician(
        (IssuedNumber(value, hd(element, 9), element.component(13)),) if value else (),
        family=element.text(2),
        given=element.text(3),
        middle=element.text(4),
        suffix=element.text(5),
        prefix=element.text(6),
        degree=element.text(7),
    )


def _is_same_clinician(one: Clinician, other: Clinician) -> bool:
    """Compare by name; two numbers of one issuer and type are two clinicians."""
    names = [(who.family.casefold(), who.given.casefold()) for who in (one, other)]
    return names[0] == names[1] and all(names[0]) and not _issuers(one) & _issuers(other)


def _issuers(clinician: Clinician) -> set[tuple[Authority, str]]:
    return {(number.authority, number.type_code) for number in clinician.numbers}
