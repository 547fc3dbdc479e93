"""Operators of the console: their roles, and local accounts whose passwords are checked off the loop, within bounds.

RFC 9106 §4 (argon2id, second recommended option), NIST SP 800-63B-4 §3.1.1.2 and §3.2.2 (length of passwords, rate
limiting). Whoever does not know a password costs bounded CPU and memory: one password is checked at a time, few wait,
and a flood is refused before. No answer tells which accounts exist or are locked, and each takes the time of one hash.
Proved by tests/gateway/auth/test_console_accounts.py.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from ipaddress import IPv6Address, ip_address
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from gateway.runtime import clock
from gateway.store.clients import SessionsOfOne, StoredOperator, StoredOperators
from gateway.store.database.engine import Engine, instant, micros
from gateway.store.database.facts import acting_as

ACCOUNT_NAME: Final = re.compile("[a-z0-9][a-z0-9._-]{0,63}")
SHORTEST: Final = 15  # characters; NIST SP 800-63B-4 §3.1.1.2, where a password alone signs in
LONGEST: Final = 256
MOST_WAITING: Final = 8  # for the one password that is checked
FREE_FAILURES: Final = 4  # wrong passwords in a row before an account is locked
_FIRST_LOCK: Final = 15  # seconds; each further failure doubles it
_LONGEST_LOCK: Final = 900
_SECOND: Final = 1_000_000
_MOST_KEYS: Final = 1_024
_HASHER: Final = PasswordHasher(parallelism=1)  # one thread is enough: a flood must not take each processor


class Role(IntEnum):
    """Role of somebody at the console; each may do what those before it may. A watcher sees no data of patients."""

    WATCHER = 1
    READER = 2
    OPERATOR = 3
    ADMIN = 4

    @classmethod
    def named(cls, name: str) -> Role:
        """Return the role with this name in the settings."""
        return cls[name.upper()]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody who is signed in: `subject` for the audit, `name` for people to read, and the digest of the session."""

    subject: str
    name: str
    role: Role
    session: str = field(repr=False)

    @property
    def sees_patients(self) -> bool:
        """True if data of patients may be shown."""
        return self.role >= Role.READER

    def acting(self) -> AbstractContextManager[None]:
        """Note acts as this person's while the block runs."""
        return acting_as(self.subject)


_NOT_KNOWN: Final = "The name or the password is wrong, or the account is locked for some minutes."
_SILENT: Final = "The identity provider does not answer. Try again later; local accounts can sign in."
# Code of a refusal -> what a page says of it
_MESSAGES: Final = {
    "not-signed-in": "Sign in first.",
    "role-too-small": "Your role does not allow this.",
    "another-site": "This form did not come from a page of the console. Open the console, and try again.",
    "not-secure": "The console is opened by its https address.",
    "unavailable": "The database or the audit cannot be reached, so nobody can sign in now. Try again later.",
    "too-many": "There were too many tries. Wait a minute, and try again.",
    "form-malformed": "The form cannot be read. Try again.",
    **dict.fromkeys(("unknown", "wrong-password", "locked-now", "account-locked", "account-changed"), _NOT_KNOWN),
    **dict.fromkeys(("provider-unavailable", "provider-incomplete"), _SILENT),
    "provider-refused": "The identity provider did not sign you in.",
    "attempt-not-known": "The sign-in took too long, or began in another browser. Begin again.",
    "no-role": "The identity provider knows you, but nobody has given you a role here. Ask for one.",
    "word-not-known": "This address was used, or is too old. Ask the demo for another.",
}


class Refused(Exception):
    """A request to the console is refused: 401 nobody is signed in, 403 the role is too small, 503 nobody can say.

    `code` is for log and audit. `subject` is known of somebody who is signed in, and of a local account.
    """

    def __init__(self, code: str, status: int = 401, subject: str = "") -> None:
        self.code, self.status, self.subject = code, status, subject
        super().__init__(code)

    @property
    def message(self) -> str:
        """Sentence for a page."""
        other = f"The answer of the identity provider breaks a rule ({self.code}). Tell who runs the gateway."
        return _MESSAGES.get(self.code, other)


@dataclass(frozen=True, slots=True)
class ShownOperator:
    """Local account as it is listed; `locked_until` is None if it is not locked."""

    name: str
    role: str
    created: datetime
    locked_until: datetime | None


