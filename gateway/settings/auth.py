"""The `[auth]` section of the settings: the way in which clients of the FHIR facade prove who they are.

https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html; RFC 9068 (tokens of an external issuer); decision
D10.
Proved by tests/gateway/settings/test_auth.py.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic import field_validator as validates

from gateway.settings.group import Expert, SettingsGroup
from gateway.settings.values import absolute_url, is_loopback, parts_of

Mode = Literal["builtin", "external", "none"]


class Auth(SettingsGroup):
    """Section `[auth]`: authentication of the clients of the FHIR facade."""

    mode: Mode | None = Field(
        None,
        description="builtin: the gateway gives out tokens; external: your own identity provider does "
        "(docs/facade.md); none: no authentication, on loopback only, with `serve --insecure`. `serve` does "
        "not start without a mode.",
    )
    issuer: str | None = Field(
        None,
        description="builtin: URL under which clients reach /auth/token. Not set: server.public_url without /fhir at "
        "its end. external: the issuer (https), letter for letter as `iss` of its tokens.",
    )
    audience: str | None = Field(
        None,
        min_length=1,
        description="external: the only `aud` that a token may have, letter for letter. Give it to no application.",
    )
    jwks_url: Expert[str | None] = Field(
        None,
        description="external: URL of the issuer's keys (https). Not set: as its discovery document "
        "(/.well-known/openid-configuration) says.",
    )
    scope_claim: Expert[str] = Field(
        "scope",
        min_length=1,
        description="external: claim that holds the scopes, as a text with spaces or as a list of texts.",
    )
    patient_claim: Expert[str] = Field(
        "patient",
        min_length=1,
        description="external: claim that holds the patient for `patient/` scopes: the id of a Patient of this "
        "gateway, or the patient's number as `system|value`.",
    )
    allow_private_jwks: Expert[bool] = Field(
        False,
        description="Allow JWKS URLs of clients, and all URLs of an external issuer, to lead to private and loopback "
        "addresses. Only operators write such URLs.",
    )

    @property
    def is_builtin(self) -> bool:
        """True if the gateway gives out the tokens itself."""
        return self.mode == "builtin"

    @property
    def is_external(self) -> bool:
        """True if an external issuer gives out the tokens."""
        return self.mode == "external"

    @property
    def needs_token(self) -> bool:
        """True if requests need an access token."""
        return self.is_builtin or self.is_external

    @validates("issuer")
    @classmethod
    def _issuing(cls, value: str | None) -> str | None:
        if value is None:
            return None
        url = parts_of(absolute_url(value))
        if url.scheme == "http" and not is_loopback(url.hostname or ""):
            raise ValueError("http to another machine: tokens could be read on the way")
        absolute_url(value)
        return value
