r"""The ER7 encoder: fields, components, repetitions and segments as text, with every value escaped in one pass.

HL7 v2.5.1 §2.5 (delimiters), §2.6 (construction rules), §2.7.1 (escape sequences), §2.5.3.5 (null), decision D2.

A value may hold anything. Of what is written only the delimiters of this module are delimiters, and only the CR that
ends a segment is a control character: values pass N(text) (mappings/text.py), so no LF, VT or FS ever gets out.
Nothing is cut. Alone in a field, `""` would tell the receiver to delete what it has; a value of exactly that gets one
blank behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from mappings.text import lines, normal_form

FIELD: Final = "|"
COMPONENT: Final = "^"
REPETITION: Final = "~"
ESCAPE: Final = "\\"
SUBCOMPONENT: Final = "&"
ENCODING_CHARACTERS: Final = COMPONENT + REPETITION + ESCAPE + SUBCOMPONENT
SEGMENT_END: Final = "\r"
NULL: Final = '""'
NOT_NULL: Final = NULL + " "

# MSH-18 (table 0211) -> the name Python's codecs have for it
CHARSETS: Final[dict[str, str]] = {"UNICODE UTF-8": "utf-8"}

Context = TypeVar("Context")
Table = Mapping[int, str | Callable[[Context], str]]


def escape(text: str) -> str:
    r"""The text with the five delimiters as `\E\ \F\ \S\ \R\ \T\`; the escape character itself goes first."""
    return (
        text.replace("\\", "\\E\\")
        .replace("|", "\\F\\")
        .replace("^", "\\S\\")
        .replace("~", "\\R\\")
        .replace("&", "\\T\\")
    )


def value(text: str | None) -> str:
    """A value of one line: N(text) without outer white space, its lines joined by a blank, escaped; "" for None."""
    if not text:
        return ""
    plain = (text if text.isprintable() else " ".join(lines(text))).strip()
    return escape(plain) if plain != NULL else NOT_NULL


def is_one_line(text: str) -> bool:
    """False where `value` joins lines."""
    return "\n" not in normal_form(text).strip()


def components(*parts: str) -> str:
    """Components of values that are escaped already; empty ones at the end are left out."""
    return COMPONENT.join(parts).rstrip(COMPONENT)


def subcomponents(*parts: str) -> str:
    """Sub-components of values that are escaped already; empty ones at the end are left out."""
    return SUBCOMPONENT.join(parts).rstrip(SUBCOMPONENT)


def repetitions(parts: Iterable[str]) -> str:
    """Repetitions of a field."""
    return REPETITION.join(parts)


def fields(table: Table[Context], first: int, last: int, context: Context) -> str:
    """Fields `first` to `last` of a segment's table: a row is the field's text or the function that makes it."""
    rows = [table.get(number, "") for number in range(first, last + 1)]
    return FIELD.join([row if isinstance(row, str) else row(context) for row in rows])


def segment(name: str, table: Table[Context], context: Context) -> str:
    """A whole segment; empty fields at the end are left out."""
    first = 2 if name == "MSH" else 1  # MSH-1 is the separator that follows the name
    return f"{name}{FIELD}{fields(table, first, max(table), context)}".rstrip(FIELD)


def message(segments: Iterable[str], charset: str) -> bytes:
    """The message as bytes: each segment ended by CR, in the charset that its MSH-18 names."""
    return "".join([text + SEGMENT_END for text in segments]).encode(CHARSETS[charset])
