"""`autoscribe-gateway feed …`: the commands of the feed, as they are typed; each imports what does its work.

Carries out no clause of a standard. Exit codes as of all commands: 0 done, 1 something is open or refused, 2 bad input.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.command_line import CommandGroup, Config, destination_names, load
from gateway.cli.command_line import exit_code as _run
from gateway.runtime.words import HeldAs

feed = typer.Typer(
    help="The HL7 v2 feed: how it stands, and the operator's hand on it.", no_args_is_help=True, cls=CommandGroup
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a destination.", autocompletion=destination_names)]
AnyName = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="Name of a [[destination]]; else all.", autocompletion=destination_names),
]
Json = Annotated[bool, typer.Option("--json", help="The same as JSON.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept. Write no names.")]
Study = Annotated[str | None, typer.Option("--study", metavar="ID", help="A study, stu_<32 hex>.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Send without a question, as a script must.")]
Since = Annotated[str | None, typer.Option("--from", metavar="INSTANT", help="Signed from then on: a day, or a time.")]
Until = Annotated[str | None, typer.Option("--to", metavar="INSTANT", help="Signed before then.")]


@feed.command()
def status(config: Config = None, as_json: Json = False) -> None:
    """How each destination stands: who serves it, what waits, what is held, what was given up."""
    from gateway.feed.operator import status as standing

    sys.exit(_run(standing.status(load(config), print, as_json=as_json)))


@feed.command()
def plan(
    name: AnyName = None,
    reports: Annotated[bool, typer.Option("--reports", help="Name each report, critical results first.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Count what changed settings would send or stop of what was signed before; 1 if it waits for `feed apply`."""
    from gateway.feed.operator import planned as planning

    sys.exit(_run(planning.plan(load(config), name, print, as_json=as_json, reports=reports)))


@feed.command()
def apply(
    name: Name,
    leave: Annotated[bool, typer.Option("--leave", help="Send nothing of it, and stop nothing.")] = False,
    reason: Reason = "",
    config: Config = None,
) -> None:
    """Send what the plan of a destination adds and stop what it stops, or leave all as it was."""
    from gateway.feed.operator import planned as planning
    from gateway.feed.operator.arguments import wrong

    if leave and not reason:
        raise wrong("--leave", "without --reason", "Write why: it is kept who is not told of these reports.")
    sys.exit(_run(planning.apply(load(config), name, print, leaves=leave, reason=reason)))


@feed.command()
def pause(name: Name, reason: Reason, config: Config = None) -> None:
    """Send nothing more to a destination; messages are made and wait."""
    from gateway.feed.operator import pausing

    sys.exit(_run(pausing.pause(load(config), name, reason, print)))


@feed.command()
def resume(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of a destination.", autocompletion=destination_names)
    ] = None,
    study: Study = None,
    held: Annotated[HeldAs | None, typer.Option("--held", help="All studies that are held as that.")] = None,
    chart_corrected: Annotated[
        bool, typer.Option("--chart-corrected", help="The other patient's chart is put right by hand.")
    ] = False,
    leave: Annotated[
        bool, typer.Option("--leave", help="Close what may have been sent, since it is there; with --reason.")
    ] = False,
    restored: Annotated[
        bool, typer.Option("--restored", help="Write down what the journal has, then send to NAME, or all restored.")
    ] = False,
    journal: Annotated[
        list[Path] | None, typer.Option("--journal", metavar="FILE", help="A journal of another gateway; repeatable.")
    ] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    config: Config = None,
) -> None:
    """Send to a destination again; or let one study go on that is held there, or all that were refused or in doubt."""
    from gateway.cli import restored as restoring
    from gateway.feed.operator import pausing
    from gateway.feed.operator.arguments import wrong
    from gateway.feed.operator.preview import Consent

    if leave:
        _check_leave(name, study, held, reason, is_alone=not (restored or journal or chart_corrected or dry_run))
        sys.exit(_run(pausing.leave(load(config), str(name), study, reason, print)))
    if restored and (dry_run or yes):
        option = "--dry-run" if dry_run else "--yes"
        problem = "with --restored: that is not tried first, and asks nothing; nothing was done"
        raise wrong(option, problem, f"Leave {option} out.")
    if restored and not (study or held):
        sys.exit(_run(restoring.resume_restored(load(config), name, journal or [], reason, print)))
    if restored or journal or name is None:
        raise wrong("NAME", "missing, or --restored with --study or --held, or --journal alone", "See --help.")
    if study and held:
        raise wrong("--held", "with --study", "Write one of the two.")
    if chart_corrected and not study:
        raise wrong("--chart-corrected", "without --study", "Say of which study.")
    configuration, consent = load(config), Consent(dry_run, yes)
    if study:
        work = pausing.resume_study(configuration, name, study, reason, consent, print, is_corrected=chart_corrected)
    elif held:
        work = pausing.resume_held(configuration, name, held, reason, consent, print)
    else:
        work = pausing.resume(configuration, name, reason, consent, print)
    sys.exit(_run(work))


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
    dead_letters: Annotated[
        bool, typer.Option("--dead-letters", help="All studies that something was given up of.")
    ] = False,
    as_sent: Annotated[bool, typer.Option("--as-sent", help="As it was made, not as it is by now.")] = False,
    force_old: Annotated[bool, typer.Option("--force-old", help="Though a newer version was sent.")] = False,
    missing: Annotated[
        bool, typer.Option("--missing", help="Only what the certificate lacks: of these, or of everything.")
    ] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    config: Config = None,
) -> None:
    """Send studies once more, as they are by now, each message with an MSH-10 of its own."""
    from gateway.feed.operator import as_sent as resending
    from gateway.feed.operator import replay as replaying
    from gateway.feed.operator.arguments import id_of, span_of, wrong
    from gateway.feed.operator.preview import Consent
    from gateway.feed.operator.selection import Chosen

    if force_old and not (as_sent and reason):
        raise wrong(
            "--force-old", "without --as-sent and --reason", "Write both: it is kept who was sent an old version."
        )
    if missing and as_sent:
        raise wrong("--missing", "with --as-sent", "Write one of the two; --dead-letters goes with --as-sent.")
    configuration, consent = load(config), Consent(dry_run, yes)
    span = None if since is None and until is None else span_of(since, until, configuration.zone)
    chosen = Chosen(id_of(study) if study else None, id_of(report) if report else None, span, dead_letters, missing)
    if as_sent:
        work = resending.replay_as_sent(configuration, name, chosen, reason, consent, print, force_old=force_old)
    else:
        work = replaying.replay(configuration, name, chosen, reason, consent, print)
    sys.exit(_run(work))


