"""Reports and their addenda in all three forms; each statement contains a word that occurs nowhere else (D36)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from fakes.oru_example import addendum, report, study

from mappings.model import Study

T = TypeVar("T")
WORD = re.compile(r"[AO]\d+[a-z]+")
SIGNATURE = "\nElectronically signed by ALEX SMITH MD"
_BODIES = ("", "Lungs are clear.", "TECHNIQUE: CT.\nFINDINGS: Lungs are clear.", "HISTORY: Fall.")


class Choose(Protocol):
    """Function that chooses one of several things: `random.Random(7).choice`, or a draw of a property test."""

    def __call__(self, things: Sequence[T], /) -> T: ...


@dataclass(frozen=True)
class Life:
    """A report and its addenda in signing order, with the word of each statement; `own` is that of its own addendum."""

    study: Study
    impression: str
    own: str
    addenda: tuple[str, ...]
    critical: tuple[str, ...]

    @property
    def concluded(self) -> list[str]:
        """Words of the conclusion: each addendum, the newest first, then the report's own statements."""
        return [*reversed(self.addenda), *filter(None, (self.own, self.impression))]


def life(choose: Choose) -> Life:
    """Make a report with up to three addenda."""
    original, impression, own = _original(choose)
    reports: list[dict[str, Any]] = [report(reportPlainText=original, isCritical=choose((True, False, None)))]
    words: list[str] = []
    for number in range(1, choose((0, 1, 2, 3)) + 1):
        text, word = _addendum(choose, number, original)
        signed = {"signedAt": f"2026-01-0{5 + number}T17:45:00Z", "reportId": f"rep_{number:032x}"}
        reports.append(addendum(**signed, reportPlainText=text, isCritical=choose((True, False, None))))
        words.append(word)
    critical = [word for word, each in zip(("", *words), reports, strict=True) if each["isCritical"]]
    return Life(study(*reports), impression, own, tuple(words), tuple(critical))


def words_of(text: str) -> list[str]:
    """Words that identify statements, each at its first place."""
    return list(dict.fromkeys(WORD.findall(text)))


def _original(choose: Choose) -> tuple[str, str, str]:
    """Make a report's text, with the word of its impression and of its own ADDENDUM section, "" if missing."""
    body, impression = choose(_BODIES), choose(("", "O0imp"))
    own = choose(("", "O0own")) if body or impression else ""
    parts = [body, f"IMPRESSION: {impression} is stable." if impression else ""]
    added = f"ADDENDUM: {own} is new." if own else ""
    is_above = "FINDINGS" in body and choose((True, False))
    text = "\n\n".join(part for part in ([added, *parts] if is_above else [*parts, added]) if part)
    return (text or "Lungs are clear.") + choose(("", SIGNATURE)), impression, own


def _addendum(choose: Choose, number: int, original: str) -> tuple[str, str]:
    """Make an addendum's text in one of the three forms, with the word of its statement."""
    word = f"A{number}add"
    added = choose((f"{word} is seen.", f"ADDENDUM: {word} is seen.", f"*** ADDENDUM ***\n{word} is seen."))
    plain = original.removesuffix(SIGNATURE)
    forms = [
        added,
        f"FINDINGS: Reviewed again.\nIMPRESSION: {word} is seen.",
        f"{added}\n\n{original}",
        f"{original}\n\n{added}",
    ]
    if "ADDENDUM" in added and "ADDENDUM" not in plain and "FINDINGS" in plain:
        edited = plain.replace("Lungs are", "The lungs are")
        forms += [f"{added}\n\n{edited}", f"{edited}\n\n{added}"]
    return choose(forms), word
