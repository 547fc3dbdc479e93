"""Repeatable random values: the same seed and label give the same value on every machine and Python version.

Carries out no clause of a standard. `random.Random` may change its draws between Python versions; a hash does not.
Proved by tests/gateway/sandbox/test_seed.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

Item = TypeVar("Item")


class Dice:
    """A stream of random draws that depends only on its path, such as `Dice(seed, "study", 7)`."""

    __slots__ = ("_count", "_key")

    def __init__(self, *path: object) -> None:
        self._key = blake2b("/".join(map(str, path)).encode(), digest_size=32).digest()
        self._count = 0

    def _bytes(self, size: int) -> bytes:
        self._count += 1
        return blake2b(self._count.to_bytes(8, "big"), key=self._key, digest_size=size).digest()

    def integer(self, low: int, high: int) -> int:
        """Draw a whole number from low to high, both included."""
        return low + int.from_bytes(self._bytes(8), "big") % (high - low + 1)

    def chance(self, probability: float) -> bool:
        """True in this share of draws; 0 is never, 1 is always."""
        return int.from_bytes(self._bytes(8), "big") < probability * 2**64

    def pick(self, items: Sequence[Item]) -> Item:
        """Draw one of the items."""
        return items[self.integer(0, len(items) - 1)]

    def hex32(self) -> str:
        """Draw 32 hexadecimal digits, as in AutoScribe's ids after the prefix."""
        return self._bytes(16).hex()

    def uuid4(self) -> str:
        """Draw a UUID of version 4 (RFC 9562 §5.4)."""
        digits = self.hex32()
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """Return the items in random order."""
        return sorted(items, key=lambda _: self._bytes(8))
