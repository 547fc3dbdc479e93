"""Sections of a text in the form that tests compare."""

from __future__ import annotations

from mappings.sections import cut

_TOLD = frozenset({"findings", "impression", "findings_impression"})


def pieces(text: str) -> list[tuple[str, str]]:
    """Label and content of every section that is not blank; the sections must add up to the text."""
    sections = cut(text)
    assert "".join(section.heading + section.body for section in sections) == text
    return [(section.label, section.content) for section in sections if section.content]


def told(text: str) -> list[tuple[str, str]]:
    """Only the findings and impressions of these."""
    return [piece for piece in pieces(text) if piece[0] in _TOLD]
