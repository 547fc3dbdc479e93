"""Clients of the facade with their access tokens, and operators of the console with their sessions.

https://www.rfc-editor.org/rfc/rfc6749 (OAuth 2.0); decisions D40 and D53.
Proved by tests/contract/test_clients.py and tests/contract/test_operators.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from gateway.store.database.engine import Engine, Row, Statement, Steps, Values, ask, storable
from gateway.store.database.facts import noted

Outcome = Literal["done", "unknown", "unchanged", "name-taken", "too-many-key-sets", "no-keys"]
MOST_KEY_SETS: Final = 2
IDLE: Final = 15 * 60 * 1_000_000  # microseconds after which a session ends that nobody uses
LONGEST: Final = 12 * 3_600 * 1_000_000  # of a session, used or not
_MOST_CLIENTS: Final = 10_000

_CLIENTS: Final = Statement(
    "SELECT client_id, name, created, expires, disabled, scopes, facilities FROM client"
    " WHERE name > '' ORDER BY name LIMIT :most"
)
_CLIENT: Final = Statement(
    "SELECT client_id, name, created, expires, disabled, scopes, facilities FROM client WHERE client_id = :client_id"
)
_LOCK: Final = Statement("SELECT disabled FROM client WHERE client_id = :client_id FOR UPDATE")
_ADD: Final = Statement(
    "INSERT INTO client (client_id, name, created, expires, scopes, facilities)"
    " VALUES (:client_id, :name, :now, :expires, :scopes, :facilities) ON CONFLICT DO NOTHING RETURNING client_id"
)
_SETS: Final = Statement(
    "SELECT document, url, added, ends FROM client_key_set"
    " WHERE client_id = :client_id AND (ends IS NULL OR ends > :now) ORDER BY number"
)
_ADD_SET: Final = Statement(
    "INSERT INTO client_key_set (client_id, document, url, added) VALUES (:client_id, :document, :url, :now)"
)
_END_SETS: Final = Statement("UPDATE client_key_set SET ends = :ends WHERE client_id = :client_id")
_DROP_ENDED: Final = Statement("DELETE FROM client_key_set WHERE client_id = :client_id AND ends <= :now")
_DROP_OLDER: Final = Statement(
    "DELETE FROM client_key_set WHERE client_id = :client_id AND number <"
    " (SELECT max(number) FROM client_key_set WHERE client_id = :client_id) RETURNING number"
)
_DISABLE: Final = Statement("UPDATE client SET disabled = :now WHERE client_id = :client_id AND disabled IS NULL")
_ENABLE: Final = Statement("UPDATE client SET disabled = NULL WHERE client_id = :client_id")
_REVOKE_ALL: Final = Statement(
    "UPDATE access_token SET revoked = :now WHERE client_id = :client_id AND revoked IS NULL"
)


@dataclass(frozen=True, slots=True)
class ClientKeySet:
    """Public keys of a client: a document (JWKS) or the URL of one. `added` and `ends` are in microseconds."""

    document: str | None = None
    url: str | None = None
    added: int = 0
    ends: int | None = None


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """Client as registered. Instants are in microseconds; `facilities` None means all; `scopes` is one text.

    `key_sets` are those that are valid now, the older one first.
    """

    client_id: str
    name: str
    scopes: str
    facilities: tuple[str, ...] | None
    created: int
    expires: int | None = None
    disabled: int | None = None
    key_sets: tuple[ClientKeySet, ...] = ()

    @property
    def is_external(self) -> bool:
        """True if the client proves itself to the external issuer: it has no keys here."""
        return not self.key_sets

    def is_active(self, now: int) -> bool:
        """True if the client may get tokens at that instant."""
        return self.disabled is None and (self.expires is None or self.expires > now)


class StoredClients:
    """Registered clients. Every method raises `StoreUnavailable`; `now` is in microseconds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def every(self, now: int) -> list[RegisteredClient]:
        """Return all clients by name."""
        rows = await self._engine.fetch(_CLIENTS, most=_MOST_CLIENTS)
        return [await self._with_keys(row, now) for row in rows]

    async def find(self, client_id: str, now: int) -> RegisteredClient | None:
        """Return the client with that id, None if there is none."""
        rows = await self._engine.fetch(_CLIENT, client_id=storable(client_id))
        return await self._with_keys(rows[0], now) if rows else None

    async def add(self, client: RegisteredClient, reason: str) -> Outcome:
        """Register a client with its one key set, or with none if it is external. Name and id must be new."""
        key = {"client_id": client.client_id, "now": client.created}
        limits = None if client.facilities is None else json.dumps(client.facilities)

        def work() -> Steps[Outcome]:
            values = {"name": client.name, "expires": client.expires, "scopes": client.scopes, "facilities": limits}
            if not (yield from ask(_ADD, **key, **values)):
                return "name-taken"
            for one in client.key_sets:
                yield from ask(_ADD_SET, **key, **_values(one))
            yield from noted("client-add", client.client_id, reason, client.created)
            return "done"

        return await self._engine.do(work)

    async def disable(self, client_id: str, reason: str, now: int) -> Outcome:
        """Disable a client and revoke its tokens."""

        def work() -> Steps[Outcome]:
            if not (rows := (yield from ask(_LOCK, client_id=client_id))):
                return "unknown"
            yield from ask(_REVOKE_ALL, client_id=client_id, now=now)
            if rows[0][0] is not None:
                return "unchanged"
            yield from ask(_DISABLE, client_id=client_id, now=now)
            yield from noted("client-disable", client_id, reason, now)
            return "done"

        return await self._engine.do(work)

    async def enable(self, client_id: str, reason: str, now: int) -> Outcome:
        """Enable a disabled client; its former tokens stay revoked."""

        def work() -> Steps[Outcome]:
            if not (rows := (yield from ask(_LOCK, client_id=client_id))):
                return "unknown"
            if rows[0][0] is None:
                return "unchanged"
            yield from ask(_ENABLE, client_id=client_id)
            yield from noted("client-enable", client_id, reason, now)
            return "done"

        return await self._engine.do(work)

    async def rotate(self, client_id: str, new: ClientKeySet, older_ends: int | None, reason: str, now: int) -> Outcome:
        """Add a second key set; the older one stays valid until `older_ends`, or until `finish_rotation`."""

        def work() -> Steps[Outcome]:
            if not (yield from ask(_LOCK, client_id=client_id)):
                return "unknown"
            yield from ask(_DROP_ENDED, client_id=client_id, now=now)
            found = yield from ask(_SETS, client_id=client_id, now=now)
            if not found:
                return "no-keys"
            if len(found) >= MOST_KEY_SETS:
                return "too-many-key-sets"
            yield from ask(_END_SETS, client_id=client_id, ends=older_ends)
            yield from ask(_ADD_SET, client_id=client_id, now=now, **_values(new))
            yield from noted("client-rotate", client_id, reason, now)
            return "done"

        return await self._engine.do(work)

    async def finish_rotation(self, client_id: str, reason: str, now: int) -> Outcome:
        """Remove the older key set at once."""

        def work() -> Steps[Outcome]:
            if not (yield from ask(_LOCK, client_id=client_id)):
                return "unknown"
            if not (yield from ask(_DROP_OLDER, client_id=client_id)):
                return "unchanged"
            yield from noted("client-rotate-finish", client_id, reason, now)
            return "done"

        return await self._engine.do(work)

    async def _with_keys(self, row: Row, now: int) -> RegisteredClient:
        client_id, name, created, expires, disabled, scopes, facilities = row
        sets: Sequence[Row] = await self._engine.fetch(_SETS, client_id=client_id, now=now)
        limits = None if facilities is None else tuple(json.loads(facilities))
        keys = tuple(ClientKeySet(*one) for one in sets)
        return RegisteredClient(str(client_id), str(name), str(scopes), limits, int(created), expires, disabled, keys)


