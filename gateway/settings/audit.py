"""The `[audit]` section of the settings: where the audit journal lies, and how long it is kept.

https://www.ecfr.gov/current/title-45/section-164.316 (documentation is kept for six years); decision D42.
Proved by tests/gateway/settings/test_audit.py.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationInfo
from pydantic import field_validator as validates

from gateway.settings.group import SettingsGroup


class Audit(SettingsGroup):
    """Section `[audit]`: the audit journal, which says who saw which data of which patient."""

    dir: Path | None = Field(
        None,
        description="Folder of the audit journal. Not set: `audit` beside the feed journal if clients authenticate, "
        "else no audit. With PostgreSQL set it and `audit.seal_key`, or `feed.state_dir`.",
    )
    seal_key: Path | None = Field(
        None,
        description="PEM file of the key that seals the journal, outside its folder; made by the first start. Not set: "
        "audit-seal.pem beside the feed journal.",
    )
    retention_days: int = Field(
        2_192, ge=30, le=36_500, description="Days for which entries are kept; then whole sealed days are removed."
    )

    @validates("seal_key")
    @classmethod
    def _apart(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        folder = info.data.get("dir")
        if value is not None and folder is not None and value.absolute().is_relative_to(folder.absolute()):
            raise ValueError("inside audit.dir: who can change the journal could seal it anew")
        return value
