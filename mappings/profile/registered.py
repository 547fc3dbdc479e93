"""Check the form and check digits of registered identifiers: NPI, LOINC code, OID.

45 CFR 162.406 (NPI), https://loinc.org/kb/users-guide (LOINC code and check digit), HL7 v2.5.1 §2.A.36 (OID).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_LUHN_DOUBLED: Final = bytes.maketrans(b"0123456789", bytes([0, 2, 4, 6, 8, 1, 3, 5, 7, 9]))
_LOINC: Final = re.compile(r"([0-9]{1,7})-([0-9])")
_OID: Final = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*))+")


@lru_cache(maxsize=1024)
def is_npi(number: str) -> bool:
    """True for ten ASCII digits, the last the Luhn check digit of `80840` and the first nine (45 CFR 162.406)."""
    if len(number) != 10 or not (number.isascii() and number.isdigit()):
        return False
    digits = number.encode()
    return (24 + sum(digits[::2].translate(_LUHN_DOUBLED)) + sum(digits[1::2]) - 5 * ord("0")) % 10 == 0


def is_loinc(code: str) -> bool:
    """True for up to seven digits, a hyphen and their mod 10 check digit."""
    match = _LOINC.fullmatch(code)
    if match is None:
        return False
    digits = match[1].encode()[::-1]
    doubled, plain = digits[::2].translate(_LUHN_DOUBLED), digits[1::2]
    return (sum(doubled) + sum(plain) - len(plain) * ord("0") + int(match[2])) % 10 == 0


def is_oid(text: str) -> bool:
    """True for an OID in dots and digits (HL7 v2.5.1 §2.A.36, ISO)."""
    return text[:1].isdigit() and _OID.fullmatch(text) is not None
