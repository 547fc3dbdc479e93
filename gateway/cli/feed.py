"""`autoscribe-gateway feed …`: arguments and help of the HL7 feed commands, which gateway/feed/operator carries out.

Carries out no clause of a standard. Exit codes: 0 done, 1 something is open or refused, 2 bad input.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.command_line import CommandGroup, Config, Json, Reason, destination_names, load
from gateway.cli.run_command import act as _act
from gateway.cli.run_command import act_on_store as _act_on_store
from gateway.cli.run_command import ask as _ask
from gateway.runtime.command_words import HeldAs

if TYPE_CHECKING:
    from gateway.cli.run_command import Engine
    from gateway.feed.operator.certificate import Certificate
    from gateway.settings import Configuration

feed = typer.Typer(help="Show and control the HL7 v2 feed.", no_args_is_help=True, cls=CommandGroup)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a destination.", autocompletion=destination_names)]
AnyName = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="Name of a destination; default: all.", autocompletion=destination_names),
]
NeededReason = Annotated[
    str, typer.Option("--reason", help="Who decided it and why, for the audit trail. Write no patient names.")
]
Report = Annotated[str, typer.Argument(metavar="REPORT", help="A report, rep_<32 hex>.")]
Study = Annotated[str | None, typer.Option("--study", metavar="ID", help="A study, stu_<32 hex>.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Send without asking; scripts need this.")]
Since = Annotated[
    str | None, typer.Option("--from", metavar="INSTANT", help="Reports signed at or after this day or time.")
]
Until = Annotated[str | None, typer.Option("--to", metavar="INSTANT", help="Reports signed before this day or time.")]


@feed.command()
def status(config: Config = None, as_json: Json = False) -> None:
    """Show the state of each destination: its lease holder, waiting and held messages, dead letters."""
    from gateway.feed.operator.status import status as status_of

    configuration = load(config)
    _ask(configuration, lambda engine: status_of(engine, configuration), as_json=as_json)


@feed.command()
def plan(
    name: AnyName = None,
    reports: Annotated[bool, typer.Option("--reports", help="List each report, critical results first.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Count the signed reports that changed settings would send or stop.

    Exit 1 if a plan waits for `feed apply`, or if the index is not complete: then no plan is shown.
    """
    from gateway.feed.operator.plan_and_apply import plan as plans_of

    configuration = _load_for(config, name)
    _ask(configuration, lambda engine: plans_of(engine, configuration, name, reports=reports), as_json=as_json)


@feed.command()
def apply(
    name: Name,
    leave: Annotated[bool, typer.Option("--leave", help="Discard the plan: send nothing, stop nothing.")] = False,
    reason: Reason = "",
    config: Config = None,
) -> None:
    """Apply the plan of a destination: send the messages that it adds and stop those that it stops."""
    from gateway.feed.operator.arguments import wrong
    from gateway.feed.operator.plan_and_apply import PlanDecision
    from gateway.feed.operator.plan_and_apply import apply as apply_plan

    if leave and not reason:
        raise wrong("--leave", "without --reason", "Write why: the audit trail keeps it with the reports not sent.")
    configuration = load(config)
    _act_on_store(
        configuration,
        "feed apply",
        lambda engine, _: apply_plan(engine, configuration, name, PlanDecision(reason, leave)),
        reason,
        destination=name,
    )


@feed.command()
def pause(name: Name, reason: Reason, config: Config = None) -> None:
    """Stop sending to a destination; new messages are still queued."""
    from gateway.feed.operator import pausing

    configuration = load(config)
    _act_on_store(
        configuration,
        "feed pause",
        lambda engine, _: pausing.pause(engine, configuration, name, reason),
        reason,
        destination=name,
    )


