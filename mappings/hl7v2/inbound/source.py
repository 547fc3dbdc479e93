"""Rules of one source of hospital messages: what it may send, and whose numbers it may name.

HL7 v2.5.1 §2.15.9 (MSH), §2.A.36 (HD); decision D48. The settings of a source fill `SourceRules`.
Proved by tests/mappings/hl7v2/inbound/test_inbound.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from mappings.hospital.events import Authority, InboundIssue

KeyKind = Literal["patient", "visit", "account", "placer", "filler", "accession"]
AccessionField = Literal[
    "", "IPC-1", "OBR-2", "OBR-3", "OBR-18", "OBR-19", "OBR-20", "OBR-21", "ORC-2", "ORC-3", "ORC-4"
]
"""Field with the accession number; empty: IPC-1 if there is an IPC, else OBR-18."""

ORDER_TYPES: Final = frozenset({"ORM^O01", "OMI^O23", "OMG^O19"})
VISIT_TYPES: Final = frozenset(
    {
        "ADT^A01",
        "ADT^A02",
        "ADT^A03",
        "ADT^A04",
        "ADT^A05",
        "ADT^A06",
        "ADT^A07",
        "ADT^A08",
        "ADT^A11",
        "ADT^A12",
        "ADT^A13",
        "ADT^A28",
        "ADT^A31",
    }
)
MERGE_TYPES: Final = frozenset(
    {
        "ADT^A18",
        "ADT^A34",
        "ADT^A35",
        "ADT^A36",
        "ADT^A37",
        "ADT^A40",
        "ADT^A41",
        "ADT^A42",
        "ADT^A43",
        "ADT^A44",
        "ADT^A45",
        "ADT^A47",
        "ADT^A50",
    }
)
READABLE: Final = ORDER_TYPES | VISIT_TYPES | MERGE_TYPES


class FacilityNumbers(NamedTuple):
    """Authorities for a facility's numbers that name none, by kind of number."""

    facility: str
    authorities: Mapping[KeyKind, Authority]


@dataclass(frozen=True, slots=True)
class SourceRules:
    """Rules of one source. An empty set of senders, receivers or sections does not filter.

    - `zone`: time zone of times without offset; None: such times are not known.
    - `charset`: name of table 0211 where MSH-18 is empty; empty: ASCII, as HL7 has it.
    - `accession_field`: field with the accession number.
    - `message_types`: those that are listed, of `READABLE`.
    - `authorities`: authorities that the source speaks for. A number of any other authority is not read.
    - `bare`: authority of numbers that name none, by their kind. Without it they stay without one.
    - `sending_facilities` and `location_facilities`: facility by exact values of MSH-4, and for visit numbers of
      PV1-3.4, of a source that sends for several. They decide `bare` of each message (`of_message`).
    - `senders`: MSH-3 and MSH-4. `processing_ids`: MSH-11.
    - `sections`: OBR-24 of radiology. `receiving_applications` and `receiving_facilities`: MSH-5 and MSH-6.
    """

    zone: ZoneInfo | None = None
    charset: str = ""
    accession_field: AccessionField = ""
    message_types: frozenset[str] = READABLE
    authorities: tuple[Authority, ...] = ()
    bare: Mapping[KeyKind, Authority] = field(default_factory=dict)
    sending_facilities: Mapping[str, FacilityNumbers] = field(default_factory=dict)
    location_facilities: Mapping[str, FacilityNumbers] = field(default_factory=dict)
    senders: frozenset[tuple[str, str]] = frozenset()
    processing_ids: frozenset[str] = frozenset({"P"})
    sections: frozenset[str] = frozenset()
    receiving_applications: frozenset[str] = frozenset()
    receiving_facilities: frozenset[str] = frozenset()

    def of_message(self, sending: str, locations: Collection[str]) -> tuple[SourceRules, tuple[InboundIssue, ...]]:
        """Return the rules for the numbers of one message, by its MSH-4 and its values of PV1-3.4, with issues.

        A value that is not mapped, or values of two facilities, name none: nothing is guessed.
        """
        if not (self.sending_facilities or self.location_facilities):
            return self, ()
        sender, issues = self.sending_facilities.get(sending), list[InboundIssue]()
        if self.sending_facilities and sender is None:
            issues.append(InboundIssue("facility-unmapped", "MSH-4"))
        bare = dict(sender.authorities) if sender else {}
        if self.location_facilities and locations:
            found = [self.location_facilities.get(one) for one in locations]
            known = [one for one in (*found, sender) if one]
            bare.pop("visit", None)
            if None in found:
                issues.append(InboundIssue("facility-unmapped", "PV1-3"))
            elif len({one.facility for one in known}) > 1:
                issues.append(InboundIssue("facility-differs", "PV1-3"))
            else:
                bare |= {kind: one for kind, one in known[0].authorities.items() if kind == "visit"}
        return replace(self, bare=bare), tuple(issues)

    def recognised(self, named: Authority, kind: KeyKind) -> Authority | None:
        """Return the authority as the settings write it, for comparison; None for an authority of others."""
        if not named.is_named:
            return self.bare.get(kind, named)
        return next((own for own in self.authorities if _is_same(own, named)), None)


def _is_same(own: Authority, named: Authority) -> bool:
    """Compare by the universal ids if both have one, else by the namespaces."""
    if own.universal_id and named.universal_id:
        types = {own.universal_id_type, named.universal_id_type} - {""}
        return own.universal_id == named.universal_id and len(types) <= 1
    return bool(own.namespace) and own.namespace == named.namespace
