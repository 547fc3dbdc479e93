"""Part of `check-config`: list faults of the HTTP server's own certificate, and say when it expires soon.

RFC 5280 §4.1.2.5 (validity). A certificate that cannot serve keeps the service from starting. An expired one does not:
messages to destinations still go out.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.runtime.server_certificate import http_context, valid_until
from gateway.runtime.tls import TlsSettings
from gateway.settings import Configuration

_SOON: Final = timedelta(days=30)
_REMEDIES: Final = {
    "tls_client_ca": "Name a readable PEM file of the authorities of the clients' certificates.",
    "tls_certificate": "Name a readable PEM certificate, and in tls_key its own key, without a password.",
}


def faults(configuration: Configuration) -> Iterator[ConfigError]:
    """Yield a fault if the files cannot be read, or do not belong together."""
    files = _files(configuration)
    if files is not None:
        try:
            http_context(files, configuration.source)
        except ConfigError as error:
            key = "tls_client_ca" if error.key == "tls.ca_file" else "tls_certificate"
            yield ConfigError(configuration.source, f"server.{key}", error.problem, _REMEDIES[key])


def expired(configuration: Configuration) -> Iterator[ConfigError]:
    """Yield a fault if the certificate has expired."""
    until = _until(configuration)
    if until is not None and until <= clock.now():
        remedy = "Have it renewed: clients refuse it."
        yield ConfigError(configuration.source, "server.tls_certificate", "the certificate has expired", remedy)


def warnings(configuration: Configuration) -> Iterator[str]:
    """Note that the certificate expires soon."""
    until = _until(configuration)
    if until is not None and (left := until - clock.now()) < _SOON:
        yield f"server.tls_certificate expires in {left.days} days"


def _files(configuration: Configuration) -> TlsSettings | None:
    server = configuration.settings.server
    if server.tls_certificate is None:
        return None
    return TlsSettings(server.tls_client_ca, server.tls_certificate, server.tls_key)


def _until(configuration: Configuration) -> datetime | None:
    """Return when the certificate expires; None if there is none that can be used."""
    files = _files(configuration)
    return None if files is None or any(faults(configuration)) else valid_until(files)