def _values(one: ClientKeySet) -> dict[str, Any]:
    return {"document": one.document, "url": one.url}


Issued = Literal["issued", "replayed", "not-active"]

_USE: Final = Statement(
    "INSERT INTO used_assertion (digest, until) VALUES (:digest, :until) ON CONFLICT DO NOTHING RETURNING digest"
)
# The lock waits for `clients disable`, which revokes all tokens: none is issued beside it
_ACTIVE_CLIENT: Final = Statement(
    "SELECT client_id FROM client WHERE client_id = :client_id"
    " AND disabled IS NULL AND (expires IS NULL OR expires > :now) FOR UPDATE"
)
_ISSUE: Final = Statement(
    "INSERT INTO access_token (digest, client_id, scopes, issued, expires)"
    " VALUES (:digest, :client_id, :scopes, :issued, :expires)"
)
_FIND: Final = Statement(
    "SELECT access_token.client_id, access_token.scopes, client.facilities, access_token.issued, access_token.expires"
    " FROM access_token JOIN client ON client.client_id = access_token.client_id"
    " WHERE access_token.digest = :digest AND access_token.revoked IS NULL AND access_token.expires > :now"
    " AND client.disabled IS NULL AND (client.expires IS NULL OR client.expires > :now)"
)
_REVOKE: Final = Statement(
    "UPDATE access_token SET revoked = :now"
    " WHERE digest = :digest AND client_id = :client_id AND revoked IS NULL RETURNING digest"
)
_FORGET_TOKENS: Final = Statement("DELETE FROM access_token WHERE expires < :before")
_FORGET_USED: Final = Statement("DELETE FROM used_assertion WHERE until < :before")
_FORGET_SESSIONS: Final = Statement("DELETE FROM console_session WHERE seen < :before")


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """Access token as stored, by the SHA-256 digest of its text; `facilities` None means all."""

    digest: str = field(repr=False)
    client_id: str
    scopes: str
    issued: int
    expires: int
    facilities: tuple[str, ...] | None = None


