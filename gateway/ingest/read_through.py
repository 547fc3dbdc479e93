"""Read a study, report or user from AutoScribe at a FHIR client's request, and ingest it at once; a study whole.

AutoScribe REST API: no call returns one report's metadata, so a report is read by its text's study, then that study's
reports. `GET /v1/autoScribe/users/{userId}`: a user whose access was revoked is not found, which is normal; users are
kept for a short while. Decisions D25 (the unit is the study, whatever was asked for) and D26 (without webhooks, a
signature on a study known to be open is queued within 60 seconds: metrics say so). Fifty readers of one study cause one
request to AutoScribe.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar, cast

from gateway.ingest import Fetch, Fetched, Ingested, ListedStudy, Pipeline
from gateway.runtime import clock
from gateway.runtime.errors import (
    UpstreamError,
    UpstreamNotFound,
    UpstreamNotUnderstood,
    UpstreamRefused,
    UpstreamUnprocessable,
)
from gateway.runtime.metrics import Metrics
from gateway.runtime.request_errors import ResourceNotFound
from gateway.store.database.engine import Engine, Statement, micros
from gateway.store.database.kept import unpacked
from gateway.store.intake import USERS
from gateway.upstream.client import UpstreamClient
from mappings.issues import MappingIssue, WireError
from mappings.values.dates import parse_instant

Result = TypeVar("Result")
Work = Callable[[], Coroutine[Any, Any, Result]]


class SingleFlight:
    """Share work by key: simultaneous callers get one result, and a cancelled caller does not stop the work."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[Any]] = {}

    async def run(self, key: Hashable, work: Work[Result]) -> Result:
        """Return the result of the work already running for that key, or start the work."""
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.create_task(work())
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        return cast(Result, await asyncio.shield(task))

    async def run_fresh(self, key: Hashable, work: Work[Result]) -> Result:
        """Like `run`, but never return the result of work that began before this call."""
        if (under_way := self._tasks.get(key)) is not None:
            await asyncio.wait({under_way})
        return await self.run(key, work)

    async def close(self) -> None:
        """Stop all work under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _landed(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(key, None)
        if not task.cancelled():
            task.exception()


Json = Mapping[str, Any]
REMEMBERED_SECONDS: Final = 60.0
MOST_REMEMBERED: Final = 1_000


class AskedUser(NamedTuple):
    """User as AutoScribe returned it at a time, or None."""

    user: Json | None
    at: datetime


class Users:
    """Cache of users by id. `None` is cached too: AutoScribe does not know that user."""

    def __init__(self, upstream: UpstreamClient, flights: SingleFlight) -> None:
        self._upstream, self._flights = upstream, flights
        self._remembered: OrderedDict[str, tuple[float, AskedUser]] = OrderedDict()

    async def get(self, user_id: str, *, anew: bool = False) -> AskedUser:
        """Return the User and when it was read; None if AutoScribe does not know it. With `anew`, bypass the cache.

        Raises:
            UpstreamError: AutoScribe could not be asked.
        """
        user = None if anew else self._lately(user_id)
        if user is not None:
            return user
        return await self._flights.run(("user", user_id), lambda: self._fetch(user_id))

    async def of(self, reports: Sequence[Json]) -> tuple[list[AskedUser], list[MappingIssue]]:
        """Return the users named in reports, and an issue for each that could not be read."""
        wanted = {report["userId"]: index for index, report in reversed(list(enumerate(reports)))}
        lately = {user_id: user for user_id in wanted if (user := self._lately(user_id)) is not None}
        others = [user_id for user_id in wanted if user_id not in lately]  # each of them takes a task
        read = await asyncio.gather(*map(self.get, others), return_exceptions=True) if others else []
        answers = {**lately, **dict(zip(others, read, strict=True))}
        users: list[AskedUser] = []
        issues: list[MappingIssue] = []
        for user_id, index in wanted.items():
            user = answers[user_id]
            if isinstance(user, UpstreamError):
                action = "AutoScribe could not be asked: the radiologist is named by identifier only, for now"
                issues.append(MappingIssue("user-unavailable", "warning", f"/reports/{index}/userId", action))
            elif isinstance(user, BaseException):
                raise user
            elif user.user is not None:
                users.append(user)
        return users, issues

    def _lately(self, user_id: str) -> AskedUser | None:
        """Return a user read a short while ago; None for any other."""
        until, user = self._remembered.get(user_id, (0.0, None))
        return user if clock.monotonic() < until else None

    async def _fetch(self, user_id: str) -> AskedUser:
        at = clock.now()
        answer = await self._upstream.user(user_id)
        user = AskedUser(answer.value if answer else None, at)
        self._remembered[user_id] = (clock.monotonic() + REMEMBERED_SECONDS, user)
        self._remembered.move_to_end(user_id)
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return user


def note(ingested: Ingested, metrics: Metrics) -> None:
    """Count the outcome of one ingest."""
    kinds = Counter(version.address.partition("/")[0] for version in ingested.written)
    for kind, count in kinds.items():
        metrics.wrote_versions(kind, count)
    for version in ingested.written:
        if version.is_suppressed:
            metrics.suppressed(version.address.partition("/")[0])
    if ingested.change is None:
        return
    metrics.stored(ingested.seconds)
    for issue in ingested.issues:
        metrics.found_issue(issue.severity)
    for _ in range(ingested.held_apart):
        metrics.found_conflict()
    signed = {report.report_id: report.signed_at for report in ingested.study.reports}
    for cause in ingested.change.causes:
        at = parse_instant(signed.get(cause.report_id))
        if cause.is_signature and ingested.was_known and at is not None:
            metrics.queued(max(0.0, (clock.now() - at).total_seconds()))


Given = TypeVar("Given")
STUDY_OF_REPORT: Final = Statement("SELECT study_id FROM report WHERE report_id = :report_id")


class ReadThrough:
    """Reader of studies, reports and users from AutoScribe. Simultaneous reads of one study share one fetch.

    Every method raises `UpstreamError`, `UpstreamNotFound` if the object does not exist, and `StoreUnavailable`.
    """

    def __init__(self, upstream: UpstreamClient, engine: Engine, pipeline: Pipeline, metrics: Metrics) -> None:
        self._upstream, self._engine, self._pipeline, self._metrics = upstream, engine, pipeline, metrics
        self._flights = SingleFlight()
        self._users = Users(upstream, self._flights)

    async def study(self, study_id: str, *, fresh: bool = False, listed: Json | None = None) -> Ingested:
        """Ingest the study with that AutoScribe id (`stu_…`); with `fresh`, ignore a fetch that began before this call.

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
        """Store the user (`usr_…`) if AutoScribe knows it; with `as_unknown`, bypass the cache."""
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
        """Return the stored form of users that AutoScribe does not return any more."""
        rows = await self._engine.fetch(USERS, user_ids=json.dumps(sorted(user_ids)))
        return [unpacked(body) for _, body in rows]

    async def _reports(self, study_id: str) -> Json | Sequence[Json]:
        """Return the `GET /reports` response; an empty list and a 404 both mean a study without reports."""
        try:
            return (await self._upstream.reports(study_id=study_id)).value
        except UpstreamNotFound:
            return []


async def _found(asked: Awaitable[Given]) -> Given:
    """Return the answer to a GET by id; 400 and 422 count as 404, since the contract is silent on unknown ids."""
    try:
        return await asked
    except (UpstreamRefused, UpstreamUnprocessable) as error:
        raise UpstreamNotFound(error.operation, status=error.status, request_id=error.request_id) from None
