"""Bench of patient identity over pairs made by rule: one person is joined, two people are kept apart (D12).

`python tests/identity/test_identity_bench.py` prints the figures, and the pairs that differ from their labels.
"""

from __future__ import annotations

import sys
from collections import Counter
from datetime import UTC
from functools import cache
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).parents[1]))
import pytest
from fakes.fhir_studies import addendum, report
from fakes.identity_pairs import CITY, LAKE, NO_ORDER, Json, Pair, pairs
from fakes.scale import EITHER_STORE
from fakes.taken_in import current, giving, said
from fakes.upstream_json import response_json, study_json, user_json

from gateway.ingest import Fetched, Pipeline
from gateway.store.studies import identities
from mappings import decode, to_fhir
from mappings.fhir.patient import taken_patient_ids
from mappings.profile import parse_site

Outcome = Literal["joined", "apart", "conflict"]
SITE = parse_site(
    "".join(
        f"""
[[mapping.facilities]]
name = "{name}"
mrn_system = "urn:oid:1.2.3.{number}"
mrn_namespace = "N{number}"
{order}
"""
        for number, (name, order) in enumerate(
            [(CITY, 'name_order = "given_family"'), (LAKE, 'name_order = "given_family"'), (NO_ORDER, "")]
        )
    )
)
PAIRS = pairs()


def resources(*reports: Json, digit: str = "1") -> tuple[Json, ...]:
    asked = said(*reports, digit=digit)
    return to_fhir(decode(asked.study, asked.reports, asked.users), SITE).output


def clean(snapshot: Json) -> Json:
    return {key: value for key, value in snapshot.items() if value is not None}


def outcome(pair: Pair) -> Outcome:
    """Map a pair: to one Patient, to two, or to two with a conflict under one number."""
    first, second = clean(pair.first), clean(pair.second)
    if pair.within:
        made = resources(report(snapshotMetadata=first), addendum(snapshotMetadata=second))
        about = {one["subject"]["reference"] for one in made if one["resourceType"] == "DiagnosticReport"}
        return "joined" if len(about) == 1 else "conflict"
    held = [one for one in resources(report(snapshotMetadata=first)) if one["resourceType"] == "Patient"]
    later = resources(report("5", snapshotMetadata=second), digit="2")
    if taken_patient_ids(later, lambda patient_id: [one for one in held if one["id"] == patient_id]):
        return "conflict"
    ids = {one["id"] for one in (*held, *later) if one["resourceType"] == "Patient"}
    return "joined" if len(ids) == 1 else "apart"


@cache
def judged() -> list[tuple[Pair, Outcome]]:
    """Return every pair with its outcome."""
    return [(pair, outcome(pair)) for pair in PAIRS]


def wrong(label: str, outcomes: tuple[Outcome, ...], *, within: bool) -> list[Pair]:
    return [pair for pair, found in judged() if (pair.label, pair.within) == (label, within) and found in outcomes]


def figures() -> str:
    """Count the pairs of each kind and their outcomes."""
    count = Counter((pair.kind, pair.within, pair.label, found) for pair, found in judged())
    lines = [f"{len(judged())} pairs"]
    for kind, within, label in dict.fromkeys((pair.kind, pair.within, pair.label) for pair, _ in judged()):
        counts = ", ".join(f"{count[kind, within, label, one]} {one}" for one in ("joined", "apart", "conflict"))
        lines.append(f"{'within' if within else 'across':7}{kind:24}{label:11}{counts}")
    same = sum(pair.label == "same" and not pair.within for pair in PAIRS)
    refused = wrong("same", ("conflict",), within=False)
    merged = wrong("different", ("joined",), within=False) + wrong("different", ("joined",), within=True)
    lines.append(f"silent merges: {len(merged)}; detached addenda: {len(wrong('same', ('conflict',), within=True))}")
    lines.append(f"one person in conflict: {len(refused)} of {same} ({len(refused) / same:.2%})")
    return "\n".join(lines)


def test_no_two_people_are_joined() -> None:
    sys.stdout.write(f"\n{figures()}\n")
    assert len(PAIRS) >= 500
    assert wrong("different", ("joined",), within=False) == []
    assert wrong("different", ("joined",), within=True) == []


def test_no_addendum_is_detached_from_its_report() -> None:
    assert wrong("same", ("conflict", "apart"), within=True) == []


def test_of_one_person_one_pair_in_a_hundred_at_most_is_in_conflict() -> None:
    same = [pair for pair in PAIRS if pair.label == "same" and not pair.within]
    assert len(wrong("same", ("conflict",), within=False)) <= len(same) / 100


@pytest.mark.parametrize("engines", EITHER_STORE, indirect=True)
async def test_the_store_judges_a_pair_as_the_mapping_does_whichever_comes_first(engine) -> None:
    """A few pairs of each kind, in one store, in order of arrival: only the number identifies a pair."""
    pipeline = Pipeline(engine, SITE, UTC)
    for number, (pair, found) in enumerate(sample()):
        for place, snapshot in enumerate((pair.first, pair.second)):
            fetched = study_of(2 * number + place, {**clean(snapshot), "mrn": f"{snapshot['mrn']}-{number}Z"})
            await pipeline.ingest(fetched.study["studyId"], giving(fetched))
        ids = [f"stu_{2 * number + place:032x}" for place in (0, 1)]
        held_apart = {one.study_id for one in await identities.every(engine)}
        assert (ids[1] in held_apart) is (found == "conflict"), pair
        assert ids[0] not in held_apart
    about = [one["subject"]["reference"] for one in (await current(engine, "DiagnosticReport")).values()]
    joined = sum(found == "joined" for _, found in sample())
    assert len(about) - len(set(about)) == joined


def sample() -> list[tuple[Pair, Outcome]]:
    """Select some of the pairs of two studies, of every kind with a number that the site knows."""
    kinds: Counter[str] = Counter()
    chosen = []
    for pair, became in judged():
        kinds[pair.kind] += 1
        if not pair.within and kinds[pair.kind] % 9 == 1 and pair.kind not in ("no number", "leading zeros"):
            chosen.append((pair, became))
    return chosen


def study_of(number: int, snapshot: Json) -> Fetched:
    ids = {"studyId": f"stu_{number:032x}", "studyInstanceUid": f"1.2.3.{number}"}
    own = report(reportId=f"rep_{number:032x}", studyId=ids["studyId"], snapshotMetadata=snapshot)
    return Fetched(study_json(**ids), {**response_json(own), **ids}, (user_json(),), 1)


if __name__ == "__main__":
    wrongly = ("same", "conflict"), ("different", "joined")
    lines = (f"{found}: {pair}" for pair, found in judged() if (pair.label, found) in wrongly)
    sys.stdout.write("\n".join((figures(), *lines, "")))
