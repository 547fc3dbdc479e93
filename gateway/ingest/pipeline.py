"""Ingest a study: fetch it, plan its rows (plan_ingest.py), write them (intake.py); if another write came first, retry.

AutoScribe REST API: `GET /v1/autoScribe/users/{userId}`; https://hl7.org/fhir/R4/practitioner.html; decisions D2, D7,
D20, D25, D45, D46. Several ingests of one study may run at once, in one process or in several: the state read before
asking AutoScribe must still hold when the result is written. Once the judge by shape was wrong, this process judges
whole from then on, and alerts.
Proved by tests/contract/test_pipeline.py and tests/gateway/ingest/test_practitioner.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any, Final, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from gateway.ingest.map_study import Key, Needs, Resource
from gateway.ingest.plan_ingest import IngestSettings, PlannedStudy, plan_ingest
from gateway.ingest.plan_outbox import patience
from gateway.ingest.settings_in_force import SettingsInForce
from gateway.routing import InForce, Routes
from gateway.runtime import clock
from gateway.runtime.computing import computed
from gateway.runtime.errors import StudyContended
from gateway.runtime.log import get_logger, is_debugging
from gateway.runtime.request_errors import ResourceNotFound
from gateway.store import intake
from gateway.store.database import locks
from gateway.store.database.engine import Engine, Steps, ask, micros
from gateway.store.database.kept import kept, served_version
from gateway.store.database.locks import Outdated
from gateway.store.enrichment import told_numbers
from gateway.store.intake import OthersMoved, StudyCommits, StudyIntake, committed
from gateway.store.known_study import (
    Fetched,
    KnownStudy,
    inputs_digest,
    known_study,
    received,
    with_accession,
    with_claims,
    with_own_claims,
)
from gateway.store.orders.hospital import HospitalState, OrderReader
from gateway.store.studies import write_versions
from gateway.store.studies.write_versions import RenderedVersion, VersionWrite, WrittenVersion
from gateway.store.study_rows import StudyWrite, rendered
from mappings import decode, to_fhir
from mappings.issues import MappingIssue
from mappings.life.changes import Change
from mappings.model import Study
from mappings.patient.identifiers import fhir_id
from mappings.profile import Site

Json = Mapping[str, Any]

# Study with nothing in it but a report that names a user
_NOBODY: Final = "0" * 32
_BARE_STUDY: Final[Json] = {
    "studyId": f"stu_{_NOBODY}",
    "studyInstanceUid": "none",
    "studyDescription": "",
    "severity": "normal",
    "studyReportStatus": "in_progress",
    "reportMetadata": {},
    "isCancelled": False,
    "createdAt": None,
    "updatedAt": None,
    "cancelledAt": None,
}
_BARE_REPORT: Final[Json] = {
    "reportId": f"rep_{_NOBODY}",
    "studyId": f"stu_{_NOBODY}",
    "status": "in_progress",
    "isAddendum": False,
    "isCritical": None,
    "createdAt": None,
    "signedAt": None,
    "updatedAt": None,
    "snapshotMetadata": {},
}


def practitioner_versions(user: Json, site: Site, zone: tzinfo, asked: int) -> list[RenderedVersion]:
    """Render the Practitioner of a user as a version to store; empty if the user makes none.

    `asked` is the instant before the user was requested, in microseconds.

    Raises:
        WireError: the User does not follow its contract.
    """
    made = practitioner(user, site)
    return rendered([made] if made else [], zone, owner="", as_of={}, asked=asked, signed={})


def practitioner(user: Json, site: Site) -> dict[str, Any] | None:
    """Map a user to a Practitioner; None if the user makes none.

    Raises:
        WireError: the User does not follow its contract.
    """
    study = decode(_BARE_STUDY, [{**_BARE_REPORT, "userId": user["userId"]}], [user])
    key = ("Practitioner", fhir_id(user["userId"]))
    return next((one for one in to_fhir(study, site).output if (one["resourceType"], one["id"]) == key), None)


DISAGREES: Final = "judge-disagrees"


class ShapeTrust:
    """Trust in the fast judge by shape; `trouble` is the alert code once it was wrong, else empty."""

    def __init__(self) -> None:
        self.trouble = ""

    def withdraw(self) -> None:
        """Stop using the judge by shape: validate resources whole, until the process starts again."""
        if not self.trouble:
            self.trouble = DISAGREES
            get_logger().error("judge-disagrees")


TRUST: Final = ShapeTrust()


__all__ = ["Fetch", "Fetched", "Ingested", "ListedStudy", "Pipeline"]

MOST_TRIES: Final = 40
_NOWHERE: Final = Routes()
_AGAIN_AND_AGAIN: Final = "other processes wrote the study, or its patients, again and again"
Fetch = Callable[[], Awaitable[Fetched]]


class ListedStudy(NamedTuple):
    """Study as it was listed, with the function that fetches the rest of it."""

    study: Mapping[str, Any]
    fetch: Fetch


@dataclass(frozen=True, slots=True)
class Ingested:
    """Result of an ingest: the stored study, the versions written, and the change (None if there was none).

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


