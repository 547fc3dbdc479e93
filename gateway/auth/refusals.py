"""Refusals of token requests and access tokens: the error code of the RFC for the client, and a code for the log.

RFC 6749 §5.2 (token requests), RFC 6750 §3.1 (`invalid_token`): a refusal shows nothing of what was sent.
Proved by tests/gateway/auth/test_token_faults.py and tests/gateway/auth/test_external_faults.py.
"""

from __future__ import annotations

from typing import Literal

TokenError = Literal["invalid_request", "invalid_client", "invalid_scope", "unsupported_grant_type", "invalid_token"]


class TokenRefused(Exception):
    """A request to the token endpoint, or an access token, is refused.

    `error` is of RFC 6749 or RFC 6750, `reason` a fixed code for the log. `description` tells the client what to mend;
    it is empty if it would tell a stranger which clients exist. `scheme` is that of an Authorization header, which is
    not taken.
    """

    def __init__(self, error: TokenError, reason: str, description: str = "", scheme: str = "") -> None:
        self.error, self.reason, self.description, self.scheme = error, reason, description, scheme
        super().__init__(f"{error}: {reason}")

    @property
    def status(self) -> int:
        """HTTP status of the answer; never 401, which needs a header with a scheme that `private_key_jwt` lacks."""
        return 401 if self.scheme else 400
