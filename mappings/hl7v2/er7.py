r"""Write HL7 v2 fields, components, repetitions and segments as text (ER7), with every value escaped.

HL7 v2.5.1 §2.5 (delimiters), §2.6 (construction rules), §2.7.1 (escape sequences), §2.5.3.5 (null), decision D2.

A value may hold anything. Only the delimiters of this module are delimiters in the output, and only the CR that ends a
segment is a control character. Values pass through N(text) (mappings/values/text.py), so no LF, VT or FS ever gets out.
Nothing is cut. A field of only `""` would tell the receiver to delete its value, so a value of exactly that gets one
blank at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from mappings.values.text import lines, normal_form

FIELD: Final = "|"
COMPONENT: Final = "^"
REPETITION: Final = "~"
ESCAPE: Final = "\\"
SUBCOMPONENT: Final = "&"
ENCODING_CHARACTERS: Final = COMPONENT + REPETITION + ESCAPE + SUBCOMPONENT
SEGMENT_END: Final = "\r"
NULL: Final = '""'
NOT_NULL: Final = NULL + " "
LINE_BREAK: Final = "\\.br\\"  # of formatted text (FT), §2.7.6

Context = TypeVar("Context")
Table = Mapping[int, str | Callable[[Context], str]]


def escape(text: str) -> str:
    r"""Escape the five delimiters as `\E\ \F\ \S\ \R\ \T\`; the escape character itself goes first."""
    return (
        text.replace("\\", "\\E\\")
        .replace("|", "\\F\\")
        .replace("^", "\\S\\")
        .replace("~", "\\R\\")
        .replace("&", "\\T\\")
    )


def value(text: str | None) -> str:
    """Write a one-line value: N(text) without outer white space, its lines joined by a blank, escaped; "" for None."""
    if not text or text.isalnum():
        return text or ""
    plain = (text if text.isprintable() else " ".join(lines(text))).strip()
    return escape(plain) if plain != NULL else NOT_NULL


def is_one_line(text: str) -> bool:
    """True unless `value` joins lines of the text."""
    return "\n" not in normal_form(text).strip()


def components(*parts: str) -> str:
    """Join components that are already escaped; empty ones at the end are left out."""
    return COMPONENT.join(parts).rstrip(COMPONENT)


def subcomponents(*parts: str) -> str:
    """Join sub-components that are already escaped; empty ones at the end are left out."""
    return SUBCOMPONENT.join(parts).rstrip(SUBCOMPONENT)


def repetitions(parts: Iterable[str]) -> str:
    """Join the repetitions of a field."""
    return REPETITION.join(parts)


@dataclass(frozen=True, slots=True)
class Layout(Generic[Context]):
    """Compiled table of a segment: the constant text around its functions, and the functions in order."""

    text: str
    functions: tuple[Callable[[Context], str], ...]

    def render(self, context: Context) -> str:
        """Write the fields with the functions' results for `context`; empty fields at the end are left out."""
        return (self.text % tuple([function(context) for function in self.functions])).rstrip(FIELD)


def layout(table: Table[Context], name: str = "", first: int = 1, last: int = 0) -> Layout[Context]:
    """Compile the layout of a segment, or without a name that of its fields `first` to `last`.

    A row of the table is the field's text, or the function that writes it; MSH-1 is the separator after the name.
    """
    rows = [table.get(number, "") for number in range(2 if name == "MSH" else first, (last or max(table)) + 1)]
    texts = [row.replace("%", "%%") if isinstance(row, str) else "%s" for row in rows]
    functions = tuple(row for row in rows if not isinstance(row, str))
    return Layout(FIELD.join([name, *texts] if name else texts), functions)
