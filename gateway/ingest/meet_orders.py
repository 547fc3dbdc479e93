"""Match a study with its orders: say by which numbers to read them, then turn the matched ones into facts. No I/O.

HL7 v2.5.1 §4.5.3.2 (OBR-2), §3.3.40 (A40), decisions D12, D48. Without a source of orders nothing is said.
Proved by tests/contract/test_meeting_orders.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from typing import Final

from gateway.store.database.engine import instant, micros
from gateway.store.orders.hospital import HospitalState, MatchWrite, StandingVerdict
from gateway.store.orders.numbers import PATIENT, key_text, merges_of, number_of, number_text
from mappings.hospital.authorities import Authorities, HospitalNumber
from mappings.hospital.match import OrderSearch, order_search
from mappings.hospital.settle_match import (
    CHANGED,
    AppliedChange,
    EarlierMatch,
    HospitalRecords,
    NumberedOrders,
    SettledMatch,
    VisitEvent,
    answered_orders,
    merged_numbers,
    settled_match,
)
from mappings.issues import MappingIssue
from mappings.life.changes import Change
from mappings.model import Facts, MergedNumber, StatedNumber, Study
from mappings.patient.identifiers import mrn_key
from mappings.patient.subjects import Subject, subjects
from mappings.profile import Site
from mappings.values.dates import effective, parse_instant

# Types under which a merge may name a patient number that a study has (table 0203)
_TYPES: Final = ("MR", "PI")
_NO_FACTS: Final = Facts()


@dataclass(frozen=True, slots=True)
class MetOrders:
    """Match of a study to store, with its issues. `is_new` is True if it differs from the match before."""

    write: MatchWrite
    issues: tuple[MappingIssue, ...]
    is_new: bool


@dataclass(frozen=True, slots=True)
class WantedOrders:
    """Search of a study for orders: its patients (own first), and what it says about its order.

    `keys` are the texts of the numbers by which the orders are found: the study's order numbers and its patients'.
    """

    about: tuple[Subject, ...]
    search: OrderSearch
    keys: frozenset[str]


def wanted_orders(study: Study, before: Study | None, facts: Facts, told: frozenset[str], site: Site) -> WantedOrders:
    """Return the numbers by which the orders of a study are found.

    `before` is the study at its last ingest: the numbers of its patients count, too.
    """
    about = _about(study, site, facts)
    search = order_search(study, about[0], Authorities(site), facts, told)
    written = _about(study, site, _NO_FACTS) if facts.merged else about
    numbers = [
        HospitalNumber(PATIENT, system, kind, value)
        for system, value in _numbers(written) | patient_numbers((before,), facts.old_numbers, site)
        for kind in _TYPES
    ]
    return WantedOrders(about, search, frozenset({*map(key_text, search.keys), *map(number_text, numbers)}))


def merged_of(
    state: HospitalState | None, studies: Iterable[Study | None], old: Iterable[StatedNumber], site: Site
) -> tuple[MergedNumber, ...]:
    """Return the numbers of these studies' patients that were merged into others.

    `old` are numbers under which the patients were stored before.
    """
    if state is None or not state.changes:
        return ()
    return merged_numbers(_records(state, site), patient_numbers(studies, old, site))


def meet_orders(  # noqa: PLR0913, PLR0917 (the study, its facts, what is known of its orders, and the present)
    change: Change,
    facts: Facts,
    state: HospitalState | None,
    site: Site,
    at: datetime,
    wanted: WantedOrders | None = None,
) -> tuple[Facts, MetOrders | None]:
    """Match a study with the orders that were read, and add the matched orders to its facts.

    The facts have the numbers that gave way (`merged_of`). `at` is the present. `wanted` is the search that was made
    with the same facts, if there was one. None without a source of orders; the facts are then as they were.
    """
    if state is None:
        return facts, None
    study, records = change.study, _records(state, site)
    own = wanted.about[0] if wanted else _about(study, site, facts)[0]
    search = wanted.search if wanted else order_search(study, own, records.authorities, facts, state.told)
    orders = {one.number: one.order for one in state.orders}
    known = NumberedOrders(orders, records.authorities, records.merges, state.order_days)
    sent = () if change.is_move else _sent(state)
    settled = settled_match(search, known, _earlier(state, sent), at)
    facts = replace(
        facts,
        orders=answered_orders(settled.orders, records, _time_of(study, own, site, at)),
        order_reason="" if settled.orders else settled.reason,
    )
    return facts, _met(settled, state, sent, at)


def _met(settled: SettledMatch, state: HospitalState, sent: tuple[int, ...], at: datetime) -> MetOrders:
    before = state.match
    is_new = (settled.verdict, settled.reason) != (before.verdict, before.reason)
    numbers = sorted({number for one in settled.orders for number in one.numbers})
    since = micros(at) if is_new else before.since
    row = StandingVerdict(settled.verdict, settled.reason, tuple(numbers), since, sent)
    return MetOrders(MatchWrite(state.keys, row), settled.issues, is_new)


def _sent(state: HospitalState) -> tuple[int, ...]:
    """Return the orders of the last match of which a message was sent; a match held meanwhile forgets none.

    After a move (D13) the study is another patient's: then there are none.
    """
    is_sent = state.is_sent or state.match.reason == CHANGED
    return (state.match.orders if is_sent else ()) or state.match.sent_orders


def _earlier(state: HospitalState, sent: tuple[int, ...]) -> EarlierMatch:
    """Return the study's match before this ingest; `sent` are the orders that messages tie it to."""
    decision, orders = state.decision, tuple(sorted({*state.match.orders, *sent}))
    if decision.verdict == "match":
        return EarlierMatch(orders, bool(sent), "match", decision.orders)
    return EarlierMatch(orders, bool(sent), "release" if decision.verdict == "release" else "")


