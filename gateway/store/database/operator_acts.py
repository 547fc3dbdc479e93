"""Write an operator's act into the audit table: act, user, host, time, and the reason, which may be empty.

Carries out no clause of a standard; decision D35.
"""

from __future__ import annotations

import os
import pwd
import socket
from typing import Final, NamedTuple

from gateway.store.database.engine import Statement, Steps, ask

# In PostgreSQL, `user` without quotes is the user of the connection
_NOTE: Final = Statement(
    'INSERT INTO audit (at, verb, argument, reason, "user", host) VALUES (:at, :verb, :argument, :reason, :user, :host)'
)


class Actor(NamedTuple):
    """Operating system user who acts, and the machine."""

    user: str
    host: str

    def __str__(self) -> str:
        return f"{self.user}@{self.host}"


def actor() -> Actor:
    """Return this process's user (or user number) and the machine; no environment variable changes them."""
    number = os.getuid()
    try:
        user = pwd.getpwuid(number).pw_name
    except KeyError:
        user = str(number)
    return Actor(user, socket.gethostname())


def noted(verb: str, argument: str, reason: str, now: int) -> Steps[None]:
    """Write an act to the audit, in the act's own transaction, with the user and host of this process.

    `argument` has names and ids, `reason` the operator's words or nothing; `now` is in microseconds.
    """
    yield from ask(_NOTE, at=now, verb=verb, argument=argument, reason=reason, **actor()._asdict())
