"""The settings as a model: one class, a group per section, each field with type, default and description.

Carries out no clause of a standard: what can be set is the gateway's own affair.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo
from pydantic import field_validator as validates
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.settings.database import Database
from gateway.settings.destination import DestinationSettings, IgnoreSettings
from gateway.settings.feed import Escalation, Feed
from gateway.settings.group import SettingsGroup
from gateway.settings.values import (
    absolute_url,
    is_header_value,
    is_loopback,
    parts_of,
    secrets_in,
    split,
    split_at_commas,
    time_zone,
)
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
        *(f"mapping.{name}" for name in ("facilities", "express_customers", "procedure_fallbacks", "receivers")),
    }
)
TABLES: Final[dict[str, type[SettingsGroup]]] = {
    "destination": DestinationSettings,
    "ignore": IgnoreSettings,
    "feed.escalate": Escalation,
}
"""The sections and settings that are lists of tables, `[[destination]]`, which only the file can say."""
_HOST: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_SITE: Final = Site()
_Names = Annotated[tuple[str, ...], BeforeValidator(split_at_commas)]


class Upstream(SettingsGroup):
    """Section `[upstream]`: the AutoScribe API. All times in seconds, all sizes in bytes."""

    api_key: SecretStr | None = Field(None, description="API key of AutoScribe, made in its dashboard with scope All.")
    allow_http: bool = Field(
        False, description="Allow an http base_url that is not on this machine: the key is then readable."
    )
    base_url: str = Field(
        "https://api.avarasoftware.com", description="Where the AutoScribe API is: https, without /v1."
    )
    connect_timeout: float = Field(5, gt=0, description="Seconds to wait for a connection.")
    read_timeout: float = Field(60, gt=0, description="Seconds to wait for the next bytes of an answer.")
    timeout: float = Field(
        120, gt=0, description="Seconds for one request with its whole answer; PDFs are not bound by it."
    )
    attempts: int = Field(
        3, ge=1, le=10, description="How often a GET is tried altogether; an addendum is never sent twice."
    )
    retry_after_cap: float = Field(
        60, ge=0, description="Longest wait, in seconds, that a Retry-After of AutoScribe can ask for."
    )
    max_backoff: float = Field(
        8, ge=0, description="Longest wait, in seconds, between tries when AutoScribe names none."
    )
    max_concurrency: int = Field(
        8, ge=1, le=100, description="Requests to AutoScribe at one time; PDF downloads are counted apart."
    )
    max_response_bytes: int = Field(32 * 2**20, ge=1024, description="Largest JSON answer that is read, in bytes.")
    max_pdf_bytes: int = Field(100 * 2**20, ge=1024, description="Largest PDF that is fetched, in bytes.")
    proxy: SecretStr | None = Field(
        None, description="HTTP proxy, as http://[user:password@]host:port. HTTPS_PROXY is not read."
    )
    ca_file: Path | None = Field(
        None, description="PEM file of private certificate authorities to trust beside the public ones."
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
    def _reachable(cls, value: str, info: ValidationInfo) -> str:
        url = parts_of(absolute_url(value))
        if url.path.rstrip("/").endswith("/v1"):
            raise ValueError("/v1 at its end, which the gateway adds: take it off")
        if url.scheme == "http" and not is_loopback(url.hostname or "") and not info.data.get("allow_http"):
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


class Server(SettingsGroup):
    """Section `[server]`: where the gateway listens."""

    host: str = Field(
        "127.0.0.1", min_length=1, description="Address to listen on; loopback only until authentication exists."
    )
    port: int = Field(8800, ge=0, le=65535, description="TCP port to listen on.")
    public_url: str | None = Field(
        None, description="FHIR base that clients see. Without it: http://<host>:<port>/fhir."
    )

    @validates("public_url")
    @classmethod
    def _base(cls, value: str | None) -> str | None:
        return None if value is None else absolute_url(value)

    @property
    def fhir_base(self) -> str:
        """The FHIR base for fullUrl, Location and links, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"http://{host}:{self.port}/fhir"


