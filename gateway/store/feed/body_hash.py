"""The hash of a message's bytes: in the ledger for good, so that what a receiver shows can be held against it.

https://csrc.nist.gov/pubs/fips/180-4/upd1/final (SHA-256), as lower-case hex.
"""

from __future__ import annotations

import hashlib
from typing import Final

ALTERED: Final = "body-altered"


def body_hash(body: bytes) -> str:
    """The hash of bytes, as `sha256sum` writes it."""
    return hashlib.sha256(body).hexdigest()


def is_as_made(body: bytes | None, kept: str) -> bool:
    """Whether bytes are those whose hash was kept; where none was, nothing speaks against it."""
    return body is not None and kept in {"", body_hash(body)}
