"""The `[auth]` section of the settings: the way in which clients of the FHIR facade prove who they are.

https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html; decision D10.
Proved by tests/gateway/settings/test_auth.py.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic import field_validator as validates

from gateway.settings.group import SettingsGroup
from gateway.settings.values import absolute_url, is_loopback, parts_of

Mode = Literal["builtin", "none"]


class Auth(SettingsGroup):
    """Section `[auth]`: authentication of the clients of the FHIR facade."""

    mode: Mode | None = Field(
        None,
        description="builtin: the gateway gives out tokens (docs/authentication.md); none: no authentication, on "
        "loopback only, with `serve --insecure`. `serve` does not start without a mode.",
    )
    issuer: str | None = Field(
        None,
        description="builtin: URL under which clients reach /auth/token. Not set: server.public_url without /fhir at "
        "its end.",
    )
    allow_private_jwks: bool = Field(
        False,
        description="builtin: allow JWKS URLs of clients to lead to private and loopback addresses. Operators alone "
        "register such URLs.",
    )

    @property
    def is_builtin(self) -> bool:
        """True if the gateway gives out the tokens itself."""
        return self.mode == "builtin"

    @validates("issuer")
    @classmethod
    def _issuing(cls, value: str | None) -> str | None:
        if value is None:
            return None
        url = parts_of(absolute_url(value))
        if url.scheme == "http" and not is_loopback(url.hostname or ""):
            raise ValueError("http to another machine: tokens could be read on the way")
        return absolute_url(value)
