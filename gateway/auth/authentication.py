"""Interface of authentication to the service, built in or by an external issuer; kept as `app.state.auth`.

https://hl7.org/fhir/smart-app-launch/STU2.2/; decision D10.
Proved by tests/gateway/auth/test_wired.py.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from starlette.datastructures import State

from gateway.auth.bearer import Authenticator
from gateway.auth.builtin import builtin
from gateway.auth.external import external
from gateway.auth.smart_configuration import Endpoints
from gateway.auth.token_endpoint import LoginSeen
from gateway.settings import Configuration
from gateway.store.database.engine import Engine


class Authentication(Protocol):
    """Authentication in one process, on one event loop."""

    @property
    def tokens(self) -> Authenticator:
        """Checker of access tokens."""

    @property
    def endpoints(self) -> Endpoints | None:
        """Addresses of a login, None if they are not known."""

    async def smart_configuration(self) -> Mapping[str, Any]:
        """Return the SMART configuration.

        Raises:
            IssuerUnavailable: it is the issuer's, which was never reached.
        """

    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return the background loops that it needs."""


def authentication(
    engine: Engine, configuration: Configuration, note_login: Callable[[LoginSeen], None]
) -> Authentication | None:
    """Create the authentication that the settings ask for, None for none; `note_login` sees each token request.

    Raises:
        ConfigError: a setting is missing or wrong.
    """
    settings = configuration.settings
    if settings.auth.is_builtin:
        return builtin(engine, settings, note_login)
    return external(engine, settings, configuration.site) if settings.auth.is_external else None


def authentication_of(state: State) -> Authentication | None:
    """Return the authentication in an application's state, None if it has none."""
    found: Authentication | None = getattr(state, "auth", None)
    return found
