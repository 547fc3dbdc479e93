"""Steps of `$addendum` and `$cancel-addendum`: check the study, POST to AutoScribe, find the result in the study.

AutoScribe REST API: `POST /reports/{reportId}/addendum` and `/cancel-addendum`. Neither answer names the addendum, and
the API does not say which id `/cancel-addendum` takes (decision D27).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from gateway.fhir_api.operations.idempotency import Answered, SentRequest
from gateway.runtime.errors import UpstreamConflict, UpstreamNotFound, UpstreamUnprocessable
from gateway.upstream.client import UpstreamClient
from mappings.life.status import report_status
from mappings.model import Facts, Report, Study
from mappings.patient.identifiers import fhir_id
from mappings.patient.subjects import subjects
from mappings.profile import Site

ADDENDUM: Final = "$addendum"
CANCEL_ADDENDUM: Final = "$cancel-addendum"
_ACTIVE: Final = "addendum_active"


@dataclass(frozen=True, slots=True)
class Act:
    """Steps of one operation. `check` refuses a request that cannot work, before anything is sent.

    `find` returns the outcome from the study read back, None while it does not show. `shows` is True if the state of
    the study alone proves that the operation was carried out.
    """

    name: str
    check: Callable[[Study, Report], None]
    send: Callable[[UpstreamClient, Study, Report], Awaitable[None]]
    find: Callable[[Study, SentRequest], Answered | None]
    shows: Callable[[Study], bool]


def active_addenda(study: Study) -> list[Report]:
    """Return the unsigned addenda of a study."""
    return [one for one in study.reports if one.is_addendum and not one.is_completed]


def is_active(study: Study) -> bool:
    """True while an addendum is open, by the state of the study or of its reports."""
    return study.study_report_status == _ACTIVE or bool(active_addenda(study))


def _check_addendum(study: Study, report: Report) -> None:
    if not report.is_completed:
        raise UpstreamUnprocessable(ADDENDUM, detail="the report is not signed; nothing was sent")
    if is_active(study):
        raise UpstreamConflict(ADDENDUM, detail="an addendum is open already; nothing was sent")


async def _send_addendum(upstream: UpstreamClient, study: Study, report: Report) -> None:
    await upstream.open_addendum(report.report_id)


def _find_addendum(study: Study, sent: SentRequest) -> Answered | None:
    """Return the answer for the one new addendum; None if there is none, or more than one."""
    fresh = [one for one in study.reports if one.is_addendum and one.report_id not in sent.report_ids]
    if len(fresh) != 1:
        return None
    return Answered(201, _parameters(study, fresh[0]), f"DiagnosticReport/{fhir_id(fresh[0].report_id)}")


def _check_cancel(study: Study, report: Report) -> None:
    if not is_active(study):
        raise UpstreamConflict(CANCEL_ADDENDUM, detail="no addendum is open; nothing was sent")
    active = active_addenda(study)
    if len(active) > 1 and report not in active:
        raise UpstreamConflict(CANCEL_ADDENDUM, detail=f"{len(active)} addenda are open: name one; nothing was sent")


async def _send_cancel(upstream: UpstreamClient, study: Study, report: Report) -> None:
    """Cancel by the id of the active addendum; after a 404, by the id of the original (D27)."""
    active = active_addenda(study)
    target = report if report in active or not active else active[0]
    try:
        await upstream.cancel_addendum(target.report_id)
    except UpstreamNotFound:
        originals = _originals(study) if report.is_addendum else [report]
        if len(originals) != 1 or originals[0] == target:
            raise
        await upstream.cancel_addendum(originals[0].report_id)


def _find_cancelled(study: Study, sent: SentRequest) -> Answered | None:
    """Return the answer once no addendum is open, with the original report if there is only one."""
    if is_active(study):
        return None
    originals = _originals(study)
    return Answered(200, _parameters(study, originals[0] if len(originals) == 1 else None))


def _originals(study: Study) -> list[Report]:
    return [one for one in study.completed if not one.is_addendum]


def _parameters(study: Study, report: Report | None) -> dict[str, Any]:
    """Build the Parameters of the answer: a report with its status, and its study."""
    made: list[dict[str, Any]] = []
    if report is not None:
        peers = subjects(study, study.reports, Site())[report.report_id].reports
        status, _ = report_status(study, report, peers, Site(), Facts())
        made.append(
            {"name": "report", "valueReference": {"reference": f"DiagnosticReport/{fhir_id(report.report_id)}"}}
        )
        made.append({"name": "status", "valueCode": status.diagnostic_report})
    made.append({"name": "study", "valueReference": {"reference": f"ImagingStudy/{fhir_id(study.study_id)}"}})
    return {"resourceType": "Parameters", "parameter": made}


ACTS: Final = {
    "addendum": Act(ADDENDUM, _check_addendum, _send_addendum, _find_addendum, is_active),
    "cancel-addendum": Act(CANCEL_ADDENDUM, _check_cancel, _send_cancel, _find_cancelled, lambda study: False),
}
