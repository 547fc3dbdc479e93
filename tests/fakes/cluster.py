"""PostgreSQL cluster for the tests, on a free loopback port, removed when they end unless a folder is named for it.

https://www.postgresql.org/docs/current/app-initdb.html: `initdb` and `postgres` refuse root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from fakes.ports import free_port

_CLUSTER = ("-U", "gateway", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
_SETTINGS = ("fsync=off", "listen_addresses=127.0.0.1", "max_connections=200", "unix_socket_directories=")


def binaries() -> Path | None:
    """Find the folder of the server's programs by pg_config, else the newest of Debian's folders; None without one."""
    config = shutil.which("pg_config")
    said = subprocess.run([config, "--bindir"], check=True, capture_output=True, text=True).stdout if config else ""
    usual = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name.zfill(4), reverse=True)
    folders = [*([Path(said.strip())] if said else []), *usual]
    return next((one for one in folders if (one / "initdb").exists() and (one / "postgres").exists()), None)


@contextmanager
def cluster(programs: Path, *settings: str, kept: Path | None = None) -> Iterator[str]:
    """Yield the URL of a server with these settings while the block runs, without a database name.

    A folder in which the cluster is `kept` is there already; if it is empty, the cluster is made in it.
    """
    user = {"user": "postgres"} if os.geteuid() == 0 else {}
    with _folder(kept) as name:
        folder = Path(name) / "data"
        if not folder.exists():
            if user:
                shutil.chown(name, "postgres")
            make = [programs / "initdb", "-D", folder, *_CLUSTER]
            subprocess.run(make, check=True, capture_output=True, cwd=name, **user)
        port = free_port()
        options = [part for setting in (*_SETTINGS, *settings) for part in ("-c", setting)]
        run = [programs / "postgres", "-D", folder, "-p", str(port), *options]
        server = subprocess.Popen(run, cwd=name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user)
        try:
            _wait(programs, port, server)
            yield f"postgresql://gateway@127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(30)


def _folder(kept: Path | None) -> AbstractContextManager[str | Path]:
    return nullcontext(kept) if kept else tempfile.TemporaryDirectory(ignore_cleanup_errors=True)


def _wait(programs: Path, port: int, server: subprocess.Popen[bytes]) -> None:
    ready = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-q"]
    until = time.monotonic() + 30
    while subprocess.run(ready, check=False).returncode:
        if server.poll() is not None or time.monotonic() > until:
            raise RuntimeError("PostgreSQL did not start")
        time.sleep(0.05)
