"""Destination of v2 messages: its content after each message, and the feed's record of what it sent (D16, D32)."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha1
from typing import NamedTuple

from fakes import er7_reader
from fakes.er7_reader import all_of

from mappings import to_oru
from mappings.hl7v2.oru_r01 import messages_of_all
from mappings.hl7v2.received import statuses_of
from mappings.hl7v2.rendering import Rendering, rendering
from mappings.issues import MappingIssue
from mappings.life.changes import Change
from mappings.model import Cause, Facts, PdfFacts, Report, Reported
from mappings.patient.identifiers import message_control_id
from mappings.profile import Receiver, Site

AT = datetime(2026, 1, 7, 12, 0, 0, tzinfo=UTC)
_IN_ORDER = re.compile("[PW]*(F[CAW]*)?")
HELD = frozenset({"accession-missing", "addendum-without-original"})


@dataclass
class Result:
    """Content under one filler order number: `lines`, `flagged` ones and `files`, under the last code of `history`.

    `history` has OBR-25 of each message, or W for a withdrawal; `patients` the first PID-3 of each; `reported` OBR-22,
    and the status and flags of all lines.
    """

    history: str = ""
    patients: list[str] = field(default_factory=list)
    reported: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    flagged: list[str] = field(default_factory=list)
    files: list[bytes] = field(default_factory=list)

    @property
    def is_final(self) -> bool:
        return self.history[-1:] in ("F", "C", "A")

    @property
    def is_in_order(self) -> bool:
        """True for P < F < C, A: no draft or first result after a signed one, and no addition to a missing result."""
        return _IN_ORDER.fullmatch(self.history) is not None


class Destination:
    """System that files results by filler order number: each message replaces the content, `A` adds to it."""

    def __init__(self) -> None:
        self.results: dict[str, Result] = {}

    def receive(self, message: bytes | None) -> None:
        if message is None:
            return
        (order,) = all_of(message, "OBR")
        rows = all_of(message, "OBX")
        result = self.results.setdefault(order[3], Result())
        result.history += "W" if any(row[11] == "W" for row in rows) else order[25]
        result.patients.append(er7_reader.field(message, "PID-3").partition("~")[0])
        statuses = order[25], *(f"{row[8]} {row[11]}" for row in rows)
        result.reported.append((er7_reader.field(message, "OBR-22"), statuses))
        if result.history[-1] != "A":
            result.lines, result.flagged, result.files = [], [], []
        if result.history[-1] != "W":
            result.lines += er7_reader.lines(message)
            result.flagged += flagged_lines(message)
            result.files += [b64decode(row[5].rpartition("^")[2]) for row in rows if row[2] == "ED"]


def flagged_lines(message: bytes) -> list[str]:
    """OBX-5 of the lines that are marked critical."""
    return [row[5] for row in all_of(message, "OBX") if row[8]]


class Sent(NamedTuple):
    """One message, or None with the issues that explain it; `about` are the ids of all its reports."""

    cause: Cause
    about: tuple[str, ...]
    message: bytes | None
    issues: tuple[MappingIssue, ...]

    @property
    def errors(self) -> set[str]:
        return {issue.code for issue in self.issues if issue.severity == "error"}


class Feed:
    """Feed's record of one destination: `numbers` by report, those with a `signed` report, and causes `held`.

    `reported` is what was told last under each number.
    """

    def __init__(self, to: Receiver, site: Site) -> None:
        self.to = to
        self.site = site
        self.numbers: dict[str, tuple[str, ...]] = {}
        self.signed: set[str] = set()
        self.held: tuple[Cause, ...] = ()
        self.reported: dict[str, Reported] = {}

    def send(self, change: Change) -> Iterator[Sent]:
        """Yield each message of the change, after the messages held before, or the reason that there is none."""
        study, facts = change.study, self.facts(change)
        held: list[Cause] = []
        causes = (*self.held, *change.causes)
        for cause in messages_of_all(study, causes, self.site, self.to, facts, sent=frozenset(self.signed)):
            facts, number = self.facts(change), message_control_id(cause, self.to.addendum)
            mapped = to_oru(study, cause, self.site, self.to, facts, control_id=number, at=AT)
            made = rendering(study, cause, self.site, self.to, facts)
            others = made.subject.reports if isinstance(made, Rendering) else ()
            about = dict.fromkeys((cause.report_id, *(report.report_id for report in others)))
            sent = Sent(cause, tuple(about), mapped.output, mapped.issues)
            if sent.message is not None and isinstance(made, Rendering):
                self._keep(sent, made)
                told = Reported(mapped.reported_at or AT, statuses_of(sent.message))
                self.reported.update(dict.fromkeys(made.place.filler_order_numbers, told))
            elif sent.errors & HELD:
                held.append(replace(cause, sent_before=False))
            yield sent
        self.held = tuple(dict.fromkeys(held))

    def facts(self, change: Change) -> Facts:
        """Facts for rendering a message."""
        return Facts(
            pdf={one.report_id: pdf_facts(one) for one in change.study.completed if self.to.pdf != "none"},
            corrected=change.corrected,
            seen=change.seen,
            gone=change.gone,
            filler_order_numbers=dict(self.numbers),
            reported=dict(self.reported),
        )

    def _keep(self, sent: Sent, made: Rendering) -> None:
        """Record the numbers of a sent message; a withdrawal does not make its number a signed one."""
        under = made.place.filler_order_numbers
        if made.status.diagnostic_report not in ("preliminary", "entered-in-error"):
            self.signed.update(under)
        if sent.cause.part == "report":
            for report_id in sent.about:
                self.numbers[report_id] = tuple(dict.fromkeys((*self.numbers.get(report_id, ()), *under)))


def pdf_facts(report: Report) -> PdfFacts:
    """A stand-in for the report's PDF: its text, as bytes."""
    data = (report.text or "").encode()
    return PdfFacts(len(data), sha1(data, usedforsecurity=False).digest(), data)
