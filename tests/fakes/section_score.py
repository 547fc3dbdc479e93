"""How well the cutter finds what a careful reader calls the findings and the impression of a report text.

`tests/report_texts/README.md` says what the texts are and what counts. Only sums leave this module, never the id of a
text: whoever changes the rules must not learn which text of the held-out set was cut wrongly.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mappings.sections import cut

SCORED = frozenset({"findings", "impression", "findings_impression"})
Cut = Counter[tuple[str, str]]


@dataclass(frozen=True)
class Tally:
    """How many sections a reader cuts, how many the cutter cuts, and how many of both are the same."""

    expected: int = 0
    found: int = 0
    right: int = 0

    def __add__(self, other: Tally) -> Tally:
        """The two counted together."""
        return Tally(self.expected + other.expected, self.found + other.found, self.right + other.right)

    @property
    def recall(self) -> float:
        """The share of the reader's sections that were found; 1 where there are none."""
        return self.right / self.expected if self.expected else 1.0

    @property
    def precision(self) -> float:
        """The share of the found sections that are right; 1 where none were found."""
        return self.right / self.found if self.found else 1.0

    @property
    def errors(self) -> int:
        """Sections that were missed and sections that are wrong."""
        return self.expected + self.found - 2 * self.right


@dataclass(frozen=True)
class Score:
    """The sums of a set of texts, those in English apart from those in other languages."""

    english: Tally
    others: Tally


def score(folder: Path) -> Score:
    """The sums over all texts of a folder; `Score.english.recall` and so on."""
    english, others = Tally(), Tally()
    for path in sorted(folder.glob("*.json")):
        text = json.loads(path.read_text())
        try:
            counts = tally(text)
        except Exception:
            raise AssertionError("the cutter raised on a text of the set") from None
        if "lang:en" in text["tags"]:
            english += counts
        else:
            others += counts
    return Score(english, others)


def tally(text: dict[str, Any]) -> Tally:
    """The counts of one text, held against the cut of a reader that is closest."""
    got = _scored((section.label, section.content) for section in cut(text["text"]))
    readings = [text, *text.get("expected_alternatives", ())]
    return min((_against(_reading(one), got) for one in readings), key=lambda counts: (counts.errors, -counts.right))


def _against(expected: Cut, got: Cut) -> Tally:
    return Tally(expected.total(), got.total(), (expected & got).total())


def _reading(one: dict[str, Any]) -> Cut:
    """The sections of a reader: labels that occur once, and pairs of those that occur more often."""
    return _scored([*one["expected_sections"].items(), *one.get("expected_repeated", ())])


def _scored(sections: Iterable[tuple[str, str]]) -> Cut:
    """The sections that count; a heading with nothing under it is none."""
    plain = ((label, _plain(content)) for label, content in sections)
    return Counter((label, content) for label, content in plain if label in SCORED and content)


def _plain(content: str) -> str:
    """The text as a reader sees it: white space collapsed, marks without width dropped."""
    return " ".join("".join(sign for sign in content if unicodedata.category(sign) != "Cf").split())
