"""Every fault of the list has its test, or a reason for having none."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

HERE = Path(__file__).parent
ALL = {f"F{number}" for number in range(1, 73)}
_spec = importlib.util.spec_from_file_location("faults_table", HERE / "table.py")
table = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(table)


def written():
    """Return the names of the tests of this folder."""
    return {
        name
        for file in HERE.glob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.M)
    }


def test_every_fault_of_the_list_has_a_test_or_a_reason_why_not():
    assert table.FAULTS.keys() | table.EXEMPT.keys() == ALL
    assert not table.FAULTS.keys() & table.EXEMPT.keys()
    assert table.PARTLY.keys() <= table.FAULTS.keys()


def test_every_fault_is_tested_by_a_test_that_is_there_and_names_it():
    for fault, name in table.FAULTS.items():
        assert name in written()
        assert f"_{fault.lower()}_" in name


def test_every_test_of_a_fault_names_one_of_the_list():
    named = {number for name in written() for number in re.findall(r"_(f\d+)(?=_)", name)}
    assert named <= {fault.lower() for fault in ALL}
