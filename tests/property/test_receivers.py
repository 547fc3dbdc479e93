"""Law of decision D34: a profile without contradictions writes no message that its rules block."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes.scale import examples
from fakes.wire_strategies import report_texts
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mappings.hl7v2.receiver_rules import Occasion, check_rules, contradictions, occasions, written
from mappings.model import Report, Snapshot, Study
from mappings.profile import RECEIVERS, Receiver, conflicts, receiver, switches
from mappings.sections import cut

said = st.text(min_size=1, max_size=30).filter(lambda text: any(one.isalnum() for one in text))
vista_accessions = st.from_regex(r"[0-9]{3}-[0-9]{6}-[0-9]{1,5}", fullmatch=True)
numbers = st.text('0123456789ABC|^~\\&"', min_size=1, max_size=20).filter(lambda text: any(map(str.isalnum, text)))


def _values(name: str) -> st.SearchStrategy[Any]:
    metadata = switches()[name].metadata
    if "range" in metadata:
        return st.integers(*metadata["range"])
    if "keys" in metadata:
        codes = {key: st.sampled_from(values) for key, values in metadata["keys"].items()}
        return st.fixed_dictionaries({}, optional=codes).map(lambda chosen: tuple(chosen.items()))
    if "values" in metadata:
        return st.sampled_from(metadata["values"])
    return st.sampled_from(("", "RID49480^Category 1 Emergent Actionable Finding^RadLex", "Not | for ^ use"))


@st.composite
def profiles(draw: st.DrawFn) -> Receiver:
    """Draw any profile of this package with up to eight switches changed to any valid values."""
    names = draw(st.lists(st.sampled_from(sorted(switches())), max_size=8, unique=True))
    turned = {name: draw(_values(name)) for name in names}
    made = replace(receiver(draw(st.sampled_from(RECEIVERS))), name="x", **turned)
    assume(not conflicts(made))
    return made


@st.composite
def snapshots(draw: st.DrawFn, like: Snapshot) -> Snapshot:
    return replace(
        like,
        patient_name=draw(st.one_of(said, st.just("DOE^JANE"))),
        procedure=draw(said),
        referring_physician_name=draw(st.one_of(st.none(), said)),
        sex=draw(st.sampled_from(("female", "male", "other", None))),
        study_time=draw(st.sampled_from(("14:20", "02:30", None))),
        height=draw(st.sampled_from((like.height, None))),
    )


@st.composite
def told(draw: st.DrawFn, report: Report, snapshot: Snapshot) -> Report:
    text = draw(report_texts)
    critical = draw(st.sampled_from((True, False, None)))
    return replace(report, text=text, sections=cut(text), is_critical=critical, snapshot=snapshot)


@st.composite
def known(draw: st.DrawFn, made: Receiver) -> Occasion:
    """Draw an occasion of a study with all data that a profile requires, with awkward values."""
    occasion = draw(st.sampled_from(list(occasions())))
    snapshot = draw(snapshots(occasion.study.reports[0].snapshot))
    is_of_vista = any(rule.name == "obr-3.1-site-accession" for rule in made.rules)
    accessions = draw(st.lists(vista_accessions if is_of_vista else numbers, min_size=1, max_size=2, unique=True))
    exams = range(len(accessions))
    changed: Study = replace(
        occasion.study,
        reports=tuple(draw(told(report, snapshot)) for report in occasion.study.reports),
        severity=draw(st.sampled_from(("normal", "high", "stat"))),
        modality=draw(st.one_of(st.sampled_from(("MR", "CT", "PET", "US", "XR", None)), said)),
        clinical_indication=draw(said),
        metadata={
            "accession": ",".join(accessions),
            "order": draw(numbers),
            "exam": ",".join(f"7058894.8579-{number}" for number in exams),
            "case": ",".join(draw(numbers) for _ in exams),
        },
        technologist_notes=tuple(draw(st.lists(said, max_size=2))),
    )
    return replace(occasion, study=changed)


@pytest.mark.full
@settings(max_examples=examples(150))
@given(profiles(), st.data())
def test_a_profile_without_contradictions_writes_nothing_that_its_rules_block(
    made: Receiver, data: st.DataObject
) -> None:
    if contradictions(made):
        return
    about: Occasion = data.draw(known(made))
    broken = [one for message in written(about, made) for one in check_rules(message, made)]
    assert [(one.rule.name, one.place) for one in broken if one.rule.level == "block"] == []


@settings(max_examples=examples(40))
@given(profiles())
def test_a_contradiction_names_a_switch_and_what_to_write_instead(made: Receiver) -> None:
    for fault in contradictions(made):
        key = fault.key.removeprefix("mapping.receivers.x.").partition(".")[0]
        assert key in {*switches(), "rules"}
        assert fault.remedy
