"""Render the OpenAPI document as one HTML page, without scripts or external files, with examples as links.

https://html.spec.whatwg.org/multipage/, https://www.w3.org/TR/CSP3/: the policy allows the style by its hash only.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:.5em 0}td,th{text-align:left;vertical-align:top;padding:.2em 1em .2em 0;"
    "border-top:1px solid #ccc}code{font-family:ui-monospace,monospace}summary{cursor:pointer;padding:.2em 0}"
    "details{margin-left:1em}a{overflow-wrap:anywhere}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def page(document: Mapping[str, Any]) -> str:
    """Render the document as an HTML page."""
    info = document["info"]
    tags: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            tags.setdefault(operation["tags"][0], []).append(_request(method, path, operation))
    sections = "".join(f"<h2>{escape(tag)}</h2>{''.join(shown)}" for tag, shown in tags.items())
    title = escape(f"{info['title']} {info['version']}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"</head><body><h1>{title}</h1><p>{escape(info['description'])}</p>"
        f'<p>For programs: <a href="/openapi.json">/openapi.json</a></p>{sections}</body></html>'
    )


def _request(method: str, path: str, one: Mapping[str, Any]) -> str:
    head = f"<summary><code>{method.upper()} {escape(path)}</code></summary><p>{escape(one['summary'])}</p>"
    return f"<details>{head}{_links(one)}{''.join(_parameters(one))}</details>"


def _links(one: Mapping[str, Any]) -> str:
    """Render the example requests as links."""
    rows = "".join(
        f'<li><a href="{escape(example)}">{escape(example)}</a></li>' for example in one.get("x-examples", ())
    )
    return f"<p>Try:</p><ul>{rows}</ul>" if rows else ""


def _parameters(one: Mapping[str, Any]) -> Iterator[str]:
    rows = one.get("parameters", ())
    if not rows:
        return
    yield "<table><tr><th>parameter</th><th>in</th><th>means</th><th>example</th></tr>"
    for row in rows:
        cells = (
            f"<code>{escape(row['name'])}</code>",
            row["in"],
            escape(row.get("description", "")),
            f"<code>{escape(str(row.get('example', '')))}</code>",
        )
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    yield "</table>"
