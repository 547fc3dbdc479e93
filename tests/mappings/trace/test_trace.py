"""Decision D6: the targets of a source leaf are measured, in FHIR and in HL7 v2."""

import json
from copy import deepcopy
from dataclasses import fields, replace
from datetime import timedelta
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

import mappings.trace
from gateway.sandbox.seed import generate
from mappings.hl7v2.obx import observation_segments
from mappings.issues import WireError
from mappings.model import Cause
from mappings.patient.subjects import Subject
from mappings.profile import Site, receiver
from mappings.reuse import Remembered
from mappings.sections import cut
from mappings.study import wire
from mappings.trace import defaulted, trace
from mappings.trace.losses import FHIR_LOSSES, HL7V2_LOSSES, SWITCHED_OFF, loss
from mappings.trace.probes import leaves
from mappings.trace.sample import document, everything, rows, site, sources
from mappings.values.dates import fhir_instant, parse_instant

probes_module = import_module("mappings.trace.probes")
changed_at, OTHER_VALUES = probes_module._with_other_letter, probes_module._other_values
BY_POINTER = {row.pointer: row for row in rows()}
BY_PATTERN = {leaf.pattern: BY_POINTER[leaf.pointer] for leaf in leaves(document())}
# FHIR loses no field of the report model (D6)
REPORT_LEAVES = {pattern for pattern in BY_PATTERN if pattern.startswith("/reports/")}


def patterns(shape, pattern=""):
    """Yield the patterns of all leaves that a wire shape allows."""
    for key, (kind, _) in shape.items():
        yield from _below(kind, f"{pattern}/{key}")


def _below(kind, pattern):
    if kind.shape is not None:
        yield from patterns(kind.shape, pattern)
    elif kind.items is not None:
        yield from _below(kind.items, f"{pattern}/*")
    else:
        yield f"{pattern}/*" if kind.values is not None else pattern


def test_the_sample_says_all_that_autoscribe_can_say():
    shapes = (("", wire.STUDY), ("/reports/*", wire.REPORT), ("/users/*", wire.USER))
    assert {found for start, shape in shapes for found in patterns(shape, start)} == set(BY_PATTERN)


@pytest.mark.parametrize("pattern", sorted(BY_PATTERN))
def test_every_leaf_moves_something_in_both_languages_or_stands_in_a_loss_table(pattern):
    row = BY_PATTERN[pattern]
    assert row.fhir or loss(FHIR_LOSSES, pattern, everything())
    assert row.hl7v2 or loss(HL7V2_LOSSES, pattern, everything())


@pytest.mark.parametrize("table", [FHIR_LOSSES, HL7V2_LOSSES], ids=["fhir", "hl7v2"])
def test_nothing_stands_in_a_loss_table_that_moves_something(table):
    found = [(pattern, row.fhir if table is FHIR_LOSSES else row.hl7v2) for pattern, row in BY_PATTERN.items()]
    moving = {pattern for pattern, targets in found if targets and loss(table, pattern, everything())}
    assert moving <= {"/metadata/*"}
    for key in table:
        assert any(pattern == key or (key.endswith("**") and pattern.startswith(key[:-2])) for pattern in BY_PATTERN)


def test_no_field_of_a_report_is_lost_in_fhir():
    assert REPORT_LEAVES
    assert [pattern for pattern in REPORT_LEAVES if loss(FHIR_LOSSES, pattern, everything())] == []


def test_what_a_profile_switches_off_is_given_as_the_reason():
    row = next(
        one
        for one in trace(document(), site(), receiver("generic"))
        if one.pointer.endswith("0/snapshotMetadata/height/value")
    )
    assert row.hl7v2 == ()
    assert row.losses == ("HL7 v2: the receiver's profile has vitals = off",)
    assert all(found.startswith("/") for found in SWITCHED_OFF)


