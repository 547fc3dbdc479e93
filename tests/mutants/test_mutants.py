"""Mutants themselves: each kind is found at its place, and what is no behaviour is left alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from fakes.proofs import ROOT
from mutants.equivalents import EQUIVALENTS
from mutants.mutate import mutants
from mutants.run import AREAS, draw


def changed(text: str) -> list[str]:
    return [mutant.applied(text) for mutant in mutants(text)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a < b", ["pass", "(a <= b)", "(a >= b)"]),
        ("x = a in b", ["x = (a not in b)"]),
        ("x = a and not b", ["x = (a or not b)", "x = a and (b)"]),
        ("x = a + b", ["x = (a - b)"]),
        ("x = 4", ["x = 5"]),
        ("x = True", ["x = False"]),
        ("x = 'ä' + y", ["x = ('ä' - y)", "x = 'XXä' + y"]),
        ("x = [y for y in z if y]", ["x = [y for y in z if (not (y))]"]),
        ("def f():\n    return x", ["def f():\n    return None"]),
        ("if a:\n    b()", ["if (not (a)):\n    b()", "if a:\n    pass"]),
        ("x[0] = y", ["pass", "x[1] = y"]),
    ],
)
def test_each_kind_of_change_is_made_at_its_place(text: str, wanted: list[str]) -> None:
    assert changed(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        '"""Documentation."""',
        "log.info('a', b=1)",
        "get_logger().warning('a')",
        "x: int | None",
        "def f(a: int | None) -> int | None: ...",
        "@dataclass(frozen=True)\nclass A:\n    b: int",
        "x = f'{a + 1}'",
        "x: TypeAlias = Literal['a']",
        f"x = {{*({', '.join(map(repr, map(str, range(11))))}), *({', '.join(map(repr, map(str, range(11))))})}}",
    ],
)
def test_texts_types_and_words_of_long_tables_are_left_alone(text: str) -> None:
    assert changed(text) == []


def test_a_raised_error_may_vanish_but_keeps_its_text() -> None:
    assert changed("raise ValueError('a')") == ["pass"]


@pytest.mark.full
@pytest.mark.parametrize("area", AREAS)
def test_each_module_of_an_area_is_drawn_alike_and_always_the_same(area: str) -> None:
    drawn = draw(area, 60, seed=3)
    assert drawn == draw(area, 60, seed=3)
    assert drawn != draw(area, 60, seed=4)
    assert len({(one.path, one.mutant.start, one.mutant.after) for one in drawn}) == 60
    assert max(Counter(one.path for one in drawn).values()) - 60 // len({one.path for one in drawn}) < 20
    assert all(one.proofs for one in drawn)


def test_every_equivalent_is_a_mutant_that_can_be_drawn() -> None:
    stale = [
        (name, row)
        for name, row in EQUIVALENTS
        if row not in {mutant.row for mutant in mutants((ROOT / Path(name)).read_text("utf-8"))}
    ]
    assert stale == [], "the code changed: take these rows out of tests/mutants/equivalents.py, or write them anew"
