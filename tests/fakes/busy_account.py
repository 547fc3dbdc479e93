"""Account in which people work while it is crawled: every change has a number, and all changes are recorded.

A text or description ends with `[<id>:<n>]`, so every resource made from it shows which change it contains.
"""

from __future__ import annotations

import re
from collections import defaultdict
from random import Random
from typing import Any

from gateway.sandbox.seed import generate
from gateway.sandbox.seed_study import instant
from gateway.sandbox.state import SandboxAccount

Json = dict[str, Any]
_MARK = re.compile(r"\[([0-9a-f]{6}):([0-9]+)\]")


def marks(text: str, upstream_id: str) -> list[int]:
    """Numbers of the changes to that report or study in a text."""
    return [int(number) for key, number in _MARK.findall(text) if key == upstream_id[-6:]]


class BusyAccount:
    """Sandbox account with a person who changes it; `last` is the number of the last change by id."""

    def __init__(self, studies: int, seed: int) -> None:
        self.state = SandboxAccount(generate(studies=studies))
        self.dice = Random(seed)
        self.last: dict[str, int] = defaultdict(int)
        self.touched: set[str] = set()
        self.done: dict[str, int] = defaultdict(int)

    def act(self, study_id: str) -> None:
        """Make one random change to that study, of those that its state allows."""
        study, reports = self.state.studies[study_id], self.state.reports[study_id]
        signed = [one for one in reports if one["status"] == "completed"]
        unsigned = [one for one in reports if one["status"] != "completed"]
        possible = ["described"]
        possible += ["text"] * 3 if signed else []
        possible += ["addendum"] * 2 if signed and study["studyReportStatus"] != "addendum_active" else []
        possible += ["signed"] * 3 if unsigned else []
        possible += ["begun"] * 3 if not reports and study.get("studyType") != "external" else []
        possible += ["cancelled"]
        if study.get("studyType") == "external":
            possible = ["described"]
        kind = self.dice.choice(possible)
        getattr(self, f"_{kind}")(study_id, signed, unsigned)
        self.touched.add(study_id)
        self.done[kind] += 1

    def _described(self, study_id: str, *_: Any) -> None:
        self.state.change_study(study_id, studyDescription=self._marked("Changed description", study_id))

    def _text(self, _: str, signed: list[Json], __: list[Json]) -> None:
        report = self.dice.choice(signed)
        text = _MARK.sub("", report.get("reportPlainText") or "FINDINGS: None.").rstrip()
        self.state.change_text(report["reportId"], self._marked(text, report["reportId"]))

    def _addendum(self, _: str, signed: list[Json], __: list[Json]) -> None:
        report_id = self.state.open_addendum(self.dice.choice(signed)["reportId"])
        if self.dice.random() < 0.8:
            self.state.sign(report_id)

    def _signed(self, _: str, __: list[Json], unsigned: list[Json]) -> None:
        self.state.sign(self.dice.choice(unsigned)["reportId"])

    def _begun(self, study_id: str, *_: Any) -> None:
        report_id = self.state.start_report(study_id)
        if self.dice.random() < 0.5:
            self.state.sign(report_id)

    def _cancelled(self, study_id: str, *_: Any) -> None:
        is_cancelled = not self.state.studies[study_id]["isCancelled"]
        at = instant(self.state.now()) if is_cancelled else None
        self.state.change_study(study_id, isCancelled=is_cancelled, cancelledAt=at)

    def _marked(self, text: str, upstream_id: str) -> str:
        self.last[upstream_id] += 1
        return f"{text} [{upstream_id[-6:]}:{self.last[upstream_id]}]"