@feed.command()
def resume(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of a destination.", autocompletion=destination_names)
    ] = None,
    study: Study = None,
    held: Annotated[HeldAs | None, typer.Option("--held", help="All studies that are held for this reason.")] = None,
    chart_corrected: Annotated[
        bool, typer.Option("--chart-corrected", help="The other patient's chart was corrected by hand.")
    ] = False,
    leave: Annotated[
        bool, typer.Option("--leave", help="Close messages in doubt, since the receiver has them; needs --reason.")
    ] = False,
    restored: Annotated[
        bool,
        typer.Option(
            "--restored", help="After a restore: record the journal's messages, then resume NAME, or all restored."
        ),
    ] = False,
    journal: Annotated[
        list[Path] | None, typer.Option("--journal", metavar="FILE", help="Journal of another gateway; repeatable.")
    ] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    config: Config = None,
) -> None:
    """Resume sending to a destination, or release one held study there (--study), or all held ones (--held)."""
    from gateway.cli import resume_restored as restoring
    from gateway.feed.operator import pausing
    from gateway.feed.operator.arguments import Consent, SendingAct, act_if_agreed, wrong

    if leave:
        _check_leave(name, study, held, reason, is_alone=not (restored or journal or chart_corrected or dry_run))
        configuration = load(config)
        left = partial(pausing.leave, configuration=configuration, name=str(name), study_id=study, reason=reason)
        let_go = partial(_act_on_store, configuration, "feed resume", lambda engine, _: left(engine), reason)
        let_go(study or "", destination=name)
    if restored and (dry_run or yes):
        option = "--dry-run" if dry_run else "--yes"
        problem = "with --restored, which has no dry run and asks nothing; nothing was done"
        raise wrong(option, problem, f"Leave {option} out.")
    if restored and not (study or held):
        configuration = load(config)
        resumed = partial(restoring.resume_restored, configuration, name, journal or [], reason, print)
        _act(configuration, "feed resume", lambda _: resumed(), reason)
    if restored or journal or name is None:
        raise wrong("NAME", "missing, or --restored with --study or --held, or --journal alone", "See --help.")
    if study and held:
        raise wrong("--held", "with --study", "Write one of the two.")
    if chart_corrected and not study:
        raise wrong("--chart-corrected", "without --study", "Say of which study.")
    configuration, consent = load(config), Consent(dry_run, yes)
    if study or held:
        held_work = pausing.HeldWork(name, study, held, chart_corrected)
        sending = SendingAct(
            name,
            partial(pausing.foresee_release, configuration=configuration, work=held_work),
            partial(pausing.release, configuration=configuration, work=held_work, reason=reason),
        )
    else:
        sending = SendingAct(
            name,
            partial(pausing.foresee_resume, configuration=configuration, name=name),
            partial(pausing.resume, configuration=configuration, name=name, reason=reason),
        )
    work = partial(act_if_agreed, configuration, sending, consent, print)
    _act(configuration, "feed resume", lambda _: work(), reason, study or "")


def _check_leave(name: str | None, study: str | None, held: HeldAs | None, reason: str, *, is_alone: bool) -> None:
    from gateway.feed.operator.arguments import wrong

    is_chosen = name is not None and (study is None) is (held == "may-have-been-sent")
    if not is_chosen or held not in {None, "may-have-been-sent"} or not is_alone:
        problem = "it takes NAME with --study or --held may-have-been-sent, and no other option; nothing was done"
        raise wrong("--leave", problem, "See --help.")
    if not reason.strip():
        raise wrong("--leave", "without --reason", "Write how it is known that the receiver has it: that is kept.")


