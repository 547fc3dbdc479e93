"""Plan everything that the ingest of a changed study writes: FHIR versions, claims, outbox rows. No I/O.

Carries out no clause of a standard; decisions D7 (what a change is), D12, D20, D21. A worker process runs it (D46).
Proved by tests/contract/test_pipeline.py and tests/gateway/ingest/test_order_news.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any, Final

from gateway.ingest.map_study import NEW_TEXT, Key, MappedStudy, Needs, Resource, map_study, remapped, settled
from gateway.ingest.plan_outbox import Patience, outbox_rows
from gateway.routing import InForce
from gateway.store.database.engine import micros
from gateway.store.database.kept import Kept
from gateway.store.feed.states import CANCELLED_AFTER, WITHOUT_ORDER, WRONG_VISIT
from gateway.store.known_study import Fetched, KnownStudy
from gateway.store.studies.write_versions import RenderedVersion
from gateway.store.study_rows import ClaimedPatient, StudyWrite, study_write
from mappings.fhir.judge import CLASSES, Shapes
from mappings.fhir.resource_types import retired
from mappings.life.changes import NOBODY, GaveWay, gave_way
from mappings.life.status import is_withdrawn, refusal
from mappings.model import Facts, Study
from mappings.profile import Site


def order_news(before: Kept | None, study: Study, facts: Facts) -> tuple[str, ...]:
    """Return the news for destinations that have the study: its order came late, or was cancelled.

    Or its visit was wrong: the message that said it last is refused since, as one about another patient.
    """
    if before is None or study.is_cancelled or not facts.orders:
        return ()
    stands = any(not order.is_cancelled for order in facts.orders)
    if not before.facts.orders:
        return (WITHOUT_ORDER,) if stands else ()
    stood = any(not order.is_cancelled for order in before.facts.orders)
    said = {order.order_number: order.visit.message for order in before.facts.orders if order.visit}
    is_wrong = any(said.get(order.order_number) in order.refused for order in facts.orders)
    return (*((CANCELLED_AFTER,) if stood and not stands else ()), *((WRONG_VISIT,) if is_wrong else ()))


# Shapes that this worker has seen accepted
_SHAPES: Final = Shapes(CLASSES)


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """Settings of this process for ingests. `wants_pdf`: PDFs are stored; `patience`: the longest waits.

    `zone` is for dates without one in searches. With `by_shape`, resources are judged by their shapes (D45). With
    `has_words`, the words of reports are kept for searches.
    """

    site: Site
    zone: tzinfo
    wants_pdf: bool
    patience: Patience
    by_shape: bool = True
    has_words: bool = False


# Values that a worker process gets once
LASTING: Final = (IngestSettings, InForce, Site)


@dataclass(frozen=True, slots=True)
class PlannedStudy:
    """Planned write of a study, with the mapping behind it."""

    mapped: MappedStudy
    write: StudyWrite

    def made_of(self, mapped: MappedStudy) -> Sequence[RenderedVersion] | None:
        """Return the study's own resources as they are written, if they are made of the same; else None."""
        is_same = (self.mapped.change, self.mapped.facts) == (mapped.change, mapped.facts)
        return self.write.resources if is_same else None


def plan_ingest(  # noqa: PLR0913, PLR0917 (the state read, and the settings)
    fetched: Fetched,
    known: KnownStudy,
    settings: IngestSettings,
    in_force: InForce,
    now: datetime,
    stored: Mapping[Key, Resource] | None = None,
    earlier: Needs | PlannedStudy | None = None,
) -> PlannedStudy | Needs:
    """Map a study and plan its write, if its orders and the claims about all patients that it names were read.

    Else return what must be read: read it, and call again. `earlier` is what came of the call before for the same
    fetched study and the same last ingest. A resource is stored if it differs from the earlier study under the present
    mapping. With `stored` (the study's resources in the store), all of them are stored and indexed again (`rerender`).

    Raises:
        WireError: the fetched JSON does not follow the contract.
    """
    needs, planned = (earlier, None) if isinstance(earlier, Needs) else (None, earlier)
    mapped = map_study(fetched, known, settings.site, now, needs)
    if isinstance(mapped, Needs):
        return mapped
    apart = mapped
    if known.claims_of.issuperset(mapped.patient_ids):
        apart = settled(mapped, known, settings.site, now)
    wanted = {*mapped.patient_ids, *apart.patient_ids}  # a patient held apart has another id
    if not known.claims_of.issuperset(wanted):
        return Needs(frozenset(wanted), None, needs.compared if needs else None)
    made = planned.made_of(apart) if planned else None
    write = _planned(fetched, known, apart, settings, in_force, now, stored, made)
    return PlannedStudy(replace(apart, before=None, resources={}), write)


