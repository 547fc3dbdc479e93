"""Pages that show data of patients: find, one report, one message, why a field has its value, and who saw a patient.

https://www.rfc-editor.org/rfc/rfc9110#section-9.2.1 (a number of a patient is posted, since addresses are kept in many
places); decisions D39, D42, D49, D53. They show the answers of `feed show`, `explain`, `audit who`, `operators`.
Proved by tests/gateway/console/test_pages.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.responses import RedirectResponse, Response, StreamingResponse

from gateway.auth.console_gate import ContentPolicy
from gateway.auth.operators import end_sessions, shown_operators, signed_in
from gateway.console.frame import ConsoleVisit, address, age, day_of, gate_of, instant_of, not_there
from gateway.feed.fate import KINDS, ReportFate
from gateway.feed.operator.arguments import RefusedCommand
from gateway.feed.operator.explain import Question, explain
from gateway.feed.operator.forms import ReportForms, critical_reports, pdf_of, report_forms
from gateway.feed.operator.show import MessageHistory, ShownMessages, WantedMessages, connection, newest, show
from gateway.fhir_api.audit.audited import trail_of
from gateway.fhir_api.audit.disclosures import asker, disclosures_of

MOST_STUDIES: Final = 50
MOST_EVENTS: Final = 500
_EVER: Final = (0, 2**62)
_FILTERS: Final = ("at", "state", "since", "until", "critical")
_REPORT: Final = re.compile("rep[-_]([0-9a-f]{32})")
# Fates that need somebody; fates and states of messages in words of the glossary
BAD_FATES: Final = frozenset(
    {"dead letter", "held", "indeterminate", "unrouted", "not ingested", "cancelled"}
    | {"other patient", "older version", "absent", "differs"}
)
FATE_WORDS: Final = {
    "AA": "acknowledged (AA)",
    "found": "found in the EHR",
    "absent": "not in the EHR",
    "differs": "otherwise in the EHR",
    "older version": "an older version in the EHR",
    "other patient": "with another patient in the EHR",
    "CA only": "accepted by the interface (CA)",
    "taken": "taken",
    "indeterminate": "in doubt",
    "dead_letter": "dead letter",
    "before_start": "before its start",
    "excluded": "left out by a filter",
    "left": "left unsent",
    "recorded": "recorded (dry run)",
}
_MOMENTS: Final = (
    ("made", "composed"),
    ("sent", "sent"),
    ("committed", "accepted by the interface"),
    ("accepted", "accepted by the application"),
)


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """Step in the life of a report; `later` is the time since the step before."""

    at: datetime
    what: str
    control_id: str = ""
    later: str = ""


@dataclass(frozen=True, slots=True)
class FindFilter:
    """Filter of what is found, as typed: destination, fate, the first and the last day in the zone of the site."""

    at: str
    state: str
    since: str
    until: str
    critical: str
    zone: ZoneInfo

    def kept(self, found: ShownMessages, critical: Collection[str]) -> ShownMessages:
        """Return the fates and the messages that pass; `critical` are the reports that are critical results."""
        fates = [one for one in found.fates if self.state in {"", one.fate.kind} and self._is_within(one.fate.since)]
        messages = self.kept_messages(found.messages)
        if self.critical:
            fates = [one for one in fates if one.report_id in critical]
        if self.state or self.critical:
            kept = {(one.place.name, one.report_id) for one in fates}
            messages = [one for one in messages if any((one.destination, each) in kept for each in _reports(one))]
        return ShownMessages(tuple(fates), tuple(messages))

    def kept_messages(self, messages: Sequence[MessageHistory]) -> list[MessageHistory]:
        """Return the messages that pass, by destination and day."""
        return [one for one in messages if self.at in {"", one.destination} and self._is_within(one.made)]

    def _is_within(self, at: datetime | int | None) -> bool:
        """True if an instant is within the days; one that is not known may be."""
        first, last = day_of(self.since, self.zone), day_of(self.until, self.zone)
        if at is None:
            return True
        moment = instant_of(at)
        return (first is None or first <= moment) and (last is None or moment < last + timedelta(days=1))


async def find(visit: ConsoleVisit) -> Response:
    """Answer with the reports and messages that a number finds: one in the address, or a patient's, which is posted.

    Its form posts both, so that the filters go with either; any other number goes on to its address.
    """
    is_posted = visit.request.method == "POST"
    given = await visit.form() if is_posted else dict(visit.request.query_params)
    typed = {name: given.get(name, "").strip() for name in _FILTERS}
    word, number = given.get("q", "").strip(), given.get("patient", "").strip() if is_posted else ""
    chosen = FindFilter(**typed, zone=visit.configuration.zone)
    wanted, fault = WantedMessages(at=chosen.at or None, most=MOST_STUDIES), ""
    if is_posted and not number:
        asked = urlencode({name: value for name, value in {"q": word, **typed}.items() if value})
        return RedirectResponse(f"{address('find')}?{asked}", 303, gate_of(visit.request).headers())
    if number and word:
        fault = "Write the number of a patient, or another number: not both."
    elif number:
        wanted = replace(wanted, patients=(number,))
        visit.shown.given = (("patient", number),)
    elif word:
        if match := _REPORT.fullmatch(word):
            return RedirectResponse(address("report", f"rep_{match[1]}"), 303, gate_of(visit.request).headers())
        wanted = replace(wanted, text=word)
        visit.shown.given = (("identifier", word),)
    values: dict[str, Any] = {"q": word, "chosen": chosen, "found": None, "latest": (), "is_cut": False, "fault": fault}
    values |= {"destinations": [one.name for one in visit.serving.destinations], "kinds": KINDS, "critical_ids": ()}
    if wanted.text or wanted.patients:
        values |= await _searched(visit, wanted, chosen)
    elif not fault:
        latest = await newest(visit.serving.engine, MOST_STUDIES, shows=visit.shows)
        values |= {"latest": chosen.kept_messages(latest)}
    status = HTTPStatus.BAD_REQUEST if fault else HTTPStatus.OK
    return visit.render("find.html", {"here": "find", "most": MOST_STUDIES, **values, **_words()}, status)


async def _searched(visit: ConsoleVisit, wanted: WantedMessages, chosen: FindFilter) -> dict[str, Any]:
    """Return what was found and passes the filter."""
    found = await show(visit.serving.engine, visit.configuration, wanted, shows=visit.shows)
    by_study = await critical_reports(visit.serving.engine, {one.study_id for one in found.fates})
    critical = frozenset[str]().union(*by_study.values())
    studies = {one.study_id for one in found.fates} | {one.study_id for one in found.messages}
    is_cut = len(studies) >= MOST_STUDIES
    return {"found": chosen.kept(found, critical), "critical_ids": critical, "is_cut": is_cut}


def _reports(message: MessageHistory) -> tuple[str, ...]:
    return (message.report_id, *message.report_ids)


async def report(visit: ConsoleVisit) -> Response:
    """Answer with a report: its fate at every destination, its timeline, and its forms side by side."""
    report_id = visit.request.path_params["report"]
    wanted = WantedMessages(text=report_id)
    forms = await report_forms(visit.serving.engine, report_id)
    visit.shows(*_about(forms))
    found = await show(visit.serving.engine, visit.configuration, wanted, shows=visit.shows)
    if forms is None and not found.messages:
        return await not_there(visit)
    study_id = forms.study_id if forms else found.messages[0].study_id
    values: dict[str, Any] = {"report_id": report_id, "study_id": study_id, "forms": forms}
    values |= {"fates": found.fates, "messages": found.messages, "newest": _newest(found.messages)}
    values |= {"timeline": list(_timeline(forms, found.fates, found.messages))}
    values |= {"is_critical": report_id in (await critical_reports(visit.serving.engine, {study_id})).get(study_id, ())}
    return visit.render("report.html", {"shows_pdf": bool(forms and forms.pdf), **values, **_words()})


def _about(forms: ReportForms | None) -> tuple[list[str], list[str]]:
    """Return the addresses of the resources, and the patient, that the forms show."""
    if forms is None:
        return [], []
    return [one.address for one in forms.fhir], [forms.patient_id] if forms.patient_id else []


def _newest(messages: Sequence[MessageHistory]) -> list[MessageHistory]:
    """Return the newest message of each destination whose text is kept."""
    newest = {one.destination: one for one in messages if one.message is not None}
    return list(newest.values())


def _timeline(
    forms: ReportForms | None, fates: Sequence[ReportFate], messages: Sequence[MessageHistory]
) -> Iterator[TimelineStep]:
    """Yield the steps in the life of a report, oldest first."""
    steps = [TimelineStep(at, what) for at, what in (forms.moments if forms else ())]
    for message in messages:
        for name, what in _MOMENTS:
            if (at := getattr(message, name)) is not None:
                steps.append(TimelineStep(at, f"{what} for {message.destination}", message.control_id))
    before: datetime | None = None
    for step in sorted(steps, key=lambda one: one.at):
        later = "" if before is None or step.at - before < timedelta(seconds=1) else age(step.at - before)
        yield replace(step, later=later)
        before = step.at


async def why(visit: ConsoleVisit) -> Response:
    """Answer with why a field of a report has its value, and what was sent of it."""
    question = Question(
        visit.request.path_params["report"],
        visit.query("field"),
        visit.query("at") or None,
        sent=True,
    )
    answer = await explain(visit.serving.engine, visit.configuration, question, shows=visit.shows)
    if isinstance(answer, RefusedCommand):
        return await not_there(visit)
    return visit.render("why.html", {"answer": answer, "field": answer.fields[0]})


async def pdf(visit: ConsoleVisit) -> Response:
    """Answer with the stored PDF of a report."""
    found = await pdf_of(visit.serving.engine, visit.request.path_params["report"])
    if found is None:
        return await not_there(visit)
    visit.shows([found.address], found.patients)
    headers = dict(gate_of(visit.request).headers(ContentPolicy(is_framed=True)))
    return StreamingResponse(found.chunks, headers=headers, media_type="application/pdf")


async def message(visit: ConsoleVisit) -> Response:
    """Answer with a message, at each destination that has one of this MSH-10."""
    control_id = visit.request.path_params["control_id"]
    wanted = WantedMessages(text=control_id)
    found = await show(visit.serving.engine, visit.configuration, wanted, shows=visit.shows)
    messages = [one for one in found.messages if one.control_id == control_id]
    if not messages:
        return await not_there(visit)
    values = {"control_id": control_id, "messages": messages, "connection": connection}
    return visit.render("message.html", {**values, **_words()})


async def access(visit: ConsoleVisit, fault: str = "") -> Response:
    """Answer with who saw data of a patient, whose number is posted, who is signed in, and the local accounts."""
    found = None
    if visit.request.method == "POST" and not fault:
        number = (await visit.form()).get("patient", "").strip()
        visit.shown.given = (("patient", number),)
        numbers = [number] if number else []
        found = await disclosures_of(visit.serving.engine, numbers, _EVER, visit.shows, MOST_EVENTS)
    values: dict[str, Any] = {"found": found, "most": MOST_EVENTS, "asker": asker, "fault": fault}
    values["accounts"] = await shown_operators(visit.serving.engine)
    values["sessions"] = await signed_in(visit.serving.engine)
    status = HTTPStatus.BAD_REQUEST if fault else HTTPStatus.OK
    return visit.render("access.html", {"here": "access", **values}, status)


async def sign_out(visit: ConsoleVisit) -> Response:
    """End the sessions of somebody, after it is noted in the audit, and show the page again."""
    form = await visit.form()
    subject, reason = form.get("subject", ""), form.get("reason", "").strip()
    if not reason:
        return await access(visit, "Write why: the audit keeps it.")
    trail = trail_of(visit.request.scope)
    with trail.acting(visit.request.scope, "operators sign-out", reason, ()) if trail else nullcontext():
        await end_sessions(visit.serving.engine, subject, reason)
    return RedirectResponse(address("access"), HTTPStatus.SEE_OTHER, gate_of(visit.request).headers())


def _words() -> dict[str, Any]:
    return {"fate_words": FATE_WORDS, "bad_fates": BAD_FATES}
