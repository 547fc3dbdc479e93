"""Store access tokens as digests, and assertions that were used, so that each counts once over all processes.

RFC 7523 §3 (`jti`: an assertion is not taken twice), RFC 7009 (revocation), RFC 7662 (introspection). A token is valid
only while its client is enabled and not expired. Instants are in microseconds.
Proved by tests/contract/test_access_tokens.py.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Final, Literal

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Row, Statement, Steps, ask

Issued = Literal["issued", "replayed", "not-active"]

_USE: Final = Statement(
    "INSERT INTO used_assertion (digest, until) VALUES (:digest, :until) ON CONFLICT DO NOTHING RETURNING digest"
)
# The lock waits for `clients disable`, which revokes all tokens: none is issued beside it
_CLIENT: Final = Statement(
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
        """Use up an assertion, given as a digest and kept `until` it expires, and store a token for it.

        Nothing is issued if the assertion was used before, or if the client is not active any more.
        """

        def work() -> Steps[Issued]:
            if not (yield from ask(_CLIENT, client_id=token.client_id, now=token.issued)):
                return "not-active"
            if not (yield from ask(_USE, digest=assertion, until=until)):
                return "replayed"
            row = {"client_id": token.client_id, "scopes": token.scopes, "issued": token.issued}
            yield from ask(_ISSUE, digest=token.digest, expires=token.expires, **row)
            return "issued"

        return await self._engine.do(work)

    async def use(self, assertion: str, until: int) -> bool:
        """Use up an assertion; return False if it was used before."""
        return bool(await self._engine.do(lambda: ask(_USE, digest=assertion, until=until)))

    async def find(self, digest: str, now: int) -> TokenRecord | None:
        """Return a token that is valid now, None if there is none with that digest."""
        rows = await self._engine.fetch(_FIND, digest=digest, now=now)
        return _record(digest, rows[0]) if rows else None

    async def revoke(self, digest: str, client_id: str, now: int) -> bool:
        """Revoke a token of a client; return False, and change nothing, if the client has no such token."""
        return bool(await self._engine.do(lambda: ask(_REVOKE, digest=digest, client_id=client_id, now=now)))

    async def forget(self, before: int) -> None:
        """Delete tokens and used assertions that expired before this instant."""

        def work() -> Steps[None]:
            yield from ask(_FORGET_TOKENS, before=before)
            yield from ask(_FORGET_USED, before=before)

        await self._engine.do(work)


def _record(digest: str, row: Row) -> TokenRecord:
    client_id, scopes, facilities, issued, expires = row
    limits = None if facilities is None else tuple(json.loads(facilities))
    return TokenRecord(digest, str(client_id), str(scopes), int(issued), int(expires), limits)
