"""Import point of all settings. model.py and the modules it imports declare them; `load` reads them.

Carries out no clause of a standard. Order of precedence: first the environment (`GATEWAY_<SECTION>__<FIELD>`, then the
vendor's own `AVARA_API_KEY`, `AVARA_BASE_URL`, `AVARA_WEBHOOK_KEY`), then the TOML file named by `--config` or
`GATEWAY_CONFIG`. An empty variable counts as not set. `[[destination]]`, `[[ignore]]` and `[[source]]` tables come from
the file only, except for the secrets in them.
"""

from gateway.settings.audit import Audit
from gateway.settings.auth import Auth
from gateway.settings.database import Database
from gateway.settings.destination import DestinationSettings, IgnoreSettings
from gateway.settings.feed import Escalation, Feed
from gateway.settings.load import (
    Configuration,
    load,
    require_audit_place,
    require_guarded,
    require_mode,
    require_site_key,
    survey,
)
from gateway.settings.model import (
    FILE_ONLY,
    TABLES,
    Fhir,
    Log,
    MappingSettings,
    Pdf,
    Settings,
    Sync,
    Upstream,
    Webhook,
)
from gateway.settings.rows import SettingRow, every_row, rows, table_rows
from gateway.settings.server import Server
from gateway.settings.source import SourceSettings
from gateway.settings.values import is_loopback

__all__ = [
    "FILE_ONLY",
    "TABLES",
    "Audit",
    "Auth",
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
    "SourceSettings",
    "Sync",
    "Upstream",
    "Webhook",
    "every_row",
    "is_loopback",
    "load",
    "require_audit_place",
    "require_guarded",
    "require_mode",
    "require_site_key",
    "rows",
    "survey",
    "table_rows",
]
