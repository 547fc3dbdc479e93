"""docs/feed.md: its example is one that check-config finds no fault in, and no key is left out."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import trustme
from generators import documents
from pydantic import SecretStr

from gateway.checks import config
from gateway.feed.alerts.monitor import AlertNews, Change
from gateway.feed.alerts.webhook import AlertHook
from gateway.routing import Folder, Http, Mllp, routes_of
from gateway.runtime import clock
from gateway.runtime.client_key import made_client_key
from gateway.settings import TABLES, load
from gateway.store.feed.alerts import AlertCase, StandingAlert

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "feed.md").read_text("utf-8")
SETTINGS = (ROOT / "docs" / "reference" / "settings.md").read_text("utf-8")


def example() -> str:
    """Return the settings of all blocks as one file: a block whose table is there already adds its keys to that one."""
    whole = ""
    for block in re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL):
        table, keys = re.split(r" *(?:#.*)?\n", block, maxsplit=1)
        before, is_there, after = whole.partition(f"{table}\n")
        whole = f"{before}{is_there}{keys}{after}" if is_there else f"{whole}{block}\n"
    return whole


EXAMPLE = example()
SITE = """
[auth]
mode = "builtin"
[upstream]
api_key = "key"
[mapping]
site_key = "0123456789abcdef0123456789abcdef"
[[mapping.facilities]]
name = "City Medical Center"
time_zone = "America/New_York"
name_order = "given_family"
mrn_system = "urn:oid:1.2.840.99999.1"
mrn_namespace = "CITY"
"""


def test_the_example_is_good(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GATEWAY_DESTINATION__CLOUD_ENGINE__PASSWORD", "word")
    monkeypatch.setenv("GATEWAY_FEED__MAIL_PASSWORD", "word")
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 3, 2, tzinfo=UTC))
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "engine-ca.pem")
    issued = ca.issue_cert("gateway.example", not_after=datetime(2027, 3, 1, tzinfo=UTC))
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "gateway.pem")
    (tmp_path / "outbox").mkdir()
    made_client_key(tmp_path / "ehr-key.pem", "ES384")
    path = tmp_path / "gateway.toml"
    path.write_text(SITE + EXAMPLE)
    assert config.faults(path) == []
    routes = routes_of(load(path))
    assert [type(one.transport) for one in routes.destinations] == [Mllp, Folder, Http]
    assert [one.name for one in routes.ignores] == ["phantoms"]


def test_every_key_stands_in_its_table_with_what_it_means() -> None:
    for section, group in TABLES.items():
        table = "".join(documents.destination_table(section, experts=one) for one in (False, True))
        assert f'cog.outl(destination_table("{section}"))' in SETTINGS
        assert [name for name in group.model_fields if f"| `{name}` | " not in table] == []


def test_every_filter_and_state_of_a_row_is_explained() -> None:
    for word in ("waiting", "before_start", "excluded", "unrouted", "[[ignore]]"):
        assert f"`{word}`" in TEXT
    for name in ("facilities", "express_customers", "modalities", "critical", "statuses"):
        assert f"`{name}`" in TEXT


def test_what_an_alert_says_is_in_the_example_of_one_and_every_change_is_explained() -> None:
    [example] = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    said = AlertNews(
        AlertHook("alert_url", 0, SecretStr("https://a.example"), None), ALERT, "grows", ALERT.cases
    ).data()
    assert json.loads(example)["data"].keys() == said.keys()
    assert all(f"| `{change}` | `" in TEXT for change in get_args(Change))


ALERT = StandingAlert("critical-overdue", "city-epic", 1, {3: AlertCase(100, "stu_1")})
