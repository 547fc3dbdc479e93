"""Part of `check-config` and of the start: list folders and files that other users of this machine can access.

https://man7.org/linux/man-pages/man7/path_resolution.7.html (search permission of every folder on the way). The gateway
makes its own files with mode 0600; a folder that others may change lets them exchange these files.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.routing import Folder, survey_routes
from gateway.routing.transport import tls_of
from gateway.settings import Configuration

_ENTER: Final = "enter it"
_REMEDY: Final = "take the rights away with chmod o-rwx"


def open_folders(configuration: Configuration) -> Iterator[str]:
    """List folders that other users can change (or enter, if messages are there), and files that they can read.

    The other folders may be entered: they hold private files alone.
    """
    for name, folder in _folders(configuration):
        if (found := _rights_of_others(folder)) and (found != _ENTER or name.startswith("destination")):
            yield f"{name}: other users of this machine can {found}: {_REMEDY}"
    for name, file in _files(configuration):
        if _is_readable(file):
            yield f"{name}: other users of this machine can read it: {_REMEDY}"


def _folders(configuration: Configuration) -> Iterator[tuple[str, Path]]:
    for destination in survey_routes(configuration)[0].destinations:
        if destination.is_enabled and isinstance(destination.transport, Folder):
            yield f"destination {destination.name}: directory", destination.transport.path
    yield "feed.state_dir", configuration.state_dir
    if (file := configuration.settings.database.file) is not None and file.parent != configuration.state_dir:
        yield "database.url: the folder of the file", file.parent
    if (folder := configuration.audit_dir) is not None:
        yield "audit.dir", folder


def _files(configuration: Configuration) -> Iterator[tuple[str, Path]]:
    server = configuration.settings.server
    if (key := server.tls_key or server.tls_certificate) is not None:
        yield "server.tls_key", key
    if configuration.audit_dir is not None:
        yield "audit.seal_key", configuration.audit_seal_key
    if (file := configuration.settings.database.file) is not None:
        for suffix in ("", "-wal", "-shm"):
            yield f"database.url: the file{suffix and f' with {suffix} at its end'}", Path(f"{file}{suffix}")
    for destination in survey_routes(configuration)[0].destinations:
        tls = tls_of(destination.transport)
        if tls is not None and (key := tls.key_file or tls.certificate_file) is not None:
            yield f"destination {destination.name}: the file of its client key", key


def _rights_of_others(folder: Path) -> str:
    """Describe what other users can do there; empty if nothing, or if the folder does not exist."""
    with suppress(OSError):
        *above, own = _modes(folder)
        for mode in above:
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                return "rename a folder above it"
            if not mode & stat.S_IXOTH:
                return ""
        if own & stat.S_IWOTH:
            return "change what is in it"
        return _ENTER if own & (stat.S_IXOTH | stat.S_IROTH) else ""
    return ""


def _is_readable(file: Path) -> bool:
    with suppress(OSError):
        *above, own = _modes(file)
        return bool(own & stat.S_IROTH) and all(mode & stat.S_IXOTH for mode in above)
    return False


def _modes(path: Path) -> list[int]:
    """Return the permissions of all folders on the way to a path, links followed."""
    resolved = path.resolve(strict=True)
    return [one.stat().st_mode for one in (*reversed(resolved.parents), resolved)]
