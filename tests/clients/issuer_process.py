"""oidc-provider, an identity provider of others, as a process with a certificate of its own.

https://openid.net/specs/openid-connect-discovery-1_0.html, RFC 8707 (resource indicators), RFC 9068.
"""

from __future__ import annotations

import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt
import trustme
from conformance.outside import node
from fakes.assertions import key_pair, public_jwk

SCRIPTS = Path(__file__).parent / "issuer"


# Application of people, on their own machines: without a secret
APP = {
    "client_id": "viewer",
    "scope": "openid patient/*.rs system/DiagnosticReport.rs",
    "application_type": "native",
    "token_endpoint_auth_method": "none",
    "grant_types": ["authorization_code"],
    "redirect_uris": ["http://127.0.0.1/app"],
    "response_types": ["code"],
}


@dataclass(frozen=True, slots=True)
class ExternalIssuer:
    """The provider; `authority` is the file of the authority that its certificate is of."""

    url: str
    authority: Path
    _process: subprocess.Popen[str]

    def tell(self, **changes: Any) -> None:
        """Change the provider: `skew` of its clock, `isSilent`, `lifetime` of tokens, in seconds, or `patient`."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(changes) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer == "{}\n", answer

    def has_keys(self, *names: str) -> None:
        """Show these keys from here on, and sign by the first; the last is for ID tokens, which nobody gets here."""
        self.tell(keys=[_private_jwk(one) for one in (*names, "RS256 id-tokens")])


def _private_jwk(name: str) -> dict[str, Any]:
    algorithm = name.split(maxsplit=1)[0]
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(key_pair(name), as_dict=True)
    named = {"kid": name, "alg": algorithm, "use": "sig"}
    return {**{part: one for part, one in made.items() if part != "key_ops"}, **named}


def log_in_as_user(issuer: ExternalIssuer, url: str) -> str:
    """Log in on the pages of the provider, and agree; return the address that this leads back to."""
    trusted = ssl.create_default_context(cafile=str(issuer.authority))
    with httpx.Client(verify=trusted, timeout=20) as browser:
        answer = browser.get(url)
        for _ in range(10):
            while answer.is_redirect and answer.headers["location"].startswith((issuer.url, "/")):
                answer = browser.get(answer.url.join(answer.headers["location"]))
            if answer.is_redirect:
                return str(answer.headers["location"])
            [action] = re.findall('<form[^>]* action="([^"]+)" method="post"', answer.text)
            prompt = re.findall('name="prompt" value="([^"]+)"', answer.text)[0]
            answer = browser.post(action, data={"prompt": prompt, "login": "user-1", "password": "any"})
    raise AssertionError(answer.text)


@contextmanager
def external_issuer(
    folder: Path, port: int, audience: str, client_id: str, key: str, scope: str
) -> Iterator[ExternalIssuer]:
    """The provider with one client while the block runs; skips without Node.js or npm."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(folder / "authority.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    (folder / "cert.pem").write_bytes(b"".join(one.bytes() for one in certificate.cert_chain_pems))
    client = {
        "client_id": client_id,
        "scope": scope,
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": key.split(maxsplit=1)[0],
        "grant_types": ["client_credentials"],
        "redirect_uris": [],
        "response_types": [],
        "jwks": {"keys": [public_jwk(key)]},
    }
    (folder / "clients.json").write_text(json.dumps([client, APP]))
    command = node("serve.mjs", str(port), str(folder), audience, under=SCRIPTS)
    with (folder / "issuer.err").open("w") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8"
        )
    with process:
        issuer = ExternalIssuer(f"https://localhost:{port}", folder / "authority.pem", process)
        issuer.has_keys("RS256 issuer-1")
        yield issuer
