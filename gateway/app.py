"""Composition root: the only module that assembles the parts of the service (store, crawl, feed, FHIR API, loops).

Carries out no clause of a standard: it connects parts, and holds no logic of its own. Decision D46: the loops that work
and the loop that answers share no connection and no lock.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import secrets
from collections.abc import AsyncIterator, Collection, Sequence, Set
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from socket import socket
from typing import Final, Protocol

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from gateway.auth.authentication import authentication
from gateway.auth.builtin import unnoted
from gateway.auth.console_gate import ConsoleSeen, SignInPage, console_gate
from gateway.checks.config import check_start
from gateway.crawl.account_pace import SweepWatch
from gateway.crawl.crawler import crawl_forever, together
from gateway.crawl.ports import Crawl, Json
from gateway.feed.alerts.webhook import StoreAlarm, crowding, heartbeats
from gateway.feed.loops import HoldFeed, Loops, SettingsWatch, certificate_loop, feed_loops
from gateway.fhir_api.application import Application, Lifespan, application
from gateway.fhir_api.audit.trail import AuditTrail, audit_forwarding, audit_loops, audit_trail, prepare_audit
from gateway.fhir_api.capability import software
from gateway.fhir_api.facade import MOUNT, Facade
from gateway.fhir_api.ops.health import Health, Reachability
from gateway.fhir_api.ops.routes import Ops, RenderedMetrics
from gateway.fhir_api.search.page_token import Tokens
from gateway.ingest.assembly import opened_store, order_days, pipeline_of
from gateway.ingest.control_queue import ControlWork
from gateway.ingest.housekeeping import Tidying, keep_words
from gateway.ingest.orders.loops import OrderLoops
from gateway.ingest.pdf_queue import PdfQueue
from gateway.ingest.pipeline import TRUST
from gateway.ingest.plan_ingest import LASTING
from gateway.ingest.read_through import ReadThrough
from gateway.routing import routes_of
from gateway.runtime import clock, log
from gateway.runtime.command_words import ANSWERING, API, CONSOLE, FEED, ROLES, SYNC
from gateway.runtime.computing import workers
from gateway.runtime.http_connection import Connections, most_connections
from gateway.runtime.loops import alongside, forever
from gateway.runtime.metrics import Metrics
from gateway.runtime.pauses import short_pauses
from gateway.runtime.processes import ServicePart, run_parts
from gateway.runtime.server_certificate import kept_new
from gateway.runtime.serving import (
    Beside,
    listening_socket,
    run_answering,
    running,
    running_apart,
    until,
    url_of,
)
from gateway.runtime.sibling import EVERY as FIGURES_EVERY
from gateway.runtime.sibling import Figures, Sibling, Together, send
from gateway.runtime.signals import stop_signal
from gateway.runtime.tls import TlsSettings
from gateway.settings import Configuration
from gateway.settings.values import host_and_port
from gateway.store.clients import StoredTokens
from gateway.store.database.engine import WEBHOOK
from gateway.store.database.facts import Controls
from gateway.store.database.postgres import Postgres
from gateway.store.database.probe import EVERY, STUCK, StoreProbe
from gateway.store.database.sqlite import Sqlite
from gateway.store.enrichment import StoredWebhooks
from gateway.store.orders.inbound import first_names, under_first_names
from gateway.store.stored_reports import Pdfs
from gateway.store.studies.crawling import StoredCursors, StoredStudies
from gateway.upstream.client import Observe, UpstreamClient, unobserved
from gateway.upstream.pace import Pace
from gateway.upstream.paced_client import PacedClient
from gateway.webhooks.assembly import inbox_of
from gateway.webhooks.endpoint import webhook_routes
from gateway.webhooks.signature_count import SignatureRecord
from gateway.webhooks.worker import WebhookWork

_MAPPING: Final = ("gateway.ingest.plan_ingest",)


class ConsolePages(Protocol):
    """Pages of the console, which stand above this module: the command line passes them in."""

    @property
    def is_demo(self) -> bool:
        """True if a one-time word lets somebody in."""

    def routes(self, configuration: Configuration) -> Sequence[BaseRoute]:
        """Return the routes of the pages."""

    def sign_in(self, configuration: Configuration, request: Request, page: SignInPage) -> Response:
        """Render the page of the sign-in."""


class _Shared:
    """Parts that the loops of one process share; each may be used from any thread."""

    def __init__(
        self,
        configuration: Configuration,
        metrics: Metrics,
        sibling: Sibling | None = None,
        console: ConsolePages | None = None,
    ) -> None:
        self.configuration, self.metrics, self.sibling, self.console = configuration, metrics, sibling, console
        self.reachability = Reachability(metrics)
        self.probe: StoreProbe | None = None

    def client(self) -> UpstreamClient:
        """Create a client of AutoScribe, not yet opened.

        Raises:
            ConfigError: there is no API key.
        """
        settings = self.configuration.settings
        return UpstreamClient(settings.upstream, settings.pdf, observe=self.reachability)

    def reads(self, engine: Sqlite | Postgres, client: UpstreamClient) -> ReadThrough:
        """Create a reader that reads studies from AutoScribe and ingests them."""
        return ReadThrough(client, engine, pipeline_of(self.configuration, engine), self.metrics)


def create_app(
    configuration: Configuration,
    roles: Collection[str] = ROLES,
    metrics: Metrics | None = None,
    hold: HoldFeed | None = None,
    console: ConsolePages | None = None,
) -> FastAPI:
    """Build the gateway as an ASGI application; its lifespan opens the store and AutoScribe, and runs its roles.

    Every role answers probes and metrics; only the role `api` serves FHIR, webhooks and the OpenAPI description, and
    only `console` serves the pages given. With `hold`, it sends nothing to a destination until an operator resumes it.

    Raises:
        ConfigError: there is no API key.
    """
    shared = _Shared(configuration, metrics or Metrics(), console=console)
    shared.client()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            opened_store(configuration, serves=True) as engine,
            _answering(app, shared, engine),
            _working(shared, engine, roles, hold),
        ):
            yield

    return _application(shared, roles, lifespan)


def _answering_app(shared: _Shared, engine: Sqlite | Postgres, roles: Collection[str]) -> Application:
    """Build an application that only answers requests; its lifespan opens connections for its own event loop."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if isinstance(engine, Postgres):
            async with _answering(app, shared, engine):
                yield
        else:
            twin = engine.beside()
            async with twin.opened(), _answering(app, shared, twin):
                yield

    return _application(shared, roles, lifespan)


