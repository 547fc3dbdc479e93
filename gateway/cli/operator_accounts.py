"""Carry out the commands for local accounts of the console: check name and password, and keep its hash.

Carries out no clause of a standard. The service may run meanwhile; what is done holds with its next request.
Proved by tests/gateway/cli/test_operators.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.auth.operators import ACCOUNT_NAME, ShownOperator, end_sessions, hashed, password_fault, shown_operators
from gateway.feed.operator.arguments import CommandAnswer, at, counted
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.store.clients import Changed, StoredOperator, StoredOperators
from gateway.store.database.engine import Engine, micros


@dataclass(frozen=True, slots=True)
class ShownOperators(CommandAnswer):
    """All local accounts of the console."""

    operators: tuple[ShownOperator, ...]

    def lines(self) -> Iterator[str]:
        """Yield a line for each, and their number."""
        for one in self.operators:
            locked = f"  locked until {at(one.locked_until)}" if one.locked_until else ""
            yield f"{one.name}  {one.role}  since {at(one.created)}{locked}"
        yield f"{len(self.operators)} operators"


@dataclass(frozen=True, slots=True)
class ChangedOperator(CommandAnswer):
    """Local account that was changed, and how."""

    name: str
    change: str

    def lines(self) -> Iterator[str]:
        """Yield what was done."""
        yield f"{self.name} {self.change}"


async def list_all(engine: Engine) -> ShownOperators:
    """Return every local account."""
    return ShownOperators(await shown_operators(engine))


async def add(engine: Engine, name: str, role: str, password: str, reason: str) -> ChangedOperator:
    """Add a local account.

    Raises:
        ConfigError: name or password cannot be taken, or another account has the name.
    """
    if not ACCOUNT_NAME.fullmatch(name):
        problem = "not 1 to 64 small letters, digits, and . _ - behind the first"
        raise ConfigError("command", "NAME", problem, "Write the name that is typed at the sign-in, such as k.miller.")
    now = micros(clock.now())
    new = StoredOperator(name, role, _hashed(password), now, now)
    if await StoredOperators(engine).add(new, reason) == "name-taken":
        remedy = "Choose another; to change a role, remove the account and add it again."
        raise ConfigError("command", name, "another account has this name", remedy)
    return ChangedOperator(name, f"may sign in as {role}")


async def remove(engine: Engine, name: str, reason: str) -> ChangedOperator:
    """Remove a local account.

    Raises:
        ConfigError: there is none of that name.
    """
    return _changed(await StoredOperators(engine).remove(name, reason, micros(clock.now())), name, "is removed")


async def set_password(engine: Engine, name: str, password: str, reason: str) -> ChangedOperator:
    """Give a local account a new password.

    Raises:
        ConfigError: the password cannot be taken, or there is no account of that name.
    """
    done = await StoredOperators(engine).set_password(name, _hashed(password), reason, micros(clock.now()))
    return _changed(done, name, "has a new password")


async def sign_out(engine: Engine, subject: str, reason: str) -> ChangedOperator:
    """End all sessions of somebody.

    Raises:
        ConfigError: there is none.
    """
    if not (ended := await end_sessions(engine, subject, reason)):
        remedy = "Write it as the audit does: `local:` and an account, or `oidc:` and the `sub`."
        raise ConfigError("command", "SUBJECT", "nobody of this name is signed in", remedy)
    return ChangedOperator(subject, f"is signed out; {counted(ended, 'session')} ended")


def _changed(done: Changed, name: str, change: str) -> ChangedOperator:
    if done == "unknown":
        raise ConfigError("command", "NAME", "no account has this name", "`operators list` shows them.")
    return ChangedOperator(name, f"{change}; its sessions are over")


def _hashed(password: str) -> str:
    if fault := password_fault(password):
        raise ConfigError("command", "password", fault, "Choose several words that nobody guesses.")
    return hashed(password)
