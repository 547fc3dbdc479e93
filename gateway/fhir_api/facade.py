"""What every interaction of the facade works with, and the FHIR base that a request came to.

https://hl7.org/fhir/R4/http.html#root: the service base URL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Final, cast

from starlette.datastructures import URL
from starlette.requests import Request

from gateway.fhir_api.search.page_token import Tokens
from gateway.index.value import Circumstances
from gateway.ingest.read_through import ReadThrough
from gateway.routing import Destination
from gateway.runtime import clock
from gateway.store.database.engine import Engine
from gateway.store.studies.sweep_record import SweepRecord
from gateway.upstream.client import UpstreamClient
from mappings.profile import Site

MOUNT = "/fhir"
_FACADE: Final = "gateway.facade"  # scope keys
_BASE: Final = "gateway.base"


@dataclass(frozen=True, slots=True)
class Facade:
    """The parts behind the facade; `public_url` is the FHIR base if the site sets one, `started` is in UTC.

    `zone` is that of dates without one; `sweep` tells how far the index is, which is too old after `max_index_age`
    seconds. `keeps_pdfs` where PDFs are kept (D28). With `claims_us_core` the CapabilityStatement says that this is a
    US Core server (D30). `destinations` are those of the feed. `measuring` is held by the one `$trace` that is under
    way.
    """

    upstream: UpstreamClient
    engine: Engine
    reads: ReadThrough
    site: Site
    zone: tzinfo
    started: datetime
    tokens: Tokens
    sweep: Callable[[], SweepRecord]
    max_index_age: float
    public_url: str | None = None
    keeps_pdfs: bool = True
    claims_us_core: bool = False
    destinations: tuple[Destination, ...] = ()
    measuring: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))


def facade(request: Request) -> Facade:
    """The facade that serves a request; looked up once for each, for state is found slowly."""
    scope = request.scope
    found = scope.get(_FACADE)
    if found is None:
        found = scope[_FACADE] = request.app.state.facade
    return cast(Facade, found)


def base(request: Request) -> str:
    """The FHIR base, without a slash at the end: the site's public one, else the loopback name the client used."""
    scope = request.scope
    found = scope.get(_BASE)
    if found is None:
        public = facade(request).public_url
        found = scope[_BASE] = public or _base_at(request.headers.get("host", ""), scope["server"])
    return cast(str, found)


@lru_cache(maxsize=256)
def _base_at(host: str, server: tuple[str, int]) -> str:
    """The base at the name in a Host header, or if it is none at the address of the server."""
    url = URL(scope={"type": "http", "path": MOUNT, "headers": [(b"host", host.encode())], "server": server})
    return f"http://{url.netloc}{MOUNT}"


def circumstances(request: Request) -> Circumstances:
    """What the values of a search depend on beside themselves."""
    return Circumstances(facade(request).zone, clock.now(), base(request))
