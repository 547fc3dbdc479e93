"""HL7 v2.3 to v2.7: hl7apy's tables agree with every field we write; fields missing in a version are replaced."""

from __future__ import annotations

from typing import Any

import pytest
from fakes.er7_reader import all_of, field
from fakes.oru_example import USER, codes, profile, report, send, sent, study
from hl7apy import load_reference
from hl7apy.exceptions import ChildNotFound

from mappings.hl7v2.judge import judge_message
from mappings.hl7v2.msh import MSH
from mappings.hl7v2.nte import NTE
from mappings.hl7v2.obr import OBR
from mappings.hl7v2.obx import OBX
from mappings.hl7v2.obx_pdf import PDF
from mappings.hl7v2.obx_uid import UID
from mappings.hl7v2.obx_vitals import VITAL
from mappings.hl7v2.orc import ORC
from mappings.hl7v2.pid import PID
from mappings.hl7v2.pv1 import PV1
from mappings.hl7v2.tq1 import TQ1
from mappings.hl7v2.versions import MISSING, VERSIONS, has, layouts

WRITTEN = {
    **{"MSH": MSH, "PID": PID, "PV1": PV1, "ORC": ORC, "OBR": OBR, "TQ1": TQ1, "NTE": NTE},
    "OBX": {**OBX, **VITAL, **UID, **PDF},
}
# Data type of each field we write in v2.5.1; `*`: we may write several repetitions
TYPES = {
    "MSH": {
        **{2: "ST", 3: "HD", 4: "HD", 5: "HD", 6: "HD", 7: "TS", 9: "MSG", 10: "ST", 11: "PT", 12: "VID"},
        **{15: "ID", 16: "ID", 18: "ID"},
    },
    "PID": {1: "SI", 2: "CX", 3: "CX*", 5: "XPN*", 7: "TS", 8: "IS", 18: "CX"},
    "PV1": {1: "SI", 2: "IS", 3: "PL", 7: "XCN*", 8: "XCN*", 19: "CX", 51: "IS"},
    "ORC": {1: "ID", 2: "EI", 3: "EI", 5: "ID", 7: "TQ", 12: "XCN*"},
    "OBR": {
        **{1: "SI", 2: "EI", 3: "EI", 4: "CE", 5: "ID", 7: "TS", 13: "ST", 16: "XCN*", 18: "ST", 20: "ST", 21: "ST"},
        **{22: "TS", 24: "ID", 25: "ID", 27: "TQ", 29: "EIP", 31: "CE*", 32: "NDL", 44: "CE"},
    },
    "TQ1": {1: "SI", 9: "CWE"},
    "OBX": {
        **{1: "SI", 2: "ID", 3: "CE", 4: "ST", 5: "varies", 6: "CE", 8: "IS", 11: "ID", 14: "TS", 15: "CE"},
        **{16: "XCN"},
    },
    "NTE": {1: "SI", 2: "ID", 3: "FT"},
}
# The same data type under another name, or one that reads our content in the same way
RENAMED = {
    "2.3": {"MSG": "CM_MSG", "VID": "ID", "EIP": "CM_EIP", "NDL": "CM_NDL"},
    "2.7": {"TS": "DTM", "CE": "CWE", "IS": "CWE"},
}
OTHER_TYPES = {
    ("2.3", "PV1", 2): "ID",
    ("2.3", "OBX", 8): "ID",
    ("2.3.1", "OBX", 8): "ID",
    ("2.7", "OBR", 13): "CWE",  # bare text is CWE.1; other tables of v2.7 have an ST
    ("2.7", "OBR", 44): "CNE",
}
ONE_REPETITION = {("2.3", "PID", 5), ("2.3", "PV1", 7), ("2.3", "PV1", 8)}
EACH_FIELD = [(version, name, number) for version in VERSIONS for name in WRITTEN for number in sorted(WRITTEN[name])]


def fields_of(name: str, version: str) -> tuple[Any, ...]:
    try:
        return tuple(load_reference(name, "Segment", version)[1])
    except ChildNotFound:
        return ()


def test_the_types_of_this_test_are_those_of_every_field_that_is_written() -> None:
    assert {name: set(table) for name, table in WRITTEN.items()} == {
        name: {number for number in types if number in WRITTEN[name]} for name, types in TYPES.items()
    }


@pytest.mark.parametrize(("version", "name", "number"), EACH_FIELD)
def test_hl7apy_has_each_field_that_a_version_has_with_its_type_and_cardinality(
    version: str, name: str, number: int
) -> None:
    table = fields_of(name, version)
    if not has(version, name, number):
        assert len(table) < number or table[number - 1][2] == (0, 0)
        return
    expected = TYPES[name][number]
    kind = expected.rstrip("*")
    _, reference, (_, most), _ = table[number - 1]
    assert reference[2] == OTHER_TYPES.get((version, name, number), RENAMED.get(version, {}).get(kind, kind))
    if expected.endswith("*"):
        assert most == (1 if (version, name, number) in ONE_REPETITION else -1)
    else:
        assert most in {1, -1}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_field_that_hl7apy_requires_is_written(version: str) -> None:
    required = {
        (name, number)
        for name, table in WRITTEN.items()
        for number, row in enumerate(fields_of(name, version), 1)
        if row[2][0] and number not in table
    }
    assert required == {("MSH", 1)}  # the separator itself


