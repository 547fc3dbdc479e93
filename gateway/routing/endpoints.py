"""Convert a destination's transport settings to the Endpoint and TLS values that the MLLP and HTTP clients take.

RFC 8446 (TLS); HL7 Transport Specification: MLLP, Release 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.mllp.connection import Endpoint
from gateway.runtime.tls import TlsSettings

if TYPE_CHECKING:
    from gateway.routing.transport import Http, Mllp, Tls


def endpoint_of(transport: Mllp | Http) -> Endpoint:
    """Return the endpoint of a transport."""
    tls = tls_settings(transport.tls) if transport.tls else None
    return Endpoint(transport.host, transport.port, tls, transport.connect_timeout, transport.ack_timeout)


def tls_settings(tls: Tls) -> TlsSettings:
    """Return TLS settings for a connection."""
    return TlsSettings(tls.ca_file, tls.client_cert, tls.client_key, tls.client_key_password, tls.server_name)
