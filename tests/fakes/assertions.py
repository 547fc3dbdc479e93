"""Clients of SMART Backend Services for the tests: key pairs, their key sets, and assertions made by PyJWT."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

TOKEN_URL = "https://gateway.example/auth/token"
CLIENT = "client-0123456789abcdef"
NOW = 1_800_000_000


@cache
def key_pair(name: str) -> Any:
    """Return a private key by its kind and a name, such as `RS384 a`; the same for the same words."""
    kind = name.split(maxsplit=1)[0]
    if kind.startswith(("RS", "PS")):
        return rsa.generate_private_key(65_537, int(name.split()[2]) if name.count(" ") > 1 else 2_048)
    return ec.generate_private_key({"ES384": ec.SECP384R1(), "ES256": ec.SECP256R1()}[kind])


def public_jwk(name: str, **changes: Any) -> dict[str, Any]:
    """Return the public key as a JWK whose kid is the name."""
    algorithm = jwt.get_algorithm_by_name(name.split(maxsplit=1)[0])
    made = algorithm.to_jwk(key_pair(name).public_key(), as_dict=True)
    return {name: one for name, one in made.items() if name != "key_ops"} | {"kid": name} | changes


def jwks(*names: str) -> bytes:
    """Return the key set of these keys as a document."""
    return json.dumps({"keys": [public_jwk(name) for name in names]}).encode()


def claims(now: float = NOW, **changes: Any) -> dict[str, Any]:
    """Return the claims of a good assertion; a change to None takes a claim out."""
    made = {
        "iss": CLIENT,
        "sub": CLIENT,
        "aud": TOKEN_URL,
        "iat": int(now),
        "exp": int(now) + 300,
        "jti": secrets.token_hex(16),
        **changes,
    }
    return {name: one for name, one in made.items() if one is not None}


def signed(given: Mapping[str, Any], name: str = "RS384 a", algorithm: str = "", key: Any = None, **header: Any) -> str:
    """Sign claims as PyJWT does; the kid is the name of the key if the header names none."""
    headers = {"kid": name, **header}
    algorithm = algorithm or name.split(maxsplit=1)[0]
    return jwt.encode(
        dict(given), key or key_pair(name), algorithm, {k: v for k, v in headers.items() if v is not None}
    )


def raw(header: bytes, payload: bytes, name: str = "RS384 a") -> str:
    """Sign header and claims as bytes, which no library would make."""
    parts = b".".join(base64.urlsafe_b64encode(one).rstrip(b"=") for one in (header, payload))
    algorithm = jwt.get_algorithm_by_name(name.split(maxsplit=1)[0])
    signature = algorithm.sign(parts, key_pair(name))
    return b".".join([parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()
