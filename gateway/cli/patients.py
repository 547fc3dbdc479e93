"""`autoscribe-gateway patients …`: arguments and help of the commands that erase a patient's data or undo that mark.

Carries out no clause of a standard. Exit codes: 0 done, 1 not now, 2 bad input. gateway/cli/erasure.py does the work.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from gateway.cli.command_line import CommandGroup, Config, Reason, load
from gateway.cli.run_command import act as _act

patients = typer.Typer(
    help="Erase a patient's data on order, and read erased studies again.", no_args_is_help=True, cls=CommandGroup
)


@patients.command()
def erase(
    reason: Reason,
    study: Annotated[
        str | None, typer.Option("--study", metavar="STUDY", help="Erase this study alone, and read no patient.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Erase. Without it the command only counts.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be erased: the default.")] = False,
    config: Config = None,
) -> None:
    """Erase all data of the patient whose Patient id or number is on standard input. Exit 1 while one is being sent."""
    from gateway.cli import erasure as work

    typed = work.TypedErasure(reason, study, is_trial=dry_run or not yes)
    configuration = load(config)
    erasure = partial(work.erase, configuration, typed)
    _act(configuration, "patients erase", lambda shows: erasure(shows, print), reason, study or "")


@patients.command()
def readmit(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Study id, stu_<32 hex>.")],
    reason: Reason,
    config: Config = None,
) -> None:
    """Let the next crawl read an erased study again."""
    from gateway.cli import erasure as work

    configuration = load(config)
    readmission = partial(work.readmit, configuration, study, reason, print)
    _act(configuration, "patients readmit", lambda _: readmission(), reason, study)
