"""`autoscribe-gateway rerender`: map all stored studies again with the present settings and mappings.

Carries out no clause of a standard; decision D26. The service may run meanwhile.
Proved by tests/gateway/cli/test_operator.py.
"""

from __future__ import annotations

from gateway.feed.operator.arguments import Say
from gateway.ingest.assembly import pipeline_of, store_for_command
from gateway.ingest.stored_forms import rendered_anew
from gateway.runtime.progress import Progress
from gateway.settings import Configuration
from gateway.store.studies.crawling import all_studies, studies_stored
from mappings.issues import WireError


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
            await rendered_anew(engine, configuration)
    say(f"{done} studies rendered anew, {written} new versions; nothing was sent")
    return 1 if failed else 0