@dataclass(frozen=True, slots=True)
class _Read:
    """All that a study is planned from. `stored` are its resources in the store, if all are to be written again.

    `earlier` is what came of the try before with the same `fetched`: what it made of the same input is not made again.
    """

    fetched: Fetched
    known: KnownStudy
    in_force: InForce
    stored: Mapping[Key, Resource] | None
    earlier: Needs | PlannedStudy | None = None


End = TypeVar("End")


class Pipeline:
    """Pipeline that ingests studies. `zone` is for dates without one; `wants_pdf`: PDFs are stored.

    With `has_words`, the words of reports are kept for searches.

    The settings in force decide which destination is owed what (D37). `routes` are this process's, for the waiting
    times. With `orders`, studies are matched with the orders that hospitals sent (D48).
    """

    def __init__(  # noqa: PLR0913 (the store, the site, and what is kept)
        self,
        engine: Engine,
        site: Site,
        zone: tzinfo,
        *,
        wants_pdf: bool = True,
        has_words: bool = False,
        routes: Routes = _NOWHERE,
        orders: OrderReader | None = None,
    ) -> None:
        self._engine, self._orders = engine, orders
        self._has_orders: bool | None = None
        waits = patience(routes, wants_pdf=wants_pdf)
        self.settings = IngestSettings(site, zone, wants_pdf, waits, has_words=has_words)
        self._in_force = SettingsInForce(engine)
        self._commits = StudyCommits(engine, site.site_key)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def ingest(self, study_id: str, fetch: Fetch, listed: ListedStudy | None = None) -> Ingested:
        """Fetch a study with `fetch` and ingest it; fetch again if another process wrote it meanwhile.

        `listed` saves the request for the Study, unless it may be older than the stored one.

        Raises:
            ResourceNotFound: the study was erased on order.
            WireError: the fetched JSON does not follow the contract.
            StoreUnavailable: the store cannot be reached.
            StudyContended: others wrote the study again and again.
            WorkerLost: the worker that mapped the study ended.
        """

        async def read() -> _Read | Ingested:
            known = await self._known(study_id)
            if known.is_erased:
                raise ResourceNotFound("there is no such study")
            fetched = await (listed.fetch if listed and known.is_listed_as(listed.study) else fetch)()
            known = await self._seen(study_id, known, fetched)
            if known.kept is not None and inputs_digest(fetched, known) == known.digest:
                return await self._touched(study_id, known.kept, fetched)
            return await self._ready(study_id, known, fetched)

        return await self._ingested(study_id, read)

    async def refresh(self, study_id: str) -> Ingested | None:
        """Ingest a stored study again, since facts about it changed elsewhere; None if it is not stored.

        Raises:
            StoreUnavailable: the store cannot be reached.
            StudyContended: others wrote the study again and again.
            WorkerLost: the worker that mapped the study ended.
        """
        return await self._again(study_id, is_anew=False)

    async def rerender(self, study_id: str) -> Ingested | None:
        """Write new versions of a stored study after an upgrade or a changed setting; no message is sent."""
        return await self._again(study_id, is_anew=True)

    async def ingest_user(self, user: Mapping[str, Any], asked: int) -> None:
        """Store a user whom no stored report names, as a Practitioner.

        Raises:
            WireError: the User does not follow its contract.
            StoreUnavailable: the store cannot be reached.
        """
        made = await computed(practitioner_versions, user, self.settings.site, self.settings.zone, asked)

        def work() -> Steps[None]:
            yield from locks.take()
            yield from write_versions.write([VersionWrite(made)], micros(clock.now()))

        await committed(self._engine, work)

    async def _again(self, study_id: str, *, is_anew: bool) -> Ingested | None:
        async def read() -> _Read | None:
            known, fetched = await self._known(study_id), await received(self._engine, study_id)
            if fetched is None:
                return None
            known = await self._seen(study_id, known, fetched)
            return await self._ready(study_id, known, fetched, await self._stored(study_id) if is_anew else None)

        return await self._ingested(study_id, read)

    async def _ingested(self, study_id: str, read: Callable[[], Awaitable[_Read | End]]) -> Ingested | End:
        """Read a study, plan what is written of it, and write it; again from where others came first."""
        async with self._alone(study_id):
            state: _Read | End | None = None
            for _ in range(MOST_TRIES):
                if state is None:
                    state = await read()
                if not isinstance(state, _Read):
                    return state
                plan = await computed(
                    plan_ingest,
                    *(state.fetched, state.known, self._present(), state.in_force, clock.now()),
                    *(state.stored, state.earlier),
                )
                if isinstance(plan, Needs):
                    known = await self._with(study_id, state.known, plan)
                    state = replace(state, known=known, earlier=plan)
                    continue
                try:
                    return await self._written(state.known, plan)
                except Outdated:
                    state = None
                except OthersMoved:
                    known = await with_claims(self._engine, state.known, study_id, state.known.claims_of)
                    state = replace(state, known=known, in_force=await self._in_force.current(), earlier=plan)
        raise StudyContended(_AGAIN_AND_AGAIN)

    async def _ready(
        self, study_id: str, known: KnownStudy, fetched: Fetched, stored: Mapping[Key, Resource] | None = None
    ) -> _Read:
        """Read what else the first plan of a study needs."""
        known = await with_own_claims(self._engine, known, study_id)
        return _Read(fetched, known, await self._in_force.lately(), stored)

    async def _with(self, study_id: str, known: KnownStudy, needs: Needs) -> KnownStudy:
        """Read what a plan lacks: the orders of other numbers in place of those before, and claims about patients."""
        if needs.keys is not None and self._orders is not None and known.hospital is not None:
            hospital = await self._orders.by_keys(study_id, needs.keys, known.hospital.told)
            known = replace(known, hospital=hospital)
        return await with_claims(self._engine, known, study_id, known.claims_of | needs.patient_ids)

    async def _written(self, known: KnownStudy, plan: PlannedStudy) -> Ingested:
        """Carry out a plan.

        Raises:
            Outdated: another process wrote the study meanwhile.
            OthersMoved: the claims about its patients, and the settings in force, must be read again.
        """
        if plan.write.shapes_disagree:
            TRUST.withdraw()
        began, mapped = clock.monotonic(), plan.mapped
        written = await self._commits.store(StudyIntake(plan.write, known))
        _trace(plan.write, len(written))
        if plan.write.causes or (mapped.met and mapped.met.is_new):
            self._engine.bell.ring()
        return Ingested(
            mapped.change.study,
            written,
            mapped.change,
            known.revision > 0,
            mapped.issues,
            len(mapped.facts.taken_patient_ids),
            clock.monotonic() - began,
        )

    def _alone(self, study_id: str) -> asyncio.Lock:
        """Return this process's lock for the study; writes of other processes are found out at the commit (D25)."""
        return self._locks.setdefault(study_id, asyncio.Lock())

    async def _known(self, study_id: str) -> KnownStudy:
        settings = self.settings
        return await known_study(self._engine, study_id, settings.site.site_key, wants_pdf=settings.wants_pdf)

    async def _seen(self, study_id: str, known: KnownStudy, fetched: Fetched) -> KnownStudy:
        """Add what the store knows under the study's UID (D18), and its orders (D48)."""
        known = await with_accession(self._engine, known, fetched)
        if self._orders is None or not await self._are_orders_known(self._orders):
            return known
        told = await told_numbers(self._engine, str(fetched.study.get("studyInstanceUid")))
        if not known.revision:  # a new study has looked for nothing yet
            return replace(known, hospital=HospitalState(told=told, is_read=False))
        return replace(known, hospital=await self._orders.of_study(study_id, told))

    async def _are_orders_known(self, orders: OrderReader) -> bool:
        """Return True if a hospital sends orders, or once did."""
        if self._has_orders is None:
            self._orders = await orders.under_first_names()
            self._has_orders = orders.is_expected or await orders.is_used()
        return self._has_orders

    def _present(self) -> IngestSettings:
        """Return the settings for planning; once the judge by shape was wrong, they ask for whole validation."""
        if TRUST.trouble and self.settings.by_shape:
            self.settings = replace(self.settings, by_shape=False)
        return self.settings

    async def _touched(self, study_id: str, packed: bytes, fetched: Fetched) -> Ingested:
        """Record that a study was fetched and had not changed."""
        await self._engine.do(lambda: ask(intake.TOUCH, study_id=study_id, fetched=fetched.asked))
        get_logger().debug("study-unchanged", study_id=study_id)
        return Ingested((await computed(kept, packed)).study)

    async def _stored(self, study_id: str) -> dict[Key, Resource]:
        """Return the stored resources of a study, without the store's additions to `meta`."""
        owned = await self._engine.fetch(write_versions.OWNED, owner=study_id)
        addresses = json.dumps([address for (address,) in owned])
        rows = await self._engine.fetch(write_versions.CURRENT_OF, addresses=addresses)
        return {_key(str(row[0])): _bare(json.loads(served_version(row[4], row[1], row[2]))) for row in rows}


def _trace(write: StudyWrite, versions_written: int) -> None:
    """Log at `log.level` debug which study was ingested, and what each destination is owed of it."""
    if not is_debugging():
        return
    study_id = write.study_id
    get_logger().debug("study-ingested", study_id=study_id, count=versions_written)
    for cause in write.causes:
        get_logger().debug(
            "report-owed",
            destination=cause["destination"] or None,
            study_id=study_id,
            report_id=cause["report_id"],
            operation=cause["kind"],
            state=cause["state"],
            code=cause["reason"] or None,
        )


def _key(address: str) -> Key:
    kind, _, resource_id = address.partition("/")
    return kind, resource_id


def _bare(resource: dict[str, Any]) -> Resource:
    meta = {key: value for key, value in resource.pop("meta").items() if key not in {"versionId", "lastUpdated"}}
    return {**resource, "meta": meta} if meta else resource
