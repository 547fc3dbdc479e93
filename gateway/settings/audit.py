"""The `[audit]` section of the settings: where the audit journal lies, how long it is kept, and who gets a copy.

https://www.ecfr.gov/current/title-45/section-164.316 (documentation is kept for six years); RFC 5425; decision D42.
Proved by tests/gateway/settings/test_audit.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo
from pydantic import field_validator as validates

from gateway.settings.group import Expert, SettingsGroup
from gateway.settings.values import listen_address


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
    retention_days: Expert[int] = Field(
        2_192, ge=30, le=36_500, description="Days for which entries are kept; then whole sealed days are removed."
    )

    syslog: Annotated[str, AfterValidator(listen_address)] | None = Field(
        None,
        description="HOST:PORT of a syslog receiver that gets a copy of each entry, over TLS (RFC 5425; port 6514 is "
        "usual). Not set: no copy leaves the machine.",
    )
    syslog_ca_file: Path | None = Field(
        None, description="PEM file of the authorities of the receiver's certificate. Not set: those of the system."
    )
    syslog_client_cert: Path | None = Field(
        None, description="PEM file of the certificate that the gateway shows to the receiver."
    )
    syslog_client_key: Path | None = Field(
        None, description="PEM file of that certificate's key, if syslog_client_cert does not hold it."
    )
    syslog_body: Expert[Literal["atna", "balp"]] = Field(
        "atna",
        description="Body of each syslog message: atna is the XML of DICOM PS3.15 §A.5, balp the JSON of a FHIR "
        "AuditEvent.",
    )

    @validates("syslog_ca_file", "syslog_client_cert", "syslog_client_key")
    @classmethod
    def _beside_a_receiver(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("syslog") is None:
            raise ValueError("without effect, since there is no syslog")
        if value is not None and info.field_name == "syslog_client_key" and not info.data.get("syslog_client_cert"):
            raise ValueError("without effect, since there is no syslog_client_cert")
        return value

    @validates("seal_key")
    @classmethod
    def _apart(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        folder = info.data.get("dir")
        if value is not None and folder is not None and value.absolute().is_relative_to(folder.absolute()):
            raise ValueError("inside audit.dir: who can change the journal could seal it anew")
        return value
