"""Speed of mapping a study to FHIR, as ratios to fhir.resources building, dumping and validating the same.

Run by `make bench`; measured on one report with nine sections and two vital signs, 19 resources. Each pair of
contenders runs in alternating rounds and the fastest round of each counts, so that a busy machine slows both.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from time import perf_counter, process_time
from typing import Any

from fakes.fhir_studies import SITE, report
from fakes.seeded import documents
from fakes.upstream_json import response_json, study_json, user_json

from gateway.demo.stage import demo_site
from gateway.sandbox.seed import generate
from mappings import decode, to_fhir
from mappings.fhir.judge import CLASSES, judge_all
from mappings.fhir.rendering import json_bytes
from mappings.fhir.shapes import Shapes

TEXT = """EXAM: CT CHEST WITH CONTRAST

CLINICAL HISTORY: 64 year old with cough and weight loss, smoker.

INDICATION: Rule out malignancy.

TECHNIQUE: Contiguous axial images were obtained after 80 mL of contrast. Coronal and sagittal reformats.

COMPARISON: Chest radiograph of 2 weeks ago.

FINDINGS:
Lungs: There is a 12 mm spiculated nodule in the right upper lobe. No consolidation. Mild centrilobular emphysema.
Pleura: No effusion or pneumothorax.
Mediastinum: No enlarged lymph nodes. Heart size is normal. The thoracic aorta is of normal calibre.
Upper abdomen: Unremarkable.
Bones: No aggressive lesion.

IMPRESSION:
1. 12 mm spiculated nodule in the right upper lobe, suspicious for primary malignancy.
2. Mild emphysema.

RECOMMENDATION: PET/CT and tissue sampling.

CRITICAL RESULTS: Findings were communicated to Dr. Chen at 15:40.
"""
STUDY = decode(study_json(), response_json(report(reportPlainText=TEXT)), [user_json()])
READY: tuple[dict[str, Any], ...] = to_fhir(STUDY, SITE).output
ROUNDS, RUNS = 12, 50


def ratio(slow: Callable[[], object], fast: Callable[[], object]) -> float:
    """Return how many times longer the first takes than the second."""
    best = [float("inf"), float("inf")]
    for _ in range(ROUNDS):
        for index, contender in enumerate((slow, fast)):
            start = perf_counter()
            for _ in range(RUNS):
                contender()
            best[index] = min(best[index], perf_counter() - start)
    return best[0] / best[1]


def to_bytes() -> list[bytes]:
    return [json_bytes(resource) for resource in to_fhir(STUDY, SITE).output]


def to_judged_bytes() -> list[bytes]:
    resources = to_fhir(STUDY, SITE).output
    assert not any(judge_all(resources))
    return [json_bytes(resource) for resource in resources]


def validated() -> list[Any]:
    return [CLASSES[resource["resourceType"]].model_validate(resource) for resource in READY]


def built_and_dumped() -> list[str]:
    return [one.model_dump_json() for one in validated()]


def test_a_study_becomes_bytes_and_is_judged_at_the_speed_it_was_designed_for(say: Callable[[str], None]) -> None:
    assert len(READY) == 20
    speed = ratio(built_and_dumped, to_bytes)
    cost = ratio(to_judged_bytes, validated)
    say(f"FHIR: study -> bytes is {speed:.1f} x as fast as fhir.resources building and dumping (to reach: 20)")
    say(f"FHIR: map + dump + judge takes {cost:.2f} x the time of model_validate alone (to reach: 1.30)")


def test_the_judge_by_shape_against_the_whole_judge(say: Callable[[str], None]) -> None:
    """Judge sandbox studies in alternating rounds: CPU milliseconds of a study, medians."""
    decoded = [decode(*one) for one in documents(generate(studies=300)) if one[0].get("studyType") != "external"]
    studies, shapes = [to_fhir(one, demo_site()).output for one in decoded], Shapes(CLASSES)

    def spent(*known: Shapes) -> float:
        begun = process_time()
        for resources in studies:
            assert not any(judge_all(resources, *known))
        return (process_time() - begun) / len(studies) * 1000

    spent(shapes)
    rounds = [(spent(shapes), spent()) for _ in range(7)]
    by_shape, whole = (statistics.median(column) for column in zip(*rounds, strict=True))
    say(f"FHIR: the judge by shape takes {by_shape:.2f} ms a study (to reach: 0.5), the whole judge {whole:.2f} ms")