def digest_of(token: str) -> str:
    """Return the digest under which a token is stored: the text itself is never kept."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


class StoredTokens:
    """Access tokens and used assertions. Every method raises `StoreUnavailable`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def issue(self, token: TokenRecord, assertion: str, until: int) -> Issued:
        """Mark an assertion (by its digest, kept `until` it expires) as used, and store a token for it.

        Nothing is issued if the assertion was used before, or if the client is not active any more.
        """

        def work() -> Steps[Issued]:
            if not (yield from ask(_ACTIVE_CLIENT, client_id=token.client_id, now=token.issued)):
                return "not-active"
            if not (yield from ask(_USE, digest=assertion, until=until)):
                return "replayed"
            row = {"client_id": token.client_id, "scopes": token.scopes, "issued": token.issued}
            yield from ask(_ISSUE, digest=token.digest, expires=token.expires, **row)
            return "issued"

        return await self._engine.do(work)

    async def use(self, assertion: str, until: int) -> bool:
        """Mark an assertion as used; return False if it was used before."""
        return bool(await self._engine.do(lambda: ask(_USE, digest=assertion, until=until)))

    async def find(self, digest: str, now: int) -> TokenRecord | None:
        """Return a token that is valid now, None if there is none with that digest."""
        rows = await self._engine.fetch(_FIND, digest=digest, now=now)
        return _record(digest, rows[0]) if rows else None

    async def revoke(self, digest: str, client_id: str, now: int) -> bool:
        """Revoke a token of a client; return False, and change nothing, if the client has no such token."""
        return bool(await self._engine.do(lambda: ask(_REVOKE, digest=digest, client_id=client_id, now=now)))

    async def forget(self, before: int) -> None:
        """Delete tokens and used assertions that expired before this instant, and sessions that were idle by then."""

        def work() -> Steps[None]:
            yield from ask(_FORGET_TOKENS, before=before)
            yield from ask(_FORGET_USED, before=before)
            yield from ask(_FORGET_SESSIONS, before=before - IDLE)

        await self._engine.do(work)


def _record(digest: str, row: Row) -> TokenRecord:
    client_id, scopes, facilities, issued, expires = row
    limits = None if facilities is None else tuple(json.loads(facilities))
    return TokenRecord(digest, str(client_id), str(scopes), int(issued), int(expires), limits)


Changed = Literal["done", "unknown", "name-taken"]