@pytest.mark.parametrize(
    ("pointer", "fhir", "hl7v2", "kind"),
    [
        ("/reports/0/snapshotMetadata/dateOfBirth", {"Patient.birthDate"}, {"PID-7"}, "exact"),
        ("/reports/0/snapshotMetadata/sex", {"Patient.gender"}, {"PID-8"}, "exact"),
        ("/reports/0/snapshotMetadata/studyTime", {"DiagnosticReport.effectiveDateTime"}, {"OBR-7"}, "derived"),
        ("/reports/0/isCritical", {"Observation.interpretation.coding.code"}, {"OBX-8"}, "exact"),
        ("/reports/0/reportPlainText", {"DiagnosticReport.presentedForm.data"}, {"OBX-5"}, "exact"),
        ("/users/0/lastName", {"Practitioner.name.family"}, {"OBR-32", "OBX-16"}, "exact"),
        ("/assignedTo/lastName", set(), set(), "dropped"),
    ],
)
def test_a_leaf_moves_the_element_and_the_field_that_it_should(pointer, fhir, hl7v2, kind):
    row = BY_POINTER[pointer]
    assert fhir <= set(row.fhir)
    assert hl7v2 <= set(row.hl7v2)
    assert row.kind == kind


def test_a_leaf_that_another_outranks_says_which():
    assert BY_POINTER["/studyDescription"].hidden_by == ("/reports/*/snapshotMetadata/procedure",)
    assert "OBR-4" in BY_POINTER["/studyDescription"].hl7v2
    assert "OBR-7" in BY_POINTER["/reports/0/signedAt"].hl7v2


def test_a_value_that_an_issue_says_was_changed_is_normalised():
    changed = deepcopy(document())
    changed["reports"][0]["snapshotMetadata"]["patientName"] = "Jane\x01Doe"
    found = {row.pointer: row.kind for row in trace(changed, site(), everything())}
    assert found["/reports/0/snapshotMetadata/patientName"] == "normalised"


def test_a_row_names_the_rules_that_make_its_targets():
    assert "pid_7_date_time_of_birth" in BY_POINTER["/reports/0/snapshotMetadata/dateOfBirth"].rules
    assert "patient_birth_date" in BY_POINTER["/reports/0/snapshotMetadata/dateOfBirth"].rules


def test_what_no_leaf_moves_is_the_gateways_or_the_sites_own():
    found = defaulted(document(), rows(), site(), everything())
    assert {"MSH-9", "MSH-12", "PV1-2", "Organization.active"} <= set(found)
    assert "PID-5" not in found


def test_the_sources_of_a_target_are_those_leaves_that_move_it():
    assert "/reports/0/snapshotMetadata/mrn" in set(sources("Patient.identifier"))
    assert set(sources("PID-8")) == {"/reports/0/snapshotMetadata/sex"}


def test_tracing_changes_nothing_in_the_document():
    before = deepcopy(document())
    trace(before, Site(), receiver("generic"))
    assert before == document()


def test_a_document_that_is_none_is_refused_with_its_place():
    broken = deepcopy(document())
    broken["reports"][0]["isAddendum"] = "no"
    with pytest.raises(WireError, match="/reports/0/isAddendum"):
        trace(broken, site(), receiver("generic"))


@pytest.mark.full
def test_a_field_that_one_segment_no_longer_says_while_others_do_is_moved() -> None:
    what = deepcopy(document())
    first, second = what["reports"][0], deepcopy(what["reports"][0])
    what["reports"] = [first, {**second, "reportId": "rep_" + "a" * 32, "isAddendum": True}]
    what["reportIds"] = []
    found = {row.pointer: row.hl7v2 for row in trace(what, site(), receiver("generic"))}
    for number in (0, 1):
        assert "OBX-16" in found[f"/reports/{number}/userId"]


def golden(folder):
    return json.loads((folder / "wire.json").read_text())


