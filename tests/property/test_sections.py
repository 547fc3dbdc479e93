"""Laws of cutting a report text into sections, for any text."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from mappings.sections import HEADINGS, cut
from mappings.sections.wording import CLOSING_DECORATION

PHRASES = st.sampled_from([phrase for group in HEADINGS.values() for phrase in group])
PIECES = st.one_of(
    PHRASES,
    PHRASES.map(str.upper),
    PHRASES.map(str.title),
    st.sampled_from([*":-*#[]().", "**", "__", ": ", ". ", "  ", "\n", "\r\n", "\r", "\x85", "\t", "---", "1. ", "- "]),
    st.sampled_from(
        ["Dictated by: A", "Electronically signed by A", "LUNGS: clear.", "the ", "<html>", "\ud800", "\x1c"]
    ),
    st.sampled_from(["CT HEAD", "Dr. A. Reader", "Page 1 of 2", "ADDENDUM 1/2/2026 10:15", "F I N D I N G S", "said "]),
    st.sampled_from(
        ['"', "\u201c", "\u201d", "| ", "> ", "    ", "<p>", "</p>", "<b>", "</b>", "\\.br\\", "END OF REPORT"]
    ),
    st.text(alphabet=st.characters(exclude_categories=()), max_size=8),
)
TEXTS = st.one_of(st.text(alphabet=st.characters(exclude_categories=())), st.lists(PIECES, max_size=30).map("".join))


@given(TEXTS)
def test_joined_sections_are_the_text(text: str) -> None:
    assert "".join(section.heading + section.body for section in cut(text)) == text


@example("ADDENDUM</P>0<P>DICTATED BY")
@given(TEXTS)
def test_a_label_and_a_heading_come_together_and_the_label_is_of_the_table(text: str) -> None:
    for section in cut(text):
        assert bool(section.label) == bool(section.heading)
        assert not section.label or section.label in HEADINGS


@given(TEXTS)
def test_text_under_no_heading_is_one_stretch_and_a_signature_only_follows_a_heading(text: str) -> None:
    labels = [section.label for section in cut(text)]
    assert all(first or second for first, second in pairwise(labels))


@given(TEXTS)
def test_the_same_text_is_cut_the_same_way(text: str) -> None:
    assert cut(text) == cut(text)


@given(st.text(alphabet=st.characters(exclude_characters=":\uff1a", exclude_categories=())))
def test_the_label_of_a_heading_does_not_depend_on_what_follows_it(text: str) -> None:
    first = cut("FINDINGS: " + text)[0]
    assert (first.label, re.sub(rf"(?:{CLOSING_DECORATION}|\s)+$", "", first.heading)) == ("findings", "FINDINGS:")
