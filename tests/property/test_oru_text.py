r"""Law of the report's text: in every combination of its switches it reads back as N(text) (D5, D34).

Only the losses in the table of mappings/hl7v2/obx_values.py are allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from unicodedata import category

import pytest
from fakes import er7_reader
from fakes.oru_example import addendum, report, send, sent, study
from fakes.scale import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mappings.codes import CHARSETS
from mappings.profile import Receiver, receiver, switches
from mappings.study.conclusion import ABSENT
from mappings.values.text import normal_form

GENERIC = receiver("generic")
# In formatted text `\.br\` separates lines, but `\E\.br\E\` is a text, so it is read from left to right
_SEQUENCE = re.compile(r"\\(\.br|[EFSRT])\\")
_KNOWN = {".br": "\n", "E": "\\", "F": "|", "S": "^", "R": "~", "T": "&"}
LIMITS = settings(max_examples=examples(40))


def values(name: str) -> tuple[str, ...]:
    found: tuple[str, ...] = switches()[name].metadata["values"]
    return found


STYLES = list(product(values("text"), values("blank_line"), values("wrap"), values("obx3_style")))
OTHERS = ("critical", "nte", "uid", "uid_type", "vitals", "charset", "escape", "zsegments")
PIECES = st.sampled_from(
    (
        *("FINDINGS:", "IMPRESSION:", "TECHNIQUE: ", " ", "\n", "\n\n", "\r\n", "\t", "\u2028", ". ", "\x00", "\x1c"),
        *(
            "|",
            "^",
            "~",
            "&",
            "\\",
            "\\.br\\",
            '""',
            "a",
            "word " * 20,
            "x" * 90,
            "e\u0301" * 50,
            "\u201c\u201d",
            "\u2265",
        ),
    )
)
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=20).map("".join))


def said(text: str) -> list[str]:
    """Lines of N(text), or the line that replaces a blank text."""
    form = normal_form(text)
    return form.split("\n") if form.strip() else [ABSENT]


def observations(message: bytes, codec: str = "utf-8") -> Iterator[list[str]]:
    """Yield the OBX of the report's text as fields, read independently of the encoder."""
    for segment in message.decode(codec).split("\r"):
        fields = segment.split("|")
        if fields[0] == "OBX" and fields[2] in ("TX", "FT", "ST") and not fields[3].startswith("113014"):
            yield fields


def read(message: bytes, to: Receiver) -> list[str]:
    """Return the lines that a receiver shows."""
    shown_lines: list[str] = []
    for row in observations(message):
        if row[2] == "FT":
            shown_lines += _SEQUENCE.sub(lambda match: _KNOWN[match[1]], "" if row[5] == " " else row[5]).split("\n")
        else:
            parts = row[5].split("~") if row[2] == "TX" else [row[5]]
            shown_lines += [shown(er7_reader.unescape(part), to) for part in parts]
    return shown_lines


def shown(line: str, to: Receiver) -> str:
    return "" if line == " " and to.blank_line == "space" else line


def expected(text: str, to: Receiver) -> list[str]:
    """Lines of N(text) as read back: a line of `""` has a blank after it, and the switches' losses are applied."""
    rows = [line if line != '""' else '"" ' for line in said(text)]
    if to.blank_line == "omit":
        rows = [line for line in rows if line.strip()]
    return [line if to.text == "ft" else shown(line, to) for line in rows]


@pytest.mark.parametrize("style", STYLES, ids="-".join)
@settings(max_examples=8)
@given(text=TEXTS, is_critical=st.booleans())
@example(text="\n\nIMPRESSION:\n\n", is_critical=True)
@example(text="FINDING\r ", is_critical=True)
@example(text='"" \n""\n \n  ', is_critical=False)
@example(text="x" * 75 + '""' + "\n" + "y" * 80 + '""', is_critical=False)
@example(text="FINDINGS: a. IMPRESSION: b|\\.br\\\n\\", is_critical=True)
def test_the_text_reads_back_in_every_style(style: tuple[str, str, str, str], text: str, is_critical: bool) -> None:
    to = replace(GENERIC, **dict(zip(("text", "blank_line", "wrap", "obx3_style"), style, strict=True)))
    message = sent(study(report(reportPlainText=text, isCritical=is_critical)), to=to)
    found = read(message, to)
    if to.wrap == "none":
        assert found == expected(text, to)
    else:
        assert compact(found) == compact(expected(text, to))
    assert any(row[8] for row in observations(message)) is (is_critical and any(line.strip() for line in said(text)))


def compact(lines: list[str]) -> str:
    """Join lines in the form that wrapping keeps comparable: without blanks."""
    return "".join(lines).replace(" ", "")


@pytest.mark.parametrize("width", ["75", "80"])
@LIMITS
@given(text=TEXTS, charset=st.sampled_from(values("charset")))
def test_no_line_is_longer_than_the_receiver_has_it(width: str, text: str, charset: str) -> None:
    to = replace(GENERIC, wrap=width, charset=charset)
    message = sent(study(report(reportPlainText=text)), to=to)
    for row in observations(message, CHARSETS[charset]):
        line = er7_reader.unescape(row[5])
        assert len(line) <= int(width) or all(category(mark)[0] in "MC" for mark in line[1:])


@LIMITS
@given(
    text=TEXTS,
    style=st.sampled_from(STYLES),
    others=st.fixed_dictionaries({name: st.sampled_from(values(name)) for name in OTHERS}),
)
def test_every_combination_gives_a_message_of_numbered_segments(
    text: str, style: tuple[str, str, str, str], others: dict[str, str]
) -> None:
    names = ("text", "blank_line", "wrap", "obx3_style")
    to = replace(GENERIC, disclaimer=text, critical_code=text, **dict(zip(names, style, strict=True)), **others)
    what = study(
        report(reportPlainText=text, isCritical=True), addendum(reportPlainText=text), technologistNotes=[text]
    )
    mapped = send(what, to=to)
    assert mapped == send(what, to=to)
    assert mapped.output is not None
    codec = CHARSETS[to.charset]
    segments = mapped.output.decode(codec).split("\r")
    assert segments.pop() == ""
    assert not re.search("[\x00-\x1f\x7f]", "".join(segments))
    fields = [segment.split("|") for segment in segments]
    numbers = [int(row[1]) for row in fields if row[0] == "OBX"]
    assert numbers == list(range(1, len(numbers) + 1))
    assert not any('""' in row for row in fields if row[0] != "MSH")
    assert {row[0] for row in fields} <= {"MSH", "PID", "PV1", "ORC", "OBR", "NTE", "TQ1", "OBX", "ZDS"}
    assert numbered_comments(fields)


def numbered_comments(fields: list[list[str]]) -> bool:
    """True if the comments after each segment are counted from 1."""
    before = 0
    for row in fields:
        number = int(row[1]) if row[0] == "NTE" else 0
        if number not in (0, before + 1):
            return False
        before = number
    return True