def _application(shared: _Shared, roles: Collection[str], lifespan: Lifespan) -> Application:
    """Build the application with the routes of the roles."""
    routes = list[BaseRoute](webhook_routes() if API in roles else ())
    if shared.console is not None and CONSOLE in roles:
        routes += shared.console.routes(shared.configuration)
    return application(shared.configuration, shared.metrics, lifespan, serves_fhir=API in roles, more=routes)


@asynccontextmanager
async def _answering(app: FastAPI, shared: _Shared, engine: Sqlite | Postgres) -> AsyncIterator[None]:
    """Set what the application's routes use, and run the loops that belong to answering, while the block runs."""
    settings = shared.configuration.settings
    noting = audit_trail(shared.configuration, shared.metrics)
    async with shared.client() as client, aclosing(shared.reads(engine, client)) as reads, noting as trail:
        cursors = StoredCursors(engine)
        watch, signatures = SweepWatch(cursors, settings.sync), SignatureRecord(cursors)
        shared.metrics.watch_index_age(lambda: watch.index_age)
        await watch.once()
        app.state.facade = _facade(shared, engine, client, reads, watch)
        days = await under_first_names(engine, order_days(shared.configuration))
        noted = days, signatures.note, trail.answer if trail else None
        app.state.inbox = inbox_of(engine, settings.webhook.secrets, shared.configuration.site, shared.metrics, *noted)
        app.state.audit, app.state.ops = trail, _ops(shared, watch, trail)
        app.state.auth = auth = authentication(engine, shared.configuration, trail.login if trail else unnoted)
        loops = [watch.run(), signatures.run(), *(auth.loops() if auth else ())]
        if (pages := shared.console) is not None:
            note, render = trail.console if trail else _unnoted, partial(pages.sign_in, shared.configuration)
            app.state.console_gate = gate = console_gate(engine, settings, note, render, is_demo=pages.is_demo)
            app.router.routes[:0] = gate.routes()
            loops += gate.loops()
        if trail is not None:
            journal = str(shared.configuration.audit_dir)
            loops.append(StoreAlarm(lambda: trail.trouble, settings.feed, shared.metrics, lambda: journal).run())
        async with alongside(loops):
            yield


