"""Open and check the database, and build the ingest pipeline, for the service and for the commands.

Carries out no clause of a standard: it connects parts, and decides nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.ingest.orders.sources import HospitalSource, survey_sources
from gateway.ingest.stored_forms import record
from gateway.routing import Destination, routes_of, survey_routes
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.runtime.log import configure, get_logger
from gateway.settings import Configuration, require_site_key
from gateway.store.database import facts
from gateway.store.database.engine import Engine, micros
from gateway.store.database.postgres import Postgres
from gateway.store.database.probe import is_current
from gateway.store.database.sqlite import Sqlite
from gateway.store.feed.destinations import NotRenamed, is_to_be_renamed, now_called, renamed
from gateway.store.orders.hospital import OrderReader
from gateway.store.orders.inbound import SourceNotRenamed
from gateway.store.orders.inbound import is_to_be_renamed as is_source_to_be_renamed
from gateway.store.orders.inbound import renamed as source_renamed
from mappings.hospital.authorities import Authorities

if TYPE_CHECKING:
    from gateway.ingest import Pipeline

_CHECK: Final = b"autoscribe-gateway:store"
_KEY_VERSION: Final = "site-key-version"
_VERSION: Final = re.compile(rb"v([1-9]\d{0,3})\.")


def engine_of(configuration: Configuration) -> Sqlite | Postgres:
    """Create the database engine of the settings, not yet opened.

    Raises:
        ConfigError: its driver is not installed.
    """
    settings = configuration.settings.database
    if settings.file is not None:
        return Sqlite(settings.file)
    return Postgres(settings.url.get_secret_value(), settings.connections, configuration.settings.feed.lease)


@asynccontextmanager
async def opened_store(
    configuration: Configuration, *, serves: bool = False, writes: bool = False
) -> AsyncIterator[Sqlite | Postgres]:
    """Open the store while the block runs: migrate it to this release, and check that it belongs to this site.

    With `serves` or `writes`, destinations and sources are renamed first.

    Raises:
        ConfigError: the store has another site key or a newer release, or another process serves it; or a destination's
            name differs from the one in the store.
        StoreUnavailable: the store cannot be reached.
    """
    engine = engine_of(configuration)
    with engine.owned() if serves and isinstance(engine, Sqlite) else nullcontext():
        async with engine.opened():
            await _migrated(engine)
            await _require_own(engine, configuration)
            await record(engine, configuration, writes=serves or writes)
            if serves or writes:
                await _name_anew(engine, configuration)
            if serves:
                _warn_of_old_names(configuration)
            yield engine


@asynccontextmanager
async def store_for_command(configuration: Configuration, *, writes: bool = True) -> AsyncIterator[Sqlite | Postgres]:
    """Open the store for a command, with the same checks as the service, and send the log to stderr.

    A command that only reads leaves the names of destinations in the database as they are.

    Raises:
        ConfigError: there is no site key, the database belongs to another site or a newer release, or a destination's
            name differs from the one in the database.
        StoreUnavailable: the store cannot be reached.
    """
    require_site_key(configuration)
    configure(configuration.settings.log.level, configuration.settings.log.format)
    async with opened_store(configuration, writes=writes) as engine:
        yield engine


async def _migrated(engine: Sqlite | Postgres) -> None:
    if not await is_current(engine):
        from gateway.store.database.migrate import migrate

        await migrate(engine)


async def _name_anew(engine: Sqlite | Postgres, configuration: Configuration) -> None:
    """Rename destinations and sources in the store (`formerly`), before anything is stored under the new names."""
    for destination in survey_routes(configuration)[0].destinations:
        for fault in await name_faults(engine, configuration, destination):
            raise fault
        if destination.formerly:
            try:
                is_new = await engine.do(partial(renamed, destination.formerly, destination.name, micros(clock.now())))
            except NotRenamed as error:  # another gateway, with other settings, renamed it first
                raise _not_renamed(configuration, destination, error) from None
            if is_new:
                get_logger().info("destination-renamed", destination=destination.name, formerly=destination.formerly)
    for source in survey_sources(configuration)[0]:
        await _name_source_anew(engine, configuration, source)


async def _name_source_anew(engine: Sqlite | Postgres, configuration: Configuration, source: HospitalSource) -> None:
    """Rename one source in the store, before anything is stored under the new name."""
    try:
        if await engine.do(partial(source_renamed, source.formerly, source.name, micros(clock.now()))):
            get_logger().info("source-renamed", source=source.name, formerly=source.formerly)
    except SourceNotRenamed as error:
        raise _source_fault(configuration, source, error) from None


async def source_name_faults(engine: Engine, configuration: Configuration, source: HospitalSource) -> list[ConfigError]:
    """Check a source's name and former name against the database; return the faults."""
    try:
        await engine.do(partial(is_source_to_be_renamed, source.formerly, source.name))
    except SourceNotRenamed as error:
        return [_source_fault(configuration, source, error)]
    return []


