"""Prepare a report's text for the search for headings: blank out HTML tags, read spaced letters as words, keep offsets.

Carries out no clause of a standard: markup in a plain text is a custom of the systems.

Headings are searched in this form and cut in the original text, so both have the same length.
Proved by tests/mappings/sections/test_forms.py.
"""

from __future__ import annotations

import re
from typing import Final

_ATTRIBUTES: Final = r"(?:\s[^<>]{0,200})?/?>"
_BLOCK: Final = rf"</?(?:p|br|div|h[1-6]|li|ul|ol|tr|td|table|hr){_ATTRIBUTES}"
_INLINE: Final = rf"</?(?:b|strong|i|em|u|span|font){_ATTRIBUTES}"
_BREAK: Final = r"\\\.br\\"  # a line break of HL7 v2 that was not undone
_BREAKING: Final = re.compile(f"{_BLOCK}|{_BREAK}", re.IGNORECASE)
_FORMATTING: Final = re.compile(_INLINE, re.IGNORECASE)
_TAGS: Final = re.compile(rf"(?<!\s)(?:\s*+(?:{_BLOCK}|{_INLINE}|{_BREAK}))++", re.IGNORECASE)
# F I N D I N G S
_SPACED: Final = re.compile(r"(?:[A-Z] {1,3}){3,40}[A-Z](?![A-Za-z])")
_AROUND: Final = " \t\r\n:*#=_~+<>|[]{}-\u2013\u2014\u2022\u25a0\u25aa\u25b6\u25ba\u25c6\u25cf\u2192"


def as_read(text: str) -> str:
    """Replace tags by line breaks and blanks."""
    if _has_tags(text):
        text = _BREAKING.sub(lambda found: "\n".ljust(len(found[0])), text)
        text = _FORMATTING.sub(lambda found: " " * len(found[0]), text)
    return text


def _has_tags(text: str) -> bool:
    return "</" in text or "\\.br\\" in text


def drawn_together(line: str) -> str:
    """Join the letters of spaced words at the start of the line; padding keeps its length."""
    match = _SPACED.match(line)
    if not match:
        return line
    words = [word.replace(" ", "") for word in re.split(r"\s{2,}", match[0].strip())]
    return " ".join(words).rjust(match.end()) + line[match.end() :]


def tags(text: str) -> list[tuple[int, int]]:
    """Spans of runs of tags and breaks, with the white space before them."""
    return [found.span() for found in _TAGS.finditer(text)] if _has_tags(text) else []


def heading_words(heading: str) -> str:
    """Words of a heading without the tags, rules and marks around them."""
    return as_read(heading).strip(_AROUND)
