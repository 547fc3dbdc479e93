"""`autoscribe-gateway identity …`: list identity conflicts of patients, and decide them.

Carries out no clause of a standard; decision D12. The service may run meanwhile.
Proved by tests/gateway/cli/test_operator.py.
"""

from __future__ import annotations

from typing import Literal

from gateway.cli.command_line import Say
from gateway.ingest.assembly import pipeline_of, store_for_command
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.settings import Configuration
from gateway.store.studies import identities
from mappings.patient.identifiers import upstream_id


async def list_identities(configuration: Configuration, say: Say) -> int:
    """Print every identity conflict and decision, one a line, with ids and date only."""
    async with store_for_command(configuration, writes=False) as engine:
        rows = await identities.every(engine)
    for row in rows:
        say(f"Patient/{row.patient_id}  {row.study_id}  {row.state}  since {row.since:%Y-%m-%d %H:%M} UTC")
    say(f"{sum(one.state == 'held apart' for one in rows)} studies are held apart from a patient that they name")
    several = {row.study_id for row in rows if row.state == "contradicted"}
    if several:
        say(f"{len(several)} studies have reports about several people")
    return 0


async def decide(  # noqa: PLR0913, PLR0917 (what a verdict is)
    configuration: Configuration,
    verdict: Literal["link", "separate"],
    patient_id: str,
    study_id: str,
    reason: str,
    say: Say,
) -> int:
    """Record the decision that a study is (`link`) or is not (`separate`) about a patient that it names.

    Raises:
        ConfigError: the study is not stored, or names no such patient.
    """
    patient_id, study_id = patient_id.removeprefix("Patient/"), upstream_id(study_id) or study_id
    async with store_for_command(configuration) as engine:
        named = await identities.named(engine, study_id)
        if patient_id not in named:
            problem = "the study does not name this patient" if named else "no such study is stored"
            remedy = "`identity list` names some; a report's subject names the patient of any other."
            raise ConfigError("command line", patient_id if named else study_id, problem, remedy)
        await identities.decide(engine, patient_id, study_id, verdict, reason, clock.now())
        ingested = await pipeline_of(configuration, engine).refresh(study_id)
    versions = len(ingested.written) if ingested else 0
    how = "belongs to" if verdict == "link" else "is kept apart from"
    say(f"{study_id} {how} Patient/{patient_id}: {versions} new versions")
    return 0
