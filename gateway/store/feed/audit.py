"""Record of what operators did that the ledger alone does not explain: what was done, by whom, when and why.

Carries out no clause of a standard; decision D35.
"""

from __future__ import annotations

import os
import pwd
import socket
from typing import Final, NamedTuple

from gateway.store.database.statements import Statement, Steps, ask

# In PostgreSQL `user` without quotes is the user of the connection
_NOTE: Final = Statement(
    'INSERT INTO audit (at, verb, argument, reason, "user", host) VALUES (:at, :verb, :argument, :reason, :user, :host)'
)


class Actor(NamedTuple):
    """The user of the operating system who does something, and the machine."""

    user: str
    host: str

    def __str__(self) -> str:
        return f"{self.user}@{self.host}"


def actor() -> Actor:
    """The user of this process, by its number where it has no name, and the machine; no variable can change it."""
    number = os.getuid()
    try:
        user = pwd.getpwuid(number).pw_name
    except KeyError:
        user = str(number)
    return Actor(user, socket.gethostname())


def noted(verb: str, argument: str, reason: str, now: int) -> Steps[None]:
    """Note it with what is done, in the same transaction, and with who does it: the user and host of this process.

    `argument` has names and ids, `reason` the operator's words, empty for none; `now` is in microseconds.
    """
    yield from ask(_NOTE, at=now, verb=verb, argument=argument, reason=reason, **actor()._asdict())
