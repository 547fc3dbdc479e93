"""Certificates of peers, of the gateway and of authorities are watched, and alert 30 and 7 days before they end."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from fakes.fed import fed

from gateway.feed.alerts import certificates
from gateway.feed.alerts.certificates import ShownNotes, certificate_alerts, watched_certificates
from gateway.feed.alerts.monitor import AlertMonitor
from gateway.feed.operator.status import status
from gateway.mllp.connection import Connection, Endpoint
from gateway.runtime import clock
from gateway.runtime.tls import ShownCertificates, TlsSettings, server_context
from gateway.sandbox.receiver import MllpReceiver
from gateway.settings import load
from gateway.settings.feed import Feed

NOW = datetime.now(UTC)


def issued(path, *, days, ca=None):
    made = (ca or trustme.CA()).issue_cert("localhost", not_after=NOW + timedelta(days=days))
    made.private_key_and_cert_chain_pem.write_to_path(path)
    return path


@pytest.fixture
def shown(monkeypatch):
    """Give the process an empty memory of the certificates that peers showed."""
    memory = ShownCertificates()
    for module in ("feed.alerts.certificates", "mllp.connection"):
        monkeypatch.setattr(f"gateway.{module}.SHOWN", memory)
    return memory


@asynccontextmanager
async def receiver(tmp_path, days):
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    file = issued(tmp_path / "receiver.pem", days=days, ca=ca)
    async with MllpReceiver(
        "localhost", 0, tls=server_context(TlsSettings(certificate_file=file), "receiver")
    ) as listening:
        yield listening, TlsSettings(tmp_path / "ca.pem")


def configured(tmp_path, port, more=""):
    path = tmp_path / "gateway.toml"
    path.write_text(
        f'[[destination]]\nname = "ehr"\nkind = "mllp"\nhost = "localhost"\nport = {port}\ntls = true\n'
        f'receiver = "generic"\nstart = 2020-01-01T00:00:00Z\nfacilities = ["*"]\nca_file = "ca.pem"\n{more}'
    )
    return load(path)


async def test_a_receiver_whose_certificate_ends_is_told_of_and_shown(engine, tmp_path, shown):
    async with receiver(tmp_path, 12) as (listening, tls):
        async with await Connection.open(Endpoint("localhost", listening.port, tls)):
            pass
        configuration = configured(tmp_path, listening.port)
    notes = ShownNotes(engine)
    await notes.once()
    await notes.once()
    [peer] = [one for one in await watched_certificates(engine, configuration) if one.kind == "peer"]
    assert (peer.place, peer.destination) == (f"localhost:{listening.port}", "ehr")
    assert 11 < peer.days(NOW) <= 12
    assert peer in (await status(engine, configuration)).certificates
    lines = list((await status(engine, configuration)).lines())
    assert f"peer certificate localhost:{listening.port} ends" in "\n".join(lines)
    async with fed(engine) as (feed, _):
        monitor = AlertMonitor(engine, feed.destinations, Feed(), "one", feed.metrics)

        async def found():
            return await watched_certificates(engine, configuration)

        monitor.certificates = found
        [alert] = await monitor.once()
        assert (alert.code, alert.destination, alert.count) == ("certificate-30-days", "ehr", 11)
        assert list(alert.about.values()) == [
            f"peer certificate localhost:{listening.port} {str(peer).partition(f'{listening.port} ')[2]}"
        ]
        labels = {"kind": "peer", "name": peer.place, "destination": "ehr"}
        left = feed.metrics.registry.get_sample_value("autoscribe_gateway_certificate_days_left", labels)
        assert 11 < left <= 12
        [stored] = (await status(engine, configuration)).alerts
        assert stored.about == tuple(alert.about.values())


@pytest.mark.parametrize(
    ("days", "codes"),
    [
        (31, []),
        (29, ["certificate-30-days"]),
        (6, ["certificate-30-days", "certificate-7-days"]),
        (-1, ["certificate-30-days", "certificate-7-days"]),
    ],
)
async def test_the_gateways_own_certificate_alerts_at_30_and_at_7_days(engine, tmp_path, days, codes):
    (tmp_path / "ca.pem").write_bytes(trustme.CA().cert_pem.bytes())
    issued(tmp_path / "own.pem", days=days)
    configuration = configured(tmp_path, 1, 'client_cert = "own.pem"\n')
    found = await watched_certificates(engine, configuration)
    alerts = list(certificate_alerts([one for one in found if one.kind == "own"], {"ehr"}, clock.now()))
    assert [one.code for one in alerts] == codes
    assert all("destination.ehr.client_cert" in str(one.about.values()) for one in alerts)


async def test_a_file_that_cannot_be_read_is_urgent_and_an_old_authority_beside_a_new_one_is_not(engine, tmp_path):
    old = issued(tmp_path / "old.pem", days=-3).read_bytes()
    (tmp_path / "ca.pem").write_bytes(old + issued(tmp_path / "new.pem", days=400).read_bytes())
    configuration = configured(tmp_path, 1, 'client_cert = "ca.pem"\n')
    authority = next(one for one in await watched_certificates(engine, configuration) if one.kind == "authority")
    assert authority.days(NOW) > 300
    (tmp_path / "ca.pem").write_text("nothing")
    found = await watched_certificates(engine, configuration)
    assert {one.standing(NOW) for one in found} == {"not readable"}
    assert [one.code for one in certificate_alerts(found, (), NOW)] == ["certificate-30-days", "certificate-7-days"]


def test_what_is_no_certificate_or_no_tls_is_not_noted():
    memory = ShownCertificates()
    memory.note("a:1", None)
    assert memory.ends == {}


def test_every_setting_that_names_a_file_of_certificates_is_watched():
    from gateway.settings import every_row

    named = {row.key.rpartition(".")[2] for row in every_row() if row.type == "path" and "cert" in row.description}
    keys = {"tls_key", "client_key", "syslog_client_key"}
    assert named - keys == set(certificates._FILES)


def test_the_alert_of_a_renewed_certificate_is_another_case():
    first = certificates.WatchedCertificate("own", "server.tls_certificate", "", NOW + timedelta(days=3))
    other = certificates.WatchedCertificate("own", "server.tls_certificate", "", NOW + timedelta(days=5))
    cases = [next(iter(certificate_alerts([one], (), NOW))).cases for one in (first, other)]
    assert cases[0].keys() != cases[1].keys()
