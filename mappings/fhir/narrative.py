"""Resource.text: what a resource says, readable without any software that knows FHIR.

https://hl7.org/fhir/R4/narrative.html: generated, escaped XHTML without scripts, images or links.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_OPEN = '<div xmlns="http://www.w3.org/1999/xhtml">'


def narrative(title: str, rows: Iterable[tuple[str, str | None]] = (), text: str | None = None) -> dict[str, str]:
    """Narrative: a title, one line for each row that says something, and a text with its line breaks kept.

    All strings must be N(text) already: XML cannot hold the characters that N removes.
    """
    shown = "\n".join(f"{name}: {value}" for name, value in rows if value)
    parts = [_OPEN, "<p><b>", escape(title, quote=False), "</b></p>"]
    if shown:
        parts += ["<p>", escape(shown, quote=False).replace("\n", "<br/>"), "</p>"]
    if text:
        parts += ["<pre>", escape(text, quote=False), "</pre>"]
    parts.append("</div>")
    return {"status": "generated", "div": "".join(parts)}
