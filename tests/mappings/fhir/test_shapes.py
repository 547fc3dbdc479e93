"""The judge per shape (D45): what it accepts, the whole judge accepts."""

from __future__ import annotations

import copy
from collections import Counter
from random import Random
from typing import Any

import pytest
from fakes.answered import ORDER
from fakes.damaged import damaged
from fakes.fhir_studies import addendum, mapped, report
from fakes.seeded import documents

from gateway.demo.stage import demo_site
from gateway.sandbox.seed import generate
from mappings import decode, to_fhir
from mappings.fhir import judge as judging
from mappings.fhir.judge import CLASSES, SAMPLED, Shapes, judge, judge_all
from mappings.model import Facts

Json = dict[str, Any]
STUDY = list(mapped(report(isCritical=True), addendum(), facts=Facts(accession_number="A1", orders=(ORDER,))).output)


def sandbox_studies(count: int) -> list[list[Json]]:
    decoded = (decode(*one) for one in documents(generate(studies=count)) if one[0].get("studyType") != "external")
    return [list(to_fhir(one, demo_site()).output) for one in decoded]


def warm(*studies: list[Json]) -> Shapes:
    """Return the shapes of these studies."""
    known = Shapes(CLASSES)
    for resources in studies:
        assert not any(judge_all(resources, known))
    return known


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Json]:
    """Collect what the library's classes are asked about."""
    asked: list[Json] = []
    refusals = judging._refusals

    def looked_at(resource: Json) -> object:
        asked.append(resource)
        return refusals(resource)

    monkeypatch.setattr(judging, "_refusals", looked_at)
    return asked


def is_good(resource: Json) -> bool:
    """Ask the whole judge; what it cannot judge is not good."""
    try:
        return not judge(resource)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return False


def is_accepted(resource: Json, known: Shapes) -> bool:
    """True if the resource passes without the whole judge."""
    try:
        return known.accept(resource) and judging.is_whole(resource)
    except (AttributeError, TypeError):
        return False


def outcomes(mutants: int, seed: int) -> Counter[tuple[bool, bool]]:
    """Judge damaged resources by shape and whole; good ones teach their shapes, so that more is accepted."""
    studies = sandbox_studies(40)
    known, random = warm(STUDY, *studies), Random(seed)
    resources = [*STUDY, *(one for study in studies for one in study)]
    found: Counter[tuple[bool, bool]] = Counter()
    for _ in range(mutants):
        mutant = damaged(random.choice(resources), random)
        accepted, good = is_accepted(mutant, known), is_good(mutant)
        assert good or not accepted, [(one.code, one.pointer) for one in judge(mutant)]
        found[accepted, good] += 1
        if good:
            known.learn(mutant)
    return found


@pytest.mark.parametrize(
    ("mutants", "seed"),
    [
        (400, 1),
        pytest.param(4_000, 2, marks=pytest.mark.full),
        pytest.param(100_000, 3, marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
    ],
)
def test_nothing_damaged_is_accepted_by_shape_that_the_whole_judge_refuses(mutants: int, seed: int) -> None:
    found = outcomes(mutants, seed)
    assert found[True, True] > mutants // 20, "too few are accepted by shape to prove anything"
    assert found[False, False] > mutants // 2, "too few are damaged"


@pytest.mark.full
@pytest.mark.parametrize("lax", ["code", "id", "dateTime"])
def test_a_primitive_that_is_not_checked_is_noticed(lax: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(judging.CHECKS, (lax, str), lambda _: True)
    with pytest.raises(AssertionError):
        outcomes(3_000, 4)


def test_the_classes_see_each_shape_once(seen: list[Json]) -> None:
    known = warm(STUDY)
    assert seen
    seen.clear()
    again = copy.deepcopy(STUDY)
    again[0]["id"] = "other"
    assert not any(judge_all(again, known))
    assert seen == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("birthDate", "1985-02-30"),
        ("id", "a_b"),
        ("gender", "F"),
        ("language", "en us "),
        ("active", "maybe"),
        ("multipleBirthInteger", 2**31),
        ("identifier", []),
        ("managingOrganization", [{"reference": "Organization/a"}]),
        ("deceasedBoolean", None),
        ("resourceType", "Organization"),
    ],
)
def test_a_resource_of_a_new_shape_or_value_has_the_faults_that_the_whole_judge_finds(key: str, value: object) -> None:
    known = warm(STUDY)
    bad = {**copy.deepcopy(next(one for one in STUDY if one["resourceType"] == "Patient")), key: value}
    assert judge_all([bad], known) == [judge(bad)] != [()]
    assert known.is_trusted


def test_a_second_value_of_a_choice_makes_another_shape() -> None:
    known = warm(STUDY)
    patient = {**next(one for one in STUDY if one["resourceType"] == "Patient"), "deceasedBoolean": False}
    both = {**patient, "deceasedDateTime": "2024-01-01"}
    assert judge_all([patient], known) == [()]
    assert judge_all([both], known) == [judge(both)] != [()]


def test_one_accepted_resource_in_a_hundred_is_judged_whole(seen: list[Json]) -> None:
    known = warm(STUDY)
    seen.clear()
    rounds = 2 * SAMPLED
    for _ in range(rounds):
        judge_all(STUDY, known)
    assert len(seen) == rounds * len(STUDY) // SAMPLED
    assert {one["resourceType"] for one in seen} == CLASSES.keys()


def test_a_disagreement_ends_the_trust_in_shapes_and_the_whole_judge_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    known = warm(STUDY)
    refused = judging.MappingIssue("fhir-structure", "error", "/x", "refused")
    monkeypatch.setattr(judging, "_refusals", lambda _: [refused])
    results = [judge_all(STUDY, known) for _ in range(SAMPLED)]
    assert results[0] == [()] * len(STUDY)
    assert not known.is_trusted
    assert len(known) == 0
    assert results[-1] == [(refused,)] * len(STUDY)


def test_shapes_are_learned_up_to_a_limit(monkeypatch: pytest.MonkeyPatch, seen: list[Json]) -> None:
    monkeypatch.setattr(judging, "MOST_SHAPES", 3)
    known = warm(STUDY)
    assert len(known) == 3
    seen.clear()
    assert not any(judge_all(STUDY, known))
    assert 0 < len(seen) < len(STUDY)


def test_elements_left_out_since_an_earlier_resource_shares_them_are_judged_with_that_one() -> None:
    known = warm(STUDY)
    one, other = (copy.deepcopy(found) for found in [one for one in STUDY if one["resourceType"] == "Observation"][:2])
    one["subject"] = other["subject"] = {"reference": "Group/a"}
    assert judge_all([one, other], known) == [judge(one), judge(other)]
    assert all(judge_all([one, other], known))
