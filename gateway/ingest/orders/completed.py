"""Read the authority of a stored number anew, as the settings write it.

HL7 v2.5.1 §2.A.36 (HD), decision D48. What a message names in full stays; the settings complete what it names in part.
Proved by tests/gateway/ingest/orders/test_rekeying.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, overload

from mappings.hl7v2.inbound import KeyKind, SourceRules
from mappings.hospital.events import IssuedNumber, Visit
from mappings.hospital.known_order import MessageAge

_FACILITY: Final = 3  # place of PL.4 among the components of a location


def rules_for(rules: SourceRules, age: MessageAge, visit: Visit | None) -> SourceRules:
    """Return the rules for the numbers of a stored message, by its sender and the facility of its visit's location."""
    place = visit.location[_FACILITY] if visit and len(visit.location) > _FACILITY else ""
    return rules.of_message(age.sender[1], [place] if place else [])[0]


@overload
def completed(number: IssuedNumber, kind: KeyKind, rules: SourceRules) -> IssuedNumber: ...
@overload
def completed(number: None, kind: KeyKind, rules: SourceRules) -> None: ...
@overload
def completed(number: IssuedNumber | None, kind: KeyKind, rules: SourceRules) -> IssuedNumber | None: ...
def completed(number: IssuedNumber | None, kind: KeyKind, rules: SourceRules) -> IssuedNumber | None:
    """Return a number under the authority that its message names, as the settings write it; else the number."""
    if number is None or number.named is None:
        return number
    authority = rules.recognised(number.named, kind)
    return number if authority is None else replace(number, authority=authority)
