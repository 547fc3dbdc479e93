"""Paging tokens: where a search goes on, readable by nobody but a gateway with the same site key.

https://hl7.org/fhir/R4/http.html#paging: a client follows the link and does not look into it; no PHI in links (D9).
AES-256-GCM (NIST SP 800-38D), RFC 4648 §5 without padding. What the token is good for, the resource type and the
caller's scope, is authenticated with it, not said in it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import zlib
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.runtime.errors import BadRequest, PageExpired

_LABEL: Final = b"autoscribe-gateway:page-token:1"
_NONCE_LENGTH: Final = 12
_FOREIGN: Final = "the page token was not given out by this gateway for this search"


class Tokens:
    """Makes and opens tokens with a key that is derived from the site key, so any process of the site opens them."""

    def __init__(self, site_key: bytes) -> None:
        self._cipher = AESGCM(hmac.digest(site_key, _LABEL, hashlib.sha256))

    def seal(self, state: Any, now: datetime, lifetime: timedelta, *, resource_type: str = "", scope: str = "") -> str:
        """A token for a JSON value, good for `lifetime` from `now` on; no two are alike, even of the same state."""
        said = json.dumps([(now + lifetime).timestamp(), state], separators=(",", ":"))
        nonce = secrets.token_bytes(_NONCE_LENGTH)
        sealed = self._cipher.encrypt(nonce, zlib.compress(said.encode()), _bound_to(resource_type, scope))
        return _written(nonce + sealed)

    def open(self, token: str, now: datetime, *, resource_type: str = "", scope: str = "") -> Any:
        """The state in a token.

        Raises:
            BadRequest: it is no token of this site, or one for another resource type or another caller.
            PageExpired: its lifetime is over.
        """
        sealed = _bytes(token)
        try:
            said = self._cipher.decrypt(sealed[:_NONCE_LENGTH], sealed[_NONCE_LENGTH:], _bound_to(resource_type, scope))
        except InvalidTag:
            raise BadRequest(_FOREIGN) from None
        expires, state = json.loads(zlib.decompress(said))
        if now.timestamp() >= expires:
            raise PageExpired("the page token is older than a page is kept for")
        return state


def _bound_to(resource_type: str, scope: str) -> bytes:
    return json.dumps([resource_type, scope]).encode()


def _written(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _bytes(token: str) -> bytes:
    """The bytes of a token; of several ways to write the same bytes only ours is taken."""
    try:
        sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise BadRequest(_FOREIGN) from None
    if _written(sealed) != token or len(sealed) <= _NONCE_LENGTH:
        raise BadRequest(_FOREIGN)
    return sealed
