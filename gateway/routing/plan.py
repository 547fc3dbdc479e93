"""The plan that a change of settings makes of a study that was taken in before: its rows that are to be others. Pure.

Carries out no clause of a standard; decision D37. What is owed says gateway/routing/owed.py; nothing is sent or
stopped by this, it becomes a row that waits for `feed apply`:

| what the settings say | of a destination's row before | its row is to be |
|---|---|---|
| owed | none, `excluded`, `before_start` | `planned` |
| owed | `to_stop` | `waiting`: what was made of it is made anew, as the study is by then |
| not owed, nothing of the study was written there, and no message that goes says it | to be made or sent | `to_stop` |
| whatever they say | `to_stop`, and a message that goes for what is owed says it | `rendered` |
| not owed | none, `excluded`, `before_start`, `planned`, `left` | `excluded` or `before_start` |

A cause that no destination is owed by then has a row without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gateway.routing.in_force import InForce
from gateway.routing.owed import SAYS, Owed, ReportNews, Terms, news, owed, owed_by_no_one
from mappings.model import Cause, Report, Study

PlanState = Literal[
    "planned", "to_stop", "excluded", "before_start", "unrouted", "ignored", "merged", "waiting", "rendered"
]
RESENT: Final = "resend"  # why a row is planned: the destination was told of the report, and not of this news of it
ROUTED_LATER: Final = "routed-later"
_TOLD: Final = frozenset({"waiting", "held", "rendered", "merged"})
_UNTOLD: Final = frozenset({"", "excluded", "before_start"})
_BY_NO_ONE: Final = frozenset({"unrouted", "ignored"})


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A row of the outbox as it stands; `destination` is empty where none takes the cause.

    `is_said` where a message that was written says it; `beside` are the reports in those that are to say it.
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
class Step:
    """A row that is to be another; `number` is None for one that is new."""

    number: int | None
    cause: Cause
    destination: str
    state: PlanState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class KnownReport:
    """A study as the store has it, with its rows in order; `is_sent` if anything of it was written to the destination.

    `gone` are reports that are no longer there, `version` is that of the content.
    """

    study: Study
    gone: Sequence[Report]
    version: str
    rows: Sequence[PlanRow]
    is_sent: bool


def planned(known: KnownReport, name: str, in_force: InForce) -> list[Step]:
    """The rows that are to be others since a destination has other settings."""
    reports = {one.report_id: one for one in (*known.gone, *known.study.reports)}
    own = {_key(row.cause): row for row in known.rows if row.destination == name}
    terms = in_force.revisions[name][-1].terms
    steps: list[Step] = []
    causes = _causes(known)
    told = _told(known, own, terms)
    are_told = told or _to_be_told(known, causes, reports, terms)
    newest = {cause.report_id: cause for cause in causes}
    for cause in causes:
        of, row = news(known.study, cause, reports.get(cause.report_id)), own.get(_key(cause))
        found = owed(of, are_told, terms)
        goes = row is not None and (row.is_said or not row.beside.isdisjoint(told))
        step = _step(_Cause(cause, name, row, cause.report_id in told, goes), found, is_sent=known.is_sent)
        steps += [step] if step else []
        is_owed = found.state != "excluded" or (row is not None and row.state in {*_TOLD, "nothing", "to_stop"})
        is_taken = is_owed or newest[cause.report_id] != cause
        steps += _of_no_one(of, known.rows, in_force, name, is_taken=is_taken)
    return steps


def _told(known: KnownReport, own: Mapping[tuple[str, str, str], PlanRow], terms: Terms) -> set[str]:
    """The reports that the destination was told of, or is to be told of by these settings too."""
    told = {row.cause.report_id for row in own.values() if row.is_said or (known.is_sent and row.state in _TOLD)}
    reports = {one.report_id: one for one in (*known.gone, *known.study.reports)}
    for row in own.values():
        of = news(known.study, row.cause, reports.get(row.cause.report_id))
        if row.state in _TOLD and owed(of, told, terms).state == "waiting":
            told.add(row.cause.report_id)
    return told


def _to_be_told(
    known: KnownReport, causes: Iterable[Cause], reports: Mapping[str, Report], terms: Terms
) -> frozenset[str]:
    """The reports that the destination is told of first by these settings: then it is owed the others of the study."""
    found = (news(known.study, one, reports.get(one.report_id)) for one in causes if one.kind in SAYS)
    return frozenset(of.cause.report_id for of in found if owed(of, frozenset(), terms).state == "waiting")


def _causes(known: KnownReport) -> list[Cause]:
    """List what happened to the signed reports, each once; of one that has no row its signature."""
    found = {_key(row.cause): row.cause for row in known.rows if row.cause.kind != "replay"}
    seen = {row.cause.report_id for row in known.rows}
    unseen = [
        Cause(one.report_id, "addendum_signed" if one.is_addendum else "signed", known.version)
        for one in known.study.completed
        if one.report_id not in seen
    ]
    return [*found.values(), *unseen]


def _key(cause: Cause) -> tuple[str, str, str]:
    return cause.report_id, cause.kind, cause.content_version


@dataclass(frozen=True, slots=True)
class _Cause:
    """A cause with its row at the destination; `is_resent` where that was told of the report before.

    `goes` where a message says it that was written, or that goes since it has something which is owed.
    """

    cause: Cause
    name: str
    row: PlanRow | None
    is_resent: bool
    goes: bool

    def step(self, state: PlanState, reason: str = "") -> Step:
        """Have its row be that."""
        return Step(self.row.number if self.row else None, self.cause, self.name, state, reason)


def _step(of: _Cause, found: Owed, *, is_sent: bool) -> Step | None:
    """Say what becomes of a cause's row, or None where it stays as it is."""
    state, reason = (of.row.state, of.row.reason) if of.row else ("", "")
    if state == "to_stop":
        if of.goes:
            return of.step("rendered")
        return of.step("waiting") if found.state == "waiting" else _stopped(of, state, reason, found)
    if found.state == "waiting":
        return of.step("planned", RESENT if of.is_resent else "") if state in _UNTOLD else None
    if state in _TOLD:
        return None if is_sent or of.goes else _stopped(of, state, reason, found)
    is_same = (state, reason) == (found.state, found.reason)
    return None if state == "nothing" or is_same else of.step(found.state, found.reason)


