"""The labels of the addenda in one text say which of them is the newest (D36)."""

from __future__ import annotations

import pytest

from mappings.sections.corrections import newest_first


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("ADDENDUM 1:", "ADDENDUM 2:"),
        ("ADDENDUM #9", "ADDENDUM #10"),
        ("ADDENDUM I", "ADDENDUM II"),
        ("First addendum:", "SECOND ADDENDUM:"),
        ("1st addendum", "2nd addendum"),
        ("Erster Nachtrag:", "2. Nachtrag vom 6. Januar 2026:"),
        ("ADDENDUM 1/6/2026:", "ADDENDUM 1/7/2026:"),
        ("ADDENDUM 01/06/2026 11:02 AM:", "ADDENDUM 01/06/2026 1:15 PM:"),
        ("ADDENDUM 12:10 AM:", "ADDENDUM 1:10 AM:"),
        ("ADDENDUM 2026-01-06:", "ADDENDUM 2026-01-07:"),
        ("Nachtrag vom 28. Februar 2026:", "Nachtrag vom 1. März 2026:"),
        ("Adenda del 31 de enero de 2026:", "Adenda del 1 de febrero de 2026:"),
        ("ADDENDUM January 31, 2026:", "ADDENDUM February 1, 2026:"),
        ("ADDENDUM 31/12/2025:", "ADDENDUM 1/1/2026:"),
    ],
)
def test_a_number_a_date_or_a_time_decides_wherever_the_addenda_stand(older: str, newer: str) -> None:
    for is_below in (True, False):
        assert newest_first([older, newer], is_below=is_below) == [1, 0]
        assert newest_first([newer, older], is_below=is_below) == [0, 1]


@pytest.mark.parametrize(
    "labels",
    [
        ["ADDENDUM 1 (1/7/2026):", "ADDENDUM 2 (1/6/2026):"],  # number and date disagree
        ["ADDENDUM 2/1/2026:", "ADDENDUM 1/3/2026:"],  # 2 January and 1 March, or 1 February and 3 January
        ["ADDENDUM 2:", "ADDENDUM 2:", "ADDENDUM 1:"],
    ],
)
def test_what_cannot_be_known_is_not_guessed(labels: list[str]) -> None:
    assert newest_first(labels, is_below=True) is None


@pytest.mark.parametrize("labels", [["ADDENDUM:", "ADDENDUM:"], ["ADDENDUM 1/6/2026:", "ADDENDUM:"]])
def test_the_authors_order_decides_only_below_the_report(labels: list[str]) -> None:
    assert newest_first(labels, is_below=True) == [1, 0]
    assert newest_first(labels, is_below=False) is None
