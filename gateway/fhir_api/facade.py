"""What every interaction of the facade works with, and the FHIR base that a request came to.

https://hl7.org/fhir/R4/http.html#root: the service base URL.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from starlette.requests import Request

from gateway.fhir_api.idempotency import Keys
from gateway.store.seen import Seen
from gateway.sync.read_through import ReadThrough
from gateway.upstream.client import UpstreamClient

MOUNT = "/fhir"


@dataclass(frozen=True, slots=True)
class Facade:
    """The parts behind the facade; `public_url` is the FHIR base if the site sets one, `started` is in UTC."""

    upstream: UpstreamClient
    seen: Seen
    reads: ReadThrough
    started: datetime
    public_url: str | None = None
    keys: Keys = field(default_factory=Keys)


def facade(request: Request) -> Facade:
    """The facade that serves a request."""
    return cast(Facade, request.app.state.facade)


def base(request: Request) -> str:
    """The FHIR base, without a slash at the end: the site's public one, else the loopback name the client used."""
    return facade(request).public_url or f"http://{request.url.netloc}{MOUNT}"
