"""The `[feed]` section: what all destinations of the HL7 v2 feed share.

HL7 v2.5.1 §2.9.2 (what is answered), https://www.standardwebhooks.com (how alerts are signed); decisions D16, D32, D33,
D37, D38.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from pydantic import field_validator as validates

from gateway.settings.group import SettingsGroup
from gateway.settings.values import parts_of, secrets_in


def _reachable(value: SecretStr) -> SecretStr:
    parts_of(value.get_secret_value())
    return value


def _signing(value: SecretStr | None) -> SecretStr | None:
    secrets = secrets_in(value)
    if len(secrets) > 1 or not all(secrets):
        raise ValueError("not one secret in base64")
    return value if secrets else None


_Url = Annotated[SecretStr, AfterValidator(_reachable)]
_Key = Annotated[SecretStr | None, AfterValidator(_signing)]


class Escalation(SettingsGroup):
    """A `[[feed.escalate]]` table: who else is told of a critical result that nobody acknowledges, and when."""

    minutes: float = Field(gt=0, le=10_080, description="Minutes from the alert until this address is told.")
    url: _Url = Field(description="URL that the alert is then posted to.")
    key: _Key = Field(None, description="Secret with which it is signed (whsec_…); without one, feed.alert_key.")


class Feed(SettingsGroup):
    """Section `[feed]`. Times in seconds where the name does not say otherwise."""

    state_dir: Path | None = Field(
        None,
        description="Folder of the feed journal, best on another disk than the database. Without it: that of a SQLite "
        "file, else the working directory.",
    )
    lease: float = Field(
        6,
        ge=1,
        le=300,
        description="Seconds for which a process may send to a destination; when it dies, another goes on after that.",
    )
    retention_days: int = Field(
        30,
        ge=1,
        le=3650,
        description="Days for which the text of a delivered message and its attempts are kept; the ledger stays.",
    )
    alert_url: SecretStr | None = Field(
        None, description="URL that alerts are posted to: ids, counts and ages, nothing of a patient."
    )
    alert_key: _Key = Field(
        None, description="Secret with which alerts are signed (whsec_…), as Standard Webhooks has it."
    )
    queue_age_alert_minutes: float = Field(
        15, gt=0, le=10_080, description="Minutes that the oldest message may wait until there is an alert."
    )
    backload_rate: float = Field(
        2, gt=0, le=1000, description="Messages a second that `feed backload` queues where it names no rate."
    )
    draft_wait_minutes: float = Field(
        15, ge=0, le=1440, description="Minutes without a change after which a draft is sent, where drafts are."
    )
    unasked_messages: int = Field(
        20,
        ge=0,
        le=10_000,
        description="A plan of no more messages, after a change of settings, is applied without asking; 0 is never.",
    )
    unasked_hours: float = Field(
        24, gt=0, le=8760, description="Hours in which all reports of such a plan must have been signed."
    )
    unasked_critical: bool = Field(False, description="Whether such a plan may have critical results in it.")
    storm_naks: int = Field(
        10,
        ge=2,
        le=10_000,
        description="Refusals in a row, if of enough studies, after which a destination is probed (AR, CR) or paused.",
    )
    storm_lanes: int = Field(
        5,
        ge=1,
        le=10_000,
        description="Studies that those refusals must be of; of fewer, those studies alone are held.",
    )
    escalate: tuple[Escalation, ...] = Field(
        (),
        description="`[[feed.escalate]]` tables: after how many minutes which address is told of a critical result that"
        " nobody acknowledges; see docs/feed.md.",
    )

    @validates("alert_url")
    @classmethod
    def _reachable(cls, value: SecretStr | None) -> SecretStr | None:
        return _reachable(value) if value is not None and value.get_secret_value() else None

    @validates("escalate")
    @classmethod
    def _one_after_another(cls, value: tuple[Escalation, ...]) -> tuple[Escalation, ...]:
        if any(first.minutes >= second.minutes for first, second in pairwise(value)):
            raise ValueError("minutes that are not more than those of the table before")
        return value
