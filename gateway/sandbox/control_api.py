"""Control endpoints under `/sandbox` that play the people in AutoScribe: sign, change or cancel reports.

Carries out no clause of a standard, and is not part of AutoScribe's API. It needs no key, and faults do not affect it.
Proved by tests/gateway/sandbox/test_api.py and tests/gateway/cli/test_sandbox.py.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.runtime.errors import ConfigError
from gateway.sandbox.answers import account
from gateway.sandbox.fault_plan import parse_faults
from gateway.sandbox.state import SignedReport, refusal

# Keys of `snapshotMetadata` that identify the patient of a report
_PATIENT: Final = frozenset({"mrn", "patientName", "dateOfBirth", "sex"})


async def overview(request: Request) -> Response:
    """`GET /sandbox`: return counts and settings of the account."""
    state = account(request)
    return JSONResponse(
        {
            "seed": state.world.seed,
            "studies": len(state.studies),
            "reports": len(state.study_of_report),
            "switches": asdict(state.switches),
            "faults": [fault.name for fault in request.app.state.faults.faults],
        }
    )


async def hospital(request: Request) -> Response:
    """`GET /sandbox/his`: return what the hospital's look-alike has sent, and what is true of each study."""
    if request.app.state.his is None:
        raise refusal(404, "no hospital's system: start the sandbox with --his")
    return JSONResponse(request.app.state.his.shown())


async def sign(request: Request) -> Response:
    """`POST /sandbox/sign`: sign a new study, or the oldest unsigned report with `?draft=true`."""
    state = account(request)
    if request.query_params.get("draft") == "true":
        return _signed(state.sign_next())
    critical = {"true": True, "false": False}.get(request.query_params.get("critical", ""))
    return _signed(state.sign_new(critical=critical))


async def sign_report(request: Request) -> Response:
    """`POST /sandbox/reports/{reportId}/sign`: sign the report; the body, if any, becomes its text."""
    text = (await request.body()).decode()
    return _signed(account(request).sign(request.path_params["report_id"], text or None))


async def change_text(request: Request) -> Response:
    """`PUT /sandbox/reports/{reportId}/text`: replace the report's text by the body, without addendum or event."""
    account(request).change_text(request.path_params["report_id"], (await request.body()).decode())
    return JSONResponse({"success": True})


async def change_patient(request: Request) -> Response:
    """`PUT /sandbox/reports/{reportId}/patient`: change the patient data in the report's snapshot."""
    try:
        patient = json.loads(await request.body())
    except ValueError:
        patient = None
    if not isinstance(patient, dict) or not patient or not patient.keys() <= _PATIENT:
        raise refusal(422, f"the body is no JSON object with any of {', '.join(sorted(_PATIENT))}")
    account(request).change_patient(request.path_params["report_id"], patient)
    return JSONResponse({"success": True})


async def start(request: Request) -> Response:
    """`POST /sandbox/studies/{studyId}/start`: start to dictate a report."""
    return JSONResponse({"reportId": account(request).start_report(request.path_params["study_id"])})


async def add_addendum(request: Request) -> Response:
    """`POST /sandbox/reports/{reportId}/addendum`: open and sign an addendum; the body, if any, becomes its text."""
    state = account(request)
    text = (await request.body()).decode()
    return _signed(state.sign(state.open_addendum(request.path_params["report_id"]), text or None))


async def cancel(request: Request) -> Response:
    """`POST /sandbox/studies/{studyId}/cancel`: cancel the study, which withdraws its signed reports."""
    account(request).cancel_study(request.path_params["study_id"])
    return JSONResponse({"success": True})


async def uncancel(request: Request) -> Response:
    """`POST /sandbox/studies/{studyId}/uncancel`: undo the cancellation of the study."""
    account(request).cancel_study(request.path_params["study_id"], is_cancelled=False)
    return JSONResponse({"success": True})


async def set_faults(request: Request) -> Response:
    """`PUT /sandbox/faults`: replace the faults by the SPEC in the body (as for `--fault`); empty means none."""
    try:
        faults = parse_faults([(await request.body()).decode()], "faults")
    except ConfigError as error:
        raise refusal(422, str(error)) from None
    request.app.state.faults.replace(faults)
    return JSONResponse({"faults": [fault.name for fault in faults]})


ROUTES: Final = (
    Route("/sandbox", overview),
    Route("/sandbox/his", hospital),
    Route("/sandbox/sign", sign, methods=["POST"]),
    Route("/sandbox/reports/{report_id}/sign", sign_report, methods=["POST"]),
    Route("/sandbox/reports/{report_id}/text", change_text, methods=["PUT"]),
    Route("/sandbox/reports/{report_id}/patient", change_patient, methods=["PUT"]),
    Route("/sandbox/reports/{report_id}/addendum", add_addendum, methods=["POST"]),
    Route("/sandbox/studies/{study_id}/start", start, methods=["POST"]),
    Route("/sandbox/studies/{study_id}/cancel", cancel, methods=["POST"]),
    Route("/sandbox/studies/{study_id}/uncancel", uncancel, methods=["POST"]),
    Route("/sandbox/faults", set_faults, methods=["PUT"]),
)


def _signed(signed: SignedReport) -> Response:
    return JSONResponse(
        {"reportId": signed.report_id, "studyId": signed.study_id, "studyInstanceUid": signed.study_instance_uid}
    )
