"""Find the patients, orders and visits that a stored hospital message names, even if it was never applied.

HL7 v2.5.1 §3.4.2 (PID), §3.4.9 (MRG), §4.5.1 (ORC); decisions D48, D49. A message is read whole, whatever its source
may send today. Of a source that is in no settings, numbers are read that name an authority of the settings.
Proved by tests/gateway/ingest/orders/test_named_numbers.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from gateway.ingest.orders.apply_orders import names_of
from gateway.ingest.orders.sources import survey_sources
from gateway.settings import Configuration
from gateway.store.orders.numbers import number_text
from mappings.hl7v2.inbound import MERGE_TYPES, SourceRules, read_hospital_message
from mappings.hl7v2.received import Received, Unreadable, read
from mappings.hospital.authorities import Authorities, HospitalNumber, OrderSource
from mappings.hospital.events import Authority, HospitalMessage
from mappings.hospital.groups import resolve_change


@dataclass(frozen=True, slots=True)
class NamedNumbers:
    """Numbers in a message: its patient's, `other_patients`', and key texts of its orders' and its visit's.

    `merged` has the numbers of each PATIENT group of a merge, since all groups are applied; nothing for other messages.
    """

    patients: frozenset[HospitalNumber] = frozenset()
    other_patients: frozenset[HospitalNumber] = frozenset()
    texts: frozenset[str] = frozenset()
    merged: tuple[frozenset[HospitalNumber], ...] = ()


class MessageNumbers:
    """Reader of the numbers in stored messages; `first_names` are those of renamed sources by their present ones.

    Numbers of `former` authorities are read, too, though no source names them any more.
    """

    def __init__(
        self, configuration: Configuration, first_names: Mapping[str, str], former: Iterable[Authority] = ()
    ) -> None:
        self._former = tuple(former)
        self._authorities = Authorities(configuration.site)
        sources = [one.as_stored(first_names) for one in survey_sources(configuration)[0]]
        self._known = {one.stored_name: one for one in sources}
        every = [authority for one in self._known.values() for authority in one.rules.authorities]
        self._of_others = SourceRules(authorities=tuple(dict.fromkeys(every)))

    def of(self, source: str, payload: bytes) -> NamedNumbers:
        """Return the numbers in a message; none if it is no HL7 v2 message."""
        try:
            received = read(payload)
        except Unreadable:
            return NamedNumbers()
        known = self._known.get(source)
        sender = known.order_source if known else OrderSource(source)
        rules = known.rules if known else self._of_others
        messages = [self._message(one, rules) for one in _of_each_patient(received)]
        patients, *others = [self._patients(one, sender) for one in messages]
        merged = (patients, *others) if messages[0].structure in MERGE_TYPES else ()
        texts = frozenset(self._texts(messages[0], sender))
        return NamedNumbers(patients, frozenset().union(*others) - patients, texts, merged)

    def _message(self, received: Received, rules: SourceRules) -> HospitalMessage:
        processing_id = received.components(received.msh.field(11))[0]
        taking = SourceRules(rules.zone, rules.charset, rules.accession_field)
        taking = replace(taking, authorities=(*rules.authorities, *self._former), bare=rules.bare)
        return read_hospital_message(received, replace(taking, processing_ids=frozenset({processing_id.strip()})))

    def _patients(self, message: HospitalMessage, sender: OrderSource) -> frozenset[HospitalNumber]:
        changed = [number for one in message.changes for number in resolve_change(one, self._authorities, sender)]
        own = self._authorities.patient_numbers(message.patient.numbers, sender)
        return frozenset(own).union(one for one in changed if one.kind == "patient")

    def _texts(self, message: HospitalMessage, sender: OrderSource) -> Iterator[str]:
        for event in message.orders:
            yield from names_of(event, self._authorities, sender).every
        if key := self._authorities.key_of("visit", message.visit.number if message.visit else None, sender):
            yield number_text(key)


def _of_each_patient(received: Received) -> list[Received]:
    """Split a message into one for each PID, each with what stands before the first; unsplit without a PID."""
    segments = received.segments
    places = [place for place, segment in enumerate(segments) if segment.name == "PID"] or [len(segments)]
    ends = [*places[1:], len(segments)]
    parts = [segments[start:end] for start, end in zip(places, ends, strict=True)]
    return [replace(received, segments=segments[: places[0]] + part) for part in parts]
