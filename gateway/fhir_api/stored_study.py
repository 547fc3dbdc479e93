"""The study of a DiagnosticReport as the store keeps it, for what is made of it on demand.

AutoScribe REST API: `GET /v1/autoScribe/studies/{studyId}`, `/reports`, `/users/{userId}`, as they were answered last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request

from gateway.errors import NotSupported
from gateway.fhir_api.facade import facade
from gateway.fhir_api.fetching import current
from gateway.fhir_api.served import OF_REPORTS
from gateway.store.kept import Kept, kept, unpacked
from gateway.store.statements import Statement
from mappings.identifiers import upstream_id
from mappings.issues import SiteError
from mappings.profile import Receiver, Site

_OF_REPORT: Final = Statement(
    "SELECT s.kept, s.received, s.study_id FROM report r JOIN study s ON s.study_id = r.study_id"
    " WHERE r.report_id = :report_id"
)


@dataclass(frozen=True, slots=True)
class StoredStudy:
    """A study and the one of its reports that is asked about, by their upstream ids; packed, as it is stored."""

    study_id: str
    report_id: str
    packed: bytes
    received: bytes

    def kept(self) -> Kept:
        """The study as it was mapped, and the facts that it was mapped with."""
        return kept(self.packed)

    def document(self) -> dict[str, Any]:
        """What AutoScribe said: the Study with its `reports` and `users`."""
        said = unpacked(self.received)
        reports = said["reports"]
        rows = reports["reports"] if isinstance(reports, Mapping) else reports
        return {**said["study"], "reports": rows, "users": said["users"]}


async def study_of(request: Request) -> StoredStudy:
    """The study of the DiagnosticReport at the address, read through as for a read of it.

    Raises:
        ResourceNotFound: there is no such report, or it is suppressed.
        UpstreamError: it is not stored, or too old, and AutoScribe cannot be asked.
    """
    resource_id = request.path_params["id"]
    await current(request, OF_REPORTS, resource_id)
    report_id = upstream_id(resource_id) or ""
    [row] = await facade(request).engine.fetch(_OF_REPORT, report_id=report_id)
    return StoredStudy(str(row[2]), report_id, bytes(row[0]), bytes(row[1]))


def profile(site: Site, name: str) -> Receiver:
    """The receiver profile of that name.

    Raises:
        NotSupported: there is none; says which there are.
    """
    try:
        return site.receiver(name)
    except SiteError as error:
        raise NotSupported(str(error), expression="http.receiver") from None
