"""Load compression dictionaries for rows of the database: a numbered file for each kind of row.

https://www.rfc-editor.org/rfc/rfc1951 (DEFLATE). A dictionary is text that most rows of its kind repeat, made from
invented studies by tests/dictionaries/train.py. A row begins with the number of its dictionary, and can be read only
with exactly these bytes. So a released file never changes and is never removed; a better one gets a new number.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from gateway.runtime.errors import ConfigError, RowUnreadable

# The first byte of a row is this number; `{` begins plain JSON
MOST: Final = ord("{") - 1
NONE: Final = 0
_FOLDER: Final = "gateway.store.compression"


class Dictionary(NamedTuple):
    """Entry of a compression dictionary: its number, the kind of rows it is for, and the SHA-256 digest of its file."""

    number: int
    kind: str
    sha256: str

    @property
    def file(self) -> str:
        """Name of its file in this folder."""
        return f"{self.number}-{self.kind}.bin"


# The last dictionary of a kind compresses new rows. Rows are only added
DICTIONARIES: Final[tuple[Dictionary, ...]] = (
    Dictionary(1, "DiagnosticReport", "a80d57c184c5861221fd1a6a5e09db5d04e04e769d809a865368402197de5d32"),
    Dictionary(2, "DocumentReference", "524c8fe6b45e918537bda36a259a2d289846e014d93131ca4b7601948ef53368"),
    Dictionary(3, "ImagingStudy", "08ccae1807e26f38c60cc13da2167abac1a8b90c9e36d56a1c49272e06d8b98b"),
    Dictionary(4, "Observation", "e8938c281062d63f78ffa9f1fb23ca4fd0dac0aa21d55177155b309778b6c9e5"),
    Dictionary(5, "Patient", "756842e1d44ebd065c9ed8b7e8aeaa712141b733350f035b46e52b1fea7cd29f"),
    Dictionary(6, "Provenance", "8ab3fa492618005f92459b8fa5ef867986a87bbebc27ba45ebd64f4908d32818"),
    Dictionary(7, "ServiceRequest", "cd8d7fc00a884f5ac9c73941e06d8ca07075cb2f3153cfbd30a94f2c675e4ea1"),
    Dictionary(8, "kept", "e2a9de4962dffe43653e0e4b0108446e079e5ddfbd0c143ab1d45d96347074e3"),
    Dictionary(9, "received", "840d2f41ca6e10ae1b5cb994a58bb4f9f97d89db8da3d3f2b11c0ae2d61c72a3"),
)
_BY_NUMBER: Final = {one.number: one for one in DICTIONARIES}
_BY_KIND: Final = {one.kind: one.number for one in DICTIONARIES}


def number_for(kind: str) -> int:
    """Return the number of the dictionary that compresses new rows of a kind; `NONE` if the kind has none."""
    return _BY_KIND.get(kind, NONE)


@cache
def dictionary(number: int) -> bytes:
    """Return the bytes of a dictionary, checked against its digest.

    Raises:
        RowUnreadable: no dictionary has this number.
        ConfigError: its file is missing or damaged.
    """
    if number == NONE:
        return b""
    row = _BY_NUMBER.get(number)
    if row is None:
        raise RowUnreadable(f"a row has dictionary {number}, which this release does not know")
    try:
        data = files(_FOLDER).joinpath(row.file).read_bytes()
    except OSError:
        raise _unusable(row, "the file is missing") from None
    if hashlib.sha256(data).hexdigest() != row.sha256:
        raise _unusable(row, "the file is damaged")
    return data


def check_dictionaries() -> None:
    """Check that every dictionary file is there and unchanged. The store does this before it opens a database.

    Raises:
        ConfigError: a file is missing or damaged.
    """
    for one in DICTIONARIES:
        dictionary(one.number)


def _unusable(row: Dictionary, problem: str) -> ConfigError:
    remedy = "Install this release of autoscribe-gateway again: rows of the database cannot be read without the file."
    return ConfigError("installation", f"gateway/store/compression/{row.file}", problem, remedy)
