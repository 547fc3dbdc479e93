"""Transports by which messages reach a destination (MLLP, files in a directory, HTTP POST).

HL7 Transport Specification: MLLP, Release 1; https://hapifhir.github.io/hapi-hl7v2/hapi-hl7overhttp/specification.html
(HL7 over HTTP); RFC 8446 (TLS), RFC 7617 §4 (Basic) and RFC 6750 §5.3 (Bearer): credentials go over TLS; RFC 3986 §6.2
(equivalent URLs), RFC 4291 §2.2 (spellings of an address); decisions D31, D33. Times in seconds. Host names and paths
are normalized, to notice two destinations with one address; no name is looked up.

Each class has its `kind`, and the `key` of the settings that says where it leads.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import ClassVar, Final, Literal
from urllib.parse import quote, unquote, urlsplit

from gateway.mllp.connection import CONNECT_TIMEOUT, Endpoint
from gateway.runtime.tls import TlsSettings
from gateway.settings import is_loopback
from gateway.settings.destination import Kind

_LOOPBACK: Final = "localhost"
_LOOPBACKS: Final = frozenset({"127.0.0.1", "::1"})
_SAFE: Final = "/!$&'()*+,;=:@"  # RFC 3986 §3.3: characters that a path may have unescaped


def host_key(host: str) -> str:
    """Return a host in the spelling for comparison; `localhost` equals both of its addresses."""
    name = host.strip("[]").rstrip(".").lower()
    ip = _address(name)
    written = name if ip is None else str(ip)
    return _LOOPBACK if written in _LOOPBACKS else written


def _address(name: str) -> IPv4Address | IPv6Address | None:
    with suppress(OSError):
        return IPv4Address(socket.inet_aton(name))  # 127.1 and 0x7f.1 are addresses too
    with suppress(ValueError):
        ip = ip_address(name)
        return getattr(ip, "ipv4_mapped", None) or ip
    return None


def path_key(url: str) -> str:
    """Return the path of a URL without dots, doubled or final slashes, and with uniform escapes."""
    path = os.path.normpath("/" + unquote(urlsplit(url).path).lstrip("/"))
    return quote(path, safe=_SAFE)


Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Mllp:
    """TCP port that speaks MLLP. `ack_timeout` covers sending a message and receiving its answer.

    `ack_listen` is the host and port of this machine where the receiver may bring late application acknowledgements.
    `ack_peers` are the addresses it may come from; empty means any.
    """

    kind: ClassVar[Kind] = "mllp"
    key: ClassVar[str] = "host"
    host: str
    port: int
    tls: TlsSettings | None = None
    connect_timeout: float = CONNECT_TIMEOUT
    ack_timeout: float = 30.0
    close_after_each: bool = False
    ack_listen: tuple[str, int] | None = None
    ack_peers: tuple[Network, ...] = ()

    @property
    def address(self) -> str:
        """Host and port in one spelling, equal for equal places."""
        return f"mllp {host_key(self.host)} {self.port}"

    @property
    def is_readable_on_the_way(self) -> bool:
        """True if messages leave this machine without TLS."""
        return self.tls is None and not is_loopback(self.host)

    @property
    def endpoint(self) -> Endpoint:
        """Host and port to connect to, with their TLS."""
        return Endpoint(self.host, self.port, self.tls, self.connect_timeout, self.ack_timeout)

    @property
    def ack_tls(self) -> TlsSettings | None:
        """TLS of `ack_listen`: only if there is a certificate to show to clients."""
        return self.tls if self.tls is not None and self.tls.certificate_file is not None else None

    @property
    def is_open_to_strangers(self) -> bool:
        """True if other machines can send acknowledgements to `ack_listen` without a client certificate."""
        if self.ack_listen is None or is_loopback(self.ack_listen[0]) or self.ack_peers:
            return False
        return self.ack_tls is None or self.ack_tls.ca_file is None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mllp {host}:{self.port}{' over TLS' if self.tls else ''}"


@dataclass(frozen=True, slots=True)
class Folder:
    """Directory in which each message becomes a file; `file_mode` has the permissions of the files."""

    kind: ClassVar[Kind] = "file"
    key: ClassVar[str] = "directory"
    path: Path
    file_mode: int = 0o600

    @property
    def address(self) -> str:
        """Folder with links resolved, equal for equal places."""
        return f"file {os.path.realpath(self.path)}"

    @property
    def is_readable_on_the_way(self) -> bool:
        """False: no message leaves this machine."""
        return False

    @property
    def endpoint(self) -> None:
        """None: nothing is connected to."""

    def __str__(self) -> str:
        return f"file {self.path}"


@dataclass(frozen=True, slots=True)
class Basic:
    """User name and password."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bearer:
    """Bearer token."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Http:
    """URL that messages are posted to. `hoh` answers with an acknowledgement; for `plain`, any 2xx counts as one."""

    kind: ClassVar[Kind] = "http"
    key: ClassVar[str] = "url"
    url: str
    style: Literal["hoh", "plain"] = "hoh"
    auth: Basic | Bearer | None = None
    tls: TlsSettings | None = None
    connect_timeout: float = CONNECT_TIMEOUT
    ack_timeout: float = 30.0

    @property
    def address(self) -> str:
        """Host, port and path in one spelling, equal for equal places."""
        return f"http {host_key(self.host)} {self.port} {path_key(self.url)}"

    @property
    def is_readable_on_the_way(self) -> bool:
        """True if messages leave this machine without TLS."""
        return self.tls is None and not is_loopback(self.host)

    @property
    def endpoint(self) -> Endpoint:
        """Host and port to connect to, with their TLS."""
        return Endpoint(self.host, self.port, self.tls, self.connect_timeout, self.ack_timeout)

    @property
    def host(self) -> str:
        """Host of the URL, an IPv6 address without brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Port of the URL, or the default port of its scheme."""
        return urlsplit(self.url).port or (443 if self.tls else 80)

    def __str__(self) -> str:
        return f"http {self.url} ({self.style})"


Transport = Mllp | Folder | Http


def tls_of(transport: Transport) -> TlsSettings | None:
    """Return the TLS settings of a transport; None if it has none."""
    found: TlsSettings | None = getattr(transport, "tls", None)
    return found