async def shown_operators(engine: Engine) -> tuple[ShownOperator, ...]:
    """Return every local account by name.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    now = micros(clock.now())
    return tuple(
        ShownOperator(
            one.name, one.role, instant(one.created), instant(one.locked_until) if one.locked_until > now else None
        )
        for one in await StoredOperators(engine).every()
    )


async def signed_in(engine: Engine) -> list[SessionsOfOne]:
    """Return who is signed in to the console now.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    return await StoredOperators(engine).signed_in(micros(clock.now()))


async def end_sessions(engine: Engine, subject: str, reason: str) -> int:
    """End all sessions of a subject, such as `oidc:` and a `sub`; return how many there were.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    return await StoredOperators(engine).end_all(subject, reason, micros(clock.now()))


class SignInBounds:
    """Limits on how often sign-in is tried: of one network address, and of all together, in one process.

    RFC 6819 §5.1.4.2.3. An address may try 10 times at once and each 6 seconds, all together 20 times and each second.
    """

    def __init__(self, now: Callable[[], float] = clock.monotonic) -> None:
        self._now = now
        self._left: dict[str, tuple[float, float]] = {}  # tries left at an instant

    def take(self, address: str) -> None:
        """Take one try.

        Raises:
            Refused: there is none left.
        """
        if not (self._has_taken(_network(address), 10, 6.0) and self._has_taken("", 20, 1.0)):
            raise Refused("too-many", 429)

    def _has_taken(self, key: str, most: int, seconds: float) -> bool:
        now = self._now()
        left, at = self._left.pop(key, (float(most), now))
        left = min(most, left + (now - at) / seconds)
        if len(self._left) >= _MOST_KEYS:
            del self._left[next(iter(self._left))]
        self._left[key] = (left - 1 if left >= 1 else left, now)
        return left >= 1


class LocalAccounts:
    """Local accounts of the console, as one process checks their passwords."""

    def __init__(self, stored: StoredOperators) -> None:
        self._stored, self._turn, self._waiting = stored, asyncio.Lock(), 0
        self._nobody = ""

    async def checked(self, name: str, password: str) -> StoredOperator:
        """Return the account with that name and password.

        Raises:
            Refused: there is none, or it is locked; or too many wait.
            StoreUnavailable: the database does not answer.
        """
        if self._waiting >= MOST_WAITING:
            raise Refused("too-many", 429)
        self._waiting += 1
        try:
            async with self._turn:
                return await self._checked(name.strip().lower(), password)
        finally:
            self._waiting -= 1

    async def _checked(self, name: str, password: str) -> StoredOperator:
        account = await self._stored.find(name) if ACCOUNT_NAME.fullmatch(name) else None
        is_locked = account is not None and account.locked_until > micros(clock.now())
        if account is None or is_locked:
            # As much work as for an account that may sign in, so that the time of the answer tells nothing
            if not self._nobody:
                self._nobody = await asyncio.to_thread(hashed, "")
            await asyncio.to_thread(_is_of, self._nobody, password)
            raise Refused("account-locked" if account else "unknown", subject=account.subject if account else "")
        if not await asyncio.to_thread(_is_of, account.password, password):
            failed = await self._stored.failed(name, locked_until)
            has_locked = failed is not None and failed.failures > FREE_FAILURES
            raise Refused("locked-now" if has_locked else "wrong-password", subject=account.subject)
        return account


def locked_until(failures: int) -> int:
    """Return until when so many failures in a row lock an account, in microseconds."""
    if failures <= FREE_FAILURES:
        return 0
    seconds = min(_FIRST_LOCK << min(failures - FREE_FAILURES - 1, 10), _LONGEST_LOCK)
    return micros(clock.now()) + seconds * _SECOND


def password_fault(password: str) -> str:
    """Say why a new password cannot be taken, nothing if it can."""
    if not SHORTEST <= len(password) <= LONGEST:
        return f"it has not {SHORTEST} to {LONGEST} characters"
    return "it has only one or two different characters" if len(set(password)) <= 2 else ""


def hashed(password: str) -> str:
    """Return the hash of a password; this takes a tenth of a second."""
    return _HASHER.hash(_normal(password))


def _is_of(known: str, password: str) -> bool:
    """True if the hash is that of the password."""
    try:
        return len(password) <= LONGEST and _HASHER.verify(known, _normal(password))
    except (Argon2Error, InvalidHashError):
        return False


def _normal(password: str) -> str:
    """Return a password as it is hashed, however a keyboard composes its letters (NIST SP 800-63B-4 §3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def _network(address: str) -> str:
    """Return the network of an address whose machines are one person's: 64 bits of IPv6 (RFC 6177)."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return ip.exploded[:19] if isinstance(ip, IPv6Address) and ip.ipv4_mapped is None else address
