"""Generate the tables of docs/reference/us-core.md from the rows that the tests of the kit's groups prove.

Carries out no clause of a standard: `make check` compares the document with these tables.
"""

from __future__ import annotations

from generators import inferno
from generators.documents import table


def result_table() -> str:
    """Table of every group with any test that passes: how many pass, and how many are skipped."""
    rows = [(name, str(passed), str(skipped)) for name, passed, skipped in inferno.results() if passed]
    return table(("group", "pass", "skipped"), rows)


def skip_table() -> str:
    """Table of every test that is skipped, with the reason; groups that are skipped alike share a row."""
    groups: dict[tuple[str, str], list[str]] = {}
    for group, test, why in inferno.rows():
        if why != inferno.PASSES:
            groups.setdefault((test, why), []).append(group)
    rows = [(", ".join(found), test, why) for (test, why), found in groups.items()]
    return table(("group", "test", "skipped because"), rows)
