"""`autoscribe-gateway sync`: run one full sweep of AutoScribe, then list values that the settings do not name yet.

Carries out no clause of a standard; decision D8. The service may run meanwhile.
Proved by tests/gateway/cli/test_operator.py.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Final

from gateway.app import crawling
from gateway.checks.config import api_key
from gateway.checks.doctor.seen import Seen
from gateway.cli.check_config import unknown_data
from gateway.crawl.crawler import crawl_once
from gateway.feed.operator.arguments import Say, say_answer
from gateway.ingest.assembly import store_for_command
from gateway.runtime.metrics import Metrics
from gateway.runtime.pauses import rare_collections
from gateway.runtime.progress import Progress
from gateway.settings import Configuration
from gateway.store.studies.crawling import SweepRecord, sample

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
        with rare_collections(), Progress("sync", "studies") as progress:
            swept = await crawl_once(crawl, partial(_show, progress))
        seen = Seen()
        async for document in sample(engine, _SAMPLED):
            seen.look_at(*document, configuration.site)
    changed, failed = f"{swept.taken_in} were new or changed", f"{swept.failed} could not be read"
    say(f"{swept.listed} studies listed: {changed}, {failed}; {swept.missing} that are stored were not listed")
    say_answer(unknown_data(seen, configuration), lambda text: sys.stderr.write(f"{text}\n"))
    return 1 if swept.failed else 0


def _show(progress: Progress, record: SweepRecord) -> None:
    """Show the progress of a sweep; the total is that of the last sweep, since AutoScribe gives none."""
    progress(record.studies_seen, record.finished.studies if record.finished else None, is_guess=True)
