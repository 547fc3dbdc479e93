"""Fetch a study, report or user from AutoScribe at once when a FHIR client asks; a study is ingested whole.

AutoScribe REST API: no call returns one report's metadata, so a report is read by its text's study, then that study's
reports. Decision D25: the unit is the study, whatever was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, TypeVar

from gateway.ingest import Fetch, Fetched, Ingested, ListedStudy, Pipeline
from gateway.ingest.count import note
from gateway.ingest.single_flight import SingleFlight
from gateway.ingest.users import Users
from gateway.runtime import clock
from gateway.runtime.errors import UpstreamNotFound, UpstreamNotUnderstood, UpstreamRefused, UpstreamUnprocessable
from gateway.runtime.metrics import Metrics
from gateway.runtime.request_errors import ResourceNotFound
from gateway.store.database.engine import Engine, Statement, micros
from gateway.store.database.kept import unpacked
from gateway.store.intake import USERS
from gateway.upstream.client import UpstreamClient
from mappings.issues import WireError

Given = TypeVar("Given")
Json = Mapping[str, Any]
STUDY_OF_REPORT: Final = Statement("SELECT study_id FROM report WHERE report_id = :report_id")


class ReadThrough:
    """Reader of studies, reports and users from AutoScribe. Simultaneous requests for one study share one fetch.

    Every method raises `UpstreamError`, `UpstreamNotFound` if the object does not exist, and `StoreUnavailable`.
    """

    def __init__(self, upstream: UpstreamClient, engine: Engine, pipeline: Pipeline, metrics: Metrics) -> None:
        self._upstream, self._engine, self._pipeline, self._metrics = upstream, engine, pipeline, metrics
        self._flights = SingleFlight()
        self._users = Users(upstream, self._flights)

    async def study(self, study_id: str, *, fresh: bool = False, listed: Json | None = None) -> Ingested:
        """Ingest the study with that upstream id (`stu_…`); with `fresh`, ignore a fetch that began before this call.

        `listed` is the Study from a listing: it saves a request unless it may be older than the stored one. A call with
        `listed` shares its result with no other call, since another fetch may be older.
        """
        if listed is not None:
            return await self._ingest(study_id, listed)
        run = self._flights.run_fresh if fresh else self._flights.run
        return await run(("study", study_id), lambda: self._ingest(study_id, listed))

    async def study_by_uid(self, study_instance_uid: str) -> Ingested:
        """Ingest the study with that DICOM UID."""
        key = ("uid", study_instance_uid)
        study = await self._flights.run(key, lambda: _found(self._upstream.study_by_uid(study_instance_uid)))
        return await self.study(study.value["studyId"])

    async def report(self, report_id: str, *, fresh: bool = False, as_unknown: bool = False) -> Ingested:
        """Ingest the study of the report with that upstream id (`rep_…`), and check that it lists the report.

        With `as_unknown`, AutoScribe is asked as it is for a report that is not stored.
        """
        known = [] if as_unknown else await self._engine.fetch(STUDY_OF_REPORT, report_id=report_id)
        if known:
            return await self.study(str(known[0][0]), fresh=fresh)
        text = await self._flights.run(("report", report_id), lambda: _found(self._upstream.report_text(report_id)))
        ingested = await self.study(text.value["studyId"], fresh=fresh)
        if all(one.report_id != report_id for one in ingested.study.reports):
            raise ResourceNotFound("AutoScribe does not list the report in its study, perhaps not yet")
        return ingested

    async def user(self, user_id: str, *, as_unknown: bool = False) -> None:
        """Ingest the user (`usr_…`), if AutoScribe knows it. With `as_unknown`, what was read lately does not count."""
        user, at = await _found(self._users.get(user_id, anew=as_unknown))
        if user is None:
            return
        try:
            await self._pipeline.ingest_user(user, micros(at))
        except WireError as error:
            raise UpstreamNotUnderstood("GET /users/{userId}", detail=str(error)) from None

    async def aclose(self) -> None:
        """Stop fetches under way."""
        await self._flights.close()

    async def _ingest(self, study_id: str, listed: Json | None) -> Ingested:
        def fetching(given: Json | None) -> Fetch:
            return lambda: self._fetched(study_id, given)

        listing = None if listed is None else ListedStudy(listed, fetching(listed))
        try:
            ingested = await self._pipeline.ingest(study_id, fetching(None), listing)
        except WireError as error:
            raise UpstreamNotUnderstood("GET /studies/{studyId} and /reports", detail=str(error)) from None
        note(ingested, self._metrics)
        return ingested

    async def _fetched(self, study_id: str, listed: Json | None) -> Fetched:
        """Fetch the whole study; `listed` replaces the request for the study itself.

        The study is read before its reports. If a report is signed in between, the next listing differs from the stored
        study, and the study is fetched again. In the other order, the change would go unnoticed.
        """
        asked = micros(clock.now())
        study = listed if listed is not None else (await _found(self._upstream.study(study_id))).value
        reports = await self._reports(study_id)
        rows: Sequence[Json] = reports["reports"] if isinstance(reports, Mapping) else reports
        users, doubts = await self._users.of(rows)
        users_asked = {str(user["userId"]): micros(at) for user, at in users if user is not None}
        unknown = {str(row["userId"]) for row in rows} - users_asked.keys()
        known = await self._known_users(unknown) if unknown else []
        return Fetched(
            study=study,
            reports=reports,
            users=[*(user for user, _ in users if user is not None), *known],
            asked=asked,
            users_asked={**users_asked, **{str(user["userId"]): 0 for user in known}},
            doubts=tuple(doubts),
        )

    async def _known_users(self, user_ids: set[str]) -> list[Json]:
        """Return users that AutoScribe does not return now, as it returned them last."""
        rows = await self._engine.fetch(USERS, user_ids=json.dumps(sorted(user_ids)))
        return [unpacked(body) for _, body in rows]

    async def _reports(self, study_id: str) -> Json | Sequence[Json]:
        """Return the `GET /reports` response; an empty list and a 404 both mean a study without reports."""
        try:
            return (await self._upstream.reports(study_id=study_id)).value
        except UpstreamNotFound:
            return []


async def _found(asked: Awaitable[Given]) -> Given:
    """Return the answer to a GET by id. The contract is silent on unknown ids, so 400 and 422 count as 404."""
    try:
        return await asked
    except (UpstreamRefused, UpstreamUnprocessable) as error:
        raise UpstreamNotFound(error.operation, status=error.status, request_id=error.request_id) from None
