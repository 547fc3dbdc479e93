"""Addresses of destinations in one spelling, so that two tables for the same place are noticed.

RFC 3986 §6.2 (equivalent URLs), RFC 4291 §2.2 (spellings of an address). No name is looked up.
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
_SAFE: Final = "/!$&'()*+,;=:@"  # RFC 3986 §3.3: characters that a path may have unescaped


def address_of(transport: Transport) -> str:
    """Return the directory, or host and port with the URL's path: equal for two descriptions of one place."""
    if isinstance(transport, Folder):
        return f"file {os.path.realpath(transport.path)}"
    place = f"{host_key(transport.host)} {transport.port}"
    return f"http {place} {_path(transport.url)}" if isinstance(transport, Http) else f"mllp {place}"


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


def _path(url: str) -> str:
    """Return the path without dots, doubled or final slashes, and with uniform escapes."""
    path = os.path.normpath("/" + unquote(urlsplit(url).path).lstrip("/"))
    return quote(path, safe=_SAFE)
