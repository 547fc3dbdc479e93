"""`autoscribe-gateway audit …`: arguments and help of the commands for the audit.

Carries out no clause of a standard. Exit codes: 0 done, 1 a fault or nothing found, 2 bad input.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.command_line import CommandGroup, Config, Reason, load
from gateway.cli.command_line import exit_code as _run
from gateway.cli.run_command import act as _act
from gateway.cli.run_command import act_on_store as _act_on_store

audit = typer.Typer(
    help="Verify and search the audit: who saw which data of which patient.", no_args_is_help=True, cls=CommandGroup
)

Since = Annotated[str | None, typer.Option("--from", metavar="INSTANT", help="Events at or after this day or time.")]
Until = Annotated[str | None, typer.Option("--to", metavar="INSTANT", help="Events before this day or time.")]


@audit.command()
def verify(
    public_key: Annotated[
        list[str] | None,
        typer.Option("--public-key", metavar="HEX", help="Trusted public key, as `keys seal` prints it; repeatable."),
    ] = None,
    elsewhere: Annotated[
        list[str] | None,
        typer.Option(
            "--elsewhere",
            metavar="HOST",
            help="Machine on the same database that has an audit folder of its own, verified there; repeatable.",
        ),
    ] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            "--against",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="File in which the syslog receiver kept the copies; repeatable.",
        ),
    ] = None,
    config: Config = None,
) -> None:
    """Find each changed, removed, moved or added line of the audit journal. Exit 1 if there is one."""
    from gateway.cli import audit_answers as work

    wanted = work.Verification(public_key or [], elsewhere or [], against or [])
    sys.exit(_run(work.verify(load(config), wanted, print)))


@audit.command()
def who(
    since: Since = None,
    until: Until = None,
    reason: Reason = "",
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print AuditEvents, one a line.")] = False,
) -> None:
    """List who saw data of a patient. Reads Patient ids or patient numbers, one a line, from standard input."""
    from gateway.cli import audit_answers as work
    from gateway.feed.operator.arguments import numbers_of, span_of

    configuration = load(config)
    numbers, span = numbers_of("-", ""), span_of(since, until, configuration.zone)
    asked = work.PatientAsked(numbers, span)
    _act_on_store(
        configuration,
        "audit who",
        lambda engine, shows: work.who(engine, configuration, asked, shows),
        reason,
        as_json=as_json,
    )


@audit.command()
def export(
    since: Since = None,
    until: Until = None,
    reason: Reason = "",
    config: Config = None,
) -> None:
    """Print the events of a span as FHIR AuditEvents, one a line (NDJSON), newest first."""
    from gateway.cli import audit_answers as work
    from gateway.feed.operator.arguments import span_of

    configuration = load(config)
    span = span_of(since, until, configuration.zone)
    _act(configuration, "audit export", lambda _: work.export(configuration, span, print), reason)
