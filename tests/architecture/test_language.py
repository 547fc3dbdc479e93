"""House rule: plain English. Docstrings begin with a verb or a noun, sentences are short, one word names one thing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for name in ("gateway", "mappings", "docs", "tests") for path in (ROOT / name).rglob("*.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "mappings" / "README.md"])
# First words of a line that has to be read twice
RIDDLES = frozenset({"how", "that", "what", "when", "where", "whether", "which", "who", "whom", "whose", "why"})
LONGEST = 25  # words of a sentence, for 95 of 100
GLOSSARY = ROOT / "docs" / "glossary.md"


def first_lines(path: Path) -> Iterator[str]:
    """Yield the first line of each docstring of a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                yield docstring.splitlines()[0]


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a document without its tables, headings, blocks of code and comments."""
    prose = re.sub(r"<!--.*?-->|^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for line in prose.splitlines() if not line.lstrip().startswith(("|", "#"))]
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", "\n".join(lines)):
        plain = re.sub(r"`[^`]*`", "x", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", paragraph))
        yield from re.split(r"(?<=[.!?:;])\s+(?=[A-Z(\u201c\"x])", " ".join(plain.split()))


def avoided() -> list[str]:
    """Return the phrases that the glossary marks with a dagger."""
    return re.findall(r"([a-z][a-z ]+?) \u2020", GLOSSARY.read_text("utf-8").partition("| word |")[2])


@pytest.mark.full
def test_no_docstring_begins_with_a_question() -> None:
    lines = {(str(path.relative_to(ROOT)), line) for path in SOURCES for line in first_lines(path)}
    assert sorted(place for place in lines if place[1].split()[0].strip(",:").lower() in RIDDLES) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_sentences_of_a_document_are_short(path: Path) -> None:
    found = sorted((len(sentence.split()), sentence) for sentence in sentences(path.read_text("utf-8")) if sentence)
    if path.name == "CHANGELOG.md" or not found:
        return
    count, sentence = found[int((len(found) - 1) * 0.95)]
    assert count <= LONGEST, sentence


def test_no_phrase_that_the_glossary_avoids_stands_in_a_document_a_name_or_a_docstring() -> None:
    phrases = avoided()
    assert len(phrases) >= 5
    documents = [path for path in DOCUMENTS if path not in {GLOSSARY, ROOT / "CHANGELOG.md"}]
    texts = {path: path.read_text("utf-8") for path in [*documents, *(ROOT / "gateway").rglob("*.py")]}
    found = [
        f"{path.relative_to(ROOT)}: {phrase}"
        for path, text in texts.items()
        for phrase in phrases
        if re.search(rf"\b{phrase}\b|\b{phrase.replace(' ', '_')}\b", text.lower())
    ]
    assert found == []


def test_the_glossary_has_at_most_sixty_words() -> None:
    rows = [line for line in GLOSSARY.read_text("utf-8").splitlines() if line.startswith("| ")]
    assert len(rows) - 1 <= 60
