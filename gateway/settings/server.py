"""The `[server]` section of the settings: address, TLS, proxies in front, and worker processes.

RFC 8446 and RFC 5246 (TLS), RFC 7239 (headers of proxies); decisions D10, D40, D46.
Proved by tests/gateway/test_settings.py and tests/gateway/settings/test_every_setting_acts.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from pydantic import field_validator as validates

from gateway.settings.group import Expert, SettingsGroup
from gateway.settings.values import absolute_url, listen_address, network, split

_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_Networks = Annotated[tuple[Annotated[str, AfterValidator(network)], ...], BeforeValidator(split)]


class Server(SettingsGroup):
    """Section `[server]`: address and port to listen on, and worker processes."""

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address to listen on. Beyond loopback, clients must log in (auth.mode), over TLS: of the gateway "
        "(tls_certificate), or of proxies (trusted_proxies).",
    )
    port: int = Field(8800, ge=0, le=65535, description="TCP port to listen on.")
    management_listen: Annotated[str, AfterValidator(listen_address)] | None = Field(
        None,
        description="HOST:PORT of this machine for /livez, /readyz and /metrics, without TLS and with connections of "
        "its own; then port does not answer them. Not set: port answers them, to everybody.",
    )
    public_url: str | None = Field(
        None,
        description="FHIR base URL that clients see. Not set: http://<host>:<port>/fhir, https with tls_certificate.",
    )
    tls_certificate: Path | None = Field(
        None,
        description="PEM file of the certificate with its chain, to serve over TLS 1.2 or later. A renewed file is "
        "used within 30 seconds. Not set: no TLS.",
    )
    tls_key: Path | None = Field(
        None, description="PEM file of the certificate's key, without a password, if tls_certificate does not hold it."
    )
    tls_client_ca: Path | None = Field(
        None,
        description="PEM file of authorities: every client, probes included, must show a certificate of one (mTLS).",
    )
    trusted_proxies: _Networks = Field(
        (),
        description="Addresses and networks of proxies, such as 10.1.2.3 or 10.1.2.0/24. X-Forwarded-For, "
        "X-Forwarded-Proto and Forwarded are believed only from these.",
    )
    cors_origins: Expert[Annotated[tuple[str, ...], BeforeValidator(split)]] = Field(
        (), description="Origins (https://host) whose web pages may read FHIR answers in a browser; never *."
    )
    revalidation: Expert[bool] = Field(
        False, description="Let clients keep answers to FHIR GETs, to be asked for again with their ETag."
    )
    workers: Expert[int | None] = Field(
        None,
        ge=0,
        le=16,
        description="Workers that map and judge, of 60 MB each, and one more for $validate and $trace once they are "
        "asked for; 0: threads. Not set: 1, 2 from four processors on.",
    )

    @validates("public_url")
    @classmethod
    def _base(cls, value: str | None) -> str | None:
        return None if value is None else absolute_url(value)

    @validates("tls_key", "tls_client_ca")
    @classmethod
    def _beside_a_certificate(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("tls_certificate") is None:
            raise ValueError("without effect, since there is no tls_certificate")
        return value

    @validates("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_ORIGIN.fullmatch(origin) for origin in value):
            raise ValueError("not a list of origins, as browsers write them: https://host or https://host:port")
        return value

    @property
    def scheme(self) -> str:
        """Scheme of the URLs of this server: https with a certificate, else http."""
        return "http" if self.tls_certificate is None else "https"

    @property
    def fhir_base(self) -> str:
        """FHIR base URL for fullUrl, Location and links, without a trailing slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"{self.scheme}://{host}:{self.port}/fhir"