def _planned(  # noqa: PLR0913, PLR0917 (the state read, the mapping, and the settings)
    fetched: Fetched,
    known: KnownStudy,
    mapped: MappedStudy,
    settings: IngestSettings,
    in_force: InForce,
    now: datetime,
    stored: Mapping[Key, Resource] | None,
    made: Sequence[RenderedVersion] | None,
) -> StudyWrite:
    change, wants_pdf, is_anew = mapped.change, settings.wants_pdf, stored is not None
    before = stored
    if before is None:
        before = remapped(mapped.before, settings.site) if mapped.before else {}
    changed = [one for key, one in mapped.resources.items() if is_anew or before.get(key) != one]
    changed_patients = {one["id"] for one in changed if one["resourceType"] == "Patient"}
    ended = [] if refusal(change.study) else _ended(before, mapped)
    reports_signed = [one.report_id for one in change.study.completed]
    at, given = micros(now), _given_way(mapped, settings.site)
    write = study_write(
        fetched,
        known,
        change,
        mapped.facts,
        mapped.issues,
        resources=[*(one for one in changed if one["resourceType"] != "Patient"), *ended],
        claimed=[
            ClaimedPatient(mapped.resources["Patient", one], one in changed_patients) for one in mapped.patient_ids
        ],
        judged=_judged(mapped),
        carried=[{"patient_id": new, "replaced": old} for new, old in mapped.carried.items()],
        causes=outbox_rows(change, known.told, in_force, settings.patience, at, given),
        pdfs=[one.report_id for one in change.causes if wants_pdf and one.kind in NEW_TEXT],
        pdfs_missing=reports_signed if wants_pdf and is_anew else [],
        in_force=in_force.number,
        reindex=is_anew,
        zone=settings.zone,
        now=at,
        shapes=_SHAPES if settings.by_shape else None,
        has_words=settings.has_words,
        match=mapped.met.write if mapped.met else None,
        made=made,
    )
    write = replace(write, gave_way=given, order_news=order_news(mapped.before, change.study, mapped.facts))
    return replace(write, cancelled=_cancelled(mapped, known, settings.site), withdraws=_withdraws(mapped))


def _withdraws(mapped: MappedStudy) -> bool:
    """True if the site withdraws by itself a signed study that AutoScribe cancelled since the last ingest (D21)."""
    was = mapped.before.study if mapped.before else None
    is_new = was is not None and not was.is_cancelled and bool(was.completed)
    return is_new and mapped.facts.withdrawal == "done"


def _cancelled(mapped: MappedStudy, known: KnownStudy, site: Site) -> list[dict[str, Any]]:
    """Return the open items of the study's cancelled reports, and those that an operator decided on (D21).

    Where the site withdraws by itself there is none, unless it stood open before the site did, or waits.
    """
    items = []
    is_open = site.on_cancelled_after_sign == "hold" or mapped.facts.withdrawal == "waits"
    for one in mapped.change.cancelled:
        if is_open or one.what == "report" or one.report_id in known.cancelled:
            state = "withdrawn" if one.report_id in known.withdrawn(one.what) else "open"
            row = {"report_id": one.report_id, "what": one.what, "version": one.version, "state": state}
            items.append({**row, "is_critical": int(one.is_critical)})
    return items


def _given_way(mapped: MappedStudy, site: Site) -> GaveWay:
    """Return the study's patients whose number was merged; empty if nothing of the study is sent or stays."""
    before, study = mapped.before, mapped.change.study
    if before is None or refusal(study) or is_withdrawn(study, site, mapped.facts):
        return NOBODY
    return gave_way(before.study, before.facts, study, mapped.facts, site)


def _judged(mapped: MappedStudy) -> list[dict[str, Any]]:
    return [
        {"patient_id": patient_id, "judged": one.digests, "counts": int(one.counts)}
        for patient_id, one in mapped.judged.items()
    ]


def _ended(before: Mapping[Key, Resource], mapped: MappedStudy) -> Sequence[Resource]:
    """Return the closing versions of resources that the study no longer has."""
    gone = [one for key, one in before.items() if key not in mapped.resources]
    return [last for one in gone if (last := retired(one)) is not None]
