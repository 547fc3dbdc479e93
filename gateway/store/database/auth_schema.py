"""Tables of built-in authentication: clients, their key sets, used assertions, and access tokens.

Carries out no clause of a standard. Instants are whole microseconds since 1970 in UTC. No row holds a secret: keys are
public, and tokens and assertions are kept as SHA-256 digests.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Table

from gateway.store.database.columns import METADATA, NUMBER, key_column, number_column, text_column

# Client of the FHIR facade. `scopes` is one text, as in a token request; `facilities` is a JSON list, NULL: all
CLIENT: Final = Table(
    "client",
    METADATA,
    key_column("client_id"),
    text_column("name"),
    number_column("created"),
    number_column("expires", needed=False),
    number_column("disabled", needed=False),
    text_column("scopes"),
    text_column("facilities", needed=False),
    sqlite_strict=True,
)
# Key set of a client, either a document (JWKS) or its URL; `ends` is when a replaced one stops being valid
CLIENT_KEY_SET: Final = Table(
    "client_key_set",
    METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    text_column("client_id"),
    text_column("document", needed=False),
    text_column("url", needed=False),
    number_column("added"),
    number_column("ends", needed=False),
    sqlite_strict=True,
)
# Assertion that was used once, kept until it expires
USED_ASSERTION: Final = Table(
    "used_assertion", METADATA, key_column("digest"), number_column("until"), sqlite_strict=True
)
ACCESS_TOKEN: Final = Table(
    "access_token",
    METADATA,
    key_column("digest"),
    text_column("client_id"),
    text_column("scopes"),
    number_column("issued"),
    number_column("expires"),
    number_column("revoked", needed=False),
    sqlite_strict=True,
)

AUTH_INDEXES: Final = (
    Index("client_by_name", CLIENT.c.name, unique=True),
    Index("client_key_set_by_client", CLIENT_KEY_SET.c.client_id),
    Index("used_assertion_by_until", USED_ASSERTION.c.until),
    Index("access_token_by_expires", ACCESS_TOKEN.c.expires),
    Index("access_token_by_client", ACCESS_TOKEN.c.client_id),
)