def _unnoted(_: ConsoleSeen) -> None:
    """Note nothing: the settings ask for no audit."""


def _facade(
    shared: _Shared, engine: Sqlite | Postgres, client: UpstreamClient, reads: ReadThrough, watch: SweepWatch
) -> Facade:
    configuration, settings = shared.configuration, shared.configuration.settings
    return Facade(
        upstream=client,
        engine=engine,
        reads=reads,
        site=configuration.site,
        zone=configuration.zone,
        started=clock.now(),
        tokens=Tokens(configuration.site.site_key),
        sweep=lambda: watch.record,
        max_index_age=lambda: watch.max_index_age,
        public_url=settings.server.public_url,
        keeps_pdfs=settings.pdf.ingest == "fetch",
        claims_us_core=settings.fhir.claim_us_core,
        has_words=settings.fhir.content_search,
        destinations=routes_of(configuration).destinations,
    )


def _ops(shared: _Shared, watch: SweepWatch, trail: AuditTrail | None) -> Ops:
    def health() -> Health:
        record, probe = watch.record, shared.probe
        is_reachable, asked = shared.reachability.with_sibling(shared.sibling.figures if shared.sibling else Figures())
        return Health(
            store_trouble=probe.trouble if probe else "",
            store_words=probe.words if probe else "",
            is_index_complete=record.is_current(clock.now(), watch.max_index_age),
            index_percent=record.percent,
            index_age=watch.index_age,
            is_upstream_reachable=is_reachable,
            upstream_asked=asked,
            is_audit_open=trail.is_open if trail else None,
            is_work_alive=all(one is None or one.silent < STUCK for one in (probe, shared.sibling)),
        )

    metrics = Together(shared.metrics.registry, shared.sibling) if shared.sibling else shared.metrics.registry
    return Ops(health, RenderedMetrics(metrics), software().get("version", "unknown"))


@asynccontextmanager
async def _working(
    shared: _Shared, engine: Sqlite | Postgres, roles: Collection[str], hold: HoldFeed | None
) -> AsyncIterator[None]:
    """Run the loops of the other roles (crawl, webhooks, feed) while the block runs."""
    configuration, settings = shared.configuration, shared.configuration.settings
    shared.probe = probe = StoreProbe(engine, secrets.token_hex(8))
    loops: Loops = [forever(probe.once, EVERY, not_done="store-not-probed")]
    loops.append(certificate_loop(engine))
    alarm = partial(StoreAlarm, settings=settings.feed, metrics=shared.metrics)
    if shared.sibling is None:  # else the sibling alerts for both
        loops.append(alarm(lambda: probe.trouble, about=lambda: settings.database.place).run())
        loops += audit_loops(configuration, engine)
        if (forwarding := audit_forwarding(configuration)) is not None:
            loops.append(forwarding.run())
            loops.append(alarm(lambda: forwarding.trouble, about=lambda: str(settings.audit.syslog)).run())
    loops.append(alarm(lambda: TRUST.trouble, about=lambda: "FHIR resources of this process").run())
    loops.append(crowding(settings.feed, shared.metrics).run())
    if SYNC in roles:
        loops.append(alarm(lambda: shared.reachability.trouble, about=lambda: settings.upstream.base_url).run())
    async with AsyncExitStack() as stack:
        if FEED in roles:
            loops += await stack.enter_async_context(feed_loops(configuration, engine, shared.metrics, hold))
            loops += [one.run() for one in heartbeats(settings.feed, lambda: probe.is_well)]
        elif shared.sibling is None and (routes := routes_of(configuration)).destinations:
            loops.append(SettingsWatch(engine, routes, settings.feed, shared.metrics).run())
        if SYNC in roles:
            loops += await stack.enter_async_context(_sync_loops(shared, engine))
        await stack.enter_async_context(alongside(loops))
        yield


