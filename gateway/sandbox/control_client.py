"""Client of a running sandbox's `/sandbox` controls, for commands that sign, change or cancel reports.

Carries out no clause of a standard: the controls are the sandbox's own. The sandbox runs on this machine.
Proved by tests/gateway/cli/test_sandbox.py.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any, Final

from gateway.runtime.errors import ConfigError

_HOST: Final = "127.0.0.1"
_SECONDS: Final = 10.0
_NOT_THERE: Final = "Start it with `autoscribe-gateway sandbox`; --port names another port than 8801."
_REFUSED: Final = "Check the id: `sandbox sign` prints those of a new report."


def ask(port: int, method: str, path: str, text: str = "") -> dict[str, Any]:
    """Send a request to the sandbox's controls and return its answer; `text` is the body.

    Raises:
        ConfigError: no sandbox answers on the port, or it refuses.
    """
    import http.client  # imported here, since --help imports this module too

    place = f"{_HOST}:{port}"
    connection = http.client.HTTPConnection(_HOST, port, timeout=_SECONDS)
    with contextlib.closing(connection):
        try:
            connection.request(method, f"/sandbox/{path}", body=text.encode())
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            raise ConfigError("sandbox", place, "no sandbox answers there", _NOT_THERE) from None
    if answer.status != http.HTTPStatus.OK:
        raise ConfigError("sandbox", place, f"it refused with status {answer.status}", _REFUSED)
    made: dict[str, Any] = json.loads(body)
    return made