@feed.command()
def replay(
    name: Name,
    study: Study = None,
    report: Annotated[str | None, typer.Option("--report", metavar="ID", help="A report, rep_<32 hex>.")] = None,
    since: Since = None,
    until: Until = None,
    dead_letters: Annotated[bool, typer.Option("--dead-letters", help="Every study with a dead letter.")] = False,
    as_sent: Annotated[
        bool, typer.Option("--as-sent", help="Send the original message, not one of the current study.")
    ] = False,
    force_old: Annotated[
        bool, typer.Option("--force-old", help="Send it even if a newer version was sent since.")
    ] = False,
    missing: Annotated[
        bool, typer.Option("--missing", help="Only reports that the certificate lacks, of those chosen or of all.")
    ] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    config: Config = None,
) -> None:
    """Send studies again in their current state; each message gets a new MSH-10."""
    from gateway.feed.operator import replay as replaying
    from gateway.feed.operator import replay as resending
    from gateway.feed.operator.arguments import Consent, SendingAct, act_if_agreed, id_of, span_of, wrong
    from gateway.feed.operator.replay import ChosenStudies

    if force_old and not (as_sent and reason):
        raise wrong(
            "--force-old", "without --as-sent and --reason", "Write both: it is kept who was sent an old version."
        )
    if missing and as_sent:
        raise wrong("--missing", "with --as-sent", "Write one of the two; --dead-letters goes with --as-sent.")
    configuration, consent = load(config), Consent(dry_run, yes)
    span = None if since is None and until is None else span_of(since, until, configuration.zone)
    chosen = ChosenStudies(
        id_of(study) if study else None, id_of(report) if report else None, span, dead_letters, missing
    )
    if as_sent:
        asked = resending.AsSentRequest(name, chosen, reason, force_old)
        sending = SendingAct(
            name,
            partial(resending.foresee_as_sent, configuration=configuration, asked=asked),
            partial(resending.replay_as_sent, configuration=configuration, asked=asked),
        )
    else:
        sending = SendingAct(
            name,
            partial(replaying.foresee_replay, configuration=configuration, name=name, chosen=chosen),
            partial(replaying.replay, configuration=configuration, name=name, chosen=chosen, reason=reason),
        )
    work = partial(act_if_agreed, configuration, sending, consent, print)
    _act(configuration, "feed replay", lambda _: work(), reason, study or "", report or "")


@feed.command()
def backload(
    name: Name,
    since: Annotated[
        str, typer.Option("--from", metavar="INSTANT", help="Reports signed at or after this day or time.")
    ],
    until: Annotated[str, typer.Option("--to", metavar="INSTANT", help="Reports signed before this day or time.")],
    rate: Annotated[float | None, typer.Option(min=0.01, max=1000, help="Studies a second.")] = None,
    missing: Annotated[
        bool, typer.Option("--missing", help="Only reports that no message to the destination covers yet.")
    ] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    config: Config = None,
) -> None:
    """Send reports signed before a destination's start, slowly, with lower priority than new messages."""
    from gateway.feed.operator import replay as history
    from gateway.feed.operator.arguments import Consent, SendingAct, act_if_agreed, span_of

    configuration = load(config)
    asked = history.BackloadRequest(span_of(since, until, configuration.zone), rate, missing, reason)
    sending = SendingAct(
        name,
        partial(history.foresee_backload, configuration=configuration, name=name, asked=asked),
        partial(history.backload, configuration=configuration, name=name, asked=asked),
    )
    work = partial(act_if_agreed, configuration, sending, Consent(dry_run, yes), print)
    _act(configuration, "feed backload", lambda _: work(), reason)


@feed.command()
def retire(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a destination removed from the settings.")],
    reason: Reason,
    config: Config = None,
) -> None:
    """Close all open messages of a destination that was removed from the settings; nothing is sent."""
    from gateway.feed.operator import pausing

    configuration = load(config)
    _act(configuration, "feed retire", lambda _: pausing.retire(configuration, name, reason, print), reason)


@feed.command()
def withdraw(report: Report, reason: NeededReason, dry_run: DryRun = False, config: Config = None) -> None:
    """Withdraw a signed report that AutoScribe cancelled, in FHIR and at every destination that has it."""
    from gateway.feed.operator import cancelled
    from gateway.feed.operator.arguments import needed_reason

    configuration = load(config)
    work = partial(cancelled.withdraw, configuration, report, needed_reason(reason), print, dry_run=dry_run)
    _act(configuration, "feed withdraw", lambda _: work(), reason, report)


