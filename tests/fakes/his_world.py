"""The sandbox's hospital from end to end without a database: bytes are read, applied in order, and matched.

A second applying loop, apart from the gateway's: it finds an order by its placer or filler number, and no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gateway.sandbox.his import HisMessage, his_stories, issuers, with_numbers
from gateway.sandbox.his_telling import ACCESSION_KEY, PLACER_KEY, HisTruth
from gateway.sandbox.seed import generate, report_list
from mappings.hl7v2.inbound import SourceRules, read_hospital_message
from mappings.hl7v2.received import read
from mappings.hospital.authorities import Authorities, OrderSource
from mappings.hospital.events import Authority, HospitalMessage, OrderEvent
from mappings.hospital.groups import ResolvedChange, indexed, merged, resolve_change
from mappings.hospital.known_order import KnownOrder, applied
from mappings.hospital.match import KnownHospital, Match, match, order_search
from mappings.model import Facts
from mappings.patient.subjects import subjects
from mappings.profile import AssigningAuthority, Facility, Site
from mappings.study.autoscribe import decode

SOURCE = OrderSource("sandbox-his")


def his_site() -> Site:
    """Settings of a site that knows the issuers of the sandbox's hospital."""
    rows = []
    for place, numbers in issuers():
        given = {kind: AssigningAuthority(*one) for kind, one in numbers.items()}
        mrn = AssigningAuthority(place.mrn_system, place.mrn_namespace)
        zone, order = ZoneInfo(place.time_zone), place.name_order
        rows.append(Facility(name=place.name, time_zone=zone, name_order=order, mrn=mrn, **given))  # type: ignore[arg-type]
    return Site(facilities={row.name: row for row in rows}, accession_keys=(ACCESSION_KEY,), placer_keys=(PLACER_KEY,))


def his_rules(site: Site) -> SourceRules:
    """Rules of the source: it speaks for all issuers of the site, and for visits."""
    named = [one.namespace for row in site.facilities.values() for one in row.authorities]
    visits = [f"{place.mrn_namespace}VN" for place, _ in issuers()]
    return SourceRules(authorities=tuple(Authority(one) for one in (*named, *visits)))


@dataclass
class HisWorld:
    """Studies with their truths, and the messages about them."""

    seed: int
    count: int
    site: Site = field(default_factory=his_site)
    stories: list[tuple[HisTruth, list[HisMessage]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        seeded = [one for one in generate(self.seed, self.count).seeded if one.study["studyType"] != "external"]
        self.stories = his_stories([(one.study, one.reports) for one in seeded], self.seed)
        self.studies = [
            (with_numbers(one.study, truth), one.reports) for one, (truth, _) in zip(seeded, self.stories, strict=True)
        ]
        self.authorities, self.rules = Authorities(self.site), his_rules(self.site)
        self.messages = sorted((one for _, told in self.stories for one in told), key=lambda one: (one.at, one.payload))

    def read(self, message: HisMessage) -> HospitalMessage:
        return read_hospital_message(read(message.payload), self.rules)

    def known(self, messages: Iterable[HisMessage]) -> KnownHospital:
        """Apply messages in this order."""
        orders: list[KnownOrder] = []
        changes: list[ResolvedChange] = []
        places: dict[Any, int] = {}
        for message in messages:
            told = self.read(message)
            assert told.taken == "taken", told.structure
            for event in told.orders:
                self._apply(event, told, message.at, orders, places)
            if not told.held_for:
                changes += [resolve_change(one, self.authorities, SOURCE) for one in told.changes]
        return KnownHospital(indexed(orders, self.authorities), self.authorities, merged(changes))

    def _apply(
        self, event: OrderEvent, told: HospitalMessage, at: datetime, orders: list[KnownOrder], places: dict[Any, int]
    ) -> None:
        keys = [
            self.authorities.order_key(kind, number, SOURCE)
            for kind, number in (("placer", event.placer), ("filler", event.filler))
            if number
        ]
        place = next((places[key] for key in keys if key in places), None)
        known = orders[place] if place is not None else None
        after = applied(known, event, told, SOURCE, at).order
        if after is None:
            return
        if place is None:
            place = len(orders)
            orders.append(after)
        orders[place] = after
        places.update(dict.fromkeys(keys, place))

    def matched(self, known: KnownHospital, at: datetime | None = None) -> list[tuple[HisTruth, Match]]:
        """Match each study; `at` is the present."""
        now = at or max(one.at for one in self.messages) + timedelta(days=1)
        return [
            (truth, self._match(study, reports, known, now))
            for (study, reports), (truth, _) in zip(self.studies, self.stories, strict=True)
        ]

    def _match(self, study: Any, reports: Any, known: KnownHospital, now: datetime) -> Match:
        one = decode(study, report_list(study, reports))
        own = next(iter(subjects(one, one.reports, self.site, Facts()).values()))
        return match(order_search(one, own, self.authorities, Facts()), known, now)

    def placers(self, found: Match) -> set[tuple[str, str]]:
        """Placer order numbers of a match, each with its issuer."""
        keys = [self.authorities.order_key("placer", one.placer, SOURCE) for one in found.orders]
        return {(key.authority, key.value) for key in keys if key}

    def true_placers(self, truth: HisTruth) -> set[tuple[str, str]]:
        issuer = next(numbers["placer"][0] for place, numbers in issuers() if place.mrn_namespace == truth.facility)
        return {(issuer, one) for one in truth.orders}

    def faults(self, found: Iterable[tuple[HisTruth, Match]]) -> dict[str, list[tuple[str, str]]]:
        """Sort what is not as the truth has it: wrong matches, clean studies that are held, and wrong reasons."""
        wrong: dict[str, list[tuple[str, str]]] = {"wrong": [], "held": [], "reason": []}
        for truth, one in found:
            given, true = self.placers(one), self.true_placers(truth)
            if one.orders and given != true and (truth.is_clear or not given <= true):
                wrong["wrong"].append((truth.workflow, str(sorted(given ^ true))))
            elif truth.is_clean and not one.orders:
                wrong["held"].append((truth.workflow, one.reason))
            elif truth.is_clear and truth.reason != one.reason and not truth.is_clean:
                wrong["reason"].append((truth.workflow, f"{truth.reason} {one.reason}"))
        return wrong


def shuffled_within_a_day(messages: list[HisMessage], draw: Any) -> list[HisMessage]:
    """Mix messages as several interfaces would: each is up to a day late."""
    late = [replace(one, at=one.at + timedelta(minutes=draw.randrange(1440))) for one in messages]
    return sorted(late, key=lambda one: one.at)
