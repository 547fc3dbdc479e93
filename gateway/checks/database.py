"""Part of `check-config`: compare names, the form of stored resources, and the crawl's pace with the database.

Carries out no clause of a standard; decisions D26 and D31. Without a database file nothing is checked. A check changes
neither the schema nor a name.
Proved by tests/gateway/cli/test_operator.py and tests/gateway/feed/operator/test_debug_lines.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Final

from gateway.crawl.account_pace import AccountPace, pace_of
from gateway.ingest.assembly import engine_of, name_faults, source_name_faults
from gateway.ingest.orders.sources import survey_sources
from gateway.ingest.stored_forms import differences
from gateway.routing import routes_of
from gateway.runtime.errors import ConfigError, StoreError
from gateway.settings import Configuration
from gateway.store.database.postgres import Postgres
from gateway.store.database.probe import require_known, revision_of
from gateway.store.database.sqlite import Sqlite
from gateway.store.feed.destinations import NotRenamed, is_to_be_renamed, open_work_of_each
from gateway.store.studies.crawling import StoredCursors, read_record

_SECONDS: Final = 10.0
_UNKNOWN: Final = "the database cannot be asked what is open for destinations that are not in the settings"


async def database_findings(configuration: Configuration) -> AsyncIterator[ConfigError | str]:
    """Yield an error for what keeps the service from starting, and a text for any other finding."""
    try:
        engine = engine_of(configuration)
        if isinstance(engine, Sqlite) and not engine.path.exists():
            return
        async with asyncio.timeout(_SECONDS), engine.opened():
            findings = await _unreadable(engine) or [finding async for finding in _found(engine, configuration)]
    except (ConfigError, StoreError, TimeoutError) as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else getattr(error, "detail", "") or str(error)
        yield f"{_UNKNOWN} ({reason}); the service asks when it starts"
        return
    for finding in findings:
        yield finding


async def _unreadable(engine: Sqlite | Postgres) -> list[ConfigError | str]:
    """Return the fault of a database that this release cannot read or migrate."""
    try:
        if (revision := await revision_of(engine)) is not None:
            require_known(revision)
    except ConfigError as fault:
        return [fault]
    return []


async def _found(engine: Sqlite | Postgres, configuration: Configuration) -> AsyncIterator[ConfigError | str]:
    destinations = routes_of(configuration).destinations
    names = {destination.name for destination in destinations if destination.is_enabled}
    for destination in destinations:
        for fault in await name_faults(engine, configuration, destination):
            yield fault
        if destination.formerly and await _is_renamed_soon(engine, destination.formerly, destination.name):
            names.add(destination.formerly)
            takes_over = f"takes over what stands under {destination.formerly} when the gateway starts"
            yield f"destination {destination.name}: {takes_over}"
    for source in survey_sources(configuration)[0]:
        for fault in await source_name_faults(engine, configuration, source):
            yield fault
    for gone in await open_work_of_each(engine, names):
        yield f"destination {gone.name}: {gone}"
    for form in await differences(engine, configuration):
        yield str(form)
    for note in _of_the_crawl(pace_of(await read_record(StoredCursors(engine)), configuration.settings.sync)):
        yield note


def _of_the_crawl(pace: AccountPace) -> Iterator[str]:
    """Yield notes about the crawl's pace, if a sweep has counted the studies."""
    if not pace.studies:
        return
    lists = f"a sweep lists {pace.studies:,} studies in {_hours(pace.sweep_seconds)}"
    yield f"sync: {lists}; answers say incomplete if none has ended for {_hours(pace.max_index_age)}"
    if pace.max_index_age < pace.sweep_seconds:
        cure = "remove sync.max_index_age, or raise sync.pages_per_second"
        yield f"sync: {lists}, and answers say incomplete long before: {cure}"
    if pace.is_tiered:
        ages = "after a day; of studies unchanged for 30 days after a week, and for a year after 30 days"
        yield f"sync: {pace.studies:,} studies are many for sync.refetches_per_second: reports are fetched again {ages}"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h"


async def _is_renamed_soon(engine: Sqlite | Postgres, old: str, new: str) -> bool:
    try:
        return await engine.do(partial(is_to_be_renamed, old, new))
    except NotRenamed:
        return False
