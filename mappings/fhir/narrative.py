"""Build a resource's narrative (Resource.text): the content, readable without software that knows FHIR.

https://hl7.org/fhir/R4/narrative.html: generated, escaped XHTML without scripts, images or links.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

CRITICAL: Final = "CRITICAL RESULT"
"""First line of a critical report's narrative."""


def narrative(
    title: str, rows: Sequence[tuple[str, str | None]] = (), text: str | None = None, *, alert: str = ""
) -> dict[str, str]:
    """Build a Narrative: a title, one line for each row with a value, and a text with its line breaks kept.

    An `alert` stands above everything else; long lines of the text wrap. All strings must be N(text) already: XML
    cannot hold the characters that N removes.
    """
    div = '<div xmlns="http://www.w3.org/1999/xhtml">'
    for line in filter(None, (alert, title)):
        div += f"<p><b>{_escape(line)}</b></p>"
    if shown := "\n".join([f"{name}: {value}" for name, value in rows if value]) if rows else "":
        div += f"<p>{_escape(shown).replace(chr(10), '<br/>')}</p>"
    if text:
        div += f'<pre style="white-space: pre-wrap">{_escape(text)}</pre>'
    return {"status": "generated", "div": f"{div}</div>"}


def _escape(text: str) -> str:
    """Escape the characters with a meaning between tags; attributes, with their quotes, are never written."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
