"""Connect to a host of the internet alone: resolve its name once, check every address, connect to a checked one.

https://www.encode.io/httpcore/network-backends/; RFC 6890 (addresses for special purposes). The name is not resolved
again for the connection, so that no second answer of the DNS can lead into the site's own network (DNS rebinding).
Proved by tests/gateway/auth/test_key_set_url.py.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import httpcore

Resolve = Callable[[str, int], Awaitable[list[str]]]
# IPv6 networks whose addresses hold an IPv4 address, which may be private: NAT64 (RFC 6052) and 6to4 (RFC 3056)
_TRANSLATED: Final = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("2002::/16"))


class AddressRefused(Exception):
    """A host has an address that is not of the internet."""


def is_public(address: str) -> bool:
    """True for an address of the internet; private, loopback, link-local, multicast and translated ones are not."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if any(ip in network for network in _TRANSLATED if network.version == ip.version):
        return False
    return ip.is_global and not ip.is_multicast


async def resolved(host: str, port: int) -> list[str]:
    """Return the addresses of a host, as the system resolves it."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Factory of connections to hosts all of whose addresses are public, or to any host with `allows_private`."""

    def __init__(self, *, allows_private: bool, resolve: Resolve = resolved) -> None:
        self._inner, self._allows_private, self._resolve = httpcore.AnyIOBackend(), allows_private, resolve

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers.

        Raises:
            AddressRefused: one of the host's addresses is not public.
        """
        addresses = await self._resolve(host, port)
        if not self._allows_private and not all(map(is_public, addresses)):
            raise AddressRefused
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError:
                continue
        if not addresses:
            raise httpcore.ConnectError
        return await self._inner.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)