@pytest.mark.parametrize("missing", MISSING, ids=lambda row: f"{row.segment}-{row.field}")
def test_what_a_version_lacks_is_said_by_a_field_that_it_has(missing: Any) -> None:
    name, _, number = missing.said_by.partition("-")
    assert int(number) in WRITTEN[name]
    assert all(has(version, name, int(number)) for version in missing.versions)


def test_a_segment_has_a_layout_in_each_version_that_has_it() -> None:
    assert list(layouts(TQ1, "TQ1")) == ["2.5", "2.5.1", "2.7"]
    assert list(layouts(OBR, "OBR")) == list(VERSIONS)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_version_stands_in_msh_12_and_the_message_is_good(version: str) -> None:
    message = sent(accession="ACC1", to=profile(version=version))
    assert field(message, "MSH-12") == version
    charset = [("length-exceeded", "MSH-18")] if version == "2.3" else []
    assert [(fault.code, fault.pointer) for fault in judge_message(message)] == charset


@pytest.mark.parametrize("version", ["2.3", "2.3.1", "2.4"])
def test_before_v2_5_the_priority_stands_in_obr_alone(version: str) -> None:
    message = sent(to=profile(version=version))
    assert all_of(message, "TQ1") == []
    assert field(message, "OBR-5") == "S"
    assert field(message, "OBR-27") == "^^^^^S"


def test_v2_7_says_the_priority_in_tq1_alone() -> None:
    message = sent(to=profile(version="2.7"))
    assert field(message, "OBR-5") == field(message, "OBR-27") == ""
    assert field(message, "TQ1-9") == "S^Stat^HL70485"


def test_v2_3_has_no_procedure_code_and_no_message_structure() -> None:
    message = sent(to=profile(version="2.3"))
    assert field(message, "OBR-44") == ""
    assert field(message, "OBR-4") == "24628-0^CT CHEST WITH CONTRAST^LN"
    assert field(message, "MSH-9") == "ORU^R01"


def test_v2_7_has_a_procedure_code_or_nothing() -> None:
    what = study(report(snapshot={"procedure": "CT CHEST, SORT OF"}))
    message = sent(what, to=profile(version="2.7"))
    assert [field(message, "OBR-4"), field(message, "OBR-44")] == ["^CT CHEST, SORT OF", ""]
    assert judge_message(message) == ()
    assert field(sent(to=profile(version="2.7")), "OBR-44") == "24628-0^CT CHEST WITH CONTRAST^LN"
    assert field(sent(what), "OBR-44") == "^CT CHEST, SORT OF"


def test_v2_3_requires_orc_7_and_obr_27_and_gets_its_default_quantity_where_no_priority_is_known() -> None:
    unknown = study(severity="sudden")
    older, newer = sent(unknown, to=profile(version="2.3")), sent(unknown, to=profile(version="2.3.1"))
    assert [field(older, "ORC-7"), field(older, "OBR-27")] == ["1", "1"]
    assert [field(newer, "ORC-7"), field(newer, "OBR-27")] == ["", ""]
    assert field(sent(to=profile(version="2.3")), "ORC-7") == "^^^^^S"


@pytest.mark.parametrize(("version", "name"), [("2.3", "^^^^^^U"), ("2.3.1", "~^^^^^^U")])
def test_a_name_that_is_not_known_is_one_name_where_the_field_does_not_repeat(version: str, name: str) -> None:
    message = sent(study(report(snapshot={"patientName": None})), to=profile(version=version))
    assert field(message, "PID-5") == name


def test_v2_7_has_a_degree_as_professional_suffix() -> None:
    what = study(report(snapshot={"patientName": "DOE^JANE^^MD", "referringPhysicianName": "JONES^ANN^^DR^MD"}))
    message = sent(what, to=profile(version="2.7"))
    assert field(message, "PID-5") == "DOE^JANE^^^^^L^^^^^^^MD"
    assert field(message, "OBR-16") == "^JONES^ANN^^^DR" + "^" * 15 + "MD"
    assert field(message, "OBX-16") == "1234567893^SMITH^ALEX^R^^^^^NPI^L^^^NPI^^^^^^^^MD"
    assert judge_message(message) == ()


@pytest.mark.parametrize("version", VERSIONS)
def test_no_version_loses_anything_in_silence(version: str) -> None:
    mapped = send(accession="A1", to=profile(version=version))
    expected = {"length-exceeded"} if version == "2.3" else set()
    assert {issue.code for issue in mapped.issues} == expected
    assert mapped.output is not None
    for said in ("CT CHEST WITH CONTRAST", "pleuritic pain", "A1", "SMITH", "MD", "JONES", "DOE"):
        assert said.encode() in mapped.output


def test_v2_3_has_no_unicode_and_each_message_says_so() -> None:
    assert codes(to=profile(version="2.3"))["length-exceeded"] == ""
    assert "length-exceeded" not in codes(to=profile(version="2.3", charset="8859/1"))


def test_a_user_without_degree_is_the_same_in_every_version() -> None:
    what = study(users=({**USER, "suffix1": None},))
    assert len({field(sent(what, to=profile(version=version)), "OBX-16") for version in VERSIONS}) == 1
