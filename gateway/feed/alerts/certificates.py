"""Certificates that end some day: those that peers showed, the gateway's own, and those of the authorities it trusts.

RFC 5280 §4.1.2.5 (validity); decisions D38, D53. A peer's certificate is noted with each connection to it, and none is
opened to look. Of several authorities in a file the next one to end counts: one that has ended does no harm beside it.
Proved by tests/gateway/feed/alerts/test_certificates.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from gateway.feed.alerts.conditions import CERTIFICATE, CERTIFICATE_URGENT, Alert
from gateway.routing import routes_of
from gateway.runtime import clock
from gateway.runtime.tls import SHOWN, ends_of
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, instant, micros
from gateway.store.studies.crawling import StoredCursors

SOON: Final = timedelta(days=30)
EVERY: Final = 60.0  # seconds
_LIMITS: Final = ((CERTIFICATE, SOON), (CERTIFICATE_URGENT, timedelta(days=7)))
_DAY: Final = timedelta(days=1)
_STORED: Final = "certificate {}"  # name of a cursor, by host:port
Kind = Literal["peer", "own", "authority"]
_FILES: Final[dict[str, Kind]] = {
    **dict.fromkeys(("tls_certificate", "client_cert", "syslog_client_cert"), "own"),
    **dict.fromkeys(("ca_file", "tls_client_ca", "syslog_ca_file", "mail_ca_file"), "authority"),
}


@dataclass(frozen=True, slots=True)
class WatchedCertificate:
    """Certificate of a peer (`place` is its host:port) or of a file (`place` is its setting).

    `destination` may be empty; `until` is None if the file cannot be read.
    """

    kind: Kind
    place: str
    destination: str
    until: datetime | None

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of its metric."""
        return self.kind, self.place, self.destination

    def days(self, now: datetime) -> float:
        """Days until it ends: negative if it has ended, NaN if it cannot be read."""
        return math.nan if self.until is None else (self.until - now) / _DAY

    def standing(self, now: datetime) -> str:
        """Say in a word how it stands."""
        if self.until is None:
            return "not readable"
        return "expired" if self.until <= now else "expires soon" if self.until - now < SOON else "valid"

    def line(self, now: datetime) -> str:
        """Return the line of the status."""
        return f"{self}{f' at {self.destination}' if self.destination else ''}, {self.standing(now)}"

    def __str__(self) -> str:
        end = "cannot be read" if self.until is None else f"ends {self.until:%Y-%m-%d %H:%M} UTC"
        return f"{self.kind} certificate {self.place} {end}"


async def watched_certificates(engine: Engine, configuration: Configuration) -> tuple[WatchedCertificate, ...]:
    """Return every certificate of the settings: of files, and of peers that were met.

    Raises:
        ConfigError: the settings of a destination are wrong.
        StoreUnavailable: the store cannot be reached.
    """
    found = await asyncio.to_thread(lambda: list(_of_files(configuration)))
    cursors = StoredCursors(engine)
    for address, destination in _peers(configuration):
        if (stored := await cursors.get(_STORED.format(address))) is not None:
            found.append(WatchedCertificate("peer", address, destination, instant(stored["until"])))
    return tuple(found)


def _peers(configuration: Configuration) -> Iterator[tuple[str, str]]:
    """Yield host:port of each peer that the settings name, and the destination that it is, if any."""
    for one in routes_of(configuration).destinations:
        if one.is_enabled and one.transport.endpoint is not None:
            yield str(one.transport.endpoint), one.name
    settings = configuration.settings
    urls = {settings.upstream.base_url, settings.auth.issuer, settings.console.issuer} - {None, ""}
    yield from ((f"{url.hostname}:{url.port or 443}", "") for url in map(urlsplit, sorted(map(str, urls))))
    if settings.audit.syslog:
        yield settings.audit.syslog, ""
    if settings.feed.mail_host:
        yield f"{settings.feed.mail_host}:{settings.feed.mail_port}", ""


def _of_files(configuration: Configuration) -> Iterator[WatchedCertificate]:
    settings, beside = configuration.settings, Path(configuration.source).parent  # of the tables' paths
    groups = [(name, "", getattr(settings, name)) for name in ("server", "upstream", "audit", "feed")]
    groups += [(f"destination.{one.name}", one.name, one) for one in settings.destination if one.enabled]
    groups += [(f"source.{one.name}", "", one) for one in settings.source]
    for place, destination, group in groups:
        for name, kind in _FILES.items():
            if (path := getattr(group, name, None)) is not None:
                yield WatchedCertificate(
                    kind, f"{place}.{name}", destination, _end_of(beside / path if "." in place else path, kind)
                )


def _end_of(path: Path, kind: Kind) -> datetime | None:
    try:
        ends = ends_of(path)
    except (OSError, ValueError):
        return None
    return ends[0] if kind == "own" else min((one for one in ends if one > clock.now()), default=max(ends))


def certificate_alerts(
    found: Sequence[WatchedCertificate], destinations: Collection[str], now: datetime
) -> Iterator[Alert]:
    """Yield the alerts about certificates that end within 30 days, and within 7. A renewed one is another case."""
    for row, limit in _LIMITS:
        at: dict[str, dict[int, WatchedCertificate]] = defaultdict(dict)
        for one in found:
            if one.until is None or one.until - now < limit:
                number = int.from_bytes(hashlib.sha256(str(one).encode()).digest()[:7], "big")
                at[one.destination if one.destination in destinations else ""][number] = one
        for name, cases in at.items():
            days = [0 if one.until is None else int(one.days(now)) for one in cases.values()]
            about = {number: str(one) for number, one in cases.items()}
            yield Alert(row.code, name, max(1, min(days)), dict.fromkeys(cases, ""), about=about)


class ShownNotes:
    """Writer of the certificates that peers showed to this process."""

    def __init__(self, engine: Engine) -> None:
        self._cursors, self._stored = StoredCursors(engine), dict[str, datetime]()

    async def once(self) -> None:
        """Store what is new.

        Raises:
            StoreUnavailable: the store cannot be reached; the next call stores it.
        """
        for address, until in SHOWN.ends.items():
            if self._stored.get(address) != until:
                await self._cursors.put(_STORED.format(address), {"until": micros(until)})
                self._stored[address] = until
