"""No regular expression over a client's text takes more than linear time: each is tried with texts that grow."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path

import pytest

from gateway.fhir_api.http.compression import _takes_gzip
from gateway.fhir_api.http.formats import MOST_RANGES, preferred, ranges
from gateway.runtime.http_connection import MOST_HEAD

ROOT = Path(__file__).parents[3]
ROOMS = ("fhir_api", "index", "webhooks")
LENGTHS = (1024, 4096, MOST_HEAD)  # a pattern of quadratic time is noticed before the last, which takes seconds
USES = {"search", "match", "fullmatch", "findall", "finditer", "split", "sub"}
CALL = 0.02  # seconds of one call on a loop
TRIES = 3
PIECES = (
    "",
    "a",
    "q",
    "1",
    " ",
    "\t",
    ",",
    ";",
    "=",
    "&",
    "|",
    "\\",
    "\\,",
    "$",
    '"',
    "W/",
    ":",
    "/",
    "-",
    ".",
    "<",
    "é",
)


def patterns() -> Iterator[object]:
    """Yield each pattern with the names of the methods by which its module uses it."""
    for room in ROOMS:
        for path in sorted((ROOT / "gateway" / room).rglob("*.py")):
            name, source = ".".join(path.relative_to(ROOT).with_suffix("").parts), path.read_text()
            for variable, value in vars(import_module(name)).items():
                if isinstance(value, re.Pattern) and (
                    uses := USES & set(re.findall(rf"\b{variable}\.([a-z]+)", source))
                ):
                    yield pytest.param(value, uses, id=f"{name.removeprefix('gateway.')}.{variable}")


def words(pattern: re.Pattern) -> set[str]:
    """Literal words in a pattern: what it may begin to match, over and over."""
    source = pattern.pattern
    return set(re.findall(r"[A-Za-z_]{2,}", source.decode() if isinstance(source, bytes) else source))


def at_best(run: Callable[[], object]) -> float:
    """CPU seconds of a call: of the first try below the limit, or the best of some, since a neighbour slows a few."""
    best = float("inf")
    for _ in range(TRIES):
        begun = time.thread_time()
        run()
        best = min(best, time.thread_time() - begun)
        if best < CALL:
            break
    return best


def seconds(pattern: re.Pattern, uses: Collection[str], text: str) -> float:
    """CPU seconds of the slowest use of the pattern."""
    given = text.encode() if isinstance(pattern.pattern, bytes) else text
    calls = [
        partial(pattern.sub, given[:0]) if use == "sub" else getattr(pattern, use.replace("iter", "all"))
        for use in uses
    ]
    return max(at_best(partial(call, given)) for call in calls)


def slowest(pattern: re.Pattern, uses: Collection[str]) -> tuple[float, str]:
    """Time of the worst text found; texts grow to the length of a whole head, until one takes too long."""
    worst = (0.0, "")
    for first, piece, end in product(sorted({"", *words(pattern)}), sorted({*PIECES[1:], *words(pattern)}), ("", "\0")):
        for length in LENGTHS:
            taken = seconds(pattern, uses, (first + piece * length)[:length] + end)
            worst = max(worst, (taken, f"{first}, then {piece!r}, then {end!r}: {length} characters"))
            if taken > CALL:
                return worst
    return worst


@pytest.mark.parametrize(("pattern", "uses"), list(patterns()))
def test_no_text_of_a_client_keeps_a_pattern_busy(pattern, uses):
    taken, text = slowest(pattern, uses)
    assert taken < CALL, text


@pytest.mark.full
@pytest.mark.parametrize("source", [r"a*a*,", r"\s*q?\s*=x", r"\s+$", r"(?:\\.|[^,])+;"])
def test_the_trial_finds_patterns_that_take_longer(source):
    assert slowest(re.compile(source), ["search"])[0] > CALL


@pytest.mark.parametrize("piece", [",", "a,", ";q=1,", "*/*,", ";fhirversion=4,", "q", " "])
def test_a_head_full_of_media_ranges_is_read_in_no_time(piece):
    accept = (piece * MOST_HEAD)[:MOST_HEAD]
    assert at_best(lambda: (preferred.__wrapped__(accept, None), _takes_gzip.__wrapped__(accept))) < CALL
    assert len(ranges(accept, None)) <= MOST_RANGES
