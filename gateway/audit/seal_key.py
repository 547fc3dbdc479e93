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
from gateway.runtime.own_file import flush_folder, make_private_folder, open_private

_SETTING: Final = "audit.seal_key"


def prepared(folder: Path, file: Path) -> Ed25519PrivateKey:
    """Create the journal's folder and the seal key if they are missing; return the key.

    Raises:
        ConfigError: one of them cannot be made, or the key would lie in the folder.
    """
    if file.absolute().is_relative_to(folder.absolute()):
        problem = "inside audit.dir: who can change the journal could seal it anew"
        raise ConfigError("settings", _SETTING, problem, "Name a file outside that folder.")
    try:
        make_private_folder(folder)
    except OSError as error:
        problem = f"cannot be made ({os.strerror(error.errno or 0)})"
        raise ConfigError("settings", "audit.dir", problem, "Make the folder for the user of the service.") from None
    return seal_key(file)


def seal_key(file: Path) -> Ed25519PrivateKey:
    """Return the key in the file; create it if it is missing. If several processes try, only one creates it.

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
    made = open_private(unnamed, os.O_WRONLY | os.O_EXCL)
    try:
        os.write(made, text)
        os.fsync(made)
    finally:
        os.close(made)
    with suppress(FileExistsError):  # another process was first
        os.link(unnamed, file)
    unnamed.unlink()
    flush_folder(file.parent)
