"""Composition root: the only module that assembles the parts of the service.

Carries out no clause of a standard: it connects parts, and holds no logic of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Set
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import distributions
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.checks.destinations import faults as destination_faults
from gateway.crawl.crawler import crawl_forever
from gateway.crawl.index_age import SweepWatch
from gateway.crawl.ports import Crawl, Json
from gateway.feed.alerts.monitor import AlertMonitor
from gateway.feed.alerts.store_alarm import StoreAlarm
from gateway.feed.compose.render_due import DueRenderer
from gateway.feed.deliver.destination_worker import DestinationWorker
from gateway.feed.deliver.hold_feed import HoldFeed
from gateway.feed.deliver.journaling import Journaling
from gateway.feed.deliver.retention import Retention
from gateway.feed.deliver.settings_watch import SettingsWatch
from gateway.fhir_api.facade import MOUNT, Facade
from gateway.fhir_api.http.compression import Compressed
from gateway.fhir_api.http.hosts import KnownHosts
from gateway.fhir_api.openapi.routes import openapi_routes
from gateway.fhir_api.ops.health import Health
from gateway.fhir_api.ops.reachability import Reachability
from gateway.fhir_api.ops.routes import Ops, ops_routes
from gateway.fhir_api.routes import fhir_app
from gateway.fhir_api.search.page_token import Tokens
from gateway.ingest.assembly import opened_store, pipeline_of
from gateway.ingest.control_queue import ControlWork
from gateway.ingest.housekeeping import Tidying
from gateway.ingest.pdf_queue import PdfQueue
from gateway.ingest.read_through import ReadThrough
from gateway.routing import routes_of
from gateway.runtime import clock, log
from gateway.runtime.errors import ConfigError
from gateway.runtime.loops import alongside, forever
from gateway.runtime.metrics import Measured, Metrics
from gateway.runtime.serving import listening_socket, running, stop_signal
from gateway.runtime.words import API, FEED, ROLES, SYNC
from gateway.settings import Configuration, require_loopback, require_site_key
from gateway.store.database.controls import Controls
from gateway.store.database.postgres import Postgres
from gateway.store.database.probe import EVERY, StoreProbe
from gateway.store.database.sqlite import Sqlite
from gateway.store.feed.leases import Leases
from gateway.store.studies.coverage import StoredCursors, StoredStudies
from gateway.store.studies.pdfs import Pdfs
from gateway.store.webhooks import StoredEnrichments, StoredWebhooks
from gateway.upstream.client import Observe, UpstreamClient, unobserved
from gateway.upstream.pace import Pace
from gateway.upstream.paced_client import PacedClient
from gateway.webhooks.endpoint import WebhookInbox, webhook_routes
from gateway.webhooks.event import Verifier
from gateway.webhooks.signature_count import SignatureRecord
from gateway.webhooks.worker import WebhookWork


@dataclass(frozen=True, slots=True)
class _Parts:
    """Parts that a process uses while it runs."""

    configuration: Configuration
    engine: Sqlite | Postgres
    reads: ReadThrough
    upstream: UpstreamClient
    metrics: Metrics
    watch: SweepWatch
    webhook_work: WebhookWork
    signatures: SignatureRecord
    probe: StoreProbe


def create_app(
    configuration: Configuration,
    roles: Collection[str] = ROLES,
    metrics: Metrics | None = None,
    hold: HoldFeed | None = None,
) -> FastAPI:
    """Build the gateway as an ASGI application; its lifespan opens the store and AutoScribe, and runs its roles.

    Every role answers probes and metrics; only the role `api` serves FHIR, webhooks and the OpenAPI description.

    With `hold`, it sends nothing to a destination until an operator resumes it.

    FastAPI's telemetry is off, since it would record exception texts and query strings.

    Raises:
        ConfigError: there is no API key.
    """
    metrics = metrics or Metrics()
    reachability = Reachability(metrics)
    client = UpstreamClient(configuration.settings.upstream, configuration.settings.pdf, observe=reachability)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            engine = await stack.enter_async_context(opened_store(configuration, serves=True))
            await stack.enter_async_context(client)
            parts = _parts(configuration, engine, client, metrics)
            stack.push_async_callback(parts.reads.close)
            await parts.watch.once()
            app.state.facade = _facade(parts)
            app.state.inbox = _inbox(parts)
            app.state.ops = Ops(_health(parts, reachability), metrics, _version())
            await stack.enter_async_context(_at_work(parts, roles, reachability, hold))
            yield

    public = urlsplit(configuration.settings.server.public_url or "").hostname
    names = [public] if public else []
    app = _Application(
        title="autoscribe-gateway",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"logs": False, "tracing": False, "metrics": False, "operation_spans": False},
        lifespan=lifespan,
        routes=[*ops_routes(), *((*webhook_routes(), *openapi_routes()) if API in roles else ())],
    )
    app.serves_fhir = API in roles
    app.around = lambda inner: Measured(Compressed(KnownHosts(inner, names)), metrics)
    return app


class _Application(FastAPI):
    """FastAPI application that routes FHIR requests past FastAPI's own layers, which take a fifth of a read's time."""

    around: Callable[[ASGIApp], ASGIApp]
    serves_fhir: bool

    def build_middleware_stack(self) -> ASGIApp:
        """Build the stack: `around` wraps the facade (for paths below its base) and FastAPI (for all others)."""
        rest, below = super().build_middleware_stack(), f"{MOUNT}/"
        fhir = fhir_app() if self.serves_fhir else rest

        async def parted(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope.get("path", "")
            is_fhir = path.startswith(below) or path == MOUNT
            await (fhir if is_fhir else rest)(scope, receive, send)

        return self.around(parted)


def _parts(configuration: Configuration, engine: Sqlite | Postgres, client: UpstreamClient, metrics: Metrics) -> _Parts:
    reads = ReadThrough(client, engine, pipeline_of(configuration, engine), metrics)
    watch = SweepWatch(StoredCursors(engine))
    metrics.watch_index_age(lambda: _index_age(watch))

    async def signed(study_id: str) -> Set[str]:
        study = (await reads.study(study_id, fresh=True)).study
        return {one.report_id for one in study.completed}

    work = WebhookWork(StoredWebhooks(engine), signed, metrics)
    record = SignatureRecord(StoredCursors(engine))
    probe = StoreProbe(engine, secrets.token_hex(8))
    return _Parts(configuration, engine, reads, client, metrics, watch, work, record, probe)


def _facade(parts: _Parts) -> Facade:
    settings = parts.configuration.settings
    return Facade(
        upstream=parts.upstream,
        engine=parts.engine,
        reads=parts.reads,
        site=parts.configuration.site,
        zone=parts.configuration.zone,
        started=clock.now(),
        tokens=Tokens(parts.configuration.site.site_key),
        sweep=lambda: parts.watch.record,
        max_index_age=settings.sync.max_index_age,
        public_url=settings.server.public_url,
        keeps_pdfs=settings.pdf.ingest == "fetch",
        claims_us_core=settings.fhir.claim_us_core,
        destinations=routes_of(parts.configuration).destinations,
    )


def _inbox(parts: _Parts) -> WebhookInbox:
    return WebhookInbox(
        Verifier(parts.configuration.settings.webhook.secrets),
        StoredWebhooks(parts.engine),
        StoredEnrichments(parts.engine),
        parts.metrics,
        parts.webhook_work.wake,
        parts.signatures.note,
    )


def _index_age(watch: SweepWatch) -> float | None:
    finished = watch.record.finished
    return None if finished is None else max(0.0, (clock.now() - finished.started).total_seconds())


def _health(parts: _Parts, reachability: Reachability) -> Callable[[], Health]:
    def health() -> Health:
        record, limit = parts.watch.record, parts.configuration.settings.sync.max_index_age
        is_current = record.is_current(clock.now(), limit)
        return Health(
            store_trouble=parts.probe.trouble,
            store_words=parts.probe.words,
            is_index_complete=is_current,
            index_percent=record.percent,
            index_age=_index_age(parts.watch),
            is_upstream_reachable=reachability.is_reachable,
            upstream_asked=reachability.at,
        )

    return health


def _pdf_loops(parts: _Parts) -> list[Coroutine[Any, Any, None]]:
    """Return the loop that fetches PDFs, if PDFs are stored (D28)."""
    settings = parts.configuration.settings.pdf
    if settings.ingest != "fetch":
        return []
    refresh = pipeline_of(parts.configuration, parts.engine).refresh
    return [PdfQueue(Pdfs(parts.engine), parts.upstream.stream_pdf, refresh, settings, parts.metrics).run()]


def _journal(parts: _Parts) -> Journaling:
    """Build the journal of sent messages, kept beside the database (D38)."""
    configuration = parts.configuration
    names = [one.name for one in routes_of(configuration).destinations]
    return Journaling(parts.engine, configuration.state_dir, names, configuration.site.site_key, parts.metrics)


def _feed_loops(parts: _Parts, journal: Journaling) -> list[Coroutine[Any, Any, None]]:
    """Return the loops of the feed: one for each destination, and journal, alerts, retention and settings."""
    settings, site, engine = parts.configuration.settings.feed, parts.configuration.site, parts.engine
    name = secrets.token_hex(8)
    leases = Leases(engine, name, settings.lease)
    routes = routes_of(parts.configuration)
    destinations = [one for one in routes.destinations if one.is_enabled]
    holders = [
        DestinationWorker(
            DueRenderer(engine, site, one, parts.metrics),
            leases,
            settings,
            parts.metrics,
            ignores=routes.ignores,
            journal=journal,
        )
        for one in destinations
    ]
    return [
        journal.run(),
        *[one.run() for one in holders],
        AlertMonitor(engine, destinations, settings, name, parts.metrics).run(),
        Retention(engine, settings.retention_days).run(),
        SettingsWatch(engine, routes, settings, parts.metrics, leases).run(),
    ]


@asynccontextmanager
async def _at_work(
    parts: _Parts, roles: Collection[str], observe: Observe, hold: HoldFeed | None
) -> AsyncIterator[None]:
    """Run the loops of the roles while the block runs."""
    async with AsyncExitStack() as stack:
        journal = _journal(parts)
        stack.push_async_callback(journal.close)
        if hold is not None:
            names = [one.name for one in routes_of(parts.configuration).destinations]
            await hold.begin(parts.engine, journal, names)
        alarm = StoreAlarm(lambda: parts.probe.trouble, parts.configuration.settings.feed, parts.metrics)
        loops = [parts.watch.run(), parts.signatures.run(), alarm.run()]
        loops.append(forever(parts.probe.once, EVERY, not_done="store-not-probed"))
        if SYNC in roles:
            crawl = await stack.enter_async_context(crawling(parts.configuration, parts.engine, parts.metrics, observe))
            controls = ControlWork(Controls(parts.engine), pipeline_of(parts.configuration, parts.engine))
            tidying = Tidying(StoredWebhooks(parts.engine), Controls(parts.engine))
            loops += [crawl_forever(crawl), parts.webhook_work.run(), controls.run(), tidying.run()]
            loops += _pdf_loops(parts)
        if FEED in roles:
            loops += _feed_loops(parts, journal)
        elif (routes := routes_of(parts.configuration)).destinations:
            loops.append(SettingsWatch(parts.engine, routes, parts.configuration.settings.feed, parts.metrics).run())
        async with alongside(loops):
            yield


@asynccontextmanager
async def crawling(
    configuration: Configuration, engine: Sqlite | Postgres, metrics: Metrics, observe: Observe = unobserved
) -> AsyncIterator[Crawl]:
    """Open what the crawl needs: a client with its own pace and an ingest function; `observe` is passed to the client.

    Raises:
        ConfigError: there is no API key.
    """
    settings = configuration.settings
    pace = Pace(settings.sync.concurrency, metrics)
    async with PacedClient(settings.upstream, settings.pdf, settings.sync, pace, observe) as client:
        reads = ReadThrough(client, engine, pipeline_of(configuration, engine), metrics)

        async def ingest(study_id: str, *, listed: Json | None) -> None:
            await reads.study(study_id, fresh=True, listed=listed)

        try:
            yield Crawl(client, ingest, StoredStudies(engine), StoredCursors(engine), settings.sync, metrics)
        finally:
            await reads.close()


def _version() -> str:
    """Return the version of the gateway; "unknown" for a checkout that is not installed."""
    installed = next(iter(distributions(name="autoscribe-gateway")), None)
    return installed.version if installed else "unknown"


async def serve(configuration: Configuration, roles: Collection[str] = ROLES, hold: HoldFeed | None = None) -> int:
    """Serve on `server.host` and `server.port` until SIGINT or SIGTERM, then finish open requests.

    With `hold`, nothing is sent to a destination until an operator resumes it.

    Raises:
        ConfigError: an unknown role, an address beyond this machine, no site key, no API key, a port in use, a faulty
            destination, or a database of another site, a newer release or another service.
    """
    settings = configuration.settings
    for role in roles:
        if role not in ROLES:
            raise ConfigError("command line", "--roles", f"no role {role!r}", f"Roles are {', '.join(ROLES)}.")
    require_loopback(settings.server.host)
    require_site_key(configuration)
    for fault in destination_faults(configuration):
        raise fault
    metrics = Metrics()
    log.configure(settings.log.level, settings.log.format, dropped=metrics.dropped_log_line)
    app = create_app(configuration, roles, metrics, hold)
    with listening_socket(settings.server.host, settings.server.port) as listener:
        async with stop_signal() as stop, running(app, listener):
            host, port = listener.getsockname()[:2]
            base = f"http://{f'[{host}]' if ':' in host else host}:{port}{MOUNT}"
            log.get_logger().info("serving", fhir_base=settings.server.public_url or base)
            await stop.wait()
    log.get_logger().info("stopped")
    return 0
