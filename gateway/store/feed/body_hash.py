"""Hash a message's bytes (SHA-256, kept for good), and detect stored bytes that were altered before they are sent.

https://csrc.nist.gov/pubs/fips/180-4/upd1/final (SHA-256), as lower-case hex.
Proved by tests/contract/test_body_hash.py.
"""

from __future__ import annotations

import hashlib
from typing import Final

ALTERED: Final = "body-altered"


def body_hash(body: bytes) -> str:
    """Return the hash of these bytes, as `sha256sum` writes it."""
    return hashlib.sha256(body).hexdigest()


def is_as_made(body: bytes | None, kept: str) -> bool:
    """True if the bytes match the stored hash, or no hash was stored."""
    return body is not None and kept in {"", body_hash(body)}