@asynccontextmanager
async def _sync_loops(shared: _Shared, engine: Sqlite | Postgres) -> AsyncIterator[Loops]:
    """Yield the loops that keep the index: crawl, webhooks, hospitals' orders, control rows, PDFs, housekeeping."""
    configuration = shared.configuration
    lease = configuration.settings.feed.lease
    async with (
        shared.client() as client,
        aclosing(shared.reads(engine, client)) as reads,
        crawling(configuration, engine, shared.metrics, shared.reachability) as crawl,
    ):

        async def signed(study_id: str) -> Set[str]:
            study = (await reads.study(study_id, fresh=True)).study
            return {one.report_id for one in study.completed}

        webhooks, controls, pipeline = StoredWebhooks(engine), Controls(engine), pipeline_of(configuration, engine)
        work = WebhookWork(webhooks, signed, shared.metrics)
        loops: Loops = [crawl_forever(together(crawl, engine, lease)), work.run(), _waking(engine, work)]
        loops += [ControlWork(controls, pipeline).run(), Tidying(webhooks, controls, StoredTokens(engine)).run()]
        loops.append(keep_words(engine, has_words=configuration.settings.fhir.content_search))
        orders = OrderLoops(configuration, engine, shared.metrics, await first_names(engine))
        loops += orders.loops()
        if configuration.settings.source:
            alarm = partial(StoreAlarm, settings=configuration.settings.feed, metrics=shared.metrics)
            sources = ", ".join(one.name for one in configuration.settings.source)
            loops.append(alarm(lambda: orders.trouble, about=lambda: orders.about).run())
            loops.append(alarm(lambda: orders.merge_trouble, about=lambda: f"merges of {sources}").run())
        if configuration.settings.pdf.ingest == "fetch":  # D28
            loops.append(PdfQueue(Pdfs(engine), client.stream_pdf, pipeline.refresh, shared.metrics).run())
        yield loops


async def _waking(engine: Sqlite | Postgres, work: WebhookWork) -> None:
    """Wake the worker whenever a webhook is stored, by another loop or another process."""
    with engine.bell.listener(WEBHOOK) as listener:
        while True:
            await listener.wait(math.inf)
            work.wake()


@asynccontextmanager
async def crawling(
    configuration: Configuration, engine: Sqlite | Postgres, metrics: Metrics, observe: Observe = unobserved
) -> AsyncIterator[Crawl]:
    """Open what the crawl needs: a client with its own pace, and the function that ingests a study.

    Raises:
        ConfigError: there is no API key.
    """
    settings = configuration.settings
    pace = Pace(settings.sync.concurrency, metrics)
    async with (
        PacedClient(settings.upstream, settings.pdf, pace, observe) as client,
        aclosing(ReadThrough(client, engine, pipeline_of(configuration, engine), metrics)) as reads,
    ):

        async def ingest(study_id: str, *, listed: Json | None) -> None:
            await reads.study(study_id, fresh=True, listed=listed)

        stored = StoredStudies(engine, configuration.site.site_key), StoredCursors(engine)
        yield Crawl(client, ingest, *stored, settings.sync, metrics)


