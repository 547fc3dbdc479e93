"""Keys of search parameters, and terms as the index stores them."""

from __future__ import annotations

import zlib

import pytest

from gateway.index.keys import MOST, SEPARATOR, bounded, folded, key, token_term


def test_a_key_is_the_same_in_every_release_and_store() -> None:
    assert key("DiagnosticReport", "status") == zlib.crc32(b"DiagnosticReport.status") == 454412020
    assert key("Patient", "name") != key("Practitioner", "name")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Łódź łodyga", "lodz lodyga"),
        ("Ørsted søster", "orsted soster"),
        ("Đorđe Ðuro ð", "dorde duro d"),
        ("Ħal ħobż", "hal hobz"),
        ("Ŧ ŧ", "t t"),
        ("Æsop æ", "aesop ae"),
        ("Œuvre œ", "oeuvre oe"),
        ("Þór þ", "thor th"),
        ("ılık", "ilik"),
        ("Straße", "strasse"),
        ("  Two \t spaces ", "two spaces"),
        ("Ünïcödé", "unicode"),
    ],
)
def test_a_string_is_compared_without_case_accents_strokes_and_extra_blanks(text: str, plain: str) -> None:
    assert folded(text) == plain


def test_a_long_string_is_cut_and_a_long_term_keeps_a_digest_of_the_whole() -> None:
    assert MOST == 200
    assert folded("x" * 201) == "x" * 200
    assert bounded("x" * 200) == "x" * 200
    cut = bounded("x" * 201)
    assert cut.startswith("x" * 200 + "\x1e") and len(cut) == 200 + 1 + 32
    assert cut != bounded("x" * 202)


def test_a_token_has_its_code_before_its_system() -> None:
    assert token_term("final", "urn:x") == f"final{SEPARATOR}urn:x"
    assert token_term("final") == f"final{SEPARATOR}"
    assert SEPARATOR == "\x1f"
