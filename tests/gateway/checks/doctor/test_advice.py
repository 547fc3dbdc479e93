"""Advice of the site's doctor on what AutoScribe has; what it gives to paste is accepted and helps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fakes.examined import examined, said
from fakes.turned import AT, mapped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.checks import config
from gateway.checks.doctor.advice import MOST, Advice, advice, quoted
from gateway.checks.doctor.seen import Seen
from gateway.settings import Configuration, load
from mappings import decode, to_fhir, to_oru
from mappings.hl7v2.oru_r01 import filler_order_numbers
from mappings.model import Cause, Facts
from mappings.profile import exact, receiver

MAPPING = """\
[auth]
mode = "builtin"
[upstream]
api_key = "key"
[mapping]
site_key = "0123456789abcdef0123456789abcdef"
"""
TABLES = """
[[mapping.facilities]]
name = "Mercy East Hospital"
aliases = ["Mercy East"]
name_order = "given_family"
mrn_system = "urn:oid:1.2.3"
mrn_namespace = "MERCY"
"""
TWO_GROUPS = "a study with a number under it and another key would have two order groups"
DESTINATION = """
[[destination]]
name = "ehr"
kind = "mllp"
host = "127.0.0.1"
port = 2575
receiver = "generic"
start = 2026-01-01T00:00:00Z
facilities = ["*"]
"""


@pytest.fixture
def site(tmp_path: Path):
    """Writes a settings file of further keys of `[mapping]` and further tables, and reads it."""

    def write(keys: str = "", tables: str = "") -> tuple[list[str], Configuration]:
        path = tmp_path / "gateway.toml"
        path.write_text(MAPPING + keys + TABLES + tables, "utf-8")
        return [error.key for error in config.faults(path)], load(path)

    return write


def advised(configuration: Configuration, *studies) -> Advice:
    return advice(examined(studies, configuration.site), configuration)


def pasted(site, given: Advice, keys: str = "", tables: str = "") -> tuple[list[str], Configuration]:
    """The settings with what is to be pasted in its place."""
    replaced = {line.split(" = ")[0] for line in given.keys}
    kept = [line for line in keys.splitlines() if line.split(" = ")[0] not in replaced]
    return site("\n".join((*kept, *given.keys)) + "\n", tables + "\n".join(given.tables))


def test_where_all_is_known_nothing_is_said(site):
    _, configuration = site('accession_keys = ["acc"]\n')
    known = {"facilityName": " MERCY  east", "patientName": "Ann Lee", "procedure": "CT HEAD ODD"}
    assert advised(configuration, said(known, metadata={"acc": "1"})) == Advice(
        ("procedure texts without a code, each of one report: 1",)
    )
    assert advice(Seen(), configuration) == Advice()


def test_a_facility_that_no_table_names_is_told_with_its_count_and_what_it_is_like(site):
    _, configuration = site()
    given = advised(
        configuration, said({"facilityName": "Mercy Eest"}, {"facilityName": "Lakeside"}, {"facilityName": "Lakeside"})
    )
    assert given.notes[:2] == (
        'facility "Lakeside" is in no [[mapping.facilities]], and named 2 times',
        'facility "Mercy Eest" is in no [[mapping.facilities]], and named once; did you mean "Mercy East"?',
    )
    assert 'in the table of that: aliases = ["Mercy Eest"]' in given.paste
    assert "mrn_namespace" not in "".join(line for line in given.paste.splitlines() if not line.startswith("#"))


def test_what_is_to_be_pasted_is_accepted_and_then_the_facility_is_known(site):
    _, configuration = site()
    studies = [said({"facilityName": "Lakeside"}, metadata={"accessionNumber": "1", "placerOrder": "2", "ward": "3"})]
    faults, after = pasted(site, advised(configuration, *studies))
    assert faults == []
    assert (after.site.accession_keys, after.site.placer_keys) == (("accessionNumber",), ("placerOrder",))
    assert exact("Lakeside") in after.site.facilities
    again = advised(after, *studies)
    assert again.paste == ""
    assert again.notes == ('metadata keys that no setting names, with how many studies have each: "ward" (1)',)


def test_a_table_that_is_pasted_as_it_is_changes_nothing_of_what_is_sent(site):
    _, configuration = site()
    given = advised(configuration, said({"facilityName": "Elsewhere"}), said({"facilityName": "City Medical Center"}))
    assert len(given.tables) == 2
    assert mapped(pasted(site, given)[1]) == mapped(configuration)


def test_where_a_destination_takes_the_facility_only_what_the_site_knows_is_asked_for(site):
    _, configuration = site(tables=DESTINATION)
    given = advised(configuration, said({"facilityName": "Lakeside"}))
    faults, _ = pasted(site, given, tables=DESTINATION)
    assert faults == ["mapping.facilities[1].mrn_namespace"]


def test_a_misspelt_key_of_metadata_is_put_right_and_one_that_no_study_has_is_told(site):
    keys = 'accession_keys = ["accesionNumber", "old"]\n'
    _, configuration = site(keys)
    given = advised(configuration, said({"facilityName": "Mercy East"}, metadata={"accessionNumber": "1"}))
    assert given.notes[0] == (
        'accession_keys: no study has the metadata key "accesionNumber"; did you mean "accessionNumber"?'
    )
    assert given.notes[1] == 'accession_keys: no study has the metadata key "old"'
    assert given.keys == (f'# accession_keys: "accessionNumber" is not pasted: {TWO_GROUPS}',)
    given = advised(site('accession_keys = ["accesionNumber"]\n')[1], said({}, metadata={"accessionNumber": "1"}))
    assert given.keys == ('accession_keys = ["accessionNumber"]',)
    assert pasted(site, given, keys)[1].site.accession_keys == ("accessionNumber",)


def test_a_key_is_proposed_for_one_setting_alone_and_beside_a_good_one_only_as_a_comment(site):
    _, configuration = site('accession_keys = ["acc"]\n')
    given = advised(configuration, said({}, metadata={"acc": "1", "placerAccession": "2", "border": "3"}))
    assert given.keys == (f'# accession_keys: "placerAccession" is not pasted: {TWO_GROUPS}',)
    assert pasted(site, given, 'accession_keys = ["acc"]\n')[1].site.accession_keys == ("acc",)


def test_of_two_new_keys_the_more_frequent_is_pasted_and_the_other_is_a_comment(site):
    _, configuration = site()
    studies = [said({}, metadata={"acc": "1", "accession": "2"}), said({}, metadata={"accession": "3"})]
    comment, live = advised(configuration, *studies).keys
    assert (comment, live) == (f'# accession_keys: "acc" is not pasted: {TWO_GROUPS}', 'accession_keys = ["accession"]')


def test_a_key_with_one_value_in_two_studies_or_several_numbers_in_one_is_a_comment_with_the_reason(site):
    _, configuration = site()
    [shared] = advised(configuration, *[said({}, metadata={"accession": "1"})] * 2).keys
    assert shared.startswith('# accession_keys: "accession" is not pasted: two studies have one value there')
    _, configuration = site('number_separator = ";"\n')
    [several] = advised(configuration, said({}, metadata={"accession": "1;2"})).keys
    assert several.startswith('# accession_keys: "accession" is not pasted: a value holds number_separator')


@pytest.mark.parametrize("key", ["accessionDate", "orderNotes", "order_status", "placerSite"])
def test_a_key_beside_the_numbers_is_not_taken_for_one(site, key):
    assert advised(site()[1], said({}, metadata={key: "1"})).keys == ()


def test_names_that_are_not_split_are_told_by_facility_with_why(site):
    _, configuration = site()
    studies = [said({"facilityName": place, "patientName": "Ann Bo Lee, x, y"}) for place in ("Mercy East", "B", None)]
    notes = advised(configuration, *studies).notes
    assert 'facility "Mercy East Hospital": 1 of 1 patient names are not split; name_order is given_family' in notes
    assert 'facility "B": 1 of 1 patient names are not split; no name_order says how they are written' in notes
    assert "no facility: 1 of 1 patient names are not split; no name_order says how they are written" in notes
    assert "no facility is named once, and there is no default_facility" in notes
    assert "Ann" not in repr(notes)


def test_modalities_that_are_not_known_are_told_and_filters_that_match_none(site):
    table = DESTINATION.replace('facilities = ["*"]', 'facilities = ["*"]\nmodalities = ["Fluorro", "MRI", "Fluoro"]')
    _, configuration = site(tables=table)
    notes = advised(configuration, said(modality="MMR"), said(modality="Fluoro"), said(modality=None)).notes
    assert 'modality "MMR" of 1 study is not known, and sent as RAD; did you mean "MR"?' in notes
    assert "1 study without a modality: sent as RAD" in notes
    [unmatched] = [one for one in notes if one.startswith("ehr: modalities")]
    assert unmatched == 'ehr: modalities[0] is none that a study has; did you mean "Fluoro"?'


def test_procedures_without_a_code_are_told_where_they_are_not_of_one_report_alone(site):
    _, configuration = site()
    texts = ["XR CHEST 1 VIEW PORTABLE"] * 2 + ["ONE ALONE ABOUT A PATIENT"]
    notes = advised(configuration, *(said({"procedure": text}, modality="XR") for text in texts)).notes
    [first, rest] = [one for one in notes if "procedure" in one]
    assert first.startswith(
        'procedure "XR CHEST 1 VIEW PORTABLE" of 2 reports has no code; the dictionary has "xr chest'
    )
    assert rest == "procedure texts without a code, beside these: 1"


def test_of_very_many_the_rest_is_a_number(site):
    _, configuration = site()
    studies = [
        said({"facilityName": f"Place {number:02}", "procedure": f"ODD {number:02}"}, metadata={f"key{number:02}": "1"})
        for number in range(MOST + 2)
    ] * 2
    given = advised(configuration, *studies)
    assert "2 more facilities are in no [[mapping.facilities]]" in given.notes
    assert "2 more metadata keys are named by no setting" in given.notes
    assert "procedure texts without a code, beside these: 2" in given.notes
    assert len(given.tables) == MOST


def test_a_long_text_is_cut_where_it_is_told_and_whole_where_it_is_pasted(site):
    _, configuration = site()
    given = advised(configuration, said({"facilityName": "L" * 200}))
    assert "L" * 81 not in given.notes[0]
    assert "L" * 200 in given.paste


@pytest.mark.parametrize(
    ("text", "written"), [('a"\\', r'"a\"\\"'), ("a\x07\n", r'"a\U00000007\U0000000a"'), ("\ud800", '"?"')]
)
def test_a_name_is_written_as_toml_has_it_and_does_nothing_to_a_terminal(text, written):
    assert quoted(text) == written


NAMES = st.text(max_size=30)


@pytest.mark.full
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(names=st.lists(NAMES, max_size=4), keys=st.lists(NAMES | st.sampled_from(["acc", "order no"]), max_size=4))
def test_whatever_autoscribe_has_what_is_to_be_pasted_is_accepted_and_leaves_nothing_to_paste(site, names, keys):
    _, configuration = site()
    studies = [said(*({"facilityName": name} for name in names), metadata=dict.fromkeys(keys, "1"))]
    given_once = advised(configuration, *studies)
    faults, after = pasted(site, given_once)
    assert faults == []
    assert [line for line in advised(after, *studies).paste.splitlines() if line and line[0] != "#"] == []


SNAPSHOTS = st.fixed_dictionaries(
    {"mrn": st.sampled_from(["100234", "100235"]), "patientName": st.just("Lee, Ann")},
    optional={"facilityName": st.sampled_from(["Lakeside", "Lakesid", "Mercy East", "Mercy Eest"])},
)
METADATA = st.dictionaries(
    st.sampled_from(["accession", "acc", "accessionNumber", "placerAccession", "order", "orderNo", "placer", "old"]),
    st.sampled_from(["A1", "A2", "A3", "A4", "A1;A2", ""]),
)
BEFORE = (
    "",
    'accession_keys = ["acc"]\n',
    'accession_keys = ["accesionNumber"]\nplacer_keys = ["order"]\n',
    'accession_keys = ["old", "accession2"]\nnumber_separator = ";"\n',
    'number_separator = ";"\n',
    'default_facility = "Mercy East"\n',
)


def filed(configuration: Configuration, accounts) -> tuple[list[int], list[str], list[tuple[str, ...]]]:
    """Number of order groups, patient, and order numbers of each study, for a receiver that files by accession."""
    profile, groups, patients, numbers = replace(receiver("generic"), accession_field="3"), [], [], []
    for study in (decode(*one) for one in accounts):
        cause = Cause(study.reports[0].report_id)
        made = to_oru(study, cause, configuration.site, profile, Facts(), control_id="1", at=AT)
        groups.append(made.output.count(b"\rOBR|"))
        numbers.append(filler_order_numbers(study, cause, configuration.site, profile))
        patients += {
            one["id"] for one in to_fhir(study, configuration.site, Facts()).output if one["resourceType"] == "Patient"
        }
    return groups, patients, numbers


@pytest.mark.full
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    accounts=st.lists(st.tuples(SNAPSHOTS, METADATA), min_size=1, max_size=4),
    keys=st.sampled_from(BEFORE),
    tables=st.sampled_from(["", DESTINATION.replace('"ehr"', '"ehr"\nmrn_authority = "receiver"')]),
)
def test_whatever_is_pasted_multiplies_no_order_group_and_merges_no_people(site, accounts, keys, tables):
    """Each paste of check-config, all at once: no study gets more groups, no two studies one patient or one number."""
    studies = [
        said(snapshot, metadata=metadata, studyId=f"stu_{number:032x}", studyInstanceUid=f"1.2.{number}")
        for number, (snapshot, metadata) in enumerate(accounts, 1)
    ]
    studies = [(study, {**reports, "studyId": study["studyId"]}) for study, reports in studies]
    for study, reports in studies:
        reports["studyInstanceUid"] = study["studyInstanceUid"]
        for report in reports["reports"]:
            report["studyId"] = study["studyId"]
    _, before = site(keys, tables)
    faults, after = pasted(site, advised(before, *studies), keys, tables)
    assert [one for one in faults if "mrn_namespace" not in one] == []
    (groups, patients, numbers), (groups_after, patients_after, numbers_after) = (
        filed(before, studies),
        filed(after, studies),
    )
    assert all(now <= then for then, now in zip(groups, groups_after, strict=True)), after.site.accession_keys
    assert len(set(patients_after)) >= len(set(patients))
    assert len(set(numbers_after)) >= len(set(numbers))


def test_a_name_that_no_file_can_hold_is_told_and_not_pasted(site):
    _, configuration = site()
    given = advised(configuration, said({"facilityName": "Lake\ud800"}, metadata={"acc\ud800": "1"}))
    assert 'facility "Lake?" is in no' in given.notes[0]
    assert given.paste == ""


def test_where_there_is_a_default_facility_a_report_without_one_is_no_news(site):
    _, configuration = site()
    default = next(iter(configuration.site.facilities.values()))
    known = replace(configuration, site=replace(configuration.site, default_facility=default))
    assert advised(known, said({})).notes == ()


def test_where_there_is_a_default_facility_no_table_is_pasted_that_would_take_its_authority_from_a_report(site):
    """A facility with a table, and without an authority of its own, is never taken for the default one (D11)."""
    _, configuration = site('default_facility = "Mercy East"\n')
    given = advised(configuration, said({"facilityName": "Lakeside"}))
    assert 'facility "Lakeside" is in no [[mapping.facilities]], and named once' in given.notes
    assert given.paste == ""