async def serve(
    configuration: Configuration,
    roles: Collection[str] = ROLES,
    hold: HoldFeed | None = None,
    *,
    insecure: bool = False,
    console: ConsolePages | None = None,
) -> int:
    """Serve on `server.host` and `server.port` until SIGINT or SIGTERM, then finish open requests (D46).

    With PostgreSQL, the roles that answer (`api`, `console`) and the others run as two processes under this one. With
    `hold`, nothing is sent to a destination until an operator resumes it. `insecure` accepts requests without a token.

    Raises:
        ConfigError: an unknown role, an address beyond this machine, no `auth.mode`, no site key, no API key, a port in
            use, a faulty destination, or a database of another site, a newer release or another service.
    """
    settings = configuration.settings
    check_start(configuration, roles, holds_feed=hold is not None, insecure=insecure)
    _Shared(configuration, Metrics()).client()
    prepare_audit(configuration)
    answering = tuple(role for role in roles if role in ANSWERING)
    others = tuple(role for role in roles if role not in ANSWERING)
    with listening_socket(settings.server.host, settings.server.port) as listener:
        if settings.database.file is not None or not answering or not others:
            return await _serve_here(configuration, _Part(tuple(roles), hold, console), listener)
        async with opened_store(configuration, serves=True):
            pass  # one process migrates and checks the database
        log.configure(settings.log.level, settings.log.format)
        figures_in, figures_out = multiprocessing.Pipe(duplex=False)
        work = ServicePart("work", _serve_part, (configuration, _Part(others, hold), None, figures_out))
        answers = _Part(answering, console=console)
        answer = ServicePart("answer", _serve_part, (configuration, answers, listener, figures_in))
        return await run_parts([work, answer], (figures_in, figures_out, listener))


@dataclass(frozen=True, slots=True)
class _Part:
    """Part of the service in one process: its roles, and what they need beside the settings."""

    roles: tuple[str, ...]
    hold: HoldFeed | None = None
    console: ConsolePages | None = None


def _serve_part(configuration: Configuration, part: _Part, listener: socket | None, pipe: Connection) -> int:
    """Serve as one of two processes: with a listener, answer for both; without one, send figures to the other."""
    run = asyncio.run if listener is None else run_answering
    return run(_serve_here(configuration, part, listener, pipe))


async def _serve_here(
    configuration: Configuration, part: _Part, listener: socket | None, pipe: Connection | None = None
) -> int:
    """Serve in this process until SIGINT or SIGTERM, with workers beside it."""
    settings, metrics = configuration.settings, Metrics()
    log.configure(settings.log.level, settings.log.format, dropped=metrics.dropped_log_line)
    sibling = Sibling(pipe) if pipe is not None and listener is not None else None
    shared = _Shared(configuration, metrics, sibling, part.console)
    async with AsyncExitStack() as stack:
        stop = await stack.enter_async_context(stop_signal())
        engine = await stack.enter_async_context(opened_store(configuration, serves=True))
        await stack.enter_async_context(workers(settings.server.workers, LASTING, _MAPPING))
        stack.enter_context(short_pauses())
        await stack.enter_async_context(_working(shared, engine, part.roles, part.hold))
        if listener is not None:
            server = await stack.enter_async_context(
                _serving(shared, _answering_app(shared, engine, part.roles), listener)
            )
            own_url = url_of(listener, settings.server.scheme)
            log.get_logger().info("serving", fhir_base=settings.server.public_url or own_url + MOUNT)
            await until(stop, server)
        elif pipe is not None:
            sending = forever(lambda: send(pipe, _figures(shared)), FIGURES_EVERY, not_done="figures-not-sent")
            await stack.enter_async_context(alongside([sending]))
            await stop.wait()
    log.get_logger().info("stopped")
    return 0


@asynccontextmanager
async def _serving(shared: _Shared, app: Application, listener: socket) -> AsyncIterator[asyncio.Future[None]]:
    """Serve the application while the block runs, over TLS if the settings name a certificate."""
    settings, metrics, management = shared.configuration.settings, shared.metrics, None
    files = TlsSettings(settings.server.tls_client_ca, settings.server.tls_certificate, settings.server.tls_key)
    connections = Connections(most_connections(), refused=metrics.refused_connection)
    serving = running if settings.database.file is None else running_apart
    async with AsyncExitStack() as stack:
        if (address := settings.server.management_listen) is not None:
            management = Beside(app.management, stack.enter_context(listening_socket(*host_and_port(address))))
        tls = await stack.enter_async_context(kept_new(files, shared.configuration.source, metrics.certificate_expires))
        yield await stack.enter_async_context(serving(app, listener, connections, tls, management))


def _figures(shared: _Shared) -> Figures:
    reachability = shared.reachability
    return Figures(tuple(shared.metrics.registry.collect()), reachability.is_reachable, reachability.at)
