"""Answer AutoScribe's questions about a study, from a hospital's orders and the stored reports.

AutoScribe REST API, webhooks `patient_study.enrichment_requested` and `clinical_context.enrichment_requested`;
decisions D36, D48. Numbers are stored as told before the answer is given. Whatever is not sure is not said.
Proved by tests/contract/test_told.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from gateway.runtime import clock
from gateway.store.database.engine import Engine
from gateway.store.database.kept import kept
from gateway.store.enrichment import note_told, said_numbers, told_numbers
from gateway.store.orders.hospital import orders_of_keys
from gateway.store.orders.numbers import changes_of, key_text, merges_of
from gateway.store.studies.identities import studies_of
from gateway.webhooks.event import Enrichment
from mappings.hospital.answers import (
    AgreedOrders,
    PriorReport,
    StudyQuestion,
    WantedPriors,
    agreed_orders,
    clinic_facilities,
    context_answer,
    enrichment_answer,
    patient_ids,
    prior_reports,
    search_keys,
    told_beyond,
)
from mappings.hospital.authorities import Authorities, HospitalNumber
from mappings.hospital.groups import indexed, order_keys
from mappings.hospital.known_order import KnownOrder
from mappings.hospital.match import KnownHospital, keys_of_group
from mappings.hospital.settle_match import with_newest_states
from mappings.patient.identifiers import fhir_id, mrn_key
from mappings.profile import Facility, Site

CONTEXT_REQUESTED: Final = "clinical_context.enrichment_requested"
MOST_PRIORS: Final = 20
_MOST_ROUNDS: Final = 10
_LONGEST: Final = 256


class GivenAnswer(NamedTuple):
    """Answer to a question: the JSON, and addresses of the patients and reports that it shows, for the audit."""

    body: Mapping[str, Any]
    shown: tuple[str, ...] = ()


NOTHING: Final = GivenAnswer({})


@dataclass(frozen=True, slots=True)
class HospitalAnswers:
    """Answers to AutoScribe's questions, from a store and a site's settings.

    An order of more than so many days before a question answers no study of today: `order_days` by source.
    """

    engine: Engine
    site: Site
    order_days: Mapping[str, int] = field(default_factory=dict)
    now: Callable[[], datetime] = clock.now

    async def of_study(self, asked: Enrichment) -> GivenAnswer:
        """Answer `patient_study.enrichment_requested`.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        if not (asked.accession_number and asked.patient_id):
            return NOTHING
        question = StudyQuestion(asked.clinic_id, asked.study_instance_uid, asked.accession_number, (asked.patient_id,))
        agreed = await self._agreed(question)
        if agreed is None:
            return NOTHING
        answer = enrichment_answer(agreed)
        if "mrn" in answer:
            told = {str(answer["mrn"])}
            await note_told(self.engine, question.study_uid, told, told_beyond(answer, question), self.now())
        return GivenAnswer(answer, self._patients(agreed))

    async def of_context(self, data: Any) -> GivenAnswer:
        """Answer `clinical_context.enrichment_requested`; data that do not follow the contract get no answer.

        It names no accession number: that of the study's images counts, as AutoScribe told it before. A patient number
        that AutoScribe has from the gateway proves nothing.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        clinic_id, uid, mrn = (_text(data, key) for key in ("clinicId", "studyInstanceUid", "mrn"))
        if not uid or not clinic_facilities(self.site, clinic_id):
            return NOTHING
        accession, patient_id = await said_numbers(self.engine, uid)
        told = {mrn_key(one) for one in await told_numbers(self.engine, uid)}
        numbers = tuple([one for one in (patient_id, mrn) if one and mrn_key(one) not in told])
        agreed = await self._agreed(StudyQuestion(clinic_id, uid, accession, numbers))
        if agreed is None:
            return NOTHING
        priors = await self._priors(agreed, uid)
        reports = [f"DiagnosticReport/{fhir_id(one)}" for prior in priors for one in prior.report_ids]
        answer = context_answer(agreed, [prior.told for prior in priors])
        return GivenAnswer(answer, (*self._patients(agreed), *reports))

    async def _agreed(self, question: StudyQuestion) -> AgreedOrders | None:
        facilities = clinic_facilities(self.site, question.clinic_id)
        if not facilities or not any(question.patient_numbers):
            return None
        authorities = Authorities(self.site)
        orders = await self._orders(question, facilities, authorities)
        if not orders:
            return None
        merges = merges_of(await changes_of(self.engine, _numbers(question, orders, facilities, authorities)))
        told = with_newest_states(dict(enumerate(orders)), authorities, merges).values()
        known = KnownHospital(indexed(told, authorities), authorities, merges, self.order_days)
        return agreed_orders(question, known, self.now())

    async def _orders(
        self, question: StudyQuestion, facilities: Sequence[Facility], authorities: Authorities
    ) -> list[KnownOrder]:
        """Read the orders that a question is about, with their groups, other records, and replacements."""
        found: dict[int, KnownOrder] = {}
        asked: set[str] = set()
        wanted = {key_text(key) for one in facilities for key in search_keys(question, one, authorities)}
        for _ in range(_MOST_ROUNDS):
            new = wanted - asked
            if not new:
                break
            asked |= new
            rows = await orders_of_keys(self.engine, new)
            found |= {row.number: row.order for row in rows}
            every = [key for row in rows for of in (keys_of_group, order_keys) for key in of(row.order, authorities)]
            wanted = set(map(key_text, every))
        return [found[number] for number in sorted(found)]

    async def _priors(self, agreed: AgreedOrders, uid: str) -> tuple[PriorReport, ...]:
        wanted = patient_ids(agreed.facility, agreed.values, self.site)
        states = await studies_of(self.engine, wanted, MOST_PRIORS) if wanted else []
        asked = WantedPriors(uid, agreed.facility, wanted, agreed.orders)
        return await asyncio.to_thread(_chosen, states, asked, self.site)

    def _patients(self, agreed: AgreedOrders) -> tuple[str, ...]:
        ids = patient_ids(agreed.facility, agreed.values, self.site)
        return tuple([f"Patient/{one}" for one in sorted(ids)])


def answers_of(engine: Engine, site: Site, order_days: Mapping[str, int]) -> HospitalAnswers | None:
    """Return the source of answers; None if no facility names a clinic, since then no question can be answered."""
    has_clinic = any(facility.clinic_ids for facility in site.facilities.values())
    return HospitalAnswers(engine, site, order_days) if has_clinic else None


def _chosen(states: Sequence[bytes], wanted: WantedPriors, site: Site) -> tuple[PriorReport, ...]:
    stored = [kept(state) for state in states]
    return prior_reports([(one.study, one.facts) for one in stored], wanted, site)


def _numbers(
    question: StudyQuestion, orders: Iterable[KnownOrder], facilities: Iterable[Facility], authorities: Authorities
) -> set[HospitalNumber]:
    """Return the patient numbers whose merges matter: the orders', and the question's under each type code."""
    theirs = {one for order in orders for one in authorities.patient_numbers(order.patient.numbers, order.source)}
    systems = {facility.mrn.system for facility in facilities if facility.mrn}
    ours = {
        one._replace(value=mrn_key(number))
        for one in theirs
        if one.authority in systems
        for number in question.patient_numbers
    }
    return theirs | ours


def _text(data: Any, key: str) -> str:
    """Return the text of a key, stripped; empty if it is no text, too long, or has control characters."""
    value = data.get(key) if isinstance(data, dict) else None
    if not isinstance(value, str) or len(value) > _LONGEST or not value.isprintable():
        return ""
    return value.strip()