def _about(study: Study, site: Site, facts: Facts) -> tuple[Subject, ...]:
    """Return the patients of a study, its own first."""
    return tuple(dict.fromkeys(subjects(study, study.reports, site, facts).values()))


def patient_numbers(studies: Iterable[Study | None], old: Iterable[StatedNumber], site: Site) -> set[tuple[str, str]]:
    """Return all numbers of these studies' patients, also merged ones, as (system, value for comparison)."""
    about = [subject for study in studies if study is not None for subject in _about(study, site, _NO_FACTS)]
    return {(one.system, mrn_key(one.value)) for one in old} | _numbers(about)


def _numbers(about: Iterable[Subject]) -> set[tuple[str, str]]:
    return {
        (one.system, mrn_key(one.value))
        for subject in about
        for one in subject.identity.identifiers
        if one.is_assigned and one.type in _TYPES
    }


def _records(state: HospitalState, site: Site) -> HospitalRecords:
    visits: dict[HospitalNumber, list[VisitEvent]] = {}
    for one in state.visits:
        if (number := number_of(one.key)) is not None:
            about = (one.patient, one.source, one.refused_by)
            visits.setdefault(number, []).append(VisitEvent(instant(one.at), one.visit, one.message, one.age, *about))
    used = [AppliedChange(one.change, one.surviving_text, one.message) for one in state.changes if not one.held]
    return HospitalRecords(Authorities(site), visits, merges_of(state.changes), used)


def _time_of(study: Study, own: Subject, site: Site, at: datetime) -> datetime:
    """Return the time of the examination; the end of its day if only the day is known."""
    report = next((one for one in own.reports if one.snapshot_pointer == own.pointer), None)
    when = effective(report, site)[0] if report else None
    if when is None:
        return parse_instant(study.created_at) or at
    if when.moment is not None:
        return when.moment
    facility = site.facility(own.snapshot.facility_name)
    zone = facility.time_zone if facility else None
    return datetime.combine(datetime.fromisoformat(when.day).date(), time.max, zone or UTC)
