"""Every setting of the service: one field with type, default and description; the documentation tables come from here.

Carries out no clause of a standard. Read, in this order of precedence, from the environment
(`GATEWAY_<SECTION>__<FIELD>`, then the vendor's own `AVARA_API_KEY`, `AVARA_BASE_URL`, `AVARA_WEBHOOK_KEY`), then from
the TOML file that `GATEWAY_CONFIG` or `--config` names. An empty variable counts as not set. `[[destination]]` and
`[[ignore]]` tables are the file's alone, but for the secrets in them.
"""

from gateway.settings.database import Database
from gateway.settings.destination import DestinationSettings, IgnoreSettings
from gateway.settings.feed import Escalation, Feed
from gateway.settings.load import Configuration, load, require_loopback, require_site_key, survey
from gateway.settings.model import (
    FILE_ONLY,
    TABLES,
    Fhir,
    Log,
    MappingSettings,
    Pdf,
    Server,
    Settings,
    Sync,
    Upstream,
    Webhook,
)
from gateway.settings.rows import SettingRow, rows, table_rows
from gateway.settings.values import is_loopback

__all__ = [
    "FILE_ONLY",
    "TABLES",
    "Configuration",
    "Database",
    "DestinationSettings",
    "Escalation",
    "Feed",
    "Fhir",
    "IgnoreSettings",
    "Log",
    "MappingSettings",
    "Pdf",
    "Server",
    "SettingRow",
    "Settings",
    "Sync",
    "Upstream",
    "Webhook",
    "is_loopback",
    "load",
    "require_loopback",
    "require_site_key",
    "rows",
    "survey",
    "table_rows",
]
