"""What a text is cut into, as a test reads it."""

from __future__ import annotations

from mappings.sections import cut

_TOLD = frozenset({"findings", "impression", "findings_impression"})


def pieces(text: str) -> list[tuple[str, str]]:
    """Label and content of every section that says something; the text itself must be whole."""
    sections = cut(text)
    assert "".join(section.heading + section.body for section in sections) == text
    return [(section.label, section.content) for section in sections if section.content]


def told(text: str) -> list[tuple[str, str]]:
    """Of these the findings and the impressions."""
    return [piece for piece in pieces(text) if piece[0] in _TOLD]
