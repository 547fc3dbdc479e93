"""Plan what changed settings of a destination mean for one study: outbox rows to send or to stop. No I/O.

Carries out no clause of a standard; decision D37. gateway/routing/owed.py decides what is owed. The plan sends and
stops nothing; it becomes rows that wait for `feed apply`:

| by the settings | the destination's row before | its row after |
|---|---|---|
| owed | none, `excluded`, `before_start` | `planned`; `waiting` if it was signed under these settings |
| owed | `to_stop` | `waiting`: its messages are composed again from the study's later state |
| not owed, nothing of the study was sent there, and no message that goes includes it | to be made or sent | `to_stop` |
| any | `to_stop`, and a message that goes for an owed report includes it | `rendered` |
| not owed | none, `excluded`, `before_start`, `planned`, `left` | `excluded` or `before_start` |

A cause that no destination is then owed has a row without a destination.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gateway.routing.in_force import BEGINNING, InForce
from gateway.routing.owed import SAYS, Owed, ReportNews, Terms, news, owed, owed_by_no_one
from mappings.model import Cause, Report, Study

PlanState = Literal[
    "planned", "to_stop", "excluded", "before_start", "unrouted", "ignored", "merged", "waiting", "rendered"
]
RESENT: Final = "resend"  # reason of a planned row: the destination has the report, but not this change of it
ROUTED_LATER: Final = "routed-later"
_TOLD: Final = frozenset({"waiting", "held", "rendered", "merged"})
_UNTOLD: Final = frozenset({"", "excluded", "before_start"})
_BY_NO_ONE: Final = frozenset({"unrouted", "ignored"})


@dataclass(frozen=True, slots=True)
class PlanRow:
    """Outbox row as it is now; `destination` is empty if none is owed the cause.

    `is_said` is True if a sent message includes it; `beside` are the reports in unsent messages that do.
    """

    number: int
    cause: Cause
    destination: str
    state: str
    reason: str = ""
    is_move: bool = False
    is_said: bool = False
    beside: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PlanStep:
    """Change of a row; `number` is None for a new row."""

    number: int | None
    cause: Cause
    destination: str
    state: PlanState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class KnownReport:
    """Stored study with its outbox rows in order; `is_sent` if the destination was sent any of it.

    `gone` are reports that no longer exist, `version` is the content's version.
    """

    study: Study
    gone: Sequence[Report]
    version: str
    rows: Sequence[PlanRow]
    is_sent: bool


def planned(known: KnownReport, name: str, in_force: InForce) -> list[PlanStep]:
    """Return the changes of outbox rows that a destination's new settings require."""
    reports = {one.report_id: one for one in (*known.gone, *known.study.reports)}
    own = {_key(row.cause): row for row in known.rows if row.destination == name}
    terms = in_force.revisions[name][-1].terms
    steps: list[PlanStep] = []
    causes = _causes(known)
    told = _told(known, own, terms)
    are_told = told or _to_be_told(known, causes, reports, terms)
    newest = {cause.report_id: cause for cause in causes}
    for cause in causes:
        report_news, row = news(known.study, cause, reports.get(cause.report_id)), own.get(_key(cause))
        decision = owed(report_news, are_told, terms)
        goes = row is not None and (row.is_said or not row.beside.isdisjoint(told))
        is_new = _is_new(report_news, name, in_force)
        step = _step(_Cause(cause, name, row, cause.report_id in told, goes, is_new), decision, is_sent=known.is_sent)
        steps += [step] if step else []
        is_owed = decision.state != "excluded" or (row is not None and row.state in {*_TOLD, "nothing", "to_stop"})
        is_taken = is_owed or newest[cause.report_id] != cause
        steps += _of_no_one(report_news, known.rows, in_force, name, is_taken=is_taken)
    return steps


def _is_new(report_news: ReportNews, name: str, in_force: InForce) -> bool:
    """True for a report signed since the first start but before the first lease, when no settings were in force."""
    moment = report_news.moment
    return moment is not None and in_force.since(name) > BEGINNING and in_force.is_since(name, moment)


def _told(known: KnownReport, own: Mapping[tuple[str, str, str], PlanRow], terms: Terms) -> set[str]:
    """Return the reports that the destination has, or gets by the new settings, too."""
    told = {row.cause.report_id for row in own.values() if row.is_said or (known.is_sent and row.state in _TOLD)}
    reports = {one.report_id: one for one in (*known.gone, *known.study.reports)}
    for row in own.values():
        report_news = news(known.study, row.cause, reports.get(row.cause.report_id))
        if row.state in _TOLD and owed(report_news, told, terms).state == "waiting":
            told.add(row.cause.report_id)
    return told


