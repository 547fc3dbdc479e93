"""Actions at the console: the table of what an operator may do, and the page that shows it first and then does it.

https://www.rfc-editor.org/rfc/rfc9110#section-9.2.1 (a GET changes nothing); decisions D42, D53. Each action foresees
and acts by the functions of its command, and is noted in the audit as that command, with the person and the reason.
What was shown is done: a form carries a digest of it, and where that differs, the page shows what is so now.
Proved by tests/gateway/console/test_actions.py.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal, TypeAlias, cast, get_args
from urllib.parse import urlencode

from starlette.responses import Response

from gateway.auth.console_gate import Role
from gateway.console.frame import HOME, ConsolePage, ConsoleVisit, gate_of
from gateway.feed.operator import cancelled, pausing, plan_and_apply, replay, study_decisions
from gateway.feed.operator.arguments import (
    CommandAnswer,
    Foreseen,
    RefusedCommand,
    id_of,
    needed_reason,
    printed,
    would_be_sent,
    wrong,
)
from gateway.feed.operator.plan_and_apply import PlanDecision, Plans
from gateway.fhir_api.audit.audited import trail_of
from gateway.runtime.command_words import HeldAs
from gateway.runtime.errors import ConfigError
from gateway.settings import Configuration

ACT: Final = f"{HOME}act/"
_CHANGED: Final = "It has changed since you looked, and nothing was done. This is how it is now."
_TWICE: Final = "This form was sent before, and was not done again. This is how it is now."


@dataclass(frozen=True, slots=True)
class ActionAsked:
    """Action that is asked for by an address: the visit, and what the action is about."""

    visit: ConsoleVisit

    @property
    def engine(self) -> Any:
        """Store of the gateway."""
        return self.visit.serving.engine

    @property
    def store(self) -> tuple[Any, Configuration]:
        """Store and settings, which the functions of the commands take first."""
        return self.engine, self.visit.configuration

    def given(self, name: str) -> str:
        """Return a parameter of the address.

        Raises:
            ConfigError: it is missing.
        """
        if not (value := self.visit.query(name)):
            raise wrong(name, "missing in the address", "Open the action from Work, or from the page of a report.")
        return value

    @property
    def at(self) -> str:
        """Name of the destination."""
        return self.given("at")

    @property
    def held(self) -> pausing.HeldWork:
        """Held work at a destination: one study, or all studies held for a reason."""
        if not (held := self.visit.query("held")):
            return pausing.HeldWork(self.at, self.given("study"))
        if held not in get_args(HeldAs):
            raise wrong("held", "no such reason", f"Reasons are {', '.join(get_args(HeldAs))}.")
        return pausing.HeldWork(self.at, held_as=cast(HeldAs, held))

    @property
    def resent(self) -> replay.ChosenStudies:
        """Report, or study, that is sent again."""
        if report := self.visit.query("report"):
            return replay.ChosenStudies(report_id=id_of(report))
        return replay.ChosenStudies(study_id=id_of(self.given("study")))

    @property
    def orders(self) -> list[int]:
        """Numbers of the orders that a study answers."""
        words = self.visit.query("order").replace(",", " ").split()
        if not all(one.isdecimal() for one in words):
            raise wrong("order", "not the number of an order", "Write numbers, with spaces between them.")
        return [int(one) for one in words]


Shown: TypeAlias = Foreseen | CommandAnswer
See: TypeAlias = Callable[[ActionAsked], Awaitable[Shown]]
Do: TypeAlias = Callable[[ActionAsked, Any, str], Awaitable[CommandAnswer]]
_MISSING: Final = replay.ChosenStudies(missing=True)


@dataclass(frozen=True, slots=True)
class ConsoleAction:
    """Action: its step in the address, its heading, its command, and what it does in a sentence.

    `see` returns what it would do; `do` gets that and the reason.
    """

    name: str
    title: str
    command: str
    about: str
    see: See
    do: Do
    least: Role = Role.OPERATOR

    def page(self, forget: Callable[[], None]) -> ConsolePage:
        """Return its page; `forget` is called once it is done, so that lists are read anew."""
        return ConsolePage(f"{ACT}{self.name}", self.least, partial(_answer, self, forget), ("GET", "POST"))


_VERDICTS: Final[tuple[tuple[Literal["link", "separate"], str, str], ...]] = (
    ("link", "Link", "Decides that the study is about this patient, although the data seem to show two people."),
    ("separate", "Separate", "Decides that the study is not about this patient, although it has the same number."),
)


async def _foresee_verdict(one: ActionAsked, verdict: Literal["link", "separate"]) -> Shown:
    return await study_decisions.foresee_verdict(one.engine, verdict, one.given("patient"), one.given("study"))


async def _decide(one: ActionAsked, _: Any, reason: str, verdict: Literal["link", "separate"]) -> CommandAnswer:
    return await study_decisions.decide(*one.store, verdict, one.given("patient"), one.given("study"), reason)


async def _settle_plan(one: ActionAsked, seen: Plans, decision: PlanDecision) -> CommandAnswer:
    (planned,) = seen.plans
    return await plan_and_apply.apply(*one.store, one.at, replace(decision, agreed=planned.rows))


ACTIONS: Final = (
    ConsoleAction(
        "resume",
        "Resume sending",
        "feed resume",
        "Sends to the destination again, also what comes until then. Held studies stay held.",
        lambda one: pausing.foresee_resume(*one.store, one.at),
        lambda one, seen, reason: pausing.resume(*one.store, one.at, reason, seen.agreed),
    ),
    ConsoleAction(
        "let-go",
        "Let held work go on",
        "feed resume",
        "Sends what is held of a study at the destination, and what waits behind it.",
        lambda one: pausing.foresee_release(*one.store, one.held),
        lambda one, seen, reason: pausing.release(*one.store, one.held, reason, seen.studies),
    ),
    ConsoleAction(
        "left",
        "Leave as received",
        "feed resume",
        "Closes messages that may have been sent, since you saw them at the receiver. They are not sent again.",
        lambda one: pausing.leave(*one.store, one.at, one.given("study"), "", dry_run=True),
        lambda one, _, reason: pausing.leave(*one.store, one.at, one.given("study"), reason),
    ),
    ConsoleAction(
        "withdraw",
        "Withdraw a cancelled report",
        "feed withdraw",
        "Withdraws the report in FHIR and at every destination that has it; with a cancelled study, all its reports.",
        lambda one: cancelled.foresee_withdrawal(*one.store, one.given("report")),
        lambda one, seen, reason: cancelled.carry_out(one.engine, seen, reason),
    ),
    ConsoleAction(
        "leave",
        "Leave a cancelled report",
        "feed leave",
        "Leaves the report as it is, in FHIR and at every destination, until AutoScribe has another version.",
        lambda one: cancelled.foresee_leaving(*one.store, one.given("report")),
        lambda one, seen, reason: cancelled.carry_out(one.engine, seen, reason),
    ),
    ConsoleAction(
        "resend",
        "Send again",
        "feed replay",
        "Sends the report, or all reports of the study, to this destination again as they are now.",
        lambda one: replay.foresee_replay(*one.store, one.at, one.resent),
        lambda one, seen, reason: replay.replay(*one.store, one.at, one.resent, reason, seen.studies),
    ),
    ConsoleAction(
        "missing",
        "Send what is missing",
        "feed replay",
        "Sends the reports that the destination lacks by the certificate.",
        lambda one: replay.foresee_replay(*one.store, one.at, _MISSING),
        lambda one, seen, reason: replay.replay(*one.store, one.at, _MISSING, reason, seen.studies),
    ),
    ConsoleAction(
        "apply",
        "Apply the plan",
        "feed apply",
        "Sends the reports that the changed settings add, and stops those that they stop.",
        lambda one: plan_and_apply.foresee_apply(*one.store, one.at),
        lambda one, seen, reason: _settle_plan(one, seen, PlanDecision(reason)),
    ),
    ConsoleAction(
        "discard",
        "Discard the plan",
        "feed apply",
        "Discards the plan: sends nothing of it, and stops nothing.",
        lambda one: plan_and_apply.foresee_apply(*one.store, one.at),
        lambda one, seen, reason: _settle_plan(one, seen, PlanDecision(reason, leaves=True)),
    ),
    ConsoleAction(
        "match",
        "Match with an order",
        "orders match",
        "Decides that the study answers these orders, which its report then names.",
        lambda one: study_decisions.foresee_match(*one.store, one.given("study"), one.orders),
        lambda one, _, reason: study_decisions.match_orders(*one.store, one.given("study"), one.orders, reason),
    ),
    ConsoleAction(
        "release",
        "Release without an order",
        "orders release",
        "Decides that the study goes without an order: its report waits no longer.",
        lambda one: study_decisions.foresee_release(one.engine, one.given("study")),
        lambda one, _, reason: study_decisions.release(one.engine, one.given("study"), reason),
    ),
    *(
        ConsoleAction(
            verdict,
            title,
            f"identity {verdict}",
            about,
            partial(_foresee_verdict, verdict=verdict),
            partial(_decide, verdict=verdict),
        )
        for verdict, title, about in _VERDICTS
    ),
)


_BY_NAME: Final = {one.name: one for one in ACTIONS}


@dataclass(frozen=True, slots=True)
class ActionLink:
    """Link to the page of an action."""

    title: str
    address: str


def action_link(name: str, **given: str) -> ActionLink:
    """Return the link to an action that is about these parameters."""
    return ActionLink(_BY_NAME[name].title, f"{ACT}{name}?{urlencode(given)}")


async def _answer(action: ConsoleAction, forget: Callable[[], None], visit: ConsoleVisit) -> Response:
    """Answer with what an action would do; or, to a form that agrees with it, do it and say what was done."""
    asked = ActionAsked(visit)
    seen = await action.see(asked)
    form = await visit.form() if visit.request.method == "POST" else {}
    reason, fault = form.get("reason", ""), ""
    if form and not isinstance(seen, RefusedCommand):
        fault = await _fault(visit, form, _agreed(asked, seen))
        if not fault:
            done = await _done(action, asked, seen, reason)
            forget()
            return _page(action, asked, {"done": tuple(done.lines()), "is_done": done.exit_code == 0})
    shown = {"lines": tuple(_lines(asked, seen)), "may": not isinstance(seen, RefusedCommand), "fault": fault}
    form_values = {"agreed": _agreed(asked, seen), "form": secrets.token_urlsafe(32), "reason": reason}
    return _page(action, asked, {"done": (), **shown, **form_values})


async def _fault(visit: ConsoleVisit, form: Mapping[str, str], agreed: str) -> str:
    """Return why a form is not carried out, empty if it is: then its token is used up."""
    try:
        needed_reason(form.get("reason", ""))
    except ConfigError as error:
        return error.cure
    if form.get("agreed") != agreed:
        return _CHANGED
    return "" if await gate_of(visit.request).is_first(form.get("form", "")) else _TWICE


async def _done(action: ConsoleAction, asked: ActionAsked, seen: Shown, reason: str) -> CommandAnswer:
    """Do it, after it is noted in the audit.

    Raises:
        AuditUnavailable: it cannot be noted: it is not done.
    """
    scope, trail = asked.visit.request.scope, trail_of(asked.visit.request.scope)
    about = asked.visit.request.query_params.values()
    with trail.acting(scope, action.command, reason, list(about)) if trail else nullcontext():
        return await action.do(asked, seen, reason)


def _lines(asked: ActionAsked, seen: Shown) -> Iterator[str]:
    """Yield what the dry run of the command prints."""
    if isinstance(seen, Foreseen):
        yield would_be_sent(asked.at, seen.amount)
        yield from seen.notes
    else:
        yield from seen.lines()


def _agreed(asked: ActionAsked, seen: Shown) -> str:
    """Return the digest of what a person agrees to."""
    if isinstance(seen, Foreseen):
        studies = [(one, sorted(reports or ())) for one, reports in sorted((seen.studies or {}).items())]
        told: Sequence[str] = [seen.agreed or "\n".join(_lines(asked, seen)), str(studies)]
    else:
        told = list(printed(seen, as_json=True))
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _page(action: ConsoleAction, asked: ActionAsked, values: dict[str, Any]) -> Response:
    given = {name: asked.visit.query(name) for name in ("at", "study", "report", "order")}
    return asked.visit.render("action.html", {"here": "work", "action": action, **given, **values})
