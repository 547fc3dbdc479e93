"""Transports as an operator sees them, and those that others can read or reach."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.mllp.connection import Endpoint
from gateway.routing import Http, Mllp
from gateway.routing.transport import Basic, Bearer, Folder, Transport
from gateway.runtime.tls import TlsSettings
from gateway.settings.destination import DestinationSettings

CERTIFIED = TlsSettings(certificate_file=Path("cert.pem"))
CHECKED = TlsSettings(certificate_file=Path("cert.pem"), ca_file=Path("ca.pem"))
LISTEN = ("0.0.0.0", 2576)


@pytest.mark.parametrize(
    ("transport", "text"),
    [
        (Mllp("ehr.example", 2575), "mllp ehr.example:2575"),
        (Mllp("::1", 2575, tls=TlsSettings()), "mllp [::1]:2575 over TLS"),
        (Folder(Path("out")), "file out"),
        (Http("https://ehr.example/in", tls=TlsSettings()), "http https://ehr.example/in (hoh)"),
        (Http("http://ehr.example/in", style="plain"), "http http://ehr.example/in (plain)"),
    ],
)
def test_a_transport_is_shown_with_its_address(transport: Transport, text: str) -> None:
    assert str(transport) == text


@pytest.mark.parametrize(
    ("transport", "is_readable"),
    [
        (Mllp("ehr.example", 2575), True),
        (Mllp("127.0.0.1", 2575), False),
        (Mllp("ehr.example", 2575, tls=TlsSettings()), False),
        (Folder(Path("out")), False),
        (Http("http://ehr.example/in"), True),
        (Http("http://[::1]/in"), False),
    ],
)
def test_messages_can_be_read_on_the_way_if_they_leave_the_machine_without_tls(
    transport: Transport, is_readable: bool
) -> None:
    assert transport.is_readable_on_the_way is is_readable


@pytest.mark.parametrize(
    ("url", "tls", "host", "port"),
    [
        ("https://ehr.example/in", TlsSettings(), "ehr.example", 443),
        ("http://ehr.example/in", None, "ehr.example", 80),
        ("http://[2001:db8::1]:8080/in", None, "2001:db8::1", 8080),
        ("/in", None, "", 80),
    ],
)
def test_a_url_has_a_host_and_a_port(url: str, tls: TlsSettings | None, host: str, port: int) -> None:
    assert (Http(url, tls=tls).host, Http(url, tls=tls).port) == (host, port)


@pytest.mark.parametrize(
    ("mllp", "is_open"),
    [
        (Mllp("h", 1), False),
        (Mllp("h", 1, ack_listen=("127.0.0.1", 2576)), False),
        (Mllp("h", 1, ack_listen=LISTEN), True),
        (Mllp("h", 1, ack_listen=LISTEN, ack_peers=(ip_network("192.0.2.0/24"),)), False),
        (Mllp("h", 1, ack_listen=LISTEN, tls=TlsSettings(ca_file=Path("ca.pem"))), True),
        (Mllp("h", 1, ack_listen=LISTEN, tls=CERTIFIED), True),
        (Mllp("h", 1, ack_listen=LISTEN, tls=CHECKED), False),
    ],
)
def test_a_listener_is_open_to_strangers_unless_peers_or_their_certificates_are_named(
    mllp: Mllp, is_open: bool
) -> None:
    assert mllp.is_open_to_strangers is is_open


def test_late_acknowledgements_come_over_tls_only_with_a_certificate_to_show() -> None:
    assert Mllp("h", 1, tls=CERTIFIED).ack_tls is CERTIFIED
    assert Mllp("h", 1, tls=TlsSettings()).ack_tls is None
    assert Mllp("h", 1).ack_tls is None


def test_no_secret_is_shown() -> None:
    shown = repr((TlsSettings(key_password="s3cret"), Basic("user", "s3cret"), Bearer("s3cret")))
    assert "s3cret" not in shown and "user" in shown


def test_a_transport_has_its_usual_time_limits() -> None:
    mllp, http = Mllp("h", 1), Http("http://h/")
    assert (mllp.connect_timeout, mllp.ack_timeout, mllp.close_after_each) == (10, 30, False)
    assert (http.connect_timeout, http.ack_timeout, http.style) == (10, 30, "hoh")


@pytest.mark.parametrize(
    ("transport", "key"), [(Mllp("ehr.example", 2575), "host"), (Folder(Path("out")), "directory"), (Http("x"), "url")]
)
def test_a_transport_names_the_setting_that_says_where_it_leads(transport: Transport, key: str) -> None:
    assert transport.key == key
    assert key in DestinationSettings.model_fields


def test_an_endpoint_has_the_address_the_tls_and_the_time_limits_of_its_transport():
    tls = TlsSettings(server_hostname="ehr.internal")
    times = {"connect_timeout": 3, "ack_timeout": 4}
    assert Mllp("h", 2575, tls, **times).endpoint == Endpoint("h", 2575, tls, 3, 4)
    assert Http("https://h:8443/in", tls=tls, **times).endpoint == Endpoint("h", 8443, tls, 3, 4)
