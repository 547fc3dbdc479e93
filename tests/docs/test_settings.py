"""docs/reference/settings.md: settings of a site stand before those of experts, which a document or an error names."""

import re
from pathlib import Path

from generators import documents

from gateway.settings import TABLES, every_row

ROOT = Path(__file__).parents[2]
SETTINGS = "docs/reference/settings.md"


def texts() -> str:
    """Return the documents without the table of settings, and the remedies of errors."""
    files = [one for one in (ROOT / "docs").rglob("*") if one.suffix in {".md", ".toml"} and one != ROOT / SETTINGS]
    files += [ROOT / "README.md", ROOT / "gateway" / "runtime" / "errors.py"]
    return "\n".join(one.read_text("utf-8") for one in files)


def test_what_experts_turn_is_named_where_its_situation_is_described() -> None:
    written = texts()
    for row in (one for one in every_row() if one.is_expert):
        name = row.key.rpartition(".")[2]
        is_named = re.search(rf"\b{re.escape(row.key)}\b|`{name}[` ]|^#? ?{name} =", written, re.MULTILINE)
        assert is_named, f"describe when to change {row.key}, or make it a constant near its use"


def test_every_setting_stands_in_one_of_the_two_tables() -> None:
    both = [documents.settings_table(experts=one) for one in (False, True)]
    both += [documents.destination_table(section, experts=one) for section in TABLES for one in (False, True)]
    for row in every_row():
        name = row.key if row.key.rpartition(".")[0] not in TABLES else row.key.rpartition(".")[2]
        assert sum(f"| `{name}` | " in table for table in both) >= 1


def test_those_of_experts_come_behind_those_of_a_site() -> None:
    text = (ROOT / SETTINGS).read_text("utf-8")
    places = [text.index(f"`{key}`") for key in ("mapping.site_key", "sync.concurrency")]
    assert places[0] < text.index("## Experts' settings") < places[1] < text.index("## destination")
