"""The 30-second test: mappings/README.md lists every element and field with its rule, clause and test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from generators.mapping_documents import SEGMENTS, fhir_index, hl7v2_index

from mappings.model import Facts
from mappings.trace.outputs import outputs
from mappings.trace.rules import rules
from mappings.trace.sample import document, everything, site

ROOT = Path(__file__).parents[2]
ROWS = [line.strip("| ").split(" | ") for index in (fhir_index(), hl7v2_index()) for line in index.split("\n")[2:]]
LINK = re.compile(r"\[([\w/]+\.py):(\d+)\]")


def test_every_rule_names_the_clause_it_carries_out():
    assert [rule.name for rule in rules() if not rule.clause] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("`"))
def test_a_row_of_the_index_leads_to_the_rule_and_to_its_test(row):
    _, _, _, rule, clause, test = row
    path, line = LINK.search(rule).groups()
    written = (ROOT / "mappings" / path).read_text().split("\n")[int(line) - 1]
    name = re.match(r"`(\w+)`", rule)
    assert f"def {name[1]}(" in written if name else ":" in written or '"' in written
    assert clause
    assert (ROOT / test).exists()


def test_every_row_of_a_segment_table_is_in_the_index():
    listed = {row[0] for row in ROWS}
    assert {one.target(number) for one in SEGMENTS for number in one.fields} <= listed


def test_every_field_says_in_words_what_it_comes_from():
    assert [row[0] for row in ROWS if not row[1] or re.search(r"lambda|\w\.\w+\(|differs from", row[1])] == []


def test_every_segment_that_is_sent_has_a_table_in_the_conformance_statement():
    sent = {
        target.split("-")[0].split("(")[0]
        for target in outputs(document(), site(), everything(), Facts()).hl7v2_targets()
    }
    assert sent <= {one.name for one in SEGMENTS}


def test_every_element_that_is_made_is_in_the_index():
    listed = {row[0].strip("`") for row in ROWS}
    made = set(outputs(document(), site(), everything(), Facts()).fhir_targets())
    missing = {target for target in made if not any(target.startswith(one) for one in listed)}
    assert missing == set()
