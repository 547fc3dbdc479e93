"""HL7 v2.5.1 §2.A."""

from mappings.hl7v2.datatypes import hd


def test_an_oid_is_a_universal_id_and_anything_else_a_namespace() -> None:
    assert hd("MERCY") == "MERCY"
    assert hd("1.2.840.10008") == "^1.2.840.10008^ISO"
    assert hd("1.2.840.10008", "&") == "&1.2.840.10008&ISO"
    assert hd("1.02") == "1.02"
    assert hd(None) == ""