class Pdf(SettingsGroup):
    """Section `[pdf]`: the reports' PDFs."""

    ingest: Literal["fetch", "link"] = Field(
        "fetch", description="fetch: kept and served with hash and size; link: streamed from AutoScribe when asked for."
    )
    allowed_hosts: Annotated[tuple[str, ...], BeforeValidator(split)] = Field(
        ("storage.avarasoftware.com",),
        description="Hosts (host or host:port) PDFs may come from; that of upstream.base_url always may.",
    )
    concurrency: int = Field(2, ge=1, le=32, description="PDFs that are fetched to be kept at one time.")
    attempts: int = Field(
        6,
        ge=1,
        le=100,
        description="How often a PDF that AutoScribe refuses is asked for; an outage counts for nothing.",
    )
    max_wait: float = Field(
        3_600, ge=1, le=86_400, description="Longest wait, in seconds, before a PDF is asked for again."
    )

    @validates("allowed_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        hosts = tuple(host.lower() for host in value)
        if not all(_HOST.fullmatch(host) for host in hosts):
            raise ValueError("not a list of host or host:port")
        return hosts


class Webhook(SettingsGroup):
    """Section `[webhook]`: events AutoScribe sends."""

    key: SecretStr | None = Field(
        None,
        description="Secret of the webhook signatures (whsec_…); while it is changed several, with commas or blanks.",
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
        """The keys a signature may be made with; none where no webhook can be told from a forged one."""
        return secrets_in(self.key)


class Fhir(SettingsGroup):
    """Section `[fhir]`: the FHIR facade."""

    time_zone: str = Field(
        "",
        description="Zone of dates without one in searches (IANA name). Empty: that of all facilities if they share "
        "one, else UTC.",
    )
    claim_us_core: bool = Field(
        False, description="Claim to be a US Core server, though reports cannot be created here as US Core asks."
    )

    @validates("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        return time_zone(value)


class Sync(SettingsGroup):
    """Section `[sync]`: the crawl of AutoScribe. All times in seconds but where it says otherwise."""

    open_interval: float = Field(30, ge=1, le=3600, description="Seconds between two looks at the unsigned studies.")
    cancelled_interval: float = Field(
        600, ge=1, le=86_400, description="Seconds between two looks at the cancelled studies."
    )
    sweep_interval: float = Field(
        60, ge=1, le=86_400, description="Least seconds from the start of one sweep of all studies to the next."
    )
    pages_per_second: float = Field(
        2, gt=0, le=50, description="Pages of about 100 studies that a sweep lists in a second, at most."
    )
    concurrency: int = Field(
        8, ge=1, le=100, description="Requests of the crawl to AutoScribe at one time; the facade's are counted apart."
    )
    timeout: float = Field(
        20, gt=0, description="Seconds for one request of the crawl with its whole answer; it is tried again later."
    )
    report_refetch_hours: float = Field(
        24,
        gt=0,
        le=24,
        description="Hours within which a study's reports are fetched again though nothing seems changed.",
    )
    missing_sweeps_alert: int = Field(
        3, ge=1, le=100, description="Sweeps in a row that do not list an indexed study before there is an alert."
    )
    max_index_age: float = Field(
        14_400, gt=0, description="Seconds since the last whole sweep after which answers say `incomplete`."
    )


class MappingSettings(SettingsGroup):
    """Section `[mapping]`: what `mappings.profile.parse_site` reads, and checks more closely."""

    site_key: SecretStr | None = Field(
        None, description="Secret of at least 32 bytes that makes patient ids opaque; never change it."
    )
    sending_application: str = Field(_SITE.sending_application, description="MSH-3 Sending Application.")
    sending_facility: str = Field(_SITE.sending_facility, description="MSH-4 Sending Facility.")
    receiving_application: str = Field(_SITE.receiving_application, description="MSH-5 Receiving Application.")
    receiving_facility: str = Field(_SITE.receiving_facility, description="MSH-6 Receiving Facility.")
    processing_id: Literal["P", "T", "D"] = Field(
        "P", description="MSH-11 Processing ID: production, training or debugging."
    )
    facilities: tuple[dict[str, Any], ...] = Field(
        (), description="`[[mapping.facilities]]` tables: per facility its time zone, name order and MRN system."
    )
    default_facility: str | None = Field(
        None,
        description="Name of the `[[mapping.facilities]]` table whose MRNs those of reports are that name none of "
        "them: its time zone and name order are not taken over.",
    )
    express_customers: tuple[dict[str, Any], ...] = Field(
        (), description="`[[mapping.express_customers]]` tables: whose numbers externalPatientId are."
    )
    accession_keys: _Names = Field((), description="Keys of a study's metadata that hold accession numbers.")
    placer_keys: _Names = Field((), description="Keys of a study's metadata that hold placer order numbers.")
    number_separator: str = Field(
        "", description="What parts several accession or placer order numbers in one value; empty: one number."
    )
    accession_system: str | None = Field(None, description="URI of the accession numbers, for FHIR.")
    accession_namespace: str | None = Field(None, description="Assigning authority of those numbers, for EI.2.")
    placer_system: str | None = Field(None, description="URI of the placer order numbers, for FHIR.")
    placer_namespace: str | None = Field(None, description="Assigning authority of those numbers, for EI.2.")
    vista_dfn_namespace: str = Field(
        "", description="VistA: the namespace of a facility or express customer whose numbers are the patients' DFN."
    )
    vista_ssn_namespace: str = Field("", description="VistA: the namespace whose numbers are Social Security numbers.")
    vista_station: str = Field("", description="VistA: number of the station that gave out the DFN, for PID-2.")
    vista_exam_keys: _Names = Field((), description="VistA: keys of a study's metadata that hold RADTI-RACNI.")
    vista_case_keys: _Names = Field((), description="VistA: keys that hold the long case number beside it.")
    send_drafts: bool = Field(False, description="Let unsigned text out, as preliminary.")
    on_cancelled_after_sign: Literal["hold", "withdraw"] = Field(
        "hold", description="A study cancelled after signing: leave what was sent, or withdraw it."
    )
    on_conflict: Literal["send", "hold"] = Field(
        "hold", description="A report whose patient may be somebody else: held in HL7 v2, or sent."
    )
    procedures: Path | None = Field(None, description="CSV file of procedure codes; see docs/site-settings.md.")
    starter: bool = Field(True, description="Use the procedure codes that come with the gateway, too.")
    procedure_system: str | None = Field(None, description="URI of the site's own procedure codes, for FHIR.")
    procedure_coding_system: str = Field("L", description="Name of the site's own procedure codes, for OBR-4.3.")
    procedure_fallbacks: dict[str, Any] = Field(
        {}, description="`[mapping.procedure_fallbacks]` table: per DICOM modality a code for OBR-4 without a match."
    )
    providers: Path | None = Field(None, description="CSV file of the providers; see docs/site-settings.md.")
    provider_system: str | None = Field(None, description="URI of the providers' local ids, for FHIR.")
    provider_namespace: str | None = Field(None, description="Assigning authority of those ids, for XCN.9.")
    receivers: tuple[dict[str, Any], ...] = Field(
        (), description="`[[mapping.receivers]]` tables: receiver profiles of the site's own."
    )


class Log(SettingsGroup):
    """Section `[log]`."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is written; debug follows each study, by ids."
    )
    format: Literal["json", "console"] = Field("json", description="One JSON object a line, or text for a person.")


class Settings(BaseSettings):
    """All settings. Keyword arguments are what the TOML file says: the environment outranks them."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    upstream: Upstream = Upstream()
    server: Server = Server()
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

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The variables that `variables` names, then the file; no variable is taken by a likeness of its name."""
        return InitSettingsSource(settings_cls, init_kwargs=_environment()), init_settings


def fields() -> Iterator[tuple[str, str, FieldInfo]]:
    """Every setting as section, name and field, in the order of the sections; those of `TABLES` stand apart."""
    for section, group in Settings.model_fields.items():
        if section not in TABLES:
            for name, field in type(group.default).model_fields.items():
                yield section, name, field


def variables(key: str) -> tuple[str, ...]:
    """The environment variables that set `section.name`, the strongest first; none for what only the file can say."""
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
