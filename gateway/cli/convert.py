"""`autoscribe-gateway convert`: map AutoScribe JSON from a file or a pipe to FHIR or HL7 v2, without a network.

AutoScribe REST API: the input is a `GET /reports` response, a Report, a Study with its reports, or an array or NDJSON
of those.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal

from gateway.fhir_api.operations import trace_rows
from gateway.routing import Destination
from gateway.routing.preview import PreviewRequest, delivery, preview
from gateway.runtime.request_errors import NoMessage
from mappings import decode, to_fhir, to_oru
from mappings.fhir.datatypes import collection
from mappings.fhir.judge import judge
from mappings.fhir.patient import renamed, taken_patient_ids
from mappings.hl7v2.judge import judge_message
from mappings.hl7v2.oru_r01 import messages_of_all
from mappings.hl7v2.receiver_rules import check_rules
from mappings.issues import MappingIssue, WireError
from mappings.life.changes import changes
from mappings.model import Cause, Facts, Mapped, Study
from mappings.patient.identifiers import message_control_id
from mappings.patient.subjects import recency, subjects
from mappings.profile import Receiver, Site
from mappings.study import wire
from mappings.trace import trace

DESTINATION: Final = "convert"
Resources = Mapped[tuple[dict[str, Any], ...]]
_FORMS: Final = "a GET /reports response, a Report, a Study with its reports, or an array or NDJSON of those"


@dataclass(slots=True)
class Source:
    """Study gathered from all its parts in the input; `place` is the pointer to the first part."""

    place: str
    study: Mapping[str, Any] | None = None
    response: Mapping[str, Any] | None = None
    reports: list[Any] = field(default_factory=list)
    report_places: list[str] = field(default_factory=list)
    users: list[Any] = field(default_factory=list)

    def decode(self) -> Study:
        """Decode the study.

        Raises:
            WireError: the study cannot be decoded; the pointer is into the input.
        """
        reports = {**self.response, "reports": self.reports} if self.response is not None else self.reports
        try:
            return decode(self.study, reports, self.users)
        except WireError as error:
            raise WireError(self.point(error.pointer), error.expected, error.found) from None

    def point(self, pointer: str) -> str:
        """Convert a pointer into the study document to a pointer into the input."""
        for index, place in enumerate(self.report_places):
            head = f"/reports/{index}"
            if pointer == head or pointer.startswith(head + "/"):
                return place + pointer.removeprefix(head)
        return self.place + pointer


@dataclass(frozen=True, slots=True)
class Conversion:
    """Result of `convert`: the output, its issues and faults; `made` counts resources, messages or rows.

    `notes` predict the state of each report at the destination, if one is given.
    """

    output: bytes
    made: int
    issues: tuple[MappingIssue, ...]
    faults: tuple[MappingIssue, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """Arguments of a conversion: the target language and the inputs of the mapping. `at` becomes MSH-7.

    With a `destination`, `receiver` and `site` must be its own; use `to_destination`.
    """

    to: Literal["fhir", "hl7v2", "trace"]
    site: Site
    base_url: str
    receiver: Receiver
    at: datetime
    pretty: bool = False
    validate: bool = False
    destination: Destination | None = None

    @classmethod
    def to_destination(cls, request: Request, destination: Destination) -> Request:
        """Return the request adapted to a destination: its receiver, and its site settings."""
        site = destination.site(request.site)
        return replace(request, site=site, receiver=destination.receiver, destination=destination)


def read(text: bytes) -> list[tuple[Study, Source]]:
    """Decode every study in the input.

    Raises:
        WireError: the input has none of the accepted forms; the pointer is into it (`line 3/0/reportId` for NDJSON).
    """
    return [(source.decode(), source) for source in _sources(_documents(text))]


def convert(text: bytes, request: Request) -> Conversion:
    """Convert the input to one FHIR `collection` Bundle, to ORU^R01 messages, or to a trace.

    Raises:
        WireError: the input cannot be decoded.
    """
    return _TARGETS[request.to](read(text), request)


def _mapped(
    studies: list[tuple[Study, Source]], site: Site, at: datetime
) -> Iterator[tuple[Study, Source, Facts, Resources]]:
    """Map studies to FHIR, newest first: of two with one Patient id, the newer describes the Patient (D12)."""
    held: dict[str, list[dict[str, Any]]] = {}
    for study, source in sorted(studies, key=lambda pair: recency(pair[0], at), reverse=True):
        facts = Facts()
        mapped = to_fhir(study, site, facts)
        taken = taken_patient_ids(mapped.output, lambda patient_id: held.get(patient_id, ()))
        if taken:
            facts = Facts(taken_patient_ids=taken)
            mapped = to_fhir(study, site, facts)
        about = subjects(study, study.reports, site, facts).values()
        notes = renamed(about, mapped.output, lambda patient_id: held.get(patient_id, ()))
        mapped = replace(mapped, issues=(*mapped.issues, *notes))
        for resource in mapped.output:
            if resource["resourceType"] == "Patient":
                held.setdefault(resource["id"], []).append(resource)
        yield study, source, facts, mapped


def _fhir(studies: list[tuple[Study, Source]], request: Request) -> Conversion:
    issues: list[MappingIssue] = []
    resources: dict[str, dict[str, Any]] = {}
    for study, source, _, mapped in _mapped(studies, request.site, request.at):
        issues += _at_source((*study.issues, *mapped.issues), source)
        for resource in mapped.output:
            resources.setdefault(f"{resource['resourceType']}/{resource['id']}", resource)
    faults = [fault for resource in resources.values() for fault in judge(resource)] if request.validate else []
    bundle = collection(tuple(resources.values()), request.base_url)
    dumped = json.dumps(bundle, ensure_ascii=False, indent=2 if request.pretty else None)
    return Conversion(dumped.encode() + b"\n", len(resources), tuple(issues), tuple(faults))


def _hl7v2(studies: list[tuple[Study, Source]], request: Request) -> Conversion:
    issues: list[MappingIssue] = []
    messages: list[bytes] = []
    facts_by_study = {study.study_id: facts for study, _, facts, _ in _mapped(studies, request.site, request.at)}
    destination = f"{DESTINATION} {request.receiver.name}"
    notes: list[str] = []
    for study, source in studies:
        issues += _at_source(study.issues, source)
        facts = facts_by_study[study.study_id]
        if request.destination is not None:
            notes += _notes(study, facts, request, request.destination)
        for cause in causes(study, request.site, request.receiver, facts):
            control_id = message_control_id(cause, destination)
            mapped = to_oru(study, cause, request.site, request.receiver, facts, control_id=control_id, at=request.at)
            issues += _at_source(mapped.issues, source)
            messages += [mapped.output] if mapped.output is not None else []
    faults: list[MappingIssue] = []
    for message in messages:
        broken = [one.issue for one in check_rules(message, request.receiver)]
        blocking = [issue for issue in broken if issue.severity == "error"] if request.validate else []
        issues += [issue for issue in broken if issue not in blocking]
        faults += [*judge_message(message), *blocking] if request.validate else []
    separator = b"\n" if request.pretty else b""
    shown = [message.replace(b"\r", b"\n") for message in messages] if request.pretty else messages
    return Conversion(separator.join(shown), len(messages), tuple(issues), tuple(faults), tuple(notes))


def _notes(study: Study, facts: Facts, request: Request, destination: Destination) -> Iterator[str]:
    """Predict for each report how the destination would get it, if nothing had been sent there before."""
    for report in study.reports:
        asked = PreviewRequest(study, facts, report.report_id)
        try:
            becomes = delivery(asked, preview(asked, request.site, request.receiver, request.at), destination)
        except NoMessage:
            continue
        why = f" ({becomes.reason})" if becomes.reason else ""
        yield f"{destination.name}: {report.report_id} would be {becomes.state}{why}"


def _trace(studies: list[tuple[Study, Source]], request: Request) -> Conversion:
    issues: list[MappingIssue] = []
    rows: list[tuple[str, ...]] = []
    for study, source in studies:
        issues += _at_source(study.issues, source)
        head = source.study or source.response or {"studyId": study.study_id}
        document = {**head, "reports": source.reports, "users": source.users}
        traced_rows = trace(document, request.site, request.receiver)
        rows += [trace_rows.cells(row, source.point(row.pointer)) for row in traced_rows]
    return Conversion(trace_rows.table(rows, pretty=request.pretty).encode(), len(rows), tuple(issues))


_TARGETS: Final = {"fhir": _fhir, "hl7v2": _hl7v2, "trace": _trace}


def causes(study: Study, site: Site, receiver: Receiver, facts: Facts) -> tuple[Cause, ...]:
    """Return the causes of messages for a study that is new to the receiver, one cause a message.

    A study without a cause gets one for its last report, so that `to_oru` reports why there is no message.
    """
    first_causes = changes(None, study, site).causes or tuple(Cause(report.report_id) for report in study.reports[-1:])
    return messages_of_all(study, first_causes, site, receiver, facts)


def _at_source(issues: Sequence[MappingIssue], source: Source) -> Iterator[MappingIssue]:
    for issue in issues:
        yield MappingIssue(issue.code, issue.severity, source.point(issue.pointer), issue.action)


def _documents(text: bytes) -> list[tuple[str, Any]]:
    """Parse the input into JSON values with their places: one value, the members of an array, or one per line."""
    if not text.strip():
        raise WireError("", _FORMS, "nothing: the input is empty")
    try:
        value = wire.loads(text)
    except WireError:
        lines = [(number, line) for number, line in enumerate(text.split(b"\n"), 1) if line.strip()]
        if len(lines) < 2 or not _is_json(lines[0][1]):
            raise
        values = [(f"line {number}", wire.loads(line, f"line {number}")) for number, line in lines]
        return [member for place, value in values for member in _members(place, value)]
    return _members("", value)


def _is_json(line: bytes) -> bool:
    try:
        wire.loads(line)
    except WireError:
        return False
    return True


def _members(place: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, list):
        return [(f"{place}/{index}", member) for index, member in enumerate(value)]
    return [(place, value)]


def _sources(documents: Sequence[tuple[str, Any]]) -> list[Source]:
    """Gather the values into studies; parts of one study may be anywhere in the input."""
    sources: dict[str, Source] = {}
    for place, value in documents:
        if not isinstance(value, dict):
            raise WireError(place, _FORMS, wire.json_kind(value))
        if "reportId" in value and "reports" not in value:
            _refuse_text_items(place, value)
            wire.check(value, wire.REPORT, place)
            source = sources.setdefault(value["studyId"], Source(place))
            _add_reports(source, [value], [place])
        else:
            _add_study(sources, place, value)
    return list(sources.values())


def _refuse_text_items(place: str, value: Mapping[str, Any]) -> None:
    if "status" not in value and ("plainText" in value or "presignedUrl" in value):
        raise WireError(
            place, "a Report of GET /reports", "an item of /reports/text or /reports/pdf, which has no status"
        )


def _add_study(sources: dict[str, Source], place: str, value: Mapping[str, Any]) -> None:
    head = {key: inner for key, inner in value.items() if key not in ("reports", "users")}
    is_study = "studyReportStatus" in value or "reportMetadata" in value
    if not is_study and "reports" not in value:
        raise WireError(place, _FORMS, "an object that is none of them")
    wire.check(head if is_study else value, wire.STUDY if is_study else wire.REPORT_LIST, place)
    source = sources.setdefault(value["studyId"], Source(place))
    held = source.study if is_study else source.response
    if held is not None and held != head:
        raise WireError(place, "each study once", "two different accounts of one study")
    if is_study:
        source.study = head
    else:
        source.response = head
    reports = _array(value, "reports", place)
    _add_reports(source, reports, [f"{place}/reports/{index}" for index in range(len(reports))])
    source.users += _array(value, "users", place)


def _add_reports(source: Source, reports: Sequence[Any], places: Sequence[str]) -> None:
    source.reports += reports
    source.report_places += places


def _array(value: Mapping[str, Any], key: str, place: str) -> Sequence[Any]:
    rows = value.get(key, [])
    if not isinstance(rows, list):
        raise WireError(f"{place}/{key}", "an array", wire.json_kind(rows))
    return rows
