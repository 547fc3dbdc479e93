"""`check-config` names a certificate of the HTTP server that cannot serve, has expired, or expires soon."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import trustme

from gateway.checks import config as config_check
from gateway.checks.certificate_expiry import faults
from gateway.settings import survey

CA = trustme.CA()


@pytest.fixture
def config(tmp_path):
    """Write a certificate with its key, and settings with these lines in `[server]`."""

    def write(lines="", **more):
        for name in ("own", "other"):
            made = CA.issue_cert("gateway.example", **more)
            made.private_key_pem.write_to_path(tmp_path / f"{name}.key")
            made.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
            made.private_key_and_cert_chain_pem.write_to_path(tmp_path / f"{name}-both.pem")
        (tmp_path / "nonsense.pem").write_text("CANARY")
        lines = lines or 'tls_certificate = "own.pem"\ntls_key = "own.key"'
        path = tmp_path / "gateway.toml"
        path.write_text(f"[server]\n{lines}\n".replace('= "', f'= "{tmp_path}/'))
        return path

    return write


def found(path):
    return [(fault.key, fault.problem) for fault in config_check.faults(path) if fault.key.startswith("server.")]


@pytest.mark.parametrize("lines", ["", 'tls_certificate = "own-both.pem"', 'tls_client_ca = "own.pem"'])
def test_a_certificate_that_can_serve_is_no_fault(config, lines):
    own = 'tls_certificate = "own.pem"\ntls_key = "own.key"\n'
    assert found(config(own + lines if "client" in lines else lines)) == []


@pytest.mark.parametrize(
    ("lines", "key", "problem"),
    [
        ('tls_certificate = "own.pem"\ntls_key = "other.key"', "tls_certificate", "do not belong together"),
        ('tls_certificate = "own.pem"', "tls_certificate", "do not belong together"),
        ('tls_certificate = "nonsense.pem"\ntls_key = "own.key"', "tls_certificate", "not PEM"),
        ('tls_certificate = "none.pem"', "tls_certificate", "cannot be read (No such file or directory)"),
        ('tls_certificate = "own-both.pem"\ntls_client_ca = "nonsense.pem"', "tls_client_ca", "not PEM"),
        ('tls_key = "own.key"', "tls_key", "no tls_certificate"),
        ('tls_client_ca = "own.pem"', "tls_client_ca", "no tls_certificate"),
    ],
)
def test_files_that_cannot_serve_are_named(config, lines, key, problem):
    [(named, said)] = found(config(lines))
    assert named == f"server.{key}"
    assert problem in said
    assert "CANARY" not in said


def test_an_expired_certificate_is_named_and_keeps_no_message_from_going_out(config):
    path = config(not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=datetime(2021, 1, 1, tzinfo=UTC))
    assert found(path) == [("server.tls_certificate", "the certificate has expired")]
    configuration, _ = survey(path)
    assert list(faults(configuration)) == []
    served = [fault.key for fault in config_check.served_all_the_same(configuration)]
    assert "server.tls_certificate" in served


@pytest.mark.parametrize(("days", "notes"), [(40, []), (14, ["server.tls_certificate expires in 13 days"])])
def test_a_certificate_that_expires_soon_is_noted(config, days, notes):
    path = config(not_after=datetime.now(UTC) + timedelta(days=days))
    configuration, _ = survey(path)
    assert [note for note in config_check.warnings(configuration) if "tls_certificate" in note] == notes
