"""Describe the connection that carried a message, as JSON to store: peer, TLS version, certificate.

RFC 8446 (TLS) and RFC 5280 (certificates) as Python's ssl module reports them. Stored with each attempt (D39).
"""

from __future__ import annotations

import hashlib
import json
import ssl
from collections.abc import Callable
from functools import lru_cache
from typing import Any

Extra = Callable[[str], Any]


def link(extra: Extra, *, by: str = "") -> str:
    """Describe an open connection in JSON, from its transport's `get_extra_info`; `by` names who opened it.

    Of the peer's certificate, it holds the common name and the SHA-256 of the whole certificate.
    """
    address = extra("peername") or extra("server_addr") or ()
    description = {"peer": _address(address)} if address else {}
    tls = extra("ssl_object")
    if isinstance(tls, ssl.SSLObject | ssl.SSLSocket):
        description["tls"] = tls.version() or ""
        der = tls.getpeercert(binary_form=True)
        if der:
            description |= {"subject": _common_name(tls), "sha256": hashlib.sha256(der).hexdigest()}
    if by:
        description["by"] = by
    return json.dumps(description)


def towards(where: str) -> str:
    """Describe in JSON the address of a connection that is not open, or of a transport without connections."""
    return json.dumps({"to": where})


@lru_cache(maxsize=256)  # called for each message
def numbered(described: str, number: int, count: int) -> str:
    """Add to a description the connection's number, and the number of connections to the destination."""
    return json.dumps({**json.loads(described or "{}"), "connection": number, "of": count})


def _address(address: Any) -> str:
    host, port = (*map(str, address), "")[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _common_name(tls: ssl.SSLObject | ssl.SSLSocket) -> str:
    """Return the common name of a verified certificate, or else its first subject alternative name."""
    known: Any = tls.getpeercert() or {}
    names = [value for part in known.get("subject", ()) for key, value in part if key == "commonName"]
    hosts = [value for _, value in known.get("subjectAltName", ())]
    return next(iter((*names, *hosts)), "")
