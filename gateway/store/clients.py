"""Store the clients of the FHIR facade and their key sets: register, list, disable, enable, and rotate keys.

https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html (registration). Each act of an operator is written to
the audit in its own transaction. Disabling a client revokes its tokens for good.
Proved by tests/contract/test_clients.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Row, Statement, Steps, ask, storable
from gateway.store.feed.audit import noted

Outcome = Literal["done", "unknown", "unchanged", "name-taken", "too-many-key-sets", "no-keys"]
MOST_KEY_SETS: Final = 2
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
        """Register a client with its one key set, or without, if it is external. Name and id must be new."""
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