def _to_be_told(
    known: KnownReport, causes: Iterable[Cause], reports: Mapping[str, Report], terms: Terms
) -> frozenset[str]:
    """Return the reports that are the study's first for the destination; then it is owed the others, too."""
    candidates = (news(known.study, one, reports.get(one.report_id)) for one in causes if one.kind in SAYS)
    return frozenset(of.cause.report_id for of in candidates if owed(of, frozenset(), terms).state == "waiting")


def _causes(known: KnownReport) -> list[Cause]:
    """List the causes of the signed reports, each once; a report without a row has its signing as cause."""
    known_causes = {_key(row.cause): row.cause for row in known.rows if row.cause.kind != "replay"}
    seen = {row.cause.report_id for row in known.rows}
    unseen = [
        Cause(report.report_id, "addendum_signed" if report.is_addendum else "signed", known.version)
        for report in known.study.completed
        if report.report_id not in seen
    ]
    return [*known_causes.values(), *unseen]


def _key(cause: Cause) -> tuple[str, str, str]:
    return cause.report_id, cause.kind, cause.content_version


@dataclass(frozen=True, slots=True)
class _Cause:
    """Cause with its outbox row at the destination; `is_resent` if the report was sent there before.

    `goes` is True if a sent message includes it, or a message that goes because it has an owed report. `is_new` is True
    if its report was signed since the settings count: that is no change of settings.
    """

    cause: Cause
    name: str
    row: PlanRow | None
    is_resent: bool
    goes: bool
    is_new: bool

    def step(self, state: PlanState, reason: str = "") -> PlanStep:
        """Return the step that puts the cause's row into this state."""
        return PlanStep(self.row.number if self.row else None, self.cause, self.name, state, reason)


def _step(cause: _Cause, decision: Owed, *, is_sent: bool) -> PlanStep | None:
    """Return the step for a cause's row; None if it stays as it is."""
    state, reason = (cause.row.state, cause.row.reason) if cause.row else ("", "")
    if state == "to_stop":
        if cause.goes:
            return cause.step("rendered")
        return cause.step("waiting") if decision.state == "waiting" else _stopped(cause, state, reason, decision)
    if decision.state == "waiting":
        if state not in _UNTOLD:
            return None
        return cause.step("waiting") if cause.is_new else cause.step("planned", RESENT if cause.is_resent else "")
    if state in _TOLD:
        return None if is_sent or cause.goes else _stopped(cause, state, reason, decision)
    is_same = (state, reason) == (decision.state, decision.reason)
    return None if state == "nothing" or is_same else cause.step(decision.state, decision.reason)


def _stopped(cause: _Cause, state: str, reason: str, decision: Owed) -> PlanStep | None:
    was = reason.partition(":")[0] if state == "to_stop" else state
    stopped = f"{was}:{decision.reason or decision.state}"
    return None if (state, reason) == ("to_stop", stopped) else cause.step("to_stop", stopped)


def after_stop(reason: str) -> tuple[PlanState, str]:
    """Return the state and reason of a row after a planned stop is carried out."""
    why = reason.partition(":")[2]
    return ("before_start", "") if why == "before_start" else ("excluded", why)


def was_made(reason: str) -> bool:
    """True if a message was composed for a row before its stop was planned; composed again, it gets another MSH-10."""
    return reason.startswith("rendered:")


def _of_no_one(
    report_news: ReportNews, rows: Sequence[PlanRow], in_force: InForce, name: str, *, is_taken: bool
) -> Iterator[PlanStep]:
    """Yield steps for the rows without a destination: a report has one, for its newest cause."""
    same = [row for row in rows if _key(row.cause) == _key(report_news.cause)]
    others = [row for row in same if row.destination not in {"", name}]
    known = [row for row in same if not row.destination]
    if is_taken or any(row.state != "excluded" for row in others):
        for row in known:
            if row.state in _BY_NO_ONE:
                yield PlanStep(row.number, report_news.cause, "", "merged", ROUTED_LATER)
        return
    state, reason = owed_by_no_one(report_news, in_force.ignores, in_force.terms)
    last = known[-1] if known else None
    if last is None:
        yield PlanStep(None, report_news.cause, "", state, reason)
    elif (last.state, last.reason) != (state, reason) and last.reason != "replayed":
        yield PlanStep(last.number, report_news.cause, "", state, reason)
