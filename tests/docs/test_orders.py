"""docs/orders.md: its example is a source that can be used, and each answer and code is explained (decision D48)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from gateway.checks import config
from gateway.ingest.orders.apply_orders import AMBIGUOUS
from gateway.ingest.orders.inbox import ANSWERS
from gateway.ingest.orders.loops import MESSAGES, ORDERS
from gateway.ingest.orders.sources import TYPES, survey_sources
from gateway.settings import survey
from gateway.store.orders.inbound import AFTER_FAILED
from mappings.hospital.events import HeldReason
from mappings.hospital.groups import MERGE_REASONS

TEXT = (Path(__file__).parents[2] / "docs" / "orders.md").read_text("utf-8")
EXAMPLE = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)[0]
FACILITY = """
[[mapping.facilities]]
name = "City Medical Center"
time_zone = "America/New_York"
mrn_system = "urn:oid:1.2.1"
mrn_namespace = "CITY"
name_order = "given_family"
"""


def test_the_example_is_a_source(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text(FACILITY + EXAMPLE)
    read, faults = survey(path)
    assert read is not None
    (source,), more = survey_sources(read)
    assert [*faults, *more] == []
    assert source.rules.senders == {("EPIC", "CITY")}
    assert list(config.source_faults(read)) == []


def test_every_code_of_a_held_message_is_explained():
    codes = {*get_args(HeldReason), *MERGE_REASONS, AMBIGUOUS, AFTER_FAILED} - {""}
    assert sorted(code for code in codes if f"`{code}`" not in TEXT) == []


def test_every_kind_of_answer_and_every_type_is_in_a_table():
    assert {row.letter for row in ANSWERS.values()} == {"A", "E", "R"}
    assert all(f"| A{letter}" in TEXT for letter in "AER")
    written = TEXT.partition("## What is taken")[2].partition("## Answers")[0]
    for kind, types in TYPES.items():
        row = next(line for line in written.splitlines() if f"| `{kind}` |" in line)
        numbers = [int(one) for one in re.findall(r"\bA(\d\d)\b", row)]
        assert all(one.replace("^", "_") in row for one in types if not one.startswith("ADT"))
        assert numbers == [] or {min(numbers), max(numbers)} <= {int(one[-2:]) for one in types}


def test_the_times_are_those_of_the_code():
    assert (f"| {MESSAGES.days} days;", f"| {ORDERS.days} days after") == ("| 7 days;", "| 90 days after")
    assert f"| {MESSAGES.days} days;" in TEXT
    assert f"| {ORDERS.days} days after it was last heard of |" in TEXT
