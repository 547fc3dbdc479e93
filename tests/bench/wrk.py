"""Load generator: wrk requests a list of addresses as fast as the server answers.

https://github.com/wg/wrk; its script is Lua: https://github.com/wg/wrk/blob/master/SCRIPTING.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.machine import ASKING, on_core

CONNECTIONS = 16
ACCEPT = "Accept: application/fhir+json"
_RATE = re.compile(r"Requests/sec:\s*([\d.]+)")


def script(folder: Path, targets: Sequence[str]) -> Path:
    """Build a wrk script that requests these addresses in turn."""
    listed = ",\n".join(f'"{one}"' for one in targets)
    file = folder / f"targets{len(list(folder.glob('targets*')))}.lua"
    file.write_text(
        f"local targets = {{\n{listed}\n}}\nlocal place = 0\n"
        "request = function()\n  place = place % #targets + 1\n  return wrk.format('GET', targets[place])\nend\n"
    )
    return file


def rate(address: str, seconds: float, targets: Path | None = None, connections: int = CONNECTIONS) -> float:
    """Return requests answered a second; check that all succeed."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-H", ACCEPT]
    command += ["-s", str(targets)] if targets else []
    with on_core(ASKING):
        done = subprocess.run([*command, address], check=True, capture_output=True, text=True)
    assert "Non-2xx" not in done.stdout, done.stdout
    assert "Socket errors" not in done.stdout, done.stdout
    return float(_RATE.search(done.stdout)[1])
