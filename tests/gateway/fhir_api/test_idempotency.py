"""Keys are kept, and forgotten, in the order they came."""

import pytest

from gateway.errors import IdempotencyKeyReused
from gateway.fhir_api.idempotency import Keys


def test_a_key_keeps_its_entry_and_belongs_to_one_request():
    keys = Keys()
    entry = keys.entry("k", ("$addendum", "rep_1"))
    assert keys.entry("k", ("$addendum", "rep_1")) is entry
    with pytest.raises(IdempotencyKeyReused):
        keys.entry("k", ("$addendum", "rep_2"))


def test_the_oldest_key_is_forgotten_first():
    keys = Keys(most=2)
    entries = [keys.entry(key, ("$addendum", "rep_1")) for key in "abc"]
    assert keys.entry("c", ("$addendum", "rep_1")) is entries[2]
    assert keys.entry("b", ("$addendum", "rep_1")) is entries[1]
    assert keys.entry("a", ("$addendum", "rep_1")) is not entries[0]
