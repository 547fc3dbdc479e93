"""Load the stored study of a DiagnosticReport, for operations that map the study on demand.

AutoScribe REST API: the last answers of `GET /v1/autoScribe/studies/{studyId}`, `/reports` and `/users/{userId}`.
Proved by tests/gateway/fhir_api/operations/test_hl7v2.py.
"""

from __future__ import annotations

from starlette.requests import Request

from gateway.fhir_api.facade import facade
from gateway.fhir_api.fetching import current
from gateway.fhir_api.served import OF_REPORTS
from gateway.runtime.request_errors import NotSupported, ResourceNotFound
from gateway.store.stored_reports import StoredStudy, stored_study
from mappings.issues import SiteError
from mappings.patient.identifiers import upstream_id
from mappings.profile import Receiver, Site


async def study_of(request: Request) -> StoredStudy:
    """Return the study of the report in the path, as fresh as a read of the report would be.

    Raises:
        ResourceNotFound: there is no such report, or it is suppressed.
        UpstreamError: the report is not stored or too old, and AutoScribe cannot be reached.
    """
    resource_id = request.path_params["id"]
    await current(request, OF_REPORTS, resource_id)
    study = await stored_study(facade(request).engine, upstream_id(resource_id) or "")
    if study is None:
        raise ResourceNotFound("the report is no longer stored")
    return study


def profile(site: Site, name: str) -> Receiver:
    """Return the receiver profile of that name.

    Raises:
        NotSupported: there is none of that name; the error lists the names.
    """
    try:
        return site.receiver(name)
    except SiteError as error:
        raise NotSupported(str(error), expression="http.receiver") from None
