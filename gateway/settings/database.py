"""The `[database]` section of the settings: the gateway's SQLite or PostgreSQL database.

Carries out no clause of a standard; decision D8.
Proved by tests/gateway/test_settings.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pydantic import Field, SecretStr
from pydantic import field_validator as validates

from gateway.settings.group import Expert, SettingsGroup

_DATABASE: Final = re.compile(r"sqlite:///[^\x00]*[^/\x00]|postgres(?:ql)?://[^/?#]+/[^/?#]+")


class Database(SettingsGroup):
    """Section `[database]`: the database of the gateway."""

    url: SecretStr = Field(
        SecretStr("sqlite:///autoscribe-gateway.db"),
        description="sqlite:///<file> for one process; postgresql://<user>:<password>@<host>/<name> for several.",
    )
    connections: Expert[int] = Field(10, ge=2, le=100, description="Most PostgreSQL connections of one process.")

    @validates("url")
    @classmethod
    def _check_address(cls, value: SecretStr) -> SecretStr:
        if not _DATABASE.match(value.get_secret_value()):
            raise ValueError("neither sqlite:///<file> nor postgresql://<user>:<password>@<host>/<name>")
        return value

    @property
    def place(self) -> str:
        """Location of the database, without user and password."""
        return str(self.file or f"postgresql://{self.url.get_secret_value().rpartition('@')[2]}")

    @property
    def file(self) -> Path | None:
        """The SQLite file; None for PostgreSQL."""
        scheme, _, rest = self.url.get_secret_value().partition(":///")
        return Path(rest) if scheme == "sqlite" else None
