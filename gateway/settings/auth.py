"""The `[auth]` section of the settings: the way in which clients of the FHIR facade prove who they are.

https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html (builtin), RFC 7519 (tokens of an external issuer).
Proved by tests/gateway/settings/test_auth.py.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, ValidationInfo
from pydantic import field_validator as validates

from gateway.settings.group import SettingsGroup
from gateway.settings.values import absolute_url, is_loopback, parts_of

Mode = Literal["builtin", "external", "none"]
_MISSING: Final = "missing, and mode = external needs it"
_FOREIGN: Final = "set, and only mode = external uses it: take it out"


class Auth(SettingsGroup):
    """Section `[auth]`: authentication of the clients of the FHIR facade."""

    mode: Mode | None = Field(
        None,
        description="builtin: the gateway gives out tokens (docs/authentication.md); external: another issuer does; "
        "none: no authentication, on loopback only.",
    )
    issuer: str | None = Field(
        None,
        validate_default=True,
        description="external: the exact `iss` of its tokens. builtin: URL under which clients reach /auth/token; not "
        "set: server.public_url without /fhir at its end.",
    )
    audience: str | None = Field(
        None, validate_default=True, description="external: the exact `aud` of its tokens, usually the FHIR base URL."
    )
    jwks_url: str | None = Field(
        None, description="external: URL of the issuer's keys (https). Not set: by OIDC discovery at the issuer."
    )
    scope_claim: str = Field("scope", min_length=1, description="external: claim of a token that holds the scopes.")
    allow_private_jwks: bool = Field(
        False,
        description="builtin: allow JWKS URLs of clients to lead to private and loopback addresses. Operators alone "
        "register such URLs.",
    )

    @validates("issuer")
    @classmethod
    def _issuing(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return _needed(value, info)
        url = parts_of(absolute_url(value))
        if url.scheme == "http" and not is_loopback(url.hostname or ""):
            raise ValueError("http to another machine: tokens could be read on the way")
        return absolute_url(value) if info.data.get("mode") != "external" else value

    @validates("audience")
    @classmethod
    def _intended(cls, value: str | None, info: ValidationInfo) -> str | None:
        return _of_external(_needed(value or None, info), info)

    @validates("jwks_url")
    @classmethod
    def _published(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and parts_of(value).scheme != "https":
            raise ValueError("not an https URL")
        return _of_external(value, info)


def _needed(value: str | None, info: ValidationInfo) -> str | None:
    if value is None and info.data.get("mode") == "external":
        raise ValueError(_MISSING)
    return value


def _of_external(value: str | None, info: ValidationInfo) -> str | None:
    if value is not None and info.data.get("mode") in {"builtin", "none"}:
        raise ValueError(_FOREIGN)
    return value
