"""The seeded account: repeatable to the byte, true to the wire contract, and as odd as real data."""

import json
from collections import Counter

import pytest
from fakes.seeded import documents

from gateway.sandbox import people, texts
from gateway.sandbox.dice import Dice
from gateway.sandbox.oddities import DROPPED, ODDITIES
from gateway.sandbox.procedures import PROCEDURES, Procedure, ReportCase
from gateway.sandbox.seed import generate
from gateway.sandbox.seed_study import KINDS
from gateway.sandbox.state import SandboxAccount
from mappings.study import wire

WORLD = generate(1, 200)
SIGNED = [(study, report) for study, body, _ in documents(WORLD) for report in body["reports"] if report["signedAt"]]


def as_bytes(world):
    return json.dumps([list(documents(world)), world.users], ensure_ascii=False).encode()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    assert as_bytes(generate(7, 30)) == as_bytes(generate(7, 30))
    assert as_bytes(generate(7, 30)) != as_bytes(generate(8, 30))


def test_the_first_study_of_seed_1_stays_what_it_is_on_every_machine():
    assert WORLD.seeded[0].study["studyId"] == "stu_9baaa4b238cb4445ee515b5741a5b4d1"
    assert WORLD.epoch.isoformat() == "2026-01-20T15:00:00+00:00"


def test_a_study_is_the_same_however_many_are_asked_for():
    assert generate(3, 10).seeded == generate(3, 40).seeded[:10]


def test_the_same_acts_give_the_same_bytes():
    def acted():
        state = SandboxAccount(generate(5, 30))
        signed = state.sign_new()
        state.sign(state.open_addendum(signed.report_id))
        state.sign_next()
        state.start_report(state.add_study({"studyInstanceUid": "2.25.1", "reportMetadata": {}})["studyId"])
        return json.dumps([state.studies, state.reports])

    assert acted() == acted()


def test_an_act_changes_nothing_in_the_seeded_world():
    world = generate(5, 30)
    before = as_bytes(world)
    state = SandboxAccount(world)
    state.sign(state.open_addendum(next(one.reports[0]["reportId"] for one in world.seeded if one.reports)))
    state.sign_new()
    assert as_bytes(world) == before


def test_every_object_keeps_the_wire_contract_without_an_issue():
    for study, reports, users in documents(WORLD):
        assert wire.check(study, wire.STUDY) == ()
        assert wire.check(reports, wire.REPORT_LIST) == ()
        assert [wire.check(user, wire.USER) for user in users] == [()] * len(users)
        assert {report["userId"] for report in reports["reports"]} == {user["userId"] for user in users}
    for seeded in WORLD.seeded:
        assert [wire.check(report, wire.REPORT) for report in seeded.archived] == [()] * len(seeded.archived)


def test_ids_are_unique():
    studies, uids, reports = set(), set(), set()
    for study, body, _ in documents(WORLD):
        studies.add(study["studyId"])
        uids.add(study["studyInstanceUid"])
        reports |= {report["reportId"] for report in body["reports"]}
    assert len(studies) == len(uids) == 200
    assert len(reports) == sum(len(one.reports) for one in WORLD.seeded)


@pytest.mark.parametrize("name", ODDITIES)
@pytest.mark.parametrize("seed", [1, 2])
def test_every_oddity_occurs_on_a_signed_report_within_200_studies(name, seed):
    target, patch = ODDITIES[name]
    world = WORLD if seed == 1 else generate(seed, 200)
    pick = {
        "snapshot": lambda study, report: report["snapshotMetadata"],
        "study": lambda study, report: study,
        "report": lambda study, report: report,
    }[target]

    def shows(values):
        return all(
            key not in values if value is DROPPED else values.get(key, ...) == value for key, value in patch.items()
        )

    pairs = [(study, report) for study, body, _ in documents(world) for report in body["reports"]]
    assert any(shows(pick(study, report)) for study, report in pairs if report["status"] == "completed")


