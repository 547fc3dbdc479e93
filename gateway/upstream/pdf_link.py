"""Check the host of a PDF link: the API's host or a host on the allow-list; without TLS only on this machine.

Carries out no clause of a standard: decision D28. The link is a secret while it is valid, so no text has it.
Proved by tests/gateway/upstream/test_stream_pdf.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from gateway.settings import is_loopback

_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """Allow-list: `places` are (host, port) pairs; `own` is the API's checked (scheme, host, port)."""

    places: frozenset[tuple[str, int | None]]
    own: tuple[str, str, int]

    @classmethod
    def of(cls, hosts: Iterable[str], base_url: str) -> AllowedHosts:
        """Build the list from `pdf.allowed_hosts` (`host` means the scheme's default port) and `upstream.base_url`."""
        base = urlsplit(base_url)
        own = (base.scheme, base.hostname or "", base.port or _DEFAULT_PORTS[base.scheme])
        return cls(frozenset(_place(host) for host in hosts), own)

    def refusal(self, scheme: str, host: str, port: int | None, *, userinfo: bool) -> str:
        """Return the rule that forbids a link, without the link; empty if it may be followed."""
        if scheme not in _DEFAULT_PORTS or userinfo:
            return "the link is not an https URL without a user"
        effective = port or _DEFAULT_PORTS[scheme]
        if (scheme, host, effective) == self.own:
            return ""
        if scheme == "http" and not is_loopback(host):
            return "the link is http to another machine"
        if (host, effective) in self.places or ((host, None) in self.places and effective == _DEFAULT_PORTS[scheme]):
            return ""
        return "the link's host is not in pdf.allowed_hosts"


def _place(entry: str) -> tuple[str, int | None]:
    parts = urlsplit(f"//{entry.lower()}")
    return parts.hostname or "", parts.port