_OPERATORS: Final = Statement(
    "SELECT name, role, password, created, changed, failures, locked_until FROM operator"
    " WHERE name > '' ORDER BY name LIMIT :most"
)
_OPERATOR: Final = Statement(
    "SELECT name, role, password, created, changed, failures, locked_until FROM operator WHERE name = :name"
)
_LOCK_OPERATOR: Final = Statement(
    "SELECT name, role, password, created, changed, failures, locked_until FROM operator WHERE name = :name FOR UPDATE"
)
_ADD_OPERATOR: Final = Statement(
    "INSERT INTO operator (name, role, password, created, changed) VALUES (:name, :role, :password, :now, :now)"
    " ON CONFLICT DO NOTHING RETURNING name"
)
_NEW_PASSWORD: Final = Statement(
    "UPDATE operator SET password = :password, changed = :now, failures = 0, locked_until = 0"
    " WHERE name = :name RETURNING name"
)
_REMOVE_OPERATOR: Final = Statement("DELETE FROM operator WHERE name = :name RETURNING name")
_FAILED: Final = Statement("UPDATE operator SET failures = :failures, locked_until = :until WHERE name = :name")
_BEGIN: Final = Statement(
    "INSERT INTO console_session (digest, subject, name, account, member_of, began, seen, hint)"
    " VALUES (:digest, :subject, :name, :account, :member_of, :now, :now, :hint)"
)
_SESSION: Final = Statement(
    "SELECT s.subject, s.name, s.account, s.member_of, s.began, s.seen, o.role FROM console_session s"
    " LEFT JOIN operator o ON o.name = s.account"
    " WHERE s.digest = :digest AND s.seen > :idle AND s.began > :oldest"
)
_SESSIONS: Final = Statement(
    "SELECT subject, name, began, seen FROM console_session WHERE seen > :idle AND began > :oldest"
    " ORDER BY seen DESC LIMIT :most"
)
_SEEN: Final = Statement("UPDATE console_session SET seen = :now WHERE digest = :digest AND seen < :now")
_END: Final = Statement("DELETE FROM console_session WHERE digest = :digest RETURNING hint")
_END_ALL: Final = Statement("DELETE FROM console_session WHERE subject = :subject RETURNING digest")


@dataclass(frozen=True, slots=True)
class StoredOperator:
    """Local account of the console. `password` is a hash, `role` a name; instants are in microseconds."""

    name: str
    role: str
    password: str = field(repr=False)
    created: int
    changed: int
    failures: int = 0
    locked_until: int = 0

    @property
    def subject(self) -> str:
        """Name of the account among all that sign in."""
        return f"local:{self.name}"


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """Session of somebody who is signed in. Instants are in microseconds.

    With an `account` (a local one), `role` is its role now, None if it is gone. Else the identity provider signed him
    in, who was then `member_of` these groups.
    """

    subject: str
    name: str
    account: str | None
    member_of: tuple[str, ...]
    began: int = 0
    seen: int = 0
    role: str | None = None


@dataclass(frozen=True, slots=True)
class SessionsOfOne:
    """Number of sessions of a subject; when the first began, and when one was last used, in microseconds."""

    subject: str
    name: str
    sessions: int
    began: int
    seen: int


def _ending_sessions(change: Statement, values: Values, verb: str, reason: str, now: int) -> Steps[Changed]:
    """Change an account, and end its sessions."""
    if not (yield from ask(change, **values)):
        return "unknown"
    yield from ask(_END_ALL, subject=f"local:{values['name']}")
    yield from noted(verb, values["name"], reason, now)
    return "done"


