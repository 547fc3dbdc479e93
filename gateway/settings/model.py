"""Settings model: the root class, and the sections that have no module of their own.

Carries out no clause of a standard: the settings are the gateway's own.
Proved by tests/gateway/test_settings.py and tests/gateway/settings/test_every_setting_acts.py.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic import field_validator as validates
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.settings.audit import Audit
from gateway.settings.auth import Auth
from gateway.settings.console import Console
from gateway.settings.database import Database
from gateway.settings.destination import DestinationSettings, IgnoreSettings
from gateway.settings.feed import Escalation, Feed
from gateway.settings.group import Expert, SettingsGroup
from gateway.settings.old_names import old_names
from gateway.settings.server import Server
from gateway.settings.source import SourceSettings
from gateway.settings.values import (
    absolute_url,
    canonical_base,
    is_header_value,
    is_loopback,
    parts_of,
    secrets_in,
    split,
    split_at_commas,
    time_zone,
)
from mappings.codes import CANONICAL
from mappings.profile import Site

PREFIX: Final = "GATEWAY_"
VENDOR_NAMES: Final = {
    "upstream.api_key": "AVARA_API_KEY",
    "database.url": "GATEWAY_DATABASE_URL",
    "upstream.base_url": "AVARA_BASE_URL",
    "webhook.key": "AVARA_WEBHOOK_KEY",
}
FILE_ONLY: Final = frozenset(
    {
        "feed.escalate",
        *("console.groups", "console.subjects"),
        *(f"mapping.{name}" for name in ("facilities", "express_customers", "procedure_fallbacks", "receivers")),
    }
)
TABLES: Final[dict[str, type[SettingsGroup]]] = {
    "destination": DestinationSettings,
    "ignore": IgnoreSettings,
    "source": SourceSettings,
    "feed.escalate": Escalation,
}
"""Settings that are lists of tables, such as `[[destination]]`; only the file can set them."""
_HOST: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_SITE: Final = Site()
_Names = Annotated[tuple[str, ...], BeforeValidator(split_at_commas)]


class Upstream(SettingsGroup):
    """Section `[upstream]`: the AutoScribe API. Times are in seconds, sizes in bytes."""

    api_key: SecretStr | None = Field(
        None, description="API key of AutoScribe, made in its dashboard with study scope All."
    )
    base_url: str = Field("https://api.avarasoftware.com", description="URL of the AutoScribe API: https, without /v1.")
    timeout: Expert[float] = Field(
        120, gt=0, description="Seconds for one request with its whole answer; PDF downloads are exempt."
    )
    max_response_bytes: Expert[int] = Field(32 * 2**20, ge=1024, description="Largest JSON answer to read, in bytes.")
    max_pdf_bytes: Expert[int] = Field(100 * 2**20, ge=1024, description="Largest PDF to fetch, in bytes.")
    proxy: SecretStr | None = Field(
        None, description="HTTP proxy: http://[user:password@]host:port. The variable HTTPS_PROXY is ignored."
    )
    ca_file: Path | None = Field(
        None, description="PEM file of private certificate authorities to trust, in addition to the public ones."
    )

    @validates("api_key")
    @classmethod
    def _sendable(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not (key := value.get_secret_value().strip()):
            return None
        if not is_header_value(key):
            raise ValueError("holds white space or characters that a header cannot carry")
        return SecretStr(key)

    @validates("base_url")
    @classmethod
    def _reachable(cls, value: str) -> str:
        url = parts_of(absolute_url(value))
        if url.path.rstrip("/").endswith("/v1"):
            raise ValueError("/v1 at its end, which the gateway adds: take it off")
        if url.scheme == "http" and not is_loopback(url.hostname or ""):
            raise ValueError("http to another machine: the API key could be read on the way")
        return absolute_url(value)

    @validates("proxy")
    @classmethod
    def _http_proxy(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = parts_of(value.get_secret_value())
            if parts.path not in {"", "/"} or parts.query or parts.fragment:
                raise ValueError("a URL with a path, a query or a fragment")
        return value

    @validates("ca_file")
    @classmethod
    def _certificates(cls, value: Path | None) -> Path | None:
        try:
            ssl.create_default_context(cafile=value)
        except (OSError, ValueError):
            raise ValueError("not a readable file of PEM certificates") from None
        return value


class Pdf(SettingsGroup):
    """Section `[pdf]`: the PDFs of reports."""

    ingest: Literal["fetch", "link"] = Field(
        "fetch", description="fetch: store PDFs and serve them with hash and size; link: stream them from AutoScribe."
    )
    allowed_hosts: Expert[Annotated[tuple[str, ...], BeforeValidator(split)]] = Field(
        ("storage.avarasoftware.com",),
        description="Hosts (host or host:port) that PDFs may come from, besides the host of upstream.base_url.",
    )

    @validates("allowed_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        hosts = tuple(host.lower() for host in value)
        if not all(_HOST.fullmatch(host) for host in hosts):
            raise ValueError("not a list of host or host:port")
        return hosts


class Webhook(SettingsGroup):
    """Section `[webhook]`: events from AutoScribe."""

    key: SecretStr | None = Field(
        None,
        description="Secret of the webhook signatures (whsec_…). During a change of secret, write both, with a comma.",
    )

    @validates("key")
    @classmethod
    def _signing(cls, value: SecretStr | None) -> SecretStr | None:
        secrets = secrets_in(value)
        if not all(secrets):
            raise ValueError("holds a secret that is not base64")
        return value if secrets else None

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """Secrets that a signature may be made with; empty if signatures cannot be checked."""
        return secrets_in(self.key)


class Fhir(SettingsGroup):
    """Section `[fhir]`: the FHIR facade."""

    time_zone: Expert[str] = Field(
        "",
        description="Time zone of dates without one in searches (IANA name). Empty: the facilities' zone if they share "
        "one, else UTC.",
    )
    claim_us_core: Expert[bool] = Field(
        False, description="Claim to be a US Core server, although clients cannot create reports as US Core asks."
    )

    content_search: bool = Field(
        False,
        description="Find reports by words of their text (`DiagnosticReport?_content=`). The words are kept in a table "
        "of their own, which is filled behind the start.",
    )
    canonical: Expert[str] = Field(
        CANONICAL,
        description="Base of the URLs of what the gateway defines itself: extensions, code systems, search parameters, "
        "operations. They need not lead anywhere. After a change: `rerender`.",
    )

    @validates("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        return time_zone(value)

    @validates("canonical")
    @classmethod
    def _canonical(cls, value: str) -> str:
        return canonical_base(value)


class Sync(SettingsGroup):
    """Section `[sync]`: the crawl of AutoScribe. Times are in seconds unless the name says otherwise."""

    open_interval: Expert[float] = Field(
        30, ge=1, le=3600, description="Seconds between two checks of the unsigned studies."
    )
    cancelled_interval: Expert[float] = Field(
        600, ge=1, le=86_400, description="Seconds between two checks of the cancelled studies."
    )
    sweep_interval: Expert[float] = Field(
        60, ge=1, le=86_400, description="Least seconds from the start of one sweep of all studies to the next."
    )
    pages_per_second: Expert[float] = Field(
        2, gt=0, le=50, description="Most pages (of about 100 studies) that a sweep lists in a second."
    )
    concurrency: Expert[int] = Field(
        8,
        ge=1,
        le=100,
        description="Most requests of the crawl to AutoScribe at one time, of all processes; the facade's count apart.",
    )
    report_refetch_hours: Expert[float] = Field(
        24,
        gt=0,
        le=24,
        description="Hours after which the reports of a study are fetched again, even if nothing seems changed.",
    )
    refetches_per_second: Expert[float] = Field(
        5,
        gt=0,
        le=100,
        description="Rate of fetching reports again, above which those of studies unchanged for 30 days are fetched "
        "7 times less often, and after a year 30 times.",
    )
    max_index_age: Expert[float | None] = Field(
        None,
        gt=0,
        description="Seconds since the last full sweep after which answers say `incomplete`. By default half as long "
        "again as a sweep takes, and at least 4 hours.",
    )


class MappingSettings(SettingsGroup):
    """Section `[mapping]`: the settings of the mappings; `mappings.profile.read_site` checks them in detail."""

    site_key: SecretStr | None = Field(
        None, description="Secret of at least 32 bytes that makes patient ids opaque. Never change it."
    )
    sending_application: str = Field(_SITE.sending_application, description="MSH-3 Sending Application.")
    sending_facility: str = Field(_SITE.sending_facility, description="MSH-4 Sending Facility.")
    receiving_application: str = Field(_SITE.receiving_application, description="MSH-5 Receiving Application.")
    receiving_facility: str = Field(_SITE.receiving_facility, description="MSH-6 Receiving Facility.")
    processing_id: Literal["P", "T", "D"] = Field(
        "P", description="MSH-11 Processing ID: production, training or debugging."
    )
    facilities: tuple[dict[str, Any], ...] = Field(
        (),
        description="`[[mapping.facilities]]` tables: time zone, name order and issuers of each facility's numbers.",
    )
    default_facility: str | None = Field(
        None,
        description="Name of the `[[mapping.facilities]]` table whose MRN system applies to reports that name no known "
        "facility. Its time zone and name order do not apply to them.",
    )
    express_customers: tuple[dict[str, Any], ...] = Field(
        (),
        description="`[[mapping.express_customers]]` tables: each customer's assigning authority of externalPatientId.",
    )
    accession_keys: _Names = Field((), description="Keys of a study's metadata that hold accession numbers.")
    placer_keys: _Names = Field((), description="Keys of a study's metadata that hold placer order numbers.")
    number_separator: Expert[str] = Field(
        "",
        description="Separator of several accession or placer order numbers in a value. Empty: a value is one number.",
    )
    accession_system: str | None = Field(
        None, description="URI of the accession numbers, for FHIR, unless a facility has its own."
    )
    accession_namespace: str | None = Field(None, description="Assigning authority of the accession numbers, for EI.2.")
    placer_system: str | None = Field(
        None, description="URI of the placer order numbers, for FHIR, unless a facility has its own."
    )
    placer_namespace: str | None = Field(None, description="Assigning authority of the placer order numbers, for EI.2.")
    vista_dfn_namespace: Expert[str] = Field(
        "", description="VistA: namespace of the facility or express customer whose patient numbers are DFNs."
    )
    vista_ssn_namespace: Expert[str] = Field(
        "", description="VistA: namespace whose patient numbers are Social Security numbers."
    )
    vista_station: Expert[str] = Field("", description="VistA: number of the station that assigned the DFN, for PID-2.")
    vista_exam_keys: Expert[_Names] = Field((), description="VistA: keys of a study's metadata that hold RADTI-RACNI.")
    vista_case_keys: Expert[_Names] = Field(
        (), description="VistA: keys of a study's metadata that hold the long case number."
    )
    send_drafts: bool = Field(False, description="Serve and send unsigned text, as preliminary.")
    on_cancelled_after_sign: Literal["hold", "withdraw"] = Field(
        "hold", description="A study cancelled after signing: hold: leave its sent reports; withdraw: withdraw them."
    )
    on_conflict: Literal["send", "hold"] = Field(
        "hold", description="A report with an identity conflict: hold it in HL7 v2, or send it."
    )
    procedures: Path | None = Field(None, description="CSV file of procedure codes; see docs/site.md.")
    starter: Expert[bool] = Field(True, description="Also use the procedure codes that come with the gateway.")
    procedure_system: str | None = Field(None, description="URI of the site's own procedure codes, for FHIR.")
    procedure_coding_system: str = Field("L", description="Name of the site's own procedure codes, for OBR-4.3.")
    procedure_fallbacks: Expert[dict[str, Any]] = Field(
        {},
        description="`[mapping.procedure_fallbacks]` table: per modality, a code for OBR-4 if no procedure matches.",
    )
    providers: Path | None = Field(None, description="CSV file of providers; see docs/site.md.")
    provider_system: str | None = Field(None, description="URI of the providers' local ids, for FHIR.")
    provider_namespace: str | None = Field(
        None, description="Assigning authority of the providers' local ids, for XCN.9."
    )
    receivers: tuple[dict[str, Any], ...] = Field(
        (), description="`[[mapping.receivers]]` tables: the site's own receiver profiles."
    )


class Log(SettingsGroup):
    """Section `[log]`."""

    level: Expert[Literal["debug", "info", "warning", "error"]] = Field(
        "info", description="Lowest level to log; debug follows each study by its ids."
    )
    format: Expert[Literal["json", "console"]] = Field(
        "json", description="json: one JSON object a line; console: plain text."
    )


class Settings(BaseSettings):
    """All settings. Keyword arguments are the values of the TOML file; the environment overrides them."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    upstream: Upstream = Upstream()
    server: Server = Server()
    auth: Auth = Auth()
    console: Console = Console()
    audit: Audit = Audit()
    pdf: Pdf = Pdf()
    webhook: Webhook = Webhook()
    database: Database = Database()
    fhir: Fhir = Fhir()
    sync: Sync = Sync()
    mapping: MappingSettings = MappingSettings()
    feed: Feed = Feed()
    log: Log = Log()
    destination: tuple[DestinationSettings, ...] = ()
    ignore: tuple[IgnoreSettings, ...] = ()
    source: tuple[SourceSettings, ...] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Use the variables named by `variables`, then the file; pydantic's own matching of variables is off."""
        return InitSettingsSource(settings_cls, init_kwargs=_environment()), init_settings


def fields() -> Iterator[tuple[str, str, FieldInfo]]:
    """Yield every setting as section, name and field, in order; the tables in `TABLES` are left out."""
    for section, group in Settings.model_fields.items():
        if section not in TABLES:
            for name, field in type(group.default).model_fields.items():
                yield section, name, field


def variables(key: str) -> tuple[str, ...]:
    """Return the environment variables that set `section.name`, strongest first, those of old names last."""
    return (*new_variables(key), *(one for old in old_names(key) for one in new_variables(old)))


def new_variables(key: str) -> tuple[str, ...]:
    """Return the environment variables of a setting's present name, strongest first; none for file-only settings."""
    if key in FILE_ONLY:
        return ()
    vendor = VENDOR_NAMES.get(key)
    own = f"{PREFIX}{key.replace('.', '__')}".upper()
    return (own, vendor) if vendor else (own,)


def _environment() -> dict[str, dict[str, str]]:
    values: dict[str, dict[str, str]] = {}
    for section, name, _ in fields():
        for variable in reversed(variables(f"{section}.{name}")):
            if value := os.environ.get(variable):
                values.setdefault(section, {})[name] = value
    return values