def _source_fault(configuration: Configuration, source: HospitalSource, error: SourceNotRenamed) -> ConfigError:
    if not error.name:
        problem = "there are messages under both names, and none may overtake another"
        remedy = "Remove it. What waits under the former name needs a table of that name beside this one."
        return ConfigError(configuration.source, f"{source.place}.formerly", problem, remedy)
    key = "name" if error.is_own else "formerly"
    problem = f"this source is called {error.name} since"
    remedy = f'Write that name, or another one with formerly = "{error.name}".'
    return ConfigError(configuration.source, f"{source.place}.{key}", problem, remedy)


def _warn_of_old_names(configuration: Configuration) -> None:
    for one in configuration.old_names:
        get_logger().warning("setting-renamed", formerly=one.old, action=one.new)


async def name_faults(engine: Engine, configuration: Configuration, destination: Destination) -> list[ConfigError]:
    """Check a destination's name and former name against the database; return the faults."""
    try:
        if destination.formerly:
            await engine.do(partial(is_to_be_renamed, destination.formerly, destination.name))
    except NotRenamed as error:
        return [_not_renamed(configuration, destination, error)]
    if (called := await now_called(engine, destination.name)) in {"", destination.formerly}:
        return []
    problem, remedy = f"this destination is called {called} since", "Write that name, or one that is new."
    return [ConfigError(configuration.source, f"{destination.place}.name", problem, remedy)]


def _not_renamed(configuration: Configuration, destination: Destination, error: NotRenamed) -> ConfigError:
    problem = "there are messages under both names, and none may overtake another"
    remedy = "Remove it; `feed retire` with the former name closes what is open there."
    if error.name:
        problem = f"one of the two names is that of {error.name} since"
        remedy = f'Write formerly = "{error.name}" if that is it, or another name.'
    return ConfigError(configuration.source, f"{destination.place}.formerly", problem, remedy)


async def _require_own(engine: Sqlite | Postgres, configuration: Configuration) -> None:
    """Refuse a store whose patient ids come from another site key (decision D11)."""
    key = configuration.site.site_key
    check, version = hmac.digest(key, _CHECK, hashlib.sha256).hex(), site_key_version(key)
    if hmac.compare_digest(await facts.claimed(engine, "site-key-check", check), check):
        await facts.claimed(engine, _KEY_VERSION, str(version))
        return
    made_with = int(await facts.value_of(engine, _KEY_VERSION) or 1)
    problem = "not the one of this database"
    if version != made_with:
        kind = "an older" if version < made_with else "a newer"
        problem += f", but {kind} one: it has version {version}, and the database was made with version {made_with}"
    remedy = "Use the site key that this database was made with, or a database of its own."
    raise ConfigError(configuration.source, "mapping.site_key", problem, remedy)


def site_key_version(key: bytes) -> int:
    """Return the version of a site key, as in `v2.…`; 1 for a key without one."""
    found = _VERSION.match(key)
    return int(found[1]) if found else 1


def pipeline_of(configuration: Configuration, engine: Sqlite | Postgres) -> Pipeline:
    """Create the ingest pipeline for that store."""
    from gateway.ingest import Pipeline

    wants_pdf = configuration.settings.pdf.ingest == "fetch"
    routes = routes_of(configuration)
    days = order_days(configuration)
    orders = OrderReader(engine, Authorities(configuration.site), days, is_expected=bool(days))
    kept = {"wants_pdf": wants_pdf, "has_words": configuration.settings.fhir.content_search}
    return Pipeline(engine, configuration.site, configuration.zone, **kept, routes=routes, orders=orders)


def order_days(configuration: Configuration) -> dict[str, int]:
    """Return, by hospital source, for how many days after its end an order may still match a study."""
    return {one.name: one.order_days for one in configuration.settings.source}
