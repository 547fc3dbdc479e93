"""HL7 v2.5.1 §4.5.4."""

from fakes.er7_reader import all_of
from fakes.oru_example import sent, study


def test_the_priority_is_coded_by_table_0485() -> None:
    assert all_of(sent(study(severity="high")), "TQ1") == [["TQ1", "1", *[""] * 7, "A^ASAP^HL70485"]]
