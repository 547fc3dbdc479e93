"""The address of a destination in one spelling, so that two tables for the same place are seen.

RFC 3986 §6.2 (URLs that are equivalent), RFC 4291 §2.2 (spellings of an address). No name is looked up.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from gateway.routing.transport import Folder, Http, Transport

_LOOPBACK: Final = "localhost"
_LOOPBACKS: Final = frozenset({"127.0.0.1", "::1"})
_SAFE: Final = "/!$&'()*+,;=:@"  # RFC 3986 §3.3: what may stand in a path as it is


def address_of(transport: Transport) -> str:
    """The directory, or host and port, or these with the path of the URL: equal for two ways to the same place."""
    if isinstance(transport, Folder):
        return f"file {os.path.realpath(transport.path)}"
    place = f"{host_key(transport.host)} {transport.port}"
    return f"http {place} {_path(transport.url)}" if isinstance(transport, Http) else f"mllp {place}"


def host_key(host: str) -> str:
    """A host in the spelling in which it is compared; `localhost` is one with both of its addresses."""
    name = host.strip("[]").rstrip(".").lower()
    found = _address(name)
    written = name if found is None else str(found)
    return _LOOPBACK if written in _LOOPBACKS else written


def _address(name: str) -> IPv4Address | IPv6Address | None:
    with suppress(OSError):
        return IPv4Address(socket.inet_aton(name))  # 127.1 and 0x7f.1 are addresses, too
    with suppress(ValueError):
        found = ip_address(name)
        return getattr(found, "ipv4_mapped", None) or found
    return None


def _path(url: str) -> str:
    """The path without dots, doubled and last slashes, and with the same characters escaped."""
    path = os.path.normpath("/" + unquote(urlsplit(url).path).lstrip("/"))
    return quote(path, safe=_SAFE)
