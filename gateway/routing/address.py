"""Normalize host names and URL paths, to notice two destinations in the settings with the same address.

RFC 3986 §6.2 (equivalent URLs), RFC 4291 §2.2 (spellings of an address). No name is looked up.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import quote, unquote, urlsplit

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
