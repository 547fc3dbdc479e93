"""A client as sites write them for exports: finds the token endpoint, logs in, pages through all, and renews its token.

https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html. It knows the FHIR base, its id and its key, no more.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt
from fakes.assertions import key_pair

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(slots=True)
class BulkClient:
    """The client; `logins` counts its tokens."""

    base: str
    client_id: str
    key: str
    scope: str
    http: httpx.Client
    token: str = field(default="", repr=False)
    logins: int = 0
    refused: list[int] = field(default_factory=list)

    def configuration(self) -> dict[str, Any]:
        """The SMART configuration."""
        answer = self.http.get(f"{self.base}/.well-known/smart-configuration")
        answer.raise_for_status()
        return dict(answer.json())

    def assertion(self, token_url: str) -> str:
        """A new proof of the client."""
        now = int(time.time())
        claims = {"iss": self.client_id, "sub": self.client_id, "aud": token_url, "exp": now + 240, "iat": now}
        algorithm = self.key.split(maxsplit=1)[0]
        jti = {"jti": secrets.token_hex(16)}
        return jwt.encode({**claims, **jti}, key_pair(self.key), algorithm, {"kid": self.key})

    def log_in(self) -> str:
        """Get a token and keep it."""
        url = self.configuration()["token_endpoint"]
        fields = {"grant_type": "client_credentials", "scope": self.scope, "client_assertion_type": ASSERTION}
        answer = self.http.post(url, data={**fields, "client_assertion": self.assertion(url)})
        assert answer.status_code == 200, answer.text
        self.token = str(answer.json()["access_token"])
        self.logins += 1
        return self.token

    def asked(self, url: str) -> httpx.Response:
        """Ask once with the token that it has."""
        return self.http.get(url, headers={"Authorization": f"Bearer {self.token}"} if self.token else {})

    def get(self, url: str) -> dict[str, Any]:
        """Ask, with a new token if the old one is not taken any more."""
        answer = self.asked(url)
        if answer.status_code == 401:
            self.refused.append(answer.status_code)
            self.log_in()
            answer = self.asked(url)
        answer.raise_for_status()
        return dict(answer.json())

    def pages(self, kind: str, count: int) -> Iterator[dict[str, Any]]:
        """The pages of all resources of a type."""
        url: str | None = f"{self.base}/{kind}?_lastUpdated=ge2000-01-01&_count={count}"
        while url:
            page = self.get(url)
            yield page
            url = next((one["url"] for one in page["link"] if one["relation"] == "next"), None)
