"""Describes the connection that a message was sent over: the peer, TLS and its certificate, which of several it was.

RFC 8446 (TLS) and RFC 5280 (certificates) as Python's ssl module reports them. It is kept with each attempt (D39).
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
    """JSON with what is known of an open connection, asked by `get_extra_info` of its transport; `by` is who opened it.

    Of the certificate the common name and the SHA-256 of all of it.
    """
    address = extra("peername") or extra("server_addr") or ()
    said = {"peer": _address(address)} if address else {}
    tls = extra("ssl_object")
    if isinstance(tls, ssl.SSLObject | ssl.SSLSocket):
        said["tls"] = tls.version() or ""
        der = tls.getpeercert(binary_form=True)
        if der:
            said |= {"subject": _common_name(tls), "sha256": hashlib.sha256(der).hexdigest()}
    if by:
        said["by"] = by
    return json.dumps(said)


def towards(where: str) -> str:
    """JSON with where a connection was to go that was never open, or a way that has none."""
    return json.dumps({"to": where})


@lru_cache(maxsize=256)  # it is asked with each message
def numbered(described: str, number: int, count: int) -> str:
    """The same with which of so many connections of the destination it is."""
    return json.dumps({**json.loads(described or "{}"), "connection": number, "of": count})


def _address(address: Any) -> str:
    host, port = (*map(str, address), "")[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _common_name(tls: ssl.SSLObject | ssl.SSLSocket) -> str:
    """The common name of a verified certificate, else its first name of a host."""
    known: Any = tls.getpeercert() or {}
    names = [value for part in known.get("subject", ()) for key, value in part if key == "commonName"]
    hosts = [value for _, value in known.get("subjectAltName", ())]
    return next(iter((*names, *hosts)), "")
