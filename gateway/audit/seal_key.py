"""Key that seals the audit journal: read its file, or make it once, private to its owner.

RFC 8410 (Ed25519 keys in PKCS #8), https://man7.org/linux/man-pages/man2/link.2.html (a link replaces no file).
Proved by tests/gateway/audit/test_seal_key.py.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.runtime.errors import ConfigError
from gateway.runtime.own_file import PRIVATE, flush_folder

_SETTING: Final = "audit.seal_key"


def seal_key(file: Path) -> Ed25519PrivateKey:
    """Return the key in the file; make the file if it is not there. Of several processes that do so, one makes it.

    Raises:
        ConfigError: the file cannot be read or made, or holds no Ed25519 key.
    """
    try:
        if not file.exists():
            _make(file)
        return read_seal_key(file)
    except OSError as error:
        problem = f"cannot be read or made ({os.strerror(error.errno or 0)})"
        raise ConfigError("settings", _SETTING, problem, "Give the user of the service access to its folder.") from None


def read_seal_key(file: Path) -> Ed25519PrivateKey:
    """Return the key in the file. May raise `OSError`.

    Raises:
        ConfigError: it is no Ed25519 key in PEM.
    """
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("settings", _SETTING, "no Ed25519 key in PEM", "Name the file that `keys seal` made.")
    return key


def _make(file: Path) -> None:
    text = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    unnamed = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    made = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    try:
        os.write(made, text)
        os.fsync(made)
    finally:
        os.close(made)
    with suppress(FileExistsError):  # another process was first
        os.link(unnamed, file)
    unnamed.unlink()
    flush_folder(file.parent)
