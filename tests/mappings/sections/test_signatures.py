"""Signature lines: names with a title, a degree or a role, and initials; never a sentence or a heading."""

from __future__ import annotations

import pytest

from mappings.sections.closings import signs


@pytest.mark.parametrize(
    "line",
    [
        "Dr A. Smith",
        "Dr. Jane Doe",
        "A. Smith, MD",
        "Alex Smith M.D.",
        "Jane Q Doe, DO, FACR",
        "Consultant Radiologist",
        "Reporting Radiologist Dr A Smith",
        "Senior Registrar: Jane Doe",
        "Dr A Smith, Consultant Radiologist, GMC 1234567",
        "Dr A Smith 02/03/2026 10:15",
        "Lakeside Medical Center",
        "ABC/de",
        "ABC:de 2/3/26",
        "abc/de",
        "**Dr A. Smith**",
        f"Dr {'A' * 31} Smith",
    ],
)
def test_a_name_with_a_title_a_degree_or_a_role_signs_and_so_do_initials(line: str) -> None:
    assert signs(line)


@pytest.mark.parametrize(
    "line",
    [
        "Dr A. Smith was informed at 10:15.",
        "Dr A. Smith.",
        "Radiologist:",
        "Dr A Smith:",
        "Alex Smith",
        "No acute findings",
        "IMPRESSION",
        "abc/de and a long tail of lower case words",
        "abc/de 02/03/26 10:15",
        "abcd/ef",
        "Radiologists disagree",
        f"Dr A Smith{', Consultant Radiologist' * 4}",
        f"Dr {'A' * 34} Smith",
    ],
)
def test_a_sentence_a_heading_a_bare_name_and_a_long_line_do_not_sign(line: str) -> None:
    assert not signs(line)


def test_a_signature_has_at_most_a_hundred_characters() -> None:
    line = "Dr A Smith" + " 1234567" * 11
    assert len(line) == 98 and signs(line)
    assert signs(f"{line}12") and not signs(f"{line}123")


def test_initials_in_small_letters_are_shorter_than_twenty_characters() -> None:
    assert signs("abc/de 12/03/26 10:1") is False
    assert signs("abc/de 12/03/26 10:") is False
    assert signs("abc/de 12/03/26 10") is True
