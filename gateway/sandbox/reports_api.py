"""Report endpoints of the AutoScribe look-alike, and PDF downloads; links.py makes the links, which expire.

AutoScribe REST API: GET /reports, /reports/text, /reports/pdf, POST /reports/{reportId}/addendum, …/cancel-addendum.
Proved by tests/gateway/sandbox/test_switches.py and tests/gateway/sandbox/test_pdf.py.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.sandbox import views
from gateway.sandbox.answers import account, action
from gateway.sandbox.faults import expired_link
from gateway.sandbox.links import Links
from gateway.sandbox.state import SandboxAccount, refusal

LINE_WIDTH = 88
LINES_PER_PAGE = 56


def render(title: str, text: str) -> bytes:
    """Render the report text under a title; characters outside WinAnsi become `?`. Same input, same bytes."""
    lines = [title, "", *_wrapped_lines(text)]
    pages = [lines[start : start + LINES_PER_PAGE] for start in range(0, len(lines), LINES_PER_PAGE)]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier /Encoding /WinAnsiEncoding >>",
    ]
    for number, page in enumerate(pages):
        objects += [_page(5 + 2 * number), _content(page)]
    return _file(objects)


def _wrapped_lines(text: str) -> list[str]:
    lines: list[str] = []
    for line in text.splitlines():
        lines += textwrap.wrap(line.expandtabs(4), LINE_WIDTH) or [""]
    return lines


def _page(content: int) -> bytes:
    return (
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
        f"/Resources << /Font << /F1 3 0 R >> >> /Contents {content} 0 R >>"
    ).encode()


def _content(lines: Sequence[str]) -> bytes:
    shown = b"".join(b"(" + _escaped(line) + b") Tj T*\n" for line in lines)
    stream = b"BT /F1 10 Tf 12 TL 42 740 Td\n" + shown + b"ET"
    return f"<< /Length {len(stream)} >>\nstream\n".encode() + stream + b"\nendstream"


def _escaped(line: str) -> bytes:
    raw = "".join(char if char.isprintable() else " " for char in line).encode("cp1252", "replace")
    return raw.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def _file(objects: Sequence[bytes]) -> bytes:
    output = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(output))
        output += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = len(output)
    output += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    output += b"".join(f"{offset:010d} 00000 n \n".encode() for offset in offsets)
    output += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n".encode()
    return bytes(output)


Json = dict[str, Any]

_STUDY_SELECTORS: Final = ("studyId", "studyInstanceUid")
_PRECEDENCE: Final = {
    "report_id": ("reportId", "studyId", "studyInstanceUid"),
    "study_id": ("studyId", "studyInstanceUid", "reportId"),
    "uid": ("studyInstanceUid", "studyId", "reportId"),
    "refuse": ("reportId", "studyId", "studyInstanceUid"),
}


async def list_reports(request: Request) -> Response:
    """`GET /reports`: return all reports of a study, by `studyId` or `studyInstanceUid`."""
    state = account(request)
    study = _study(state, *_selector(request, _STUDY_SELECTORS))
    return JSONResponse(_wrapped(state, study, state.reports_of(study), lambda report: _report(state, report)))


async def report_texts(request: Request) -> Response:
    """`GET /reports/text`: return one text by `reportId`, or all texts of a study."""
    state = account(request)
    return _one_or_all(request, lambda report, uid: views.text_item(report, uid, state.switches), lambda _: True)


async def report_pdfs(request: Request) -> Response:
    """`GET /reports/pdf`: return one presigned URL by `reportId`, or all of a study."""
    state = account(request)
    links: Links = request.app.state.links
    base_url = str(request.base_url).removesuffix("/")

    def as_item(report: Json, uid: str) -> Json:
        url = base_url + links.path(report["reportId"])
        return views.item(report, uid, state.switches, presignedUrl=url)

    def is_shown(report: Json) -> bool:
        return report["status"] == "completed" or state.switches.pdf_unsigned == "listed"

    return _one_or_all(request, as_item, is_shown)


async def addendum(request: Request) -> Response:
    """`POST /reports/{reportId}/addendum`: open an addendum for the radiologist."""
    state, report_id = account(request), request.path_params["report_id"]
    state.find_report(report_id)
    return action(request, lambda: state.open_addendum(report_id), reportId=state.switches.addendum_reply)


async def cancel_addendum(request: Request) -> Response:
    """`POST /reports/{reportId}/cancel-addendum`: cancel the active addendum."""
    state, report_id = account(request), request.path_params["report_id"]
    state.find_report(report_id)
    return action(request, lambda: state.cancel_addendum(report_id))


async def stored_pdf(request: Request) -> Response:
    """Return the PDF behind a presigned URL; needs a valid link, but no key."""
    state, links = account(request), request.app.state.links
    report_id = request.path_params["report_id"]
    if not links.allows(report_id, request.query_params.get("token", "")):
        return expired_link()
    report = state.find_report(report_id)
    kind = state.switches.pdf_type
    content = render(f"RADIOLOGY REPORT {report_id} (sandbox)", report.get("reportPlainText") or "")
    return Response(content, media_type=None if kind == "absent" else kind)


ROUTES: Final = (
    Route("/v1/autoScribe/reports", list_reports),
    Route("/v1/autoScribe/reports/text", report_texts),
    Route("/v1/autoScribe/reports/pdf", report_pdfs),
    Route("/v1/autoScribe/reports/{report_id}/addendum", addendum, methods=["POST"]),
    Route("/v1/autoScribe/reports/{report_id}/cancel-addendum", cancel_addendum, methods=["POST"]),
    Route("/storage/reports/{report_id}.pdf", stored_pdf),
)


def _selector(request: Request, allowed: tuple[str, ...]) -> tuple[str, str]:
    switches = account(request).switches
    given = {key: request.query_params[key] for key in allowed if request.query_params.get(key)}
    if not given:
        raise refusal(switches.no_selector, "no selector")
    if len(given) > 1 and switches.selectors == "refuse":
        raise refusal(422, "more than one selector")
    return next((key, given[key]) for key in _PRECEDENCE[switches.selectors] if key in given)


def _study(state: SandboxAccount, key: str, value: str) -> Json:
    study = state.find_study(study_id=value) if key == "studyId" else state.find_study(uid=value)
    if state.switches.no_reports == "404" and not state.reports_of(study):
        raise refusal("404", "the study has no report")
    return study


def _report(state: SandboxAccount, report: Json) -> Json:
    parent = state.parent_of(report)
    return views.report_view(report, state.switches, parent["reportId"] if parent else None)


def _wrapped(state: SandboxAccount, study: Json, reports: tuple[Json, ...], view: Callable[[Json], Json]) -> Json:
    return {
        "reports": [view(report) for report in views.in_order(reports, state.switches)],
        "studyId": study["studyId"],
        "studyInstanceUid": study["studyInstanceUid"],
    }


def _one_or_all(request: Request, as_item: Callable[[Json, str], Json], is_shown: Callable[[Json], bool]) -> Response:
    state = account(request)
    key, value = _selector(request, ("reportId", *_STUDY_SELECTORS))
    if key == "reportId":
        report = state.find_report(value)
        if not is_shown(report):
            raise refusal("404", "not there before it is signed")
        return JSONResponse(as_item(report, state.find_study(report["studyId"])["studyInstanceUid"]))
    study = _study(state, key, value)
    shown = tuple(report for report in state.reports_of(study) if is_shown(report))
    uid = study["studyInstanceUid"]
    return JSONResponse(_wrapped(state, study, shown, lambda report: as_item(report, uid)))