def _stopped(of: _Cause, state: str, reason: str, found: Owed) -> Step | None:
    was = reason.partition(":")[0] if state == "to_stop" else state
    stopped = f"{was}:{found.reason or found.state}"
    return None if (state, reason) == ("to_stop", stopped) else of.step("to_stop", stopped)


def after_stop(reason: str) -> tuple[PlanState, str]:
    """The state of a row once a planned stop is done, with its reason."""
    why = reason.partition(":")[2]
    return ("before_start", "") if why == "before_start" else ("excluded", why)


def was_made(reason: str) -> bool:
    """True where a message was made of a row before a stop was planned: it is made anew, with another MSH-10."""
    return reason.startswith("rendered:")


def _of_no_one(
    of: ReportNews, rows: Sequence[PlanRow], in_force: InForce, name: str, *, is_taken: bool
) -> Iterator[Step]:
    """Say what becomes of the row without a destination: a report has one, of the newest that happened to it."""
    same = [row for row in rows if _key(row.cause) == _key(of.cause)]
    others = [row for row in same if row.destination not in {"", name}]
    known = [row for row in same if not row.destination]
    if is_taken or any(row.state != "excluded" for row in others):
        for row in known:
            if row.state in _BY_NO_ONE:
                yield Step(row.number, of.cause, "", "merged", ROUTED_LATER)
        return
    state, reason = owed_by_no_one(of, in_force.ignores, in_force.terms)
    last = known[-1] if known else None
    if last is None:
        yield Step(None, of.cause, "", state, reason)
    elif (last.state, last.reason) != (state, reason) and last.reason != "replayed":
        yield Step(last.number, of.cause, "", state, reason)
