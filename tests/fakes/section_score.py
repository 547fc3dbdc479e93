"""Score of the section cutter against a careful reader's findings and impressions.

`tests/report_texts/README.md` describes the texts and the count. Only sums leave this module, never the id of a text:
whoever changes the rules must not learn which text of the held-out set was cut wrongly.
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
    """Number of sections cut by a reader, by the cutter, and by both alike."""

    expected: int = 0
    found: int = 0
    right: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Add two tallies."""
        return Tally(self.expected + other.expected, self.found + other.found, self.right + other.right)

    @property
    def recall(self) -> float:
        """Share of the reader's sections that were found; 1 if there are none."""
        return self.right / self.expected if self.expected else 1.0

    @property
    def precision(self) -> float:
        """Share of the found sections that are right; 1 if none were found."""
        return self.right / self.found if self.found else 1.0

    @property
    def errors(self) -> int:
        """Number of sections missed or wrong."""
        return self.expected + self.found - 2 * self.right


@dataclass(frozen=True)
class Score:
    """Sums of a set of texts, for English and for other languages."""

    english: Tally
    others: Tally


def score(folder: Path) -> Score:
    """Sum over all texts of a folder; `Score.english.recall` and so on."""
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
    """Count one text against the reader's cut that is closest."""
    got = _scored((section.label, section.content) for section in cut(text["text"]))
    readings = [text, *text.get("expected_alternatives", ())]
    return min((_against(_reading(one), got) for one in readings), key=lambda counts: (counts.errors, -counts.right))


def _against(expected: Cut, got: Cut) -> Tally:
    return Tally(expected.total(), got.total(), (expected & got).total())


def _reading(one: dict[str, Any]) -> Cut:
    """Sections of a reader: labels that occur once, and pairs for those that occur more often."""
    return _scored([*one["expected_sections"].items(), *one.get("expected_repeated", ())])


def _scored(sections: Iterable[tuple[str, str]]) -> Cut:
    """Sections that count; a heading without content does not."""
    plain = ((label, _plain(content)) for label, content in sections)
    return Counter((label, content) for label, content in plain if label in SCORED and content)


def _plain(content: str) -> str:
    """Text as a reader sees it: white space collapsed, zero-width marks dropped."""
    return " ".join("".join(sign for sign in content if unicodedata.category(sign) != "Cf").split())