class StoredOperators:
    """Operators of the console and their sessions. Every method raises `StoreUnavailable`; `now` is in microseconds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def every(self) -> list[StoredOperator]:
        """Return all local accounts by name."""
        return [StoredOperator(*row) for row in await self._engine.fetch(_OPERATORS, most=_MOST_CLIENTS)]

    async def find(self, name: str) -> StoredOperator | None:
        """Return the account with that name, None if there is none."""
        rows = await self._engine.fetch(_OPERATOR, name=storable(name))
        return StoredOperator(*rows[0]) if rows else None

    async def add(self, new: StoredOperator, reason: str) -> Changed:
        """Add a local account. Its name must be new."""

        def work() -> Steps[Changed]:
            values = {"name": new.name, "role": new.role, "password": new.password, "now": new.created}
            if not (yield from ask(_ADD_OPERATOR, **values)):
                return "name-taken"
            yield from noted("operator-add", new.name, reason, new.created)
            return "done"

        return await self._engine.do(work)

    async def set_password(self, name: str, password: str, reason: str, now: int) -> Changed:
        """Give an account a new password, given as a hash; this unlocks it, and ends its sessions."""
        values = {"name": name, "password": password, "now": now}
        return await self._engine.do(lambda: _ending_sessions(_NEW_PASSWORD, values, "operator-password", reason, now))

    async def remove(self, name: str, reason: str, now: int) -> Changed:
        """Remove an account and end its sessions."""
        values = {"name": name}
        return await self._engine.do(lambda: _ending_sessions(_REMOVE_OPERATOR, values, "operator-remove", reason, now))

    async def failed(self, name: str, lock: Callable[[int], int]) -> StoredOperator | None:
        """Count a wrong password; `lock` says until when so many failures in a row lock the account."""

        def work() -> Steps[StoredOperator | None]:
            if not (rows := (yield from ask(_LOCK_OPERATOR, name=name))):
                return None
            known = StoredOperator(*rows[0])
            failures = known.failures + 1
            failed = replace(known, failures=failures, locked_until=max(known.locked_until, lock(failures)))
            yield from ask(_FAILED, name=name, failures=failures, until=failed.locked_until)
            return failed

        return await self._engine.do(work)

    async def begin(
        self, digest: str, session: ConsoleSession, hint: bytes | None, former: str, checked: StoredOperator | None
    ) -> bool:
        """Begin a session under the digest of its token, and end the `former` one of the browser.

        Return False, and begin none, if the local account whose password was `checked` changed or went meanwhile.
        """

        def work() -> Steps[bool]:
            yield from ask(_END, digest=former)
            if checked is not None:
                rows = yield from ask(_LOCK_OPERATOR, name=checked.name)
                if not rows or StoredOperator(*rows[0]).changed != checked.changed:
                    return False
                yield from ask(_FAILED, name=checked.name, failures=0, until=0)
            who = {"subject": session.subject, "name": session.name, "account": session.account}
            groups = json.dumps(session.member_of)
            yield from ask(_BEGIN, digest=digest, **who, member_of=groups, now=session.began, hint=hint)
            return True

        return await self._engine.do(work)

    async def session(self, digest: str, now: int) -> ConsoleSession | None:
        """Return the session with that digest, None if there is none, or it was idle or went on for too long."""
        rows = await self._engine.fetch(_SESSION, digest=digest, idle=now - IDLE, oldest=now - LONGEST)
        if not rows:
            return None
        subject, name, account, member_of, began, seen, role = rows[0]
        return ConsoleSession(subject, name, account, tuple(json.loads(member_of)), began, seen, role)

    async def keep(self, digest: str, now: int) -> None:
        """Note that a session was used."""
        await self._engine.do(lambda: ask(_SEEN, digest=digest, now=now))

    async def end(self, digest: str) -> bytes | None:
        """End a session and return its hint, None if it has none."""
        rows = await self._engine.do(lambda: ask(_END, digest=digest))
        return rows[0][0] if rows else None

    async def signed_in(self, now: int) -> list[SessionsOfOne]:
        """Return the sessions that go on, of each subject, the one last used first."""
        found: dict[str, SessionsOfOne] = {}
        rows = await self._engine.fetch(_SESSIONS, idle=now - IDLE, oldest=now - LONGEST, most=_MOST_CLIENTS)
        for subject, name, began, seen in rows:
            known = found.get(subject, SessionsOfOne(subject, name, 0, began, seen))
            found[subject] = replace(known, sessions=known.sessions + 1, began=min(known.began, began))
        return list(found.values())

    async def end_all(self, subject: str, reason: str, now: int) -> int:
        """End all sessions of a subject; return how many there were."""

        def work() -> Steps[int]:
            ended = yield from ask(_END_ALL, subject=storable(subject))
            if ended:
                yield from noted("operator-sign-out", subject, reason, now)
            return len(ended)

        return await self._engine.do(work)
