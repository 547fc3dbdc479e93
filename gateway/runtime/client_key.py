"""Private key of a SMART Backend Services client: make its file, read it, and sign client assertions with it.

https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html (RS384 and ES384), RFC 7523 §3
(assertion), RFC 7517 (the public half as a JWK Set), RFC 7638 (key id: the thumbprint).
Proved by tests/gateway/runtime/test_client_key.py.
"""

from __future__ import annotations

import json
import os
import secrets
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from gateway.runtime.errors import ConfigError
from gateway.runtime.own_file import flush_folder, open_private

Algorithm = Literal["RS384", "ES384"]
_BITS: Final = 3_072
_LEAST_BITS: Final = 2_048
_SECONDS: Final = 240  # an EHR takes at most five minutes, and its clock may differ
_REMEDY: Final = "Name the file that `keys ehr` made."


@dataclass(frozen=True, slots=True)
class ClientKey:
    """Private key with the algorithm that it signs by."""

    algorithm: Algorithm
    key: RSAKey | ECKey = field(repr=False)

    @property
    def public_keys(self) -> dict[str, Any]:
        """The JWK Set to register at the EHR: the public half only."""
        known = self.key.as_dict(private=False)
        return {"keys": [{**known, "kid": self.key.thumbprint(), "alg": self.algorithm, "use": "sig"}]}

    def assertion(self, client_id: str, audience: str, now: int) -> str:
        """Sign an assertion for one token request; `audience` is the token endpoint's URL, `now` in seconds."""
        header = {"alg": self.algorithm, "kid": self.key.thumbprint(), "typ": "JWT"}
        times = {"iat": now, "exp": now + _SECONDS, "jti": secrets.token_urlsafe(24)}
        claims = {"iss": client_id, "sub": client_id, "aud": audience, **times}
        return jwt.encode(header, claims, self.key, algorithms=[self.algorithm])


def made_client_key(file: Path, algorithm: Algorithm) -> ClientKey:
    """Return the key in the file; make the file if it is missing, for its owner only. No key is ever replaced.

    Raises:
        ConfigError: the file cannot be made or read, or holds no such key.
    """
    try:
        if not file.exists():
            made = RSAKey.generate_key(_BITS) if algorithm == "RS384" else ECKey.generate_key("P-384")
            _write(file, made.as_pem(private=True))
    except OSError as error:
        problem = f"cannot be made ({os.strerror(error.errno or 0)})"
        raise ConfigError("keys ehr", "FILE", problem, "Name a file in a folder that is there.") from None
    return read_client_key(file, "keys ehr", "FILE")


def read_client_key(file: Path, source: str, key: str) -> ClientKey:
    """Read a key; `source` and `key` name the setting in the error.

    Raises:
        ConfigError: the file cannot be read, or holds no RSA key of 2048 bits and no EC key of P-384 in PEM.
    """
    try:
        text = file.read_bytes()
    except OSError as error:
        raise ConfigError(source, key, f"cannot be read ({os.strerror(error.errno or 0)})", _REMEDY) from None
    with suppress(JoseError, ValueError, TypeError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the size of a key is checked here
        if (rsa := RSAKey.import_key(text)).private_key and rsa.public_key.key_size >= _LEAST_BITS:
            return ClientKey("RS384", rsa)
    with suppress(JoseError, ValueError, TypeError):
        if (curve := ECKey.import_key(text)).private_key and curve.curve_name == "P-384":
            return ClientKey("ES384", curve)
    raise ConfigError(source, key, "no private key in PEM, RSA of 2048 bits or EC of P-384", _REMEDY)


def printed_keys(key: ClientKey) -> str:
    """Return the public half as the text that an EHR takes when the client is registered."""
    return json.dumps(key.public_keys, indent=2)


def _write(file: Path, text: bytes) -> None:
    made = open_private(file, os.O_WRONLY | os.O_EXCL)
    try:
        os.write(made, text)
        os.fsync(made)
    finally:
        os.close(made)
    flush_folder(file.parent)
