"""Merges of patient numbers as hospitals report them, and the facts that an ingest has of those in the store.

`knowing` gives an ingest what the matching of orders gives it: all numbers that gave way, of the patients that the
study named at its last ingest and names now.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

from gateway.ingest import pipeline as ingests
from gateway.store.database.engine import Engine
from gateway.store.orders.number_changes import add_change, changes_of
from gateway.store.studies.kept import kept
from gateway.store.studies.known_study import Fetched, KnownStudy
from mappings import decode
from mappings.answered_order import HospitalMessageName, MergedNumber
from mappings.hospital.authorities import HospitalNumber
from mappings.hospital.merges import ResolvedChange, merged
from mappings.model import Study
from mappings.patient.identifiers import identify, mrn_key
from mappings.profile import Site

SYSTEM = "urn:oid:1.2.3"


async def merge(engine: Engine, prior: str, surviving: str, system: str = SYSTEM) -> None:
    """Store that a hospital merged one MRN into another (A40)."""
    numbers = [HospitalNumber("patient", system, "MR", mrn_key(one)) for one in (prior, surviving)]
    name = HospitalMessageName("adt", f"{prior}-{surviving}")
    await engine.do(lambda: add_change(ResolvedChange(*numbers), surviving, name, "", 1))


async def merged_numbers(
    engine: Engine, site: Site, *studies: Study, more: tuple[HospitalNumber, ...] = ()
) -> tuple[MergedNumber, ...]:
    """Return what the store says of the numbers of these studies."""
    numbers = {number for study in studies for number in _numbers(study, site)}
    stored = await changes_of(engine, {*numbers, *more})
    merges = merged(one.change for one in stored if not one.held)
    written = {one.change.surviving: one.surviving_text for one in stored}
    return tuple(
        MergedNumber(prior.authority, prior.type_code, prior.value, written[survivor])
        for prior, survivor in merges.survivors.items()
        if not merges.is_doubtful(prior)
    )


def _numbers(study: Study, site: Site) -> Iterator[HospitalNumber]:
    snapshots = [report.snapshot for report in study.reports]
    for snapshot in filter(None, (study.metadata_snapshot, *snapshots)):
        for one in identify(study, snapshot, site, "").identifiers:
            if one.type and one.is_assigned:
                yield HospitalNumber("patient", one.system, one.type, mrn_key(one.value))


@contextmanager
def knowing(site: Site) -> Iterator[None]:
    """Let ingests know the merges in the store while the block runs."""
    known_before = ingests.with_accession

    async def with_merges(engine: Engine, known: KnownStudy, fetched: Fetched) -> KnownStudy:
        with_number = await known_before(engine, known, fetched)
        before = kept(known.kept) if known.kept else None
        now = decode(fetched.study, fetched.reports, fetched.users)
        old = before.facts.old_numbers if before else ()
        more = tuple(HospitalNumber("patient", one.system, one.type_code, mrn_key(one.value)) for one in old)
        studies = [before.study, now] if before else [now]
        return replace(with_number, merged=await merged_numbers(engine, site, *studies, more=more))

    with patch.object(ingests, "with_accession", with_merges):
        yield