def with_several_reports():
    """Return the sample with an addendum, a second original, and a draft by somebody else."""
    made = deepcopy(document())
    first, user = made["reports"][0], made["users"][0]
    addendum = {"reportId": "rep_" + "a" * 32, "isAddendum": True, "reportPlainText": "ADDENDUM: No change."}
    other = {"reportId": "rep_" + "b" * 32, "isCritical": False, "signedAt": "2026-01-06T10:00:00Z"}
    draft = {"reportId": "rep_" + "c" * 32, "isAddendum": True, "status": "in_progress", "userId": "usr_" + "c" * 32}
    made["reports"] += [{**deepcopy(first), **own} for own in (addendum, other, draft)]
    made["users"].append({**user, "userId": draft["userId"]})
    return made


OF_SEVERAL = ["two-patients", pytest.param("addenda-two", marks=pytest.mark.soak)]


@pytest.mark.full
@pytest.mark.parametrize("case", ["", "several-reports", *OF_SEVERAL])
def test_what_did_not_change_need_not_be_read_again(case, monkeypatch):
    folder, map_anew = Path(__file__).parents[2] / "golden" / case, mappings.trace.outputs
    traced = {"": document, "several-reports": with_several_reports}.get(case, lambda: golden(folder))()
    found = trace(traced, site(), everything())

    def all_anew(document, like=None, languages=(), reuse=None, **more):
        return map_anew(document, **more)

    monkeypatch.setattr(mappings.trace, "outputs", all_anew)
    assert trace(traced, site(), everything()) == found


def plain(made):
    """Return a result without what is put in anew: versions of causes, the snapshot and the reports of a patient."""
    if isinstance(made, Cause):
        return replace(made, content_version="")
    if type(made) is tuple:
        return tuple(map(plain, made))
    if isinstance(made, Subject):
        own = {one.name: getattr(made, one.name) for one in fields(made)}
        return {**own, "snapshot": made.pointer, "reports": [report.report_id for report in made.reports]}
    return {key: plain(one) for key, one in made.items()} if isinstance(made, dict) else made


class Remade(Remembered):
    """Makes again whatever it reuses, and fails if that is another result: `make` reads what `given` does not name."""

    def of(self, place, given, make):
        made, again = super().of(place, given, make), make()
        is_noted_once = isinstance(place, tuple) and place[0] is observation_segments  # a message notes nothing twice
        assert plain(again[0] if is_noted_once else again) == plain(made[0] if is_noted_once else made), place
        return made


@pytest.mark.full
@pytest.mark.parametrize("case", ["", "several-reports", *OF_SEVERAL])
def test_what_is_reused_depends_on_nothing_but_what_it_is_given(case, monkeypatch):
    folder = Path(__file__).parents[2] / "golden" / case
    traced = {"": document, "several-reports": with_several_reports}.get(case, lambda: golden(folder))()
    monkeypatch.setattr(mappings.trace, "Remembered", Remade)
    assert trace(traced, site(), everything())


def test_the_leaves_that_are_wanted_are_traced_alone():
    wanted = ("/reports/0/signedAt", "/studyDescription")
    found = trace(document(), site(), everything(), is_wanted=lambda pointer: pointer in wanted)
    assert {row.pointer: row for row in found} == {pointer: BY_POINTER[pointer] for pointer in wanted}


def counted(monkeypatch, function):
    """Count the calls of a function of the outputs' module, by a list that grows."""
    calls, outputs = [], import_module("mappings.trace.outputs")
    original = getattr(outputs, function)
    monkeypatch.setattr(outputs, function, lambda *given: calls.append(given) or original(*given))
    return calls


def test_leaves_that_reach_nothing_are_tried_together(monkeypatch):
    mapped, written = counted(monkeypatch, "to_fhir"), counted(monkeypatch, "_written")
    found = trace(document(), site(), everything(), is_wanted=lambda pointer: pointer.startswith("/reportMetadata"))
    assert len(found) >= 12
    assert {row.kind for row in found} == {"dropped"}
    most = 1 + 3  # as it is, and no leaf has more than three other values
    assert (len(mapped), len(written)) == (most, most)


