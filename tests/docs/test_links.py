"""Links between the documents, and from the code to them, lead to a file and a heading that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.feed.alerts.conditions import ROWS, RUNBOOK

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "mappings" / "README.md"])
LINK = re.compile(r"\]\((?!https?:)([^)\s#]*)(?:#([^)\s]+))?\)")
IN_CODE = re.compile(r"\b(docs/[\w/-]+\.(?:md|toml))(?:#([\w-]+))?")


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    text = re.sub(r"^ *```.*?^ *```", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", one).lower()).replace(" ", "-")
        for one in headings
    }


def broken(path: Path, text: str) -> Iterator[str]:
    """Yield each link of a document that leads nowhere, with its line."""
    for number, line in enumerate(text.splitlines(), 1):
        for target, anchor in LINK.findall(line):
            file = (path.parent / target).resolve() if target else path
            if not file.exists():
                yield f"{path.relative_to(ROOT)}:{number}: there is no file {target}"
            elif anchor and file.suffix == ".md" and anchor not in anchors(file):
                yield f"{path.relative_to(ROOT)}:{number}: {target or path.name} has no heading #{anchor}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_document_leads_to_a_file_and_a_heading(path: Path) -> None:
    # A link may be broken over two lines; its address never is
    assert list(broken(path, path.read_text("utf-8"))) == []


def test_a_link_to_a_heading_that_is_not_there_is_found() -> None:
    path = ROOT / "docs" / "feed.md"
    assert list(broken(path, "[a](runbooks.md#no-such)\n[b](none.md)\n[c](#alerts)")) == [
        "docs/feed.md:1: runbooks.md has no heading #no-such",
        "docs/feed.md:2: there is no file none.md",
    ]


def test_every_document_that_the_code_names_exists_with_its_heading() -> None:
    named = [
        (path, file, anchor)
        for folder in ("gateway", "mappings")
        for path in (ROOT / folder).rglob("*.py")
        for file, anchor in IN_CODE.findall(path.read_text("utf-8"))
    ]
    assert len(named) > 10
    assert [one for one in named if not (ROOT / one[1]).exists()] == []
    assert [one for one in named if one[2] and one[2] not in anchors(ROOT / one[1])] == []


def test_the_runbook_that_an_alert_carries_is_a_heading() -> None:
    assert ROWS.keys() - anchors(ROOT / RUNBOOK) == set()


def test_the_readme_has_at_most_130_lines() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 130


def test_every_document_is_reached_from_the_readme() -> None:
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path not in seen and path.suffix == ".md":
            seen.add(path)
            waiting += [
                (path.parent / target).resolve() for target, _ in LINK.findall(path.read_text("utf-8")) if target
            ]
    assert sorted(path.name for path in set(DOCUMENTS) - seen) == []
