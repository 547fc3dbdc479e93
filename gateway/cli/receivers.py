"""`autoscribe-gateway receivers …`: arguments and help of what prepares a receiver for going live.

Carries out no clause of a standard. Exit codes: 0 done, 1 something differs or was not accepted, 2 bad input.
Proved by tests/gateway/cli/test_rehearse.py and tests/gateway/cli/test_compare_samples.py.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.command_line import CommandGroup, Config, Json, destination_names, load
from gateway.cli.run_command import act_on_store as _act_on_store

receivers = typer.Typer(help="Prepare a receiver for going live.", no_args_is_help=True, cls=CommandGroup)


@receivers.command()
def rehearse(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of a destination.", autocompletion=destination_names)
    ],
    reason: Annotated[
        str, typer.Option("--reason", help="Who rehearses and why, for the audit trail. Write no patient names.")
    ],
    patients: Annotated[
        Path | None,
        typer.Option(
            "--patients", metavar="FILE", help="Patients and orders of the test system (TOML); else invented."
        ),
    ] = None,
    filed: Annotated[bool, typer.Option("--filed", help="Tick the checklist by reading the EHR back.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Send invented reports with MSH-11 T to a test system; print what should then stand in the EHR, to sign.

    Exit 1 unless every message was accepted and, with --filed, found in the EHR as it was sent.
    """
    from gateway.cli.rehearsal_studies import invented_system, read_test_system, rehearsal_script, run_of
    from gateway.feed.operator.arguments import needed_reason
    from gateway.feed.operator.rehearsal import rehearse as send_rehearsal
    from gateway.feed.operator.rehearsal import rehearsed_at
    from gateway.runtime import clock

    configuration, now = load(config), clock.now()
    destination, run = rehearsed_at(configuration, name, is_read_back=filed), run_of(now)
    system = read_test_system(patients) if patients else invented_system(run)
    script = rehearsal_script(run, now, system, destination.site(configuration.site), destination)
    script = replace(script, is_read_back=filed)
    _act_on_store(
        configuration,
        "receivers rehearse",
        lambda engine, _: send_rehearsal(engine, configuration, name, script, needed_reason(reason)),
        reason,
        as_json=as_json,
    )


@receivers.command()
def compare(
    samples: Annotated[list[Path], typer.Argument(metavar="SAMPLE…", help="Files with ORU messages (ER7).")],
    receiver: Annotated[
        str, typer.Option("--receiver", metavar="NAME", help="Profile to begin with, of the package or the site.")
    ] = "generic",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Compare messages that a receiver takes from another sender with ours; print the switches that close differences.

    Prints and keeps nothing of a patient. Exit 1 if something differs.
    """
    from gateway.cli.compare_samples import OurMessages, samples_of
    from gateway.cli.compare_samples import compare as compare_with
    from gateway.feed.operator.arguments import say_answer

    site = load(config).site
    found = compare_with(samples_of(samples), site.receiver(receiver), OurMessages(site))
    sys.exit(say_answer(found, print, as_json=as_json))
