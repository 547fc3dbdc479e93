"""A study as AutoScribe has it this moment: fetched whole, rendered, and noted as seen.

AutoScribe REST API: no call gives one report's metadata, so a report is its text's study, then that study's reports.
Decision D25: the unit is the study, whatever was asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from gateway.errors import (
    ResourceNotFound,
    UpstreamNotFound,
    UpstreamNotUnderstood,
    UpstreamRefused,
    UpstreamUnprocessable,
)
from gateway.pipeline import Rendered, render, render_user
from gateway.store.seen import Key, Seen, Version
from gateway.sync.single_flight import SingleFlight
from gateway.sync.users import Users
from gateway.upstream.client import UpstreamClient
from mappings.fhir.patient import taken_patient_ids
from mappings.identifiers import fhir_id
from mappings.issues import WireError
from mappings.model import Facts
from mappings.profile import Site
from mappings.subjects import recency

Given = TypeVar("Given")
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """A study as just read: what was rendered, and the versions of its resources."""

    rendered: Rendered
    versions: Mapping[Key, Version]


class ReadThrough:
    """Reads studies, reports and users from AutoScribe; however many ask for a study at one time, it is fetched once.

    Every method raises `UpstreamError`; `UpstreamNotFound` or `ResourceNotFound` for what is not there or not served.
    """

    def __init__(self, upstream: UpstreamClient, seen: Seen, site: Site) -> None:
        self._upstream, self._seen, self._site = upstream, seen, site
        self._flights = SingleFlight()
        self._users = Users(upstream, self._flights)

    async def study(self, study_id: str, *, fresh: bool = False) -> Reading:
        """The study with that upstream id (`stu_…`); `fresh` takes no answer that was asked for before this call."""
        run = self._flights.run_fresh if fresh else self._flights.run
        return await run(("study", study_id), lambda: self._read(study_id))

    async def study_by_uid(self, study_instance_uid: str) -> Reading:
        """The study with that DICOM UID."""
        key = ("uid", study_instance_uid)
        study = await self._flights.run(key, lambda: _found(self._upstream.study_by_uid(study_instance_uid)))
        return await self.study(study.value["studyId"])

    async def report(self, report_id: str, *, fresh: bool = False) -> Reading:
        """The study of the report with that upstream id (`rep_…`); the report stands in it."""
        resource_id = fhir_id(report_id)
        known = self._seen.owner_of("DiagnosticReport", resource_id)
        if known is not None:
            reading = await self.study(known, fresh=fresh)
            if reading.rendered.report(resource_id):
                return reading
        text = await self._flights.run(("report", report_id), lambda: _found(self._upstream.report_text(report_id)))
        reading = await self.study(text.value["studyId"], fresh=fresh)
        if not reading.rendered.report(resource_id):
            raise ResourceNotFound("AutoScribe does not list the report in its study, perhaps not yet")
        return reading

    async def practitioner(self, user_id: str) -> Version | None:
        """The Practitioner of a user (`usr_…`); one that AutoScribe no longer knows as it was last seen, else None."""
        key = ("Practitioner", fhir_id(user_id))
        user = await _found(self._users.get(user_id))
        if user is None:
            return self._seen.get(*key)
        try:
            rendered = await render_user(user, self._site)
        except WireError as error:
            raise UpstreamNotUnderstood("GET /users/{userId}", detail=str(error)) from None
        return self._seen.put(user_id, rendered.resources).get(key)

    async def close(self) -> None:
        """Stop what is under way."""
        await self._flights.close()

    async def _read(self, study_id: str) -> Reading:
        study, reports = await asyncio.gather(_found(self._upstream.study(study_id)), self._reports(study_id))
        rows: Sequence[Json] = reports["reports"] if isinstance(reports, Mapping) else reports
        users, doubts = await self._users.of(rows)
        try:
            rendered = await render(study.value, reports, users, self._site)
            taken = self._taken(study_id, rendered)
            if taken:
                facts = Facts(taken_patient_ids=taken)
                rendered = await render(study.value, reports, users, self._site, facts)
        except WireError as error:
            raise UpstreamNotUnderstood("GET /studies/{studyId} and /reports", detail=str(error)) from None
        if rendered.is_external:
            raise ResourceNotFound("an archived study that AutoScribe did not report is not served")
        rendered = replace(rendered, issues=(*rendered.issues, *doubts))
        return Reading(rendered, self._seen.put(study_id, rendered.resources, recency(rendered.study)))

    def _taken(self, study_id: str, rendered: Rendered) -> frozenset[str]:
        """Patient ids under which another study that was seen speaks of somebody else (D12)."""
        return taken_patient_ids(
            rendered.resources.values(), lambda patient_id: self._seen.of_others(study_id, "Patient", patient_id)
        )

    async def _reports(self, study_id: str) -> Json | Sequence[Json]:
        """The `GET /reports` response; a study without reports is an empty one or a 404, which mean the same."""
        try:
            return (await self._upstream.reports(study_id=study_id)).value
        except UpstreamNotFound:
            return []


async def _found(asked: Awaitable[Given]) -> Given:
    """The answer to a GET by id. That an id is not known may be a 400 or a 422 too: the contract does not say."""
    try:
        return await asked
    except (UpstreamRefused, UpstreamUnprocessable) as error:
        raise UpstreamNotFound(error.operation, status=error.status, request_id=error.request_id) from None
