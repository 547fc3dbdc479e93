"""Starter dictionary: every code and display is in the FHIR packages, and every text matches its code (D23).

LOINC, as in the FHIR R4 core package 4.0.1 and the US Core packages 6.1.0 and 8.0.0. This second reading of the texts
starts from scratch: modality, contrast, side, views and the words for the part of the body.
"""

from __future__ import annotations

import csv
import json
import re
import tarfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from mappings.profile import is_loinc, starter
from mappings.profile.dictionary import LocalCodes, read_procedures

TEXT = (resources.files("mappings") / "data" / "procedures.csv").read_text("utf-8")
ROWS = [tuple(row) for row in csv.reader(TEXT.splitlines())][1:]
PACKAGES = ("hl7.fhir.r4.core-4.0.1.tgz", "us_core_610.tgz", "us_core_800.tgz")

# Equivalent words in the starter's texts and in the displays of LOINC, replaced in this order
SAME = {
    "ffd mammogram-tomosynthesis": "mg breast tomo",
    "x-ray": "xr",
    "radiograph": "xr",
    "ultrasound": "us",
    "us.doppler": "us doppler",
    "mammogram": "mg breast",
    "mammo": "mg breast",
    "tomosynthesis": "tomo",
    "dexa": "dxa",
    "mri angiogram": "mra",
    "ct angiogram": "cta",
    "mri": "mr",
    "w/wo": "both",
    "w/o": "wo",
    "single view": "1 view",
    "c-spine": "cervical spine",
    "t-spine": "thoracic spine",
    "l-spine": "lumbar spine",
    "abdominal": "abdomen",
    "abd": "abdomen",
    "bilat": "bilateral",
    "right upper quadrant": "ruq",
    "lat": "lateral",
    "breasts": "breast",
    "kidneys": "kidney bilateral",
    "testicles": "testicle",
    "veins": "vein",
    "arteries": "artery",
    "urinary bladder": "bladder",
    "mrcp": "mr biliary ducts and pancreatic duct",
    "nm": "",
    "whole body": "wholebody",
}
FILLERS = {"and", "iv", "contrast", "vessels", "skeletal", "system", "view", "views", "body", "of"}


def _normal(text: str) -> str:
    text = text.lower()
    for written, same in SAME.items():
        text = re.sub(rf"(?<![a-z0-9]){re.escape(written)}(?![a-z0-9])", same, text)
    return text


def _contrast(text: str) -> str:
    """Contrast of a text: none, with, without or both."""
    words = re.findall(r"[a-z]+", text)
    with_it, without = bool({"w", "with", "both"} & set(words)), bool({"wo", "without", "both"} & set(words))
    return {(False, False): "none", (True, False): "with", (False, True): "without"}.get((with_it, without), "both")


def _said(text: str) -> dict[str, Any]:
    text = _normal(text)
    tomo = "tomo" in text
    contrast = re.sub(r"with (tomo|doppler)", r"\1", text)
    words = set(re.findall(r"[a-z0-9.-]+", re.sub(r"[/,]", " ", text)))
    noise = {"w", "wo", "with", "without", "both", "-"}
    return {
        "contrast": _contrast(contrast),
        "views": re.findall(r"([0-9]) views?", text),
        "tomo": tomo,
        "words": words - FILLERS - noise,
    }


def _codings(node: Any) -> Iterator[tuple[str, str]]:
    """Yield every LOINC code with a display, in codings, value sets and expansions."""
    if isinstance(node, dict):
        if node.get("system") == "http://loinc.org":
            listed = node.get("concept") if isinstance(node.get("concept"), list) else []
            yield from ((one["code"], one.get("display", "")) for one in (node, *listed) if "code" in one)
        for inner in node.values():
            yield from _codings(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _codings(inner)


@pytest.fixture(scope="module")
def mined(shared: Path) -> set[tuple[str, str]]:
    codings: set[tuple[str, str]] = set()
    for package in PACKAGES:
        with tarfile.open(shared / "conformance" / package) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.name.endswith(".json") else None
                if file and b"http://loinc.org" in (text := file.read()):
                    codings.update(_codings(json.loads(text)))
    return codings


def test_every_code_and_display_of_the_starter_stands_in_the_packages(mined: set[tuple[str, str]]) -> None:
    assert [row for row in ROWS if (row[1], row[3]) not in mined] == []


def test_a_pair_that_is_not_in_the_packages_would_be_found(mined: set[tuple[str, str]]) -> None:
    assert ("24628-0", "Chest CT W contrast IV") in mined
    assert ("24628-0", "Chest CT") not in mined


def test_the_starter_has_at_least_sixty_procedures_and_is_read_without_a_fault() -> None:
    faults: list[Any] = []
    assert read_procedures(TEXT, LocalCodes(), faults) == starter()
    assert faults == []
    assert len(starter()) == len(ROWS)
    assert len({row[1] for row in ROWS}) >= 60
    assert all(is_loinc(row[1]) and row[2] == "LOINC" for row in ROWS)


def test_the_display_of_loinc_is_a_text_of_its_own_code() -> None:
    texts = {(row[0], row[1]) for row in ROWS}
    assert all((row[3], row[1]) in texts for row in ROWS)


@pytest.mark.full
@pytest.mark.parametrize("what", ["contrast", "views", "tomo", "words"])
def test_a_text_says_of_contrast_side_views_and_body_part_what_its_code_says(what: str) -> None:
    assert [row[0] for row in ROWS if _said(row[0])[what] != _said(row[3])[what]] == []


@pytest.mark.parametrize(
    ("text", "code"),
    [("CT Chest without contrast", "24628-0"), ("MRI Knee left", "26258-4"), ("XR Chest 1 view", "36643-5")],
)
def test_a_text_under_the_code_of_something_else_would_be_found(text: str, code: str) -> None:
    display = next(row[3] for row in ROWS if row[1] == code)
    assert _said(text) != _said(display)


def test_contrast_without_a_route_is_left_out_where_another_route_than_iv_is_usual() -> None:
    texts = [row[0].lower() for row in ROWS if " iv" not in row[0].lower()]
    routed = [
        text
        for text in texts
        if text.startswith("ct ") and "spine" in text and _contrast(_normal(text)) in {"with", "both"}
    ]
    joints = ("knee", "shoulder", "hip", "ankle", "wrist", "elbow")
    arthrograms = [
        text for text in texts if any(one in text for one in joints) and _contrast(_normal(text)) in {"with", "both"}
    ]
    assert (routed, arthrograms) == ([], [])


def test_the_modality_of_a_row_is_that_of_its_code() -> None:
    marks = {"CT": ("ct", "cta"), "MR": ("mr", "mra"), "US": ("us",), "DX": ("xr",), "MG": ("mg",), "PT": ("pet",)}
    for _, _, _, display, modality in ROWS:
        words = re.findall(r"[a-z]+", _normal(display))
        expected = next((key for key, one in marks.items() if set(one) & set(words)), "NM" if "scan" in words else "")
        assert modality == expected, display
