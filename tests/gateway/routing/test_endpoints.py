"""Endpoints of destinations: each setting of the transport arrives at the connection."""

from __future__ import annotations

from pathlib import Path

from gateway.mllp.connection import Endpoint
from gateway.routing import Http, Mllp, Tls
from gateway.routing.endpoints import endpoint_of, tls_settings
from gateway.runtime.tls import TlsSettings

TLS = Tls(Path("ca.pem"), Path("cert.pem"), Path("key.pem"), "s3cret", "ehr.internal")


def test_an_endpoint_has_the_address_and_the_time_limits_of_its_transport() -> None:
    assert endpoint_of(Mllp("h", 2575, connect_timeout=3, ack_timeout=4)) == Endpoint("h", 2575, None, 3, 4)
    assert endpoint_of(Http("https://h:8443/in", connect_timeout=3, ack_timeout=4)) == Endpoint("h", 8443, None, 3, 4)


def test_an_endpoint_has_the_tls_of_its_transport() -> None:
    settings = TlsSettings(Path("ca.pem"), Path("cert.pem"), Path("key.pem"), "s3cret", "ehr.internal")
    assert tls_settings(TLS) == settings
    assert endpoint_of(Mllp("h", 2575, tls=TLS)).tls == settings
    assert endpoint_of(Http("https://h/in", tls=TLS)).tls == settings
