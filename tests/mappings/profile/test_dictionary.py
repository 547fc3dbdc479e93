"""Procedure dictionary of a site: codes by exact text, and every fault by line and column (D23)."""

import pytest

from mappings.profile import ProcedureCode, parse_site, read_site, starter

HEAD = "procedure,code,system,display,modality\n"
URI = "urn:oid:1.2.840.99999.7"
SITE = f'[mapping]\nprocedures = "p.csv"\nprocedure_system = "{URI}"\nprocedure_coding_system = "99CITY"\n'


def _site(rows, settings=SITE):
    return parse_site(settings, files={"procedures": HEAD + rows})


def _faults(rows, settings=SITE):
    return [(fault.key, fault.problem) for fault in read_site(settings, files={"procedures": HEAD + rows})[1]]


def test_a_row_is_a_loinc_code_or_one_of_the_sites_own():
    site = _site("CT Chest Routine,24627-2,LOINC,Chest CT,CT\nEcho Bedside,ECHO1,L,,us\n")
    assert site.procedures["ct chest routine"] == (
        ProcedureCode("24627-2", "Chest CT", "http://loinc.org", "LN", "CT"),
    )
    assert site.procedures["echo bedside"] == (ProcedureCode("ECHO1", "", URI, "99CITY", "US"),)


def test_the_sites_row_wins_over_the_starter_and_the_starter_can_be_switched_off():
    own = "CT CHEST with contrast,CH2,L,,\n"
    assert starter()["ct chest with contrast"][0].code == "24628-0"
    site = _site(own)
    assert [code.code for code in site.procedures["ct chest with contrast"]] == ["CH2"]
    assert "mri brain with contrast" in site.procedures
    assert _site(own, SITE + "starter = false\n").procedures.keys() == {"ct chest with contrast"}


def test_without_a_file_the_starter_stands_alone():
    assert parse_site("").procedures == starter()
    assert parse_site("[mapping]\nstarter = false").procedures == {}


def test_one_text_may_have_a_code_for_each_modality():
    site = _site("Chest,A,L,,CT\nChest,B,L,,CR\n")
    assert [(code.code, code.modality) for code in site.procedures["chest"]] == [("A", "CT"), ("B", "CR")]


@pytest.mark.parametrize(
    ("row", "column", "problem"),
    [
        (" ,A,L,,", "procedure", "empty"),
        ("Chest,,L,,", "code", "1 to 20 characters"),
        (f"Chest,{'x' * 21},L,,", "code", "1 to 20 characters"),
        ('Chest,"A\nB",L,,', "code", "1 to 20 characters"),
        ("Chest,A  B,L,,", "code", "1 to 20 characters"),
        ("Chest,24627-3,LOINC,,", "code", "LOINC"),
        ("Chest,,LOINC,,", "code", "LOINC"),
        ("Chest,A,,,", "system", "neither LOINC nor L"),
        ("Chest,A,SNOMED,,", "system", "neither LOINC nor L"),
        ("Chest,A,L,,PET/CT", "modality", "not a modality"),
    ],
)
def test_a_wrong_cell_is_named_by_line_and_column(row, column, problem):
    found = _faults(f"Abdomen,B,L,,\n{row}\n")
    assert [key for key, _ in found] == [f"mapping.procedures, line 3, column {column}"]
    assert problem in found[0][1]


@pytest.mark.parametrize(
    ("one", "other"), [("", ""), ("CT", "CT"), ("", "CT"), ("CT", ""), ("MR", "MRI"), ("DX", "XR")]
)
def test_two_rows_for_one_text_are_a_fault_that_names_the_first(one, other):
    found = _faults(f"Chest,A,L,,{one}\nAbdomen,B,L,,\n chest ,C,L,,{other}\n")
    assert found == [("mapping.procedures, line 4, column procedure", "the same procedure as in line 2")]


def test_all_faults_of_a_file_are_found():
    found = _faults("Chest,24627-3,LOINC,,\nAbdomen,B\nPelvis,C,X,,YY\n")
    assert [key.removeprefix("mapping.procedures, ") for key, _ in found] == [
        "line 2, column code",
        "line 3",
        "line 4, column modality",
        "line 4, column system",
    ]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ('procedures = "p.csv"', "procedure_system"),
        ('procedures = "p.csv"\nprocedure_system = "mercy"', "procedure_system"),
        (
            f'procedures = "p.csv"\nprocedure_system = "{URI}"\nprocedure_coding_system = "LN"',
            "procedure_coding_system",
        ),
        (
            f'procedures = "p.csv"\nprocedure_system = "{URI}"\nprocedure_coding_system = "A^B"',
            "procedure_coding_system",
        ),
        (f'procedures = "p.csv"\nprocedure_system = "{URI}"\nstarter = "no"', "starter"),
        (f'procedures = 1\nprocedure_system = "{URI}"', "procedures"),
    ],
)
def test_a_wrong_setting_of_the_dictionary_is_named(settings, key):
    assert [fault for fault, _ in _faults("Chest,A,L,,\n", f"[mapping]\n{settings}\n")] == [f"mapping.{key}"]


def test_codes_of_loinc_alone_need_no_system_of_the_sites_own():
    assert _faults("Chest,24627-2,LOINC,,\n", '[mapping]\nprocedures = "p.csv"\n') == []


def test_a_file_that_was_not_handed_over_is_a_fault():
    _, faults = read_site('[mapping]\nprocedures = "p.csv"')
    assert [fault.key for fault in faults] == ["mapping.procedures"]


def test_a_fallback_is_a_local_code_or_says_its_system():
    site = parse_site(
        f'[mapping]\nprocedure_system = "{URI}"\n[mapping.procedure_fallbacks]\nCT = "CTGEN"\n'
        'MR = { code = "18748-4", system = "LOINC", display = "Diagnostic imaging study" }\n'
    )
    assert site.procedure_fallbacks == {
        "CT": ProcedureCode("CTGEN", "", URI, "L"),
        "MR": ProcedureCode("18748-4", "Diagnostic imaging study"),
    }


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("[mapping]\nprocedure_fallbacks = 1", ""),
        ('[mapping.procedure_fallbacks]\nMRI = "A"', ".MRI"),
        ("[mapping.procedure_fallbacks]\nCT = 1", ".CT"),
        ('[mapping.procedure_fallbacks]\nCT = ""', ".CT"),
        ('[mapping.procedure_fallbacks]\nCT = { code = "A", system = "X" }', ".CT.system"),
        ('[mapping.procedure_fallbacks]\nCT = { code = "1-1", system = "LOINC" }', ".CT.code"),
        ('[mapping.procedure_fallbacks]\nCT = { code = "A", system = "L", colour = "B" }', ".CT.colour"),
    ],
)
def test_a_wrong_fallback_is_named(table, key):
    site, faults = read_site(table)
    assert f"mapping.procedure_fallbacks{key}" in [fault.key for fault in faults]
    assert site.procedure_fallbacks.keys() <= {"CT"}
