"""Reuse earlier results for equal input while one study is mapped again and again with one value changed (D6).

Carries out no clause of a standard. A mapping is pure, so equal input makes an equal result. What is kept are a
patient's data: a `Remembered` lives no longer than the trace that made it.
Proved by tests/mappings/test_reuse.py.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Made = TypeVar("Made")
Issue = TypeVar("Issue")


class Reuse:
    """Reuse of nothing: every result is made anew, as for a study that is mapped once."""

    __slots__ = ()

    def of(self, place: Hashable, given: Any, make: Callable[[], Made]) -> Made:
        """Return the result of `make` at a place; it depends only on `given`, and neither may be changed later."""
        return make()

    def of_noted(self, place: Hashable, given: Any, make: Callable[[], Made], issues: list[Issue]) -> Made:
        """Return the same as `of`, for a `make` that adds issues to a list; add those issues."""

        def with_issues() -> tuple[Made, tuple[Issue, ...]]:
            start = len(issues)
            made = make()
            found = tuple(issues[start:])
            del issues[start:]
            return made, found

        made, found = self.of(place, given, with_issues)
        issues.extend(found)
        return made


NO_REUSE = Reuse()


class Remembered(Reuse):
    """Reuse of the first result at each place (that of the unchanged study) and the latest."""

    __slots__ = ("__weakref__", "_known")

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[tuple[Any, Any], ...]] = {}

    def of(self, place: Hashable, given: Any, make: Callable[[], Made]) -> Made:
        """Return the first or latest result at a place if its input was equal, else that of `make`."""
        known = self._known.get(place, ())
        for before, result in known:
            if before == given:
                made: Made = result
                return made
        made = make()
        self._known[place] = (*known[:1], (given, made))
        return made
