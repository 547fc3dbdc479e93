"""`autoscribe-gateway sandbox …`: run a simulated AutoScribe, and sign, correct or cancel reports there.

Carries out no clause of a standard. Exit codes: 0 done, 2 bad input, or no sandbox that answered.
"""

from __future__ import annotations

import sys
from typing import Annotated
from urllib.parse import quote

import typer

from gateway.cli.command_line import PORT, CommandGroup, exit_code
from gateway.runtime.command_words import SANDBOX_API_KEY, SANDBOX_PORT
from gateway.runtime.errors import ConfigError
from gateway.sandbox.control_client import ask

sandbox = typer.Typer(invoke_without_command=True, no_args_is_help=False, cls=CommandGroup)

Port = Annotated[int, typer.Option(**PORT, help="Port of the running sandbox, on loopback.")]
Report = Annotated[str, typer.Argument(metavar="REPORT", help="Report id, rep_<32 hex>.")]
Study = Annotated[str, typer.Argument(metavar="STUDY", help="Study id, stu_<32 hex>.")]


@sandbox.callback()
def start(
    context: typer.Context,
    port: Annotated[int, typer.Option(**PORT, help="Port to listen on, on loopback.")] = SANDBOX_PORT,
    studies: Annotated[int, typer.Option(min=0, help="Number of studies at the start.")] = 40,
    seed: Annotated[int, typer.Option(help="Seed of the data; the same seed gives the same bytes.")] = 1,
    latency_ms: Annotated[int, typer.Option(min=0, help="Milliseconds to wait before every answer.")] = 0,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="SPEC", help="A fault, such as 500:rate=0.1; repeatable.")
    ] = None,
    switch: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A behavior that AutoScribe's contract leaves open; repeatable."),
    ] = None,
    api_key: Annotated[str, typer.Option(help="API key that clients must send.")] = SANDBOX_API_KEY,
    webhook_url: Annotated[str | None, typer.Option(help="URL for report.delivered events.")] = None,
    webhook_key: Annotated[str | None, typer.Option(help="Secret that signs the events (whsec_…).")] = None,
    his: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="MLLP listener for orders, visits and merges of a hospital.")
    ] = "",
) -> None:
    """Run an AutoScribe look-alike: reports, studies, users, PDFs, webhooks, and faults on request."""
    if context.invoked_subcommand is not None:
        return
    from gateway.sandbox.upstream import SandboxOptions, run
    from gateway.sandbox.webhooks import WebhookTarget

    if (webhook_url is None) != (webhook_key is None):
        problem = "--webhook-url and --webhook-key go together: an event is signed or not sent"
        raise ConfigError("command line", "sandbox", problem, "Give both or neither.")
    options = SandboxOptions(
        port=port,
        studies=studies,
        seed=seed,
        latency_ms=latency_ms,
        faults=tuple(fault or ()),
        switches=tuple(switch or ()),
        api_key=api_key,
        webhook=WebhookTarget(webhook_url, webhook_key) if webhook_url and webhook_key else None,
        his=his,
    )
    sys.exit(exit_code(run(options)))


@sandbox.command()
def sign(
    critical: Annotated[bool, typer.Option("--critical", help="Sign it as a critical result.")] = False,
    port: Port = SANDBOX_PORT,
) -> None:
    """Sign a report of a new study in the running sandbox, and print both ids."""
    signed = ask(port, "POST", "sign?critical=true" if critical else "sign")
    print(f"signed: {signed['reportId']} of {signed['studyId']}")


@sandbox.command()
def addend(
    report: Report,
    text: Annotated[str, typer.Option(help="Text of the addendum; default: a synthetic one.")] = "",
    port: Port = SANDBOX_PORT,
) -> None:
    """Sign an addendum to a signed report in the running sandbox."""
    signed = ask(port, "POST", f"reports/{_id(report)}/addendum", text)
    print(f"addendum signed: {signed['reportId']} of {signed['studyId']}")


@sandbox.command()
def correct(
    report: Report,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="New text of the report.")],
    port: Port = SANDBOX_PORT,
) -> None:
    """Change the text of a report in the running sandbox, without an addendum."""
    ask(port, "PUT", f"reports/{_id(report)}/text", text)
    print(f"corrected: {report}")


@sandbox.command()
def cancel(study: Study, port: Port = SANDBOX_PORT) -> None:
    """Cancel a study in the running sandbox; this withdraws a signed report."""
    ask(port, "POST", f"studies/{_id(study)}/cancel")
    print(f"cancelled: {study}")


@sandbox.command()
def uncancel(study: Study, port: Port = SANDBOX_PORT) -> None:
    """Undo the cancellation of a study in the running sandbox."""
    ask(port, "POST", f"studies/{_id(study)}/uncancel")
    print(f"no longer cancelled: {study}")


def _id(text: str) -> str:
    return quote(text, safe="")
