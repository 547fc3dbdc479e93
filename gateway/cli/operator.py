"""Carry out operator commands: sync once, map studies again, migrate schema, check setup, decide identity conflicts.

Carries out no clause of a standard; decisions D8, D12, D26. The commands write to the same database as the service,
which may run meanwhile.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Final, Literal

from gateway.app import crawling
from gateway.checks.config import api_key
from gateway.checks.database import of_database
from gateway.checks.doctor.advice import advice
from gateway.checks.doctor.seen import Seen
from gateway.checks.online import count_seen, findings
from gateway.crawl.crawler import crawl_once
from gateway.ingest.assembly import engine_of, indexed_anew, pipeline_of, store_for_command
from gateway.routing import routes_of
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.runtime.log import configure
from gateway.runtime.metrics import Metrics
from gateway.runtime.progress import Progress
from gateway.settings import Configuration
from gateway.store.database.migrate import migrate as migrate_store
from gateway.store.studies import identities
from gateway.store.studies.coverage import all_studies, sample, studies_stored
from gateway.store.studies.sweep_record import SweepRecord
from mappings.issues import WireError
from mappings.patient.identifiers import upstream_id

Say = Callable[[str], object]
_SAMPLED: Final = 2_000


async def sync_once(configuration: Configuration, say: Say) -> int:
    """Run one full sweep of AutoScribe, or finish an interrupted one; return the exit code.

    Raises:
        ConfigError: no API key, no site key, or a database of another site or a newer release.
        GatewayError: AutoScribe or the store failed too often; the next call continues from there.
    """
    for fault in api_key(configuration):
        raise fault
    async with store_for_command(configuration) as engine, crawling(configuration, engine, Metrics()) as crawl:
        with Progress("sync", "studies") as progress:
            swept = await crawl_once(crawl, partial(_show, progress))
        seen = Seen()
        async for document in sample(engine, _SAMPLED):
            seen.look_at(*document, configuration.site)
    changed, failed = f"{swept.taken_in} were new or changed", f"{swept.failed} could not be read"
    say(f"{swept.listed} studies listed: {changed}, {failed}; {swept.missing} that are stored were not listed")
    advise(seen, configuration, lambda text: sys.stderr.write(f"{text}\n"))
    return 1 if swept.failed else 0


def _show(progress: Progress, record: SweepRecord) -> None:
    """Show the progress of a sweep; the total is that of the last sweep, since AutoScribe gives none."""
    progress(record.studies_seen, record.finished.studies if record.finished else None, is_guess=True)


async def check_online(configuration: Configuration, say: Say) -> int:
    """Print the faults that `check-config --online` finds; return 1 if there are any."""
    configure(configuration.settings.log.level, configuration.settings.log.format)
    faults = [one async for one in findings(configuration)]
    for fault in faults:
        say(str(fault))
    if not faults:
        names = [one.name for one in routes_of(configuration).destinations if one.is_enabled]
        others = f"the database and {', '.join(names)} answer" if names else "and the database answer"
        say(f"online: AutoScribe, its PDF store{',' if names else ''} {others} as they should")
    advise(await count_seen(configuration), configuration, say)
    return 1 if faults else 0


def advise(seen: Seen, configuration: Configuration, say: Say) -> None:
    """Print notes on data in AutoScribe that the settings do not cover, and settings to paste."""
    given = advice(seen, configuration)
    if given.notes:
        say(f"In {len(seen.studies)} studies AutoScribe has what the settings do not know:")
    for note in given.notes:
        say(f"note: {note}")
    if given.paste:
        say(f"\nTo paste, with what only the site knows filled in:\n\n{given.paste}")


async def check_database(configuration: Configuration, say: Say) -> int:
    """Print the findings about destinations in the database; return 1 if one is a fault."""
    results = [one async for one in of_database(configuration)]
    for one in results:
        say(str(one) if isinstance(one, ConfigError) else f"note: {one}")
    return int(any(isinstance(one, ConfigError) for one in results))


async def migrate(configuration: Configuration, say: Say) -> int:
    """Migrate the database to the schema of this release, and print the versions."""
    engine = engine_of(configuration)
    async with engine.opened():
        before, after = await migrate_store(engine)
    say(f"the database is at {after}" + ("" if before == after else f", it was at {before}"))
    return 0


async def rerender(configuration: Configuration, say: Say) -> int:
    """Map all stored studies again under this release and these settings; send nothing.

    A study that cannot be decoded is named and left unchanged; the exit code is then 1.
    """
    done = written = failed = 0
    async with store_for_command(configuration) as engine:
        pipeline, stored = pipeline_of(configuration, engine), await studies_stored(engine)
        with Progress("rerender", "studies") as progress:
            async for study_id in all_studies(engine):
                progress(done + failed, stored)
                try:
                    ingested = await pipeline.rerender(study_id)
                except WireError as error:
                    say(f"{study_id} is left as it is: {error}")
                    failed += 1
                    continue
                done, written = done + 1, written + len(ingested.written if ingested else ())
        if not failed:
            await indexed_anew(engine, configuration)
    say(f"{done} studies rendered anew, {written} new versions; nothing was sent")
    return 1 if failed else 0


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
