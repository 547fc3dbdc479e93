"""How messages get to a destination: over MLLP, as files in a directory, or by HTTP POST.

HL7 Transport Specification: MLLP, Release 1; https://hapifhir.github.io/hapi-hl7v2/hapi-hl7overhttp/specification.html
(HL7 over HTTP); RFC 8446 (TLS), RFC 7617 (Basic), RFC 6750 (Bearer). Times in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from gateway.settings import is_loopback

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS 1.2 at least; the receiver's certificate and name are always verified. The files are PEM.

    `ca_file` stands in place of the system's authorities; `client_cert` with `client_key` (which may be in the same
    file) is shown to a receiver that asks; `server_name` is what its certificate must hold, if not the host.
    """

    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    client_key_password: str | None = field(default=None, repr=False)
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Mllp:
    """A TCP port that speaks MLLP. `ack_timeout` is for writing a message and for its answer together.

    `ack_listen` is where the receiver may bring what its application says later: host and port of this machine;
    `ack_peers` are from where it may, empty: from anywhere.
    """

    host: str
    port: int
    tls: Tls | None = None
    connect_timeout: float = 10.0
    ack_timeout: float = 30.0
    close_after_each: bool = False
    ack_listen: tuple[str, int] | None = None
    ack_peers: tuple[Network, ...] = ()

    @property
    def ack_tls(self) -> Tls | None:
        """TLS of `ack_listen`: only where there is a certificate to show to who connects."""
        return self.tls if self.tls is not None and self.tls.client_cert is not None else None

    @property
    def is_open_to_strangers(self) -> bool:
        """True where any other machine could bring acknowledgements at `ack_listen`, without showing who it is."""
        if self.ack_listen is None or is_loopback(self.ack_listen[0]) or self.ack_peers:
            return False
        return self.ack_tls is None or self.ack_tls.ca_file is None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mllp {host}:{self.port}{' over TLS' if self.tls else ''}"


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory in which each message becomes a file."""

    path: Path

    def __str__(self) -> str:
        return f"file {self.path}"


@dataclass(frozen=True, slots=True)
class Basic:
    """User name and password."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bearer:
    """A bearer token."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Http:
    """A URL that messages are posted to: `hoh` answers with an acknowledgement, of `plain` any 2xx is one."""

    url: str
    style: Literal["hoh", "plain"] = "hoh"
    auth: Basic | Bearer | None = None
    tls: Tls | None = None
    connect_timeout: float = 10.0
    ack_timeout: float = 30.0

    @property
    def host(self) -> str:
        """The host of the URL, an address of IPv6 without brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port of the URL, or that of its scheme."""
        return urlsplit(self.url).port or (443 if self.tls else 80)

    def __str__(self) -> str:
        return f"http {self.url} ({self.style})"


Transport = Mllp | Folder | Http


def is_readable_on_the_way(transport: Transport) -> bool:
    """True where messages leave this machine without TLS."""
    return not isinstance(transport, Folder) and transport.tls is None and not is_loopback(transport.host)
