"""Page tokens in search links: the position in the results, encrypted with a key derived from the site key.

https://hl7.org/fhir/R4/http.html#paging: links are opaque to clients, and hold no PHI (D9). AES-256-GCM (NIST SP
800-38D), RFC 4648 §5 without padding. The resource type and the caller's scope are authenticated with the token as
associated data, not contained in it.
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

from gateway.runtime.request_errors import BadRequest, PageExpired

_LABEL: Final = b"autoscribe-gateway:page-token:1"
_NONCE_LENGTH: Final = 12
_FOREIGN: Final = "the page token was not given out by this gateway for this search"


class Tokens:
    """Seals and opens tokens with a key derived from the site key, so every process of the site can open them."""

    def __init__(self, site_key: bytes) -> None:
        self._cipher = AESGCM(hmac.digest(site_key, _LABEL, hashlib.sha256))

    def seal(self, state: Any, now: datetime, lifetime: timedelta, *, resource_type: str = "", scope: str = "") -> str:
        """Seal a JSON value into a token, valid for `lifetime` from `now`; equal states give different tokens."""
        plaintext = json.dumps([(now + lifetime).timestamp(), state], separators=(",", ":"))
        nonce = secrets.token_bytes(_NONCE_LENGTH)
        sealed = self._cipher.encrypt(nonce, zlib.compress(plaintext.encode()), _bound_to(resource_type, scope))
        return _token_text(nonce + sealed)

    def open(self, token: str, now: datetime, *, resource_type: str = "", scope: str = "") -> Any:
        """Open a token and return its state.

        Raises:
            BadRequest: the token is not of this site, or is for another resource type or caller.
            PageExpired: the lifetime of the token is over.
        """
        sealed = _bytes(token)
        try:
            plaintext = self._cipher.decrypt(
                sealed[:_NONCE_LENGTH], sealed[_NONCE_LENGTH:], _bound_to(resource_type, scope)
            )
        except InvalidTag:
            raise BadRequest(_FOREIGN) from None
        expires, state = json.loads(zlib.decompress(plaintext))
        if now.timestamp() >= expires:
            raise PageExpired("the page token is older than a page is kept for")
        return state


def _bound_to(resource_type: str, scope: str) -> bytes:
    return json.dumps([resource_type, scope]).encode()


def _token_text(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _bytes(token: str) -> bytes:
    """Decode a token; accept only the one canonical spelling of its bytes."""
    try:
        sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise BadRequest(_FOREIGN) from None
    if _token_text(sealed) != token or len(sealed) <= _NONCE_LENGTH:
        raise BadRequest(_FOREIGN)
    return sealed
