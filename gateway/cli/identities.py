"""`autoscribe-gateway identity …`: list identity conflicts of patients, and decide them.

Carries out no clause of a standard; decision D12. The service may run meanwhile.
Proved by tests/gateway/cli/test_operator.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gateway.feed.operator.arguments import CommandAnswer
from gateway.ingest.assembly import pipeline_of
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.settings import Configuration
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite
from gateway.store.studies import identities
from gateway.store.studies.identities import StoredIdentity
from mappings.patient.identifiers import upstream_id


@dataclass(frozen=True, slots=True)
class Identities(CommandAnswer):
    """Answer of `identity list`: conflicts and decisions, only by ids."""

    identities: tuple[StoredIdentity, ...]

    def lines(self) -> Iterator[str]:
        """Yield a line for each, and the counts."""
        for one in self.identities:
            yield f"Patient/{one.patient_id}  {one.study_id}  {one.state}  since {one.since:%Y-%m-%d %H:%M} UTC"
        apart = sum(one.state == "held apart" for one in self.identities)
        yield f"{apart} studies are held apart from a patient that they name"
        if several := {one.study_id for one in self.identities if one.state == "contradicted"}:
            yield f"{len(several)} studies have reports about several people"


@dataclass(frozen=True, slots=True)
class IdentityVerdict(CommandAnswer):
    """Answer of `identity link|separate`: a study is about a patient, or not; `versions` counts changed resources."""

    study_id: str
    patient_id: str
    verdict: Literal["link", "separate"]
    versions: int

    def lines(self) -> Iterator[str]:
        """Yield the decision."""
        how = "belongs to" if self.verdict == "link" else "is kept apart from"
        yield f"{self.study_id} {how} Patient/{self.patient_id}: {self.versions} new versions"


async def list_identities(engine: Sqlite | Postgres) -> Identities:
    """Return every identity conflict and decision."""
    return Identities(tuple(await identities.every(engine)))


async def decide(  # noqa: PLR0913, PLR0917 (what a verdict is)
    engine: Sqlite | Postgres,
    configuration: Configuration,
    verdict: Literal["link", "separate"],
    patient_id: str,
    study_id: str,
    reason: str,
) -> IdentityVerdict:
    """Record the decision that a study is (`link`) or is not (`separate`) about a patient that it names.

    Raises:
        ConfigError: the study is not stored, or names no such patient.
    """
    patient_id, study_id = patient_id.removeprefix("Patient/"), upstream_id(study_id) or study_id
    named = await identities.named(engine, study_id)
    if patient_id not in named:
        problem = "the study does not name this patient" if named else "no such study is stored"
        remedy = "`identity list` names some; a report's subject names the patient of any other."
        raise ConfigError("command line", patient_id if named else study_id, problem, remedy)
    await identities.decide(engine, patient_id, study_id, verdict, reason, clock.now())
    ingested = await pipeline_of(configuration, engine).refresh(study_id)
    return IdentityVerdict(study_id, patient_id, verdict, len(ingested.written) if ingested else 0)