@feed.command()
def backload(
    name: Name,
    since: Annotated[str, typer.Option("--from", metavar="INSTANT", help="Signed from then on: a day, or a time.")],
    until: Annotated[str, typer.Option("--to", metavar="INSTANT", help="Signed before then.")],
    rate: Annotated[float | None, typer.Option(min=0.01, max=1000, help="Studies a second.")] = None,
    missing: Annotated[bool, typer.Option("--missing", help="Only what no message to it has yet.")] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    config: Config = None,
) -> None:
    """Send what was signed before a destination's start, on purpose and slowly, behind all that is new."""
    from gateway.feed.operator import backload as history
    from gateway.feed.operator.arguments import span_of
    from gateway.feed.operator.preview import Consent

    configuration = load(config)
    asked = history.History(span_of(since, until, configuration.zone), rate, missing, reason)
    sys.exit(_run(history.backload(configuration, name, asked, Consent(dry_run, yes), print)))


@feed.command()
def retire(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a destination that is in no settings any more.")],
    reason: Reason,
    config: Config = None,
) -> None:
    """Close what is open for a destination that was taken out of the settings; nothing of it is sent."""
    from gateway.feed.operator import retiring

    sys.exit(_run(retiring.retire(load(config), name, reason, print)))


@feed.command("dead-letters")
def dead_letters(
    name: AnyName = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """What was given up, why, and by which rule."""
    from gateway.feed.operator import dead_letters as letters

    sys.exit(_run(letters.dead_letters(load(config), name, print, as_json=as_json)))


@feed.command()
def certificate(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Name of a [[destination]].", autocompletion=destination_names),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All destinations.")] = False,
    since: Since = None,
    until: Until = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where it is written to, as JSON.")] = None,
    config: Config = None,
) -> None:
    """What became of every signed report at a destination, AutoScribe listed anew; 1 unless nothing is open."""
    from gateway.feed.operator import certificate as certifying
    from gateway.feed.operator.arguments import span_of, wrong

    if (name is None) is not every:
        raise wrong("NAME", "neither a destination nor --all, or both", "Write one of them.")
    configuration = load(config)
    span = span_of(since, until, configuration.zone)
    sys.exit(_run(certifying.certificate(configuration, name, span, out, print)))


@feed.command()
def show(
    what: Annotated[str, typer.Argument(metavar="[MSH-10|REPORT|ACCESSION]", help="What to show, or a study.")] = "",
    patient: Annotated[
        str, typer.Option("--patient", metavar="-", help="Numbers of patients, a line each, from standard input.")
    ] = "",
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="NAME", help="Of that destination alone.", autocompletion=destination_names),
    ] = None,
    reason: Reason = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show messages with patient data: bytes, each attempt and its answer, what changed; 1 if there is none."""
    from gateway.feed.operator import show as showing
    from gateway.feed.operator.arguments import numbers_of

    wanted = showing.WantedMessages(what, numbers_of(patient, what), at, reason)
    sys.exit(_run(showing.show(load(config), wanted, print, as_json=as_json)))


@feed.command()
def ack(
    code: Annotated[str, typer.Argument(metavar="CODE", help="An alert, such as critical-overdue.")],
    name: Annotated[
        str | None,
        typer.Argument(metavar="[DESTINATION]", help="At this one; else at all.", autocompletion=destination_names),
    ] = None,
    reason: Reason = "",
    config: Config = None,
) -> None:
    """Acknowledge an alert: somebody has seen it, and it is escalated to nobody else."""
    from gateway.feed.operator import acknowledging

    sys.exit(_run(acknowledging.acknowledge(load(config), code, name, reason, print)))
