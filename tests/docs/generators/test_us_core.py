"""The tables of docs/reference/us-core.md say every test of the kit's groups, and nothing else."""

from __future__ import annotations

from generators import inferno
from generators.us_core import result_table, skip_table


def test_every_skipped_test_stands_in_its_table_with_its_reason() -> None:
    lines = skip_table().splitlines()[2:]
    skipped = [row for row in inferno.rows() if row[2]]
    assert skipped
    for group, test, why in skipped:
        assert [one for one in lines if group in one and f"| {test} | {why} |" in one], (group, test)
    assert sum(len(line.split(" | ")[0].split(", ")) for line in lines) == len(skipped)


def test_the_numbers_of_the_results_are_those_of_the_tests() -> None:
    numbers = [line.strip("| ").split(" | ") for line in result_table().splitlines()[2:]]
    passing = [row for row in inferno.rows() if not row[2]]
    assert sum(int(passed) for _, passed, _ in numbers) == len(passing)
    assert {name for name, *_ in numbers} == {group for group, *_ in passing}
