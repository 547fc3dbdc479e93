"""The `[feed]` section: what all destinations of the HL7 v2 feed share.

HL7 v2.5.1 §2.9.2 (what is answered), https://www.standardwebhooks.com (how alerts are signed); decisions D16, D32, D33.
"""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic import field_validator as validates

from gateway.settings.group import Group
from gateway.settings.values import parts_of, secrets_in


class Feed(Group):
    """Section `[feed]`. Times in seconds where the name does not say otherwise."""

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
    alert_key: SecretStr | None = Field(
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
    storm_naks: int = Field(
        10, ge=2, le=10_000, description="Refusals in a row after which a destination is paused, if of enough studies."
    )
    storm_lanes: int = Field(
        5,
        ge=1,
        le=10_000,
        description="Studies that those refusals must be of; of fewer, those studies alone are held.",
    )

    @validates("alert_url")
    @classmethod
    def _reachable(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        parts_of(value.get_secret_value())
        return value

    @validates("alert_key")
    @classmethod
    def _signing(cls, value: SecretStr | None) -> SecretStr | None:
        secrets = secrets_in(value)
        if len(secrets) > 1 or not all(secrets):
            raise ValueError("not one secret in base64")
        return value if secrets else None