@feed.command()
def leave(report: Report, reason: NeededReason, dry_run: DryRun = False, config: Config = None) -> None:
    """Leave a signed report that AutoScribe cancelled as it is, until it is another version."""
    from gateway.feed.operator import cancelled
    from gateway.feed.operator.arguments import needed_reason

    configuration = load(config)
    work = partial(cancelled.leave, configuration, report, needed_reason(reason), print, dry_run=dry_run)
    _act(configuration, "feed leave", lambda _: work(), reason, report)


def _load_for(config: Config, name: str | None) -> Configuration:
    """Load the settings; refuse an unknown destination name before the store is opened (and its file made)."""
    from gateway.feed.operator.arguments import destination_named

    configuration = load(config)
    if name is not None:
        destination_named(configuration, name, enabled=False)
    return configuration


@feed.command("dead-letters")
def dead_letters(
    name: AnyName = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List dead letters, each with its reason and rule."""
    from gateway.feed.operator.status import dead_letters as letters_of

    configuration = _load_for(config, name)
    _ask(configuration, lambda engine: letters_of(engine, configuration, name), as_json=as_json)


@feed.command()
def certificate(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Name of a destination.", autocompletion=destination_names),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All destinations.")] = False,
    since: Since = None,
    until: Until = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the certificate as JSON.")] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="First read each of these reports anew from AutoScribe, at its pace.")
    ] = False,
    filed: Annotated[
        bool, typer.Option("--filed", help="Also open: reports still to be read back from the EHR, or not checkable.")
    ] = False,
    config: Config = None,
) -> None:
    """Reconcile every signed report, from a fresh AutoScribe listing, with its delivery. Exit 1 if anything is open."""
    from gateway.feed.operator import certificate as certifying
    from gateway.feed.operator.arguments import span_of, wrong

    if (name is None) is not every:
        raise wrong("NAME", "neither a destination nor --all, or both", "Write one of them.")
    configuration = load(config)
    span = span_of(since, until, configuration.zone)

    async def certified(engine: Engine) -> Certificate:
        made = await certifying.certificate(engine, configuration, name, span, is_deep=deep, is_filed=filed)
        if out is not None:
            certifying.write_certificate(made, out)
        return made

    _ask(configuration, certified, writes=deep)


@feed.command()
def show(
    what: Annotated[str, typer.Argument(metavar="[MSH-10|REPORT|ACCESSION]", help="Message, report or study.")] = "",
    patient: Annotated[
        str, typer.Option("--patient", metavar="-", help="Read patient numbers, one a line, from standard input.")
    ] = "",
    at: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="NAME", help="Only messages to this destination.", autocompletion=destination_names
        ),
    ] = None,
    reason: Reason = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show messages with patient data: bytes, attempts, acknowledgements, changes. Exit 1 if there is none."""
    from gateway.feed.operator import show as showing
    from gateway.feed.operator.arguments import numbers_of

    wanted = showing.WantedMessages(what, numbers_of(patient, what), at, reason)
    configuration = load(config)
    _act_on_store(
        configuration,
        "feed show",
        lambda engine, shows: showing.show(engine, configuration, wanted, shows=shows),
        reason,
        what,
        as_json=as_json,
        writes=False,
    )


@feed.command()
def ack(
    code: Annotated[str, typer.Argument(metavar="CODE", help="An alert, such as critical-overdue.")],
    name: Annotated[
        str | None,
        typer.Argument(metavar="[DESTINATION]", help="Destination; default: all.", autocompletion=destination_names),
    ] = None,
    reason: Reason = "",
    config: Config = None,
) -> None:
    """Acknowledge an alert, so that it is not escalated further."""
    from gateway.feed.operator import acknowledging

    _act_on_store(
        load(config), "feed ack", lambda engine, _: acknowledging.acknowledge(engine, code, name, reason), reason
    )