def test_a_change_that_reaches_one_language_is_not_mapped_to_the_other(monkeypatch):
    mapped, written = counted(monkeypatch, "to_fhir"), counted(monkeypatch, "_written")
    [row] = trace(document(), site(), everything(), is_wanted=lambda pointer: pointer == "/users/0/email")
    assert row.fhir
    assert (len(mapped), len(written)) == (1 + 1, 1 + 1)  # apart: the value in FHIR, and in HL7 v2 as in its table


@pytest.mark.parametrize(("language", "field"), [("FHIR", "fhir"), ("HL7 v2", "hl7v2")])
def test_a_language_traced_by_itself_has_the_targets_that_it_has_beside_the_other(language, field):
    found = trace(document(), site(), everything(), languages=[language])
    assert {one.pointer: getattr(one, field) for one in found} == {
        pointer: getattr(one, field) for pointer, one in BY_POINTER.items()
    }
    assert all(set(one.fhir + one.hl7v2) == set(getattr(one, field)) for one in found)


def test_an_id_that_stands_in_several_places_is_renamed_once(monkeypatch):
    mapped = counted(monkeypatch, "to_fhir")
    places = ("/studyId", "/reports/0/studyId")
    assert len(trace(document(), site(), everything(), is_wanted=lambda pointer: pointer in places)) == 2
    assert len(mapped) == 2


SENT = generate(seed=3, studies=60)


def sandbox_document(number):
    seeded = SENT.seeded[number]
    users = [one for one in SENT.users if one["userId"] in {report["userId"] for report in seeded.reports}]
    return json.loads(json.dumps({**seeded.study, "reports": list(seeded.reports), "users": users}))


def with_the_same_user_twice():
    made = deepcopy(document())
    return {**made, "users": [*made["users"], *deepcopy(made["users"])]}


TRIED = {
    "sample": document,
    "same-user-twice": with_the_same_user_twice,
    **{f"sandbox-{number}": partial(sandbox_document, number) for number in (2, 3, 13, 28)},
}


@pytest.mark.full
@pytest.mark.parametrize("what", TRIED.values(), ids=TRIED)
@pytest.mark.parametrize("is_read", [False, True], ids=["metadata-unread", "metadata-read"])
def test_what_is_tried_together_has_the_rows_of_what_is_tried_alone(what, is_read, monkeypatch):
    keys = tuple(what().get("metadata", ()))
    own = replace(site(), accession_keys=keys if is_read else (), placer_keys=())
    found = trace(what(), own, receiver("generic"))
    monkeypatch.setattr(mappings.trace._Measured, "unmoving", lambda *_: [])
    assert trace(what(), own, receiver("generic")) == found
    moving = [row.pointer for row in found if row.pointer.startswith("/metadata/") and row.fhir]
    assert bool(moving) is bool(is_read and keys)


def with_more_values(leaf):
    """Yield the values that are tried of a leaf, and others of its kind: each letter changed alone, other numbers."""
    value = leaf.value
    yield from OTHER_VALUES(leaf)
    if isinstance(value, bool) or leaf.key in probes_module._CODES:
        return
    if isinstance(value, int | float):
        yield value + 2
    elif (moment := parse_instant(value)) is not None:
        yield fhir_instant(moment + timedelta(seconds=1))
    elif leaf.key == "reportPlainText":
        for place in (0, -1):
            parts = [(one.heading, one.body, probes_module._letters(one.body)) for one in cut(value)]
            yield "".join([head + (changed_at(body, at[place]) if at else body) for head, body, at in parts])
    elif isinstance(value, str) and leaf.key not in ("studyDate", "dateOfBirth"):
        yield from [changed_at(value, place) for place in probes_module._letters(value)]


@pytest.mark.parametrize(
    "what", [pytest.param(make, id=key, marks=pytest.mark.full if "-" in key else ()) for key, make in TRIED.items()]
)
def test_more_values_of_the_same_kind_move_no_more(what, monkeypatch):
    found = trace(what(), site(), everything())
    monkeypatch.setattr(probes_module, "_other_values", with_more_values)
    assert trace(what(), site(), everything()) == found
