"""Score of the cutter on texts that nobody saw while its rules were written; a failure shows only the sums."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.section_score import SCORED, score

TEXTS = Path(__file__).parents[1] / "report_texts"
PHRASE = 40  # characters; two authors may write the same short text
SETS = {"practice": 60, "practice_two": 166, "practice_three": 109, "held_out": 130}


def faults(text: dict) -> list[str]:
    """Faults in the labels of a text: each content must be in it unchanged, without surrounding white space."""
    plain = text["text"].replace("\r\n", "\n").replace("\r", "\n")
    cuts = [text, *text.get("expected_alternatives", ())]
    pairs = [
        pair for one in cuts for pair in [*one["expected_sections"].items(), *one.get("expected_repeated", ())]
    ] + [(edge, text[edge]) for edge in ("preamble", "trailer") if edge in text]
    wrong = [label for label, content in pairs if content not in plain or content != content.strip() or not content]
    if sum(tag.startswith("lang:") for tag in text["tags"]) != 1:
        wrong.append("lang")
    return wrong


def scored(name: str) -> set[str]:
    """Findings and impressions of a set that are longer than a phrase."""
    texts = [json.loads(path.read_text()) for path in (TEXTS / name).glob("*.json")]
    found = {content for text in texts for label, content in text["expected_sections"].items() if label in SCORED}
    return {content for content in found if len(content) > PHRASE}


@pytest.mark.parametrize("name", SETS)
def test_every_text_has_a_language_and_every_label_stands_in_its_text(name: str) -> None:
    texts = [json.loads(path.read_text()) for path in sorted((TEXTS / name).glob("*.json"))]
    ids, faulty = len({text["id"] for text in texts}), sum(bool(faults(text)) for text in texts)
    assert (ids, faulty) == (SETS[name], 0)


def test_no_text_to_practise_on_is_held_out() -> None:
    common = len((scored("practice") | scored("practice_two") | scored("practice_three")) & scored("held_out"))
    assert common == 0


@pytest.mark.parametrize(
    ("name", "recall", "precision"),
    [("practice", 1.0, 1.0), ("practice_two", 0.98, 0.99), ("practice_three", 0.99, 0.99)],
)
def test_the_sections_of_the_texts_to_practise_on_are_found(name: str, recall: float, precision: float) -> None:
    sums = score(TEXTS / name)
    assert sums.english.recall >= recall and sums.english.precision >= precision
    assert sums.others.recall == sums.others.precision == 1.0


def test_of_texts_that_no_rule_was_made_for_nearly_all_sections_in_english_are_found_and_right() -> None:
    """A floor below the present score; the goal is 0.97 and 0.99."""
    english = score(TEXTS / "held_out").english
    recall, precision = round(english.recall, 4), round(english.precision, 4)
    assert recall >= 0.96 and precision >= 0.98, f"recall {recall}, precision {precision}"
