"""The sandbox's own controls under `/sandbox`: what people do in AutoScribe and no API of it can.

Carries out no clause of a standard and is no part of the upstream's API; it needs no key and is not struck by faults.
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
from gateway.sandbox.state import Signed, refusal

# Keys of `snapshotMetadata` that say who a report is about
_PATIENT: Final = frozenset({"mrn", "patientName", "dateOfBirth", "sex"})


async def overview(request: Request) -> Response:
    """`GET /sandbox`: what the account holds and how it is set."""
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


async def sign(request: Request) -> Response:
    """`POST /sandbox/sign`: a new study is signed, or with `?draft=true` the oldest unsigned report."""
    state = account(request)
    if request.query_params.get("draft") == "true":
        return _signed(state.sign_next())
    critical = {"true": True, "false": False}.get(request.query_params.get("critical", ""))
    return _signed(state.sign_new(critical=critical))


async def sign_report(request: Request) -> Response:
    """`POST /sandbox/reports/{reportId}/sign`: that report is signed, with the body as its text if there is one."""
    text = (await request.body()).decode()
    return _signed(account(request).sign(request.path_params["report_id"], text or None))


async def change_text(request: Request) -> Response:
    """`PUT /sandbox/reports/{reportId}/text`: the body becomes the report's text, without addendum or event."""
    account(request).change_text(request.path_params["report_id"], (await request.body()).decode())
    return JSONResponse({"success": True})


async def change_patient(request: Request) -> Response:
    """`PUT /sandbox/reports/{reportId}/patient`: the report is about somebody else, or says it otherwise."""
    try:
        said = json.loads(await request.body())
    except ValueError:
        said = None
    if not isinstance(said, dict) or not said or not said.keys() <= _PATIENT:
        raise refusal(422, f"the body is no JSON object with any of {', '.join(sorted(_PATIENT))}")
    account(request).change_patient(request.path_params["report_id"], said)
    return JSONResponse({"success": True})


async def start(request: Request) -> Response:
    """`POST /sandbox/studies/{studyId}/start`: a radiologist begins to dictate."""
    return JSONResponse({"reportId": account(request).start_report(request.path_params["study_id"])})


async def add_addendum(request: Request) -> Response:
    """`POST /sandbox/reports/{reportId}/addendum`: one is opened and signed, with the body as its text if any."""
    state = account(request)
    text = (await request.body()).decode()
    return _signed(state.sign(state.open_addendum(request.path_params["report_id"]), text or None))


async def cancel(request: Request) -> Response:
    """`POST /sandbox/studies/{studyId}/cancel`: the study is cancelled, which takes its signed reports back."""
    account(request).cancel_study(request.path_params["study_id"])
    return JSONResponse({"success": True})


async def uncancel(request: Request) -> Response:
    """`POST /sandbox/studies/{studyId}/uncancel`: the study is no longer cancelled."""
    account(request).cancel_study(request.path_params["study_id"], is_cancelled=False)
    return JSONResponse({"success": True})


async def set_faults(request: Request) -> Response:
    """`PUT /sandbox/faults`: the body is a SPEC as `--fault` takes it; empty means none."""
    try:
        faults = parse_faults([(await request.body()).decode()], "faults")
    except ConfigError as error:
        raise refusal(422, str(error)) from None
    request.app.state.faults.replace(faults)
    return JSONResponse({"faults": [fault.name for fault in faults]})


ROUTES: Final = (
    Route("/sandbox", overview),
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


def _signed(signed: Signed) -> Response:
    return JSONResponse(
        {"reportId": signed.report_id, "studyId": signed.study_id, "studyInstanceUid": signed.study_instance_uid}
    )