def test_every_state_of_a_study_occurs():
    statuses = Counter(study["studyReportStatus"] for study, _, _ in documents(WORLD))
    assert statuses.keys() == wire.STUDY["studyReportStatus"][0].codes
    assert any(study["isCancelled"] and study.get("reportIds") for study, _, _ in documents(WORLD))
    assert any(study["isCancelled"] and not study.get("reportIds") for study, _, _ in documents(WORLD))
    assert any(study["studyType"] == "external" for study, _, _ in documents(WORLD))
    per_study = Counter(
        tuple(report["isAddendum"] for report in body["reports"]) for _, body, _ in documents(WORLD) if body["reports"]
    )
    assert {(False,), (False, False), (False, True), (False, True, True)} <= per_study.keys()
    assert len(KINDS) == 20


def test_reports_are_critical_or_not_and_in_every_style():
    assert {report["isCritical"] for _, report in SIGNED} == {True, False, None}
    all_texts = "\n@@\n".join(report.get("reportPlainText", "") for _, report in SIGNED)
    for mark in (
        "FINDINGS:\n",
        "Findings: ",
        "FINDINGS:\r\n",
        "**FINDINGS:**",
        "CONCLUSION:\n",
        "CRITICAL RESULT",
        "ADDENDUM",
    ):
        assert mark in all_texts
    assert any(text.startswith("FINDINGS: ") and "\n" not in text for text in all_texts.split("\n@@\n"))


def test_there_are_over_thirty_procedures_over_every_modality():
    assert len({procedure.procedure for procedure in PROCEDURES}) >= 30
    modalities = {procedure.modality for procedure in PROCEDURES}
    assert {"CT", "MRI", "US", "XR", "MG", "NM", "PET"} <= modalities
    assert sum(case.critical for procedure in PROCEDURES for case in procedure.cases) >= 8


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda procedure: procedure.procedure)
def test_no_placeholder_is_left_in_a_text(procedure):
    for case in procedure.cases:
        for style in texts.STYLES:
            written = texts.write(procedure, case, Dice(1, style), style)
            assert not set("{}") & set(written.procedure + written.indication + written.text)


def test_a_side_is_written_as_its_surroundings_are():
    case = ReportCase(("{side} lung: clear.",), ("Nothing in the {side} lung.",))
    procedure = Procedure("XR", "d", "XR HIP {side}", "t", ("i",), (case,))
    written = texts.write(procedure, case, Dice(1), "one-line")
    side = written.procedure.removeprefix("XR HIP ")
    assert side in {"LEFT", "RIGHT"}
    assert written.text == f"FINDINGS: {side.title()} lung: clear. IMPRESSION: Nothing in the {side.lower()} lung."


def test_two_studies_of_one_person_share_name_birth_date_and_record_number():
    by_mrn = {}
    for number, seeded in enumerate(WORLD.seeded):
        if number % 3 != 1:
            by_mrn.setdefault(seeded.study["reportMetadata"]["mrn"], []).append(seeded.study["reportMetadata"])
    shared = [metadata for metadata in by_mrn.values() if len(metadata) > 1]
    assert len(shared) > 50
    for metadata in shared:
        assert len({(one["patientName"], one["dateOfBirth"], one["sex"], one["facilityName"]) for one in metadata}) == 1


def test_facilities_lie_in_several_zones_and_one_is_unknown():
    assert len({facility.time_zone for facility in people.FACILITIES if facility.is_known}) == 4
    [unknown] = [facility.name for facility in people.FACILITIES if not facility.is_known]
    names = {study["reportMetadata"].get("facilityName") for study, _, _ in documents(WORLD)}
    assert names == {facility.name for facility in people.FACILITIES} | {None}
    assert ODDITIES["unknown-facility"][1] == {"facilityName": unknown}


@pytest.mark.parametrize(("nine", "number"), [(123456789, "1234567893"), (100000001, "1000000012")])
def test_an_npi_has_its_check_digit(nine, number):
    assert people.npi(nine) == number


def test_a_user_whose_access_was_revoked_has_signed_reports():
    assert {report["userId"] for _, report in SIGNED} & WORLD.revoked


def test_the_dice_give_what_they_were_asked_for():
    dice = Dice("test")
    assert {dice.integer(1, 3) for _ in range(60)} == {1, 2, 3}
    assert not any(dice.chance(0) for _ in range(20)) and all(dice.chance(1) for _ in range(20))
    assert sorted(dice.shuffled(range(9))) == list(range(9))
    assert dice.uuid4()[14] == "4"
