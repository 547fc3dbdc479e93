"""The `[console]` section of the settings: the identity provider of the console's users, and what each may do.

https://openid.net/specs/openid-connect-core-1_0.html §2 and §3.1. Local accounts need no setting.
Proved by tests/gateway/settings/test_console.py.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationInfo
from pydantic import field_validator as validates

from gateway.settings.group import SettingsGroup

RoleName = Literal["watcher", "reader", "operator", "admin"]


class Console(SettingsGroup):
    """Section `[console]`: sign-in to the console by an identity provider (OpenID Connect)."""

    issuer: str | None = Field(
        None,
        description="The identity provider (https), letter for letter as `iss` of its ID tokens. Not set: local "
        "accounts only (`operators add`).",
    )
    client_id: str | None = Field(None, min_length=1, description="Id of the console as a client of the provider.")
    client_secret: SecretStr | None = Field(
        None, min_length=1, description="Secret of that client, which the provider gave out."
    )
    scope: str = Field(
        "openid profile",
        pattern=r"(?:.* )?openid(?: .*)?",
        description="Scopes to ask for, with spaces; some providers name groups only with `groups` among them.",
    )
    groups_claim: str = Field(
        "groups",
        min_length=1,
        description="Claim of the ID token that holds the groups of a person, as a text or as a list of texts.",
    )
    groups: dict[str, RoleName] = Field(
        {},
        description="`[console.groups]` table: the role of each group, named exactly as the claim has it. Of several "
        "roles the largest counts; without any, a person may not sign in.",
    )
    subjects: dict[str, RoleName] = Field(
        {}, description="`[console.subjects]` table: the role of each person, by exact `sub` of the ID token."
    )
    allow_private: bool = Field(
        False, description="Allow URLs of the identity provider to lead to private and loopback addresses."
    )

    @validates("client_id", "client_secret", "groups", "subjects")
    @classmethod
    def _with_an_issuer(cls, value: Any, info: ValidationInfo) -> Any:
        if value and info.data.get("issuer") is None:
            raise ValueError("without effect, since there is no issuer")
        return value
