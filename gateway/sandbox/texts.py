"""Write a synthetic report text for a clinical case, in various styles of radiologists and report templates.

Carries out no clause of a standard: AutoScribe's report is free text.
Proved by tests/gateway/sandbox/test_seed.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.sandbox.dice import Dice
from gateway.sandbox.procedures import Procedure, ReportCase

Sections = Sequence[tuple[str, tuple[str, ...]]]

COMPARISONS: Final = (
    "None.",
    "None available.",
    "Radiograph of the same region, 14 months earlier.",
    "Outside CT, images not available.",
)
LEVELS: Final = ("C5-C6", "C6-C7", "T11", "L3", "L4")
ADDENDA: Final = (
    "ADDENDUM: Prior images have become available. There is no change against the prior study. The impression stands.",
    "ADDENDUM:\nThe side named in the second line of the findings was dictated in error and is corrected.",
    "Addendum: Results were discussed with the referring physician by telephone, who confirmed understanding.",
    "On further review there is a 3 mm calcified granuloma, of no clinical significance.",
    "ADDENDUM REPORT\r\n\r\nFINDINGS: Additional images were reviewed.\r\n\r\nIMPRESSION: No additional abnormality.",
)


@dataclass(frozen=True, slots=True)
class WrittenText:
    """Content of a report to be signed: procedure, indication, text, and criticality."""

    procedure: str
    indication: str
    text: str
    is_critical: bool


def write(procedure: Procedure, case: ReportCase, dice: Dice, style: str | None = None) -> WrittenText:
    """Write the report of a case in one of `STYLES`, drawn at random by default."""
    side, level, number = dice.pick(("left", "right")), dice.pick(LEVELS), str(dice.integer(3, 9))

    def filled(text: str) -> str:
        chosen = side.upper() if text.replace("{side}", "").isupper() else side
        text = text.replace("{side}", chosen).replace("{n}", number).replace("{level}", level)
        return text[:1].upper() + text[1:]

    name, indication = filled(procedure.procedure), filled(dice.pick(procedure.indications))
    sections: list[tuple[str, tuple[str, ...]]] = [
        ("EXAMINATION", (name,)),
        ("CLINICAL INDICATION", (indication,)),
        ("TECHNIQUE", (procedure.technique,)),
        ("COMPARISON", (dice.pick(COMPARISONS),)),
        ("FINDINGS", tuple(map(filled, case.findings))),
        ("IMPRESSION", tuple(map(filled, case.impression))),
    ]
    if case.recommendation:
        sections.append(("RECOMMENDATION", (filled(case.recommendation),)))
    if case.critical:
        sections.append(("CRITICAL RESULT", ("Called to the referring service, read back and confirmed.",)))
    return WrittenText(name, indication, STYLES[style or dice.pick(tuple(STYLES))](sections), case.critical)


def _block(sections: Sections) -> str:
    return "\n\n".join(f"{heading}:\n" + "\n".join(_numbered(heading, lines)) for heading, lines in sections)


def _upper_inline(sections: Sections) -> str:
    return "\n".join(f"{heading}: " + " ".join(lines) for heading, lines in sections)


def _title_case(sections: Sections) -> str:
    return "\n\n".join(f"{heading.title()}: " + "\n".join(lines) for heading, lines in sections)


def _windows(sections: Sections) -> str:
    return "\r\n\r\n".join(f"{heading}:\r\n" + "\r\n".join(lines) for heading, lines in sections)


def _one_line(sections: Sections) -> str:
    wanted = [(heading, lines) for heading, lines in sections if heading in {"FINDINGS", "IMPRESSION"}]
    return " ".join(f"{heading}: " + " ".join(lines) for heading, lines in wanted)


def _marked_up(sections: Sections) -> str:
    return "\n\n".join(f"**{heading}:**\n" + "\n".join(f"- {line}" for line in lines) for heading, lines in sections)


def _other_words(sections: Sections) -> str:
    words = {"EXAMINATION": "EXAM", "CLINICAL INDICATION": "REASON FOR EXAM", "IMPRESSION": "CONCLUSION"}
    return _block([(words.get(heading, heading), lines) for heading, lines in sections])


def _prose(sections: Sections) -> str:
    return " ".join(line for heading, lines in sections if heading in {"FINDINGS", "IMPRESSION"} for line in lines)


def _numbered(heading: str, lines: tuple[str, ...]) -> tuple[str, ...]:
    if heading not in {"IMPRESSION", "CONCLUSION"} or len(lines) == 1:
        return lines
    return tuple(f"{number}. {line}" for number, line in enumerate(lines, start=1))


STYLES: Final[dict[str, Callable[[Sections], str]]] = {
    "block": _block,
    "upper-inline": _upper_inline,
    "title-case": _title_case,
    "windows": _windows,
    "one-line": _one_line,
    "marked-up": _marked_up,
    "other-words": _other_words,
    "prose": _prose,
}
