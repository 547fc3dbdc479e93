"""Say what a token of the external issuer gives: by its signature, and by what its client is registered for here.

RFC 9068 §4 (validating a JWT access token). The site has the last word: a client that is not registered gets nothing,
and no client gets more than it is registered for. A token without a good signature never reaches the database.
Proved by tests/gateway/auth/test_external_access.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.auth.access import Access
from gateway.auth.external_token import ExternalToken, TokenRules, external_token
from gateway.auth.issuer import Issuer
from gateway.auth.launch_patient import FAULTS, LaunchPatients, PatientNumber
from gateway.auth.refusals import TokenRefused
from gateway.auth.scopes import ScopeInvalid, granted, scope_list
from gateway.runtime.log import get_logger
from gateway.store.clients import StoredClients

_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class ExternalAccess:
    """Look-up of a token cache."""

    rules: TokenRules
    issuer: Issuer
    clients: StoredClients
    patients: LaunchPatients

    async def __call__(self, token: str, at: int) -> Access | None:
        """Return the access of a token at an instant in microseconds, None if it is not valid; the log says why.

        Raises:
            IssuerUnavailable: its key is not known, and the issuer does not answer.
            StoreUnavailable: the database does not answer.
        """
        try:
            return await self._access(await self._verified(token, at), at)
        except TokenRefused as refused:
            get_logger().warning("token-refused", code=refused.reason, operation="access")
            return None

    async def _verified(self, compact: str, at: int) -> ExternalToken:
        token = external_token(compact, self.rules, at / _SECOND)
        key = await self.issuer.key(token.key_id, token.algorithm)
        if key is None:
            raise TokenRefused("invalid_token", "key-unknown")
        token.verify(key)
        return token

    async def _access(self, token: ExternalToken, at: int) -> Access:
        client = await self.clients.find(token.client_id, at)
        if client is None or not client.is_external:
            raise TokenRefused("invalid_token", "client-unknown")
        if not client.is_active(at):
            raise TokenRefused("invalid_token", "not-active")
        try:
            scopes = granted(token.scopes, scope_list(client.scopes))
        except ScopeInvalid:
            raise TokenRefused("invalid_token", "too-many-scopes") from None
        facilities = None if client.facilities is None else frozenset(client.facilities)
        expires = min(token.expires, client.expires or token.expires)
        patient, fault = token.patient, ""
        if isinstance(patient, PatientNumber):
            patient, fault = await self._patient(patient, facilities)
        return Access(client.client_id, scopes, facilities, expires, token.user, patient, fault)

    async def _patient(self, number: PatientNumber, facilities: frozenset[str] | None) -> tuple[str | None, str]:
        """Return the id of the Patient with this number, else the reason why there is none; the log has its code."""
        patient_id, fault = await self.patients.find(number, facilities)
        if not fault:
            return patient_id, ""
        get_logger().warning("patient-not-found", code=fault, operation="access")
        return None, FAULTS[fault]
