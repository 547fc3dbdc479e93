r"""Write the NTE segments: a disclaimer after OBR, a critical result and technologist notes after OBX.

HL7 v2.5.1 §2.15.10, §2.A.34 (FT). The report's own text never stands in an NTE: receivers file comments elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mappings.hl7v2.er7 import LINE_BREAK, NOT_NULL, NULL, Table, escape, layout
from mappings.hl7v2.result import Result
from mappings.values.text import character_issues, lines, normal_form

CRITICAL: Final = "CRITICAL RESULT"


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment and the place of its text, "" for the receiver's profile; `number` counts comments in one place."""

    result: Result
    number: int
    text: str
    pointer: str


def nte_3_comment(comment: Comment) -> str:
    """NTE-3 Comment <- study.technologistTechnique, technologistNotes, or text of the receiver's profile.

    N(text) as formatted text, FT.

    HL7 v2.5.1 §2.15.10.3.
    """
    comment.result.issues.extend(character_issues(comment.text, comment.pointer))
    rows = LINE_BREAK.join(escape(row) for row in lines(normal_form(comment.text).strip()))
    return comment.result.fit("NTE", 3, rows if rows != NULL else NOT_NULL, comment.pointer)


# NTE-2: table 0105, `L` is the filler
NTE: Final[Table[Comment]] = {1: lambda comment: str(comment.number), 2: "L", 3: nte_3_comment}
_NTE: Final = layout(NTE, "NTE")


def disclaimer_segments(result: Result) -> list[str]:
    """Write the NTE after OBR: the disclaimer of the receiver's profile, if it has one."""
    if result.receiver.nte not in ("disclaimer", "both"):
        return []
    return _segments(result, [(result.receiver.disclaimer, "")])


def note_segments(result: Result, *, is_critical: bool, is_last: bool) -> list[str]:
    """Write the NTE after one OBX: a critical result if the profile marks it so, after the last also the notes."""
    comments = [(CRITICAL, "")] if is_critical and result.receiver.critical == "nte" else []
    if is_last and result.receiver.nte in ("notes", "both"):
        study = result.study
        comments.append((study.technologist_technique or "", "/technologistTechnique"))
        comments += [(note, f"/technologistNotes/{number}") for number, note in enumerate(study.technologist_notes)]
    return _segments(result, comments)


def _segments(result: Result, comments: Iterable[tuple[str, str]]) -> list[str]:
    written = (comment for comment in comments if normal_form(comment[0]).strip())
    return [_NTE.render(Comment(result, number, *comment)) for number, comment in enumerate(written, 1)]
