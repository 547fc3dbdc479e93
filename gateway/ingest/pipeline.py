"""Ingest pipeline: decode, map and validate one study in a worker thread, compare it, and store it in one transaction.

Carries out no clause of a standard; decisions D2, D7, D20, D25. Several ingests of one study may run at once, in one
process or in several: the state read before asking AutoScribe must still hold when the result is written.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from functools import partial
from typing import Any, Final
from weakref import WeakValueDictionary

from gateway.ingest.map_study import Fetched, Key, KnownStudy, Look, Resource, apart, as_of, beside, digest, look
from gateway.ingest.plan_write import taking
from gateway.ingest.practitioner import practitioner
from gateway.ingest.render_versions import rendered
from gateway.ingest.settings_in_force import SettingsInForce
from gateway.routing import Routes
from gateway.runtime import clock
from gateway.runtime.computing import computed
from gateway.runtime.errors import StoreUnavailable
from gateway.runtime.log import get_logger, is_debugging
from gateway.store.database.engine import Engine
from gateway.store.database.instants import micros
from gateway.store.database.statements import Row, Steps, ask
from gateway.store.feed.outbox import Outbox
from gateway.store.studies import intake, versions
from gateway.store.studies.intake import OthersMoved, Outdated
from gateway.store.studies.kept import kept, unpacked
from gateway.store.studies.versions import RenderedVersion, WrittenVersion
from mappings.issues import MappingIssue
from mappings.life.changes import Change
from mappings.model import PdfFacts, Study
from mappings.profile import Site

__all__ = ["Fetched", "Ingested", "Pipeline"]

MOST_TRIES: Final = 20
_NOWHERE: Final = Routes()
_AGAIN_AND_AGAIN: Final = "other processes wrote the study, or its patients, again and again"
Fetch = Callable[[], Awaitable[Fetched]]


@dataclass(frozen=True, slots=True)
class Ingested:
    """Result of ingesting a study: the stored study, the versions written, and the change (None if there is none).

    `was_known` is False for a study that was not stored before. `issues` are those of this ingest. `held_apart` counts
    the patients it names that other studies describe as another person. `seconds` is the time that the store took.
    """

    study: Study
    written: Sequence[WrittenVersion] = ()
    change: Change | None = None
    was_known: bool = True
    issues: tuple[MappingIssue, ...] = ()
    held_apart: int = 0
    seconds: float = 0.0


class Pipeline:
    """Pipeline that ingests studies. `zone` is for dates without one in searches; with `wants_pdf` PDFs are kept.

    The settings in force decide which destination is owed what (D37). `routes` are this process's, for the waiting
    times.
    """

    def __init__(
        self, engine: Engine, site: Site, zone: tzinfo, *, wants_pdf: bool = True, routes: Routes = _NOWHERE
    ) -> None:
        self._engine, self._site, self._zone, self._wants_pdf, self._routes = engine, site, zone, wants_pdf, routes
        self._in_force = SettingsInForce(engine)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def ingest(self, study_id: str, fetch: Fetch) -> Ingested:
        """Fetch a study with `fetch` and ingest it; fetch again if another process wrote it meanwhile.

        Raises:
            WireError: the fetched JSON does not follow the contract.
            StoreUnavailable: the store cannot be reached.
        """
        async with self._alone(study_id):
            for _ in range(MOST_TRIES):
                standing, _ = await self._standing(study_id)
                fetched = await fetch()
                try:
                    return await self._take(standing, fetched)
                except Outdated:
                    continue
        raise StoreUnavailable(_AGAIN_AND_AGAIN)

    async def refresh(self, study_id: str) -> Ingested | None:
        """Ingest a stored study again, since other facts about it changed; None if it is not stored.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        return await self._again(study_id, is_anew=False)

    async def rerender(self, study_id: str) -> Ingested | None:
        """Write new versions of a stored study after an upgrade or a changed setting; no message is sent."""
        return await self._again(study_id, is_anew=True)

    async def ingest_user(self, user: Mapping[str, Any], asked: int) -> None:
        """Ingest a user that no stored report names, as a Practitioner.

        Raises:
            WireError: the User does not follow its contract.
            StoreUnavailable: the store cannot be reached.
        """
        made = await computed(self._practitioner, user, asked)

        def work() -> Steps[None]:
            ticking = yield from versions.begin(micros(clock.now()))
            yield from versions.write(ticking, made)
            yield from versions.end(ticking)

        await self._engine.do(work)

    def _practitioner(self, user: Mapping[str, Any], asked: int) -> list[RenderedVersion]:
        made = practitioner(user, self._site)
        return rendered([made] if made else [], self._zone, owner="", as_of={}, asked=asked, signed={})

    async def _again(self, study_id: str, *, is_anew: bool) -> Ingested | None:
        async with self._alone(study_id):
            for _ in range(MOST_TRIES):
                standing, row = await self._standing(study_id)
                if row is None:
                    return None
                stored = await self._stored(study_id) if is_anew else None
                try:
                    return await self._take(standing, _received(row), stored, is_looked_at=True)
                except Outdated:
                    continue
        raise StoreUnavailable(_AGAIN_AND_AGAIN)

    def _alone(self, study_id: str) -> asyncio.Lock:
        """Return the study's lock in this process; changes by other processes are noticed when it is written (D25)."""
        return self._locks.setdefault(study_id, asyncio.Lock())

    async def _standing(self, study_id: str) -> tuple[KnownStudy, Row | None]:
        """Read the store's state of a study, and its row."""
        rows = await self._engine.fetch(intake.STUDY, study_id=study_id)
        verdicts = await self._engine.fetch(intake.VERDICTS, study_id=study_id)
        if not rows:
            return KnownStudy(), None
        told = await Outbox(self._engine).told(study_id)
        revision, received_digest, packed, *_ = rows[0]
        pdfs = await self._engine.fetch(intake.PDFS, study_id=study_id) if self._wants_pdf else ()
        standing = KnownStudy(
            revision=int(revision),
            digest=str(received_digest),
            kept=kept(packed),
            verdicts={str(one): str(verdict) for one, verdict, _ in verdicts},
            judged={str(one): str(digests) for one, _, digests in verdicts},
            pdf={str(one): PdfFacts(int(size), bytes.fromhex(sha1)) for one, size, sha1 in pdfs},
            told=told,
        )
        return standing, rows[0]

    async def _take(
        self,
        standing: KnownStudy,
        fetched: Fetched,
        stored: Mapping[Key, Resource] | None = None,
        *,
        is_looked_at: bool = False,
    ) -> Ingested:
        standing = await self._with_accession(standing, fetched)
        if not is_looked_at and standing.kept and digest(fetched, standing) == standing.digest:
            return await self._touched(standing.kept.study, fetched)
        mapped = await computed(look, fetched, standing, self._site)
        for _ in range(MOST_TRIES):
            held, taken = await self._settled(mapped, fetched, standing, stored)
            began = clock.monotonic()
            try:
                written = await self._engine.do(partial(intake.take, taken))
            except OthersMoved:
                continue
            _trace(taken, len(written))
            if taken.causes:
                self._engine.bell.ring()
            return Ingested(
                held.change.study,
                written,
                held.change,
                standing.revision > 0,
                held.issues,
                len(held.facts.taken_patient_ids),
                clock.monotonic() - began,
            )
        raise StoreUnavailable(_AGAIN_AND_AGAIN)

    async def _settled(
        self, mapped: Look, fetched: Fetched, standing: KnownStudy, stored: Mapping[Key, Resource] | None
    ) -> tuple[Look, intake.Taken]:
        """Determine the study's conflicts with other studies' patients; return it with the rows to be stored."""
        patient_ids, study_id = mapped.patient_ids, mapped.change.study.study_id
        in_force = await self._in_force.current()
        others = await self._engine.fetch(intake.OTHERS, patient_ids=json.dumps(patient_ids), study_id=study_id)

        def settle() -> tuple[Look, intake.Taken]:
            now = clock.now()
            held = as_of(apart(mapped, beside(mapped, others, self._site), standing, self._site), now)
            return held, taking(
                held,
                fetched,
                standing,
                others,
                self._site,
                zone=self._zone,
                now=micros(now),
                patient_ids=patient_ids,
                stored=stored,
                wants_pdf=self._wants_pdf,
                routes=self._routes,
                in_force=in_force,
            )

        return await computed(settle)

    async def _with_accession(self, standing: KnownStudy, fetched: Fetched) -> KnownStudy:
        """Add the accession number from `patient_study.enrichment_requested`, if there is one (D18)."""
        uid = intake.uid_key(str(fetched.study.get("studyInstanceUid")))
        rows = await self._engine.fetch(intake.ACCESSION, study_instance_uid=uid)
        return replace(standing, accession_number=rows[0][0]) if rows else standing

    async def _touched(self, study: Study, fetched: Fetched) -> Ingested:
        """Record that a study was fetched and is unchanged."""
        await self._engine.do(lambda: ask(intake.TOUCH, study_id=study.study_id, fetched=fetched.asked))
        get_logger().debug("study-unchanged", study_id=study.study_id)
        return Ingested(study)

    async def _stored(self, study_id: str) -> dict[Key, Resource]:
        """Return the stored resources of a study, without the store's additions to `meta`."""
        owned = await self._engine.fetch(versions.OWNED, owner=study_id)
        addresses = json.dumps([address for (address,) in owned])
        rows = await self._engine.fetch(versions.CURRENT_OF, addresses=addresses)
        return {_key(str(row[0])): _bare(json.loads(row[4])) for row in rows}


def _trace(taken: intake.Taken, versions_written: int) -> None:
    """Log at `log.level` debug which study was ingested, and what each destination is owed of it."""
    if not is_debugging():
        return
    study_id = taken.study_id
    get_logger().debug("study-ingested", study_id=study_id, count=versions_written)
    for cause in taken.causes:
        get_logger().debug(
            "report-owed",
            destination=cause["destination"] or None,
            study_id=study_id,
            report_id=cause["report_id"],
            operation=cause["kind"],
            state=cause["state"],
            code=cause["reason"] or None,
        )


def _received(row: Row) -> Fetched:
    """Return AutoScribe's own JSON of a study from the study's row in the store."""
    *_, asked, packed = row
    received = unpacked(packed)
    return Fetched(received["study"], received["reports"], received["users"], int(asked), received["users_asked"])


def _key(address: str) -> Key:
    kind, _, resource_id = address.partition("/")
    return kind, resource_id


def _bare(resource: dict[str, Any]) -> Resource:
    meta = {key: value for key, value in resource.pop("meta").items() if key not in {"versionId", "lastUpdated"}}
    return {**resource, "meta": meta} if meta else resource
