"""Dependencies shared by all FHIR interactions (store, AutoScribe client, settings), and the base URL of a request.

https://hl7.org/fhir/R4/http.html#root: the service base URL.
Proved by tests/gateway/fhir_api/test_capability.py and tests/contract/test_operations.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any, Final, cast

from starlette.datastructures import URL
from starlette.requests import Request
from starlette.types import Scope

from gateway.fhir_api.http.client import authenticated
from gateway.fhir_api.search.page_token import Tokens
from gateway.fhir_api.search.result_parameters import LIFETIME
from gateway.index.search_value import Circumstances
from gateway.ingest.read_through import ReadThrough
from gateway.routing import Destination
from gateway.runtime import clock
from gateway.store.database.engine import Engine
from gateway.store.studies.crawling import SweepRecord
from gateway.upstream.client import UpstreamClient
from mappings.profile import Site

MOUNT = "/fhir"
_BELOW: Final = f"{MOUNT}/"
_FACADE: Final = "gateway.facade"  # scope keys
_BASE: Final = "gateway.base"


@dataclass(frozen=True, slots=True)
class Facade:
    """Parts that all FHIR interactions share; `public_url` is the FHIR base if the site sets one, `started` is in UTC.

    `zone` applies to dates without a time zone. `sweep` returns the progress of the index; the index is too old after
    `max_index_age` seconds. `keeps_pdfs`: PDFs are stored (D28). `claims_us_core`: the CapabilityStatement claims to be
    a US Core server (D30). `has_words`: reports are found by words (`_content`). `destinations` are those of the feed.
    """

    upstream: UpstreamClient
    engine: Engine
    reads: ReadThrough
    site: Site
    zone: tzinfo
    started: datetime
    tokens: Tokens
    sweep: Callable[[], SweepRecord]
    max_index_age: Callable[[], float]
    public_url: str | None = None
    keeps_pdfs: bool = True
    claims_us_core: bool = False
    has_words: bool = False
    destinations: tuple[Destination, ...] = ()


def is_fhir(scope: Scope) -> bool:
    """True if the path of a request is the FHIR base, or below it."""
    path: str = scope["path"]
    return path.startswith(_BELOW) or path == MOUNT


def facade(request: Request) -> Facade:
    """Return the Facade that serves a request, cached in its scope because `app.state` is slow."""
    scope = request.scope
    cached = scope.get(_FACADE)
    if cached is None:
        cached = scope[_FACADE] = request.app.state.facade
    return cast(Facade, cached)


def base(request: Request) -> str:
    """Return the FHIR base URL without a trailing slash: the site's public one, else from the Host header."""
    scope = request.scope
    url = scope.get(_BASE)
    if url is None:
        public = facade(request).public_url
        url = scope[_BASE] = public or _base_at(
            scope.get("scheme", "http"), request.headers.get("host", ""), scope["server"]
        )
    return cast(str, url)


@lru_cache(maxsize=256)
def _base_at(scheme: str, host: str, server: tuple[str, int]) -> str:
    """Build the base URL from a Host header, or from the server's address if the header is empty."""
    headers = [(b"host", host.encode())]
    url = URL(scope={"type": "http", "scheme": scheme, "path": MOUNT, "headers": headers, "server": server})
    return f"{scheme}://{url.netloc}{MOUNT}"


def circumstances(request: Request) -> Circumstances:
    """Return what search values are read with: time zone, current time and FHIR base."""
    serving = facade(request)
    return Circumstances(serving.zone, clock.now(), base(request), serving.has_words)


def seal(request: Request, state: Any, address: str, limits: str = "") -> str:
    """Seal the state of a paged search into a token that is valid only for this client, its limits and this address."""
    whose = f"{authenticated(request.scope) or ''}{limits}"
    return facade(request).tokens.seal(state, clock.now(), LIFETIME, resource_type=address, scope=whose)


def unseal(request: Request, token: str, address: str, limits: str = "") -> Any:
    """Open a page token and return its state.

    Raises:
        BadRequest: the token is not of this site, or is for another address, another client or other limits.
        PageExpired: the lifetime of the token is over.
    """
    whose = f"{authenticated(request.scope) or ''}{limits}"
    return facade(request).tokens.open(token, clock.now(), resource_type=address, scope=whose)
