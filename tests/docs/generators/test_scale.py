"""Tables of docs/scale.md: their figures follow from what was measured, from the settings and from the simulation."""

from __future__ import annotations

import json
import re
from pathlib import Path

from generators import scale

ROOT = Path(__file__).parents[3]


def test_a_year_grows_by_the_studies_and_their_ledger():
    (kind, study), *_ = scale.STUDY_BYTES.items()
    assert scale._grown(1_000_000, kind) == f"{(study + scale.LEDGER_BYTES) / 1000:,.0f}"


def test_the_bytes_of_a_study_are_those_that_the_other_documents_say():
    text = (ROOT / "docs" / "guide.md").read_text("utf-8")
    said = re.search(r"A study takes about (\d+) kB in SQLite and (\d+) kB in PostgreSQL", text)
    assert [int(one) * 1000 for one in said.groups()] == list(scale.STUDY_BYTES.values())
    ledger = re.search(
        r"\| each report that is sent there \| about ([\d,]+) ", (ROOT / "docs" / "feed.md").read_text("utf-8")
    )
    assert int(ledger[1].replace(",", "")) == scale.LEDGER_BYTES


def test_hours_are_those_of_a_million():
    assert scale._hours(3.6) == "1.0"


def test_a_large_account_is_swept_in_hours_and_fetched_again_in_tiers():
    rows = scale.sweep_table().splitlines()[2:]
    assert rows[0] == "| 100,000 | 9 minutes | 4 hours | 1, 1, 1 |"
    assert rows[2] == "| 5,000,000 | 7 hours | 11 hours | 1, 7, 30 |"


def test_the_simulation_that_is_shown_is_the_one_of_the_command(monkeypatch):
    from fakes.hospitals.run import Size

    for name in ("SEED", "GATEWAYS", "SHARE"):
        monkeypatch.delenv(f"SIMULATION_{name}", raising=False)
    found, size = json.loads(scale.FIGURES.read_text("utf-8")), Size.wanted()
    assert (found["seed"], found["gateways"], found["share"]) == (size.seed, size.gateways, size.share)
    assert found["messages"] > 0
