"""The `[feed]` section of the settings: settings that all destinations of HL7 v2 messages share.

HL7 v2.5.1 §2.9.2 (acknowledgements), https://www.standardwebhooks.com (signatures of alerts); decisions D16, D32, D33,
D37, D38.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo
from pydantic import field_validator as validates

from gateway.settings.group import Expert, SettingsGroup
from gateway.settings.values import parts_of, secrets_in, split_at_commas

_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")


def _reachable(value: SecretStr) -> SecretStr:
    parts_of(value.get_secret_value())
    return value


def _signing(value: SecretStr | None) -> SecretStr | None:
    secrets = secrets_in(value)
    if len(secrets) > 1 or not all(secrets):
        raise ValueError("not one secret in base64")
    return value if secrets else None


def _address(value: str) -> str:
    if not _ADDRESS.fullmatch(value):
        raise ValueError("not a mail address, such as radiology-it@hospital.example")
    return value


_Url = Annotated[SecretStr, AfterValidator(_reachable)]
_Key = Annotated[SecretStr | None, AfterValidator(_signing)]


class Escalation(SettingsGroup):
    """A `[[feed.escalate]]` table: a further alert address for a critical result that nobody acknowledges."""

    minutes: float = Field(gt=0, le=10_080, description="Minutes after the alert when this address gets it.")
    url: _Url = Field(description="URL that the alert is posted to.")
    key: _Key = Field(None, description="Secret that signs the alert (whsec_…); not set: feed.alert_key.")


class Feed(SettingsGroup):
    """Section `[feed]`. Times are in seconds unless the name says otherwise."""

    state_dir: Path | None = Field(
        None,
        description="Folder of the feed journal; best on another disk than the database. Not set: the folder of the "
        "SQLite file, else the working directory. With PostgreSQL and an audit it must be set.",
    )
    lease: Expert[float] = Field(
        6,
        ge=1,
        le=300,
        description="Seconds for which a process may send to a destination before it renews its lease; if the process "
        "dies or freezes, another takes over after that time, its part of the crawl too.",
    )
    retention_days: Expert[int] = Field(
        30,
        ge=1,
        le=3650,
        description="Days for which the text and the attempts of a delivered message are kept. The ledger stays.",
    )
    alert_url: SecretStr | None = Field(
        None, description="URL that alerts are posted to; they hold ids, counts and ages, but no patient data."
    )
    alert_key: _Key = Field(None, description="Secret that signs alerts by Standard Webhooks (whsec_…).")
    heartbeat_url: SecretStr | None = Field(
        None,
        description="URL of a dead man's switch: it gets a POST each `heartbeat_seconds` while the process that feeds "
        "lives and can write to its database, and must alert you when none comes. One URL for each such process.",
    )
    heartbeat_seconds: Expert[float] = Field(
        60, ge=10, le=3600, description="Seconds between two POSTs to heartbeat_url."
    )
    queue_age_alert_minutes: Expert[float] = Field(
        15, gt=0, le=10_080, description="Minutes that the oldest message may wait before an alert."
    )
    mail_user: str | None = Field(None, min_length=1, description="User name at the mail server. Not set: no login.")
    mail_password: SecretStr | None = Field(None, min_length=1, description="Password of mail_user.")
    mail_from: Annotated[str, AfterValidator(_address)] | None = Field(None, description="Sender of the mails.")
    mail_to: Annotated[tuple[Annotated[str, AfterValidator(_address)], ...], BeforeValidator(split_at_commas)] = Field(
        (), description="Addresses that the mails go to."
    )
    mail_ca_file: Path | None = Field(
        None, description="PEM file of the authorities of the mail server's certificate. Not set: those of the system."
    )
    mail_digest_hour: Expert[int] = Field(
        7,
        ge=0,
        le=23,
        description="Hour of the day, by this machine's time zone, when what is not urgent is mailed.",
    )
    mail_port: int = Field(587, ge=1, le=65535, description="TCP port of the mail server.")
    mail_host: str | None = Field(
        None,
        description="Mail server (SMTP) for alerts, always over TLS: STARTTLS, or TLS at once on port 465. It needs "
        "mail_from and mail_to. Not set: no mail.",
    )
    draft_wait_minutes: Expert[float] = Field(
        15,
        ge=0,
        le=1440,
        description="Minutes without a change after which a draft is sent, if drafts are sent at all.",
    )
    unasked_messages: Expert[int] = Field(
        20,
        ge=0,
        le=10_000,
        description="After a change of settings, a plan of at most this many messages is applied unasked; 0: never.",
    )
    unasked_hours: Expert[float] = Field(
        24, gt=0, le=8760, description="Most hours since signature for a report in a plan that is applied unasked."
    )
    unasked_critical: Expert[bool] = Field(False, description="Apply a plan with critical results unasked, too.")
    breaker_refusals: Expert[int] = Field(
        10,
        ge=2,
        le=10_000,
        description="Refusals in a row after which the circuit breaker probes (AR, CR) or pauses a destination, if "
        "they concern at least breaker_lanes studies.",
    )
    breaker_lanes: Expert[int] = Field(
        5,
        ge=1,
        le=10_000,
        description="Least number of studies for breaker_refusals; if fewer are refused, only those studies are held.",
    )
    escalate: tuple[Escalation, ...] = Field(
        (),
        description="`[[feed.escalate]]` tables: further alert addresses for a critical result that nobody"
        " acknowledges, each after some minutes; see docs/feed.md.",
    )

    @validates("alert_url", "heartbeat_url")
    @classmethod
    def _reachable(cls, value: SecretStr | None) -> SecretStr | None:
        return _reachable(value) if value is not None and value.get_secret_value() else None

    @validates("escalate")
    @classmethod
    def _one_after_another(cls, value: tuple[Escalation, ...]) -> tuple[Escalation, ...]:
        if any(first.minutes >= second.minutes for first, second in pairwise(value)):
            raise ValueError("minutes that are not more than those of the table before")
        return value

    @validates("mail_host")
    @classmethod
    def _whole_mail(cls, value: str | None, info: ValidationInfo) -> str | None:
        if not value:
            return None
        if not (info.data.get("mail_from") and info.data.get("mail_to")):
            raise ValueError("without mail_from and mail_to, or these are wrong")
        if (info.data.get("mail_user") is None) is not (info.data.get("mail_password") is None):
            raise ValueError("of mail_user and mail_password, one is missing")
        return value
