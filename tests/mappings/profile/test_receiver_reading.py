"""Decision D34: removed switches of a receiver profile are refused with a remedy."""

import pytest

from mappings.profile import read_receiver
from mappings.profile.table import Table


@pytest.mark.parametrize(("switch", "instead"), [("pipelining", "`window`"), ("batch", "goes by itself")])
@pytest.mark.parametrize("value", ["off", "on"])
def test_a_switch_that_changed_nothing_is_refused_with_what_is_so_instead(
    switch: str, instead: str, value: str
) -> None:
    table = Table({"name": "x", switch: value}, "receiver", [])
    read_receiver(table)
    [fault] = table.faults
    assert fault.key == f"receiver.{switch}"
    assert instead in fault.problem
    assert fault.remedy == "Take the line out."


def test_a_removed_switch_is_not_among_those_that_are_known() -> None:
    table = Table({"name": "x", "uidd": "zds"}, "receiver", [])
    read_receiver(table)
    [fault] = table.faults
    assert "uid_type" in fault.remedy
    assert "batch" not in fault.remedy
