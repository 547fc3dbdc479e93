"""Entry points of the package: each is there, and nothing else is."""

import pytest

import mappings


def test_each_door_is_a_function_and_nothing_else_is_one():
    assert all(callable(getattr(mappings, name)) for name in mappings.__all__)
    with pytest.raises(AttributeError, match="no_door"):
        mappings.no_door  # noqa: B018
