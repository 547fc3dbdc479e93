"""CPU of mapping a study to FHIR and of judging it, and what the judge by shape spares of it.

Run by `make bench`; measured on one report with nine sections and two vital signs, 20 resources, and on the studies of
the sandbox.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from time import process_time
from typing import Any

from bench.margins import at_most
from fakes.fhir_studies import SITE, report
from fakes.seeded import documents
from fakes.upstream_json import response_json, study_json, user_json

from gateway.demo.stage import demo_site
from gateway.sandbox.seed import generate
from mappings import decode, to_fhir
from mappings.fhir.datatypes import json_bytes
from mappings.fhir.judge import CLASSES, Shapes, judge_all

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


def spent(make: Callable[[], object]) -> float:
    """Return the CPU milliseconds of one run, the median of the rounds."""
    rounds = []
    for _ in range(ROUNDS):
        begun = process_time()
        for _ in range(RUNS):
            make()
        rounds.append((process_time() - begun) / RUNS * 1e3)
    return statistics.median(rounds)


def to_bytes() -> list[bytes]:
    return [json_bytes(resource) for resource in to_fhir(STUDY, SITE).output]


def to_judged_bytes() -> list[bytes]:
    resources = to_fhir(STUDY, SITE).output
    assert not any(judge_all(resources))
    return [json_bytes(resource) for resource in resources]


def test_a_study_becomes_bytes_and_is_judged(say: Callable[[str], None]) -> None:
    assert len(READY) == 20
    mapped, judged = spent(to_bytes), spent(to_judged_bytes)
    say(f"FHIR: study -> bytes of {len(READY)} resources {mapped:.2f} ms CPU, with the whole judge {judged:.2f} ms")


def test_the_judge_by_shape_against_the_whole_judge(say: Callable[[str], None]) -> None:
    """Judge sandbox studies in alternating rounds: CPU milliseconds of a study, medians."""
    decoded = [decode(*one) for one in documents(generate(studies=300)) if one[0].get("studyType") != "external"]
    studies, shapes = [to_fhir(one, demo_site()).output for one in decoded], Shapes(CLASSES)

    def judging(*known: Shapes) -> float:
        begun = process_time()
        for resources in studies:
            assert not any(judge_all(resources, *known))
        return (process_time() - begun) / len(studies) * 1000

    judging(shapes)
    rounds = [(judging(shapes), judging()) for _ in range(7)]
    by_shape, whole = (statistics.median(column) for column in zip(*rounds, strict=True))
    say(
        f"FHIR: the judge by shape takes {by_shape:.2f} ms a study {at_most(by_shape, 0.5)},"
        f" the whole judge {whole:.2f} ms"
    )
