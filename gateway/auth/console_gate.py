"""Let a person into the console by role, and write the headers of each of its answers.

https://www.w3.org/TR/CSP3/, https://w3c.github.io/webappsec-fetch-metadata/ (Sec-Fetch-Site); decision D53. No way to
sign in is set up here: nobody is let in.
Proved by tests/gateway/console/test_pages.py.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_SAFE: Final = frozenset({"GET", "HEAD"})
_MESSAGES: Final = {
    "not-signed-in": "Nobody is signed in.",
    "role-too-small": "Your role does not allow this page.",
    "another-site": "The form did not come from a page of this console.",
}


class Role(IntEnum):
    """Role of an operator; each may do what those below may. A watcher sees no data of patients."""

    WATCHER = 1
    READER = 2
    OPERATOR = 3
    ADMIN = 4


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody who is signed in: `subject` is for the audit, `name` is for people to read."""

    subject: str
    name: str
    role: Role
    session: str = field(repr=False)

    @property
    def sees_patients(self) -> bool:
        """True if the role may see data of patients."""
        return self.role >= Role.READER


class Refused(Exception):
    """A request to the console is refused; `message` is a sentence for the page."""

    def __init__(self, code: str, status: int = HTTPStatus.UNAUTHORIZED, subject: str = "") -> None:
        self.code, self.status, self.subject = code, status, subject
        super().__init__(code)

    @property
    def message(self) -> str:
        """A sentence for the page."""
        return _MESSAGES[self.code]


@dataclass(frozen=True, slots=True)
class SignInPage:
    """Content of the page of the sign-in; `to` is the checked path to come back to."""

    status: int
    message: str
    to: str
    has_accounts: bool
    provider_url: str | None
    is_signed_out: bool = False


SIGN_IN_PATH: Final = "/console/sign-in"
SIGN_OUT_PATH: Final = "/console/sign-out"
RenderSignIn = Callable[[Request, SignInPage], Response]


@dataclass(frozen=True, slots=True)
class ContentPolicy:
    """Sources from which an answer may load; a browser refuses everything else."""

    styles: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    polls: bool = False
    images: bool = False
    shows_pdf: bool = False
    is_framed: bool = False


def hash_source(text: str) -> str:
    """Return the CSP source of an inline style or script: of exactly the characters between the tags."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def console_headers(policy: ContentPolicy | None = None) -> Mapping[str, str]:
    """Return the headers of every answer of the console."""
    allowed, own = policy or ContentPolicy(), "'self'"
    parts = {
        "default-src": "'none'",
        "style-src": " ".join(allowed.styles),
        "script-src": " ".join(allowed.scripts),
        "connect-src": own if allowed.polls else "",
        "img-src": f"{own} data:" if allowed.images else "",
        "frame-src": own if allowed.shows_pdf else "",
        "frame-ancestors": own if allowed.is_framed else "'none'",
        "form-action": own,
        "base-uri": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in parts.items() if value),
        "Referrer-Policy": "no-referrer",
    }


class ConsoleGate:
    """Gate that lets nobody in."""

    def routes(self) -> list[Route]:
        """Return the routes of sign-in and sign-out."""
        return []

    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return the loops behind it."""
        return ()

    async def admit(self, request: Request, least: Role) -> SignedIn:
        """Return who is signed in, if the role is enough.

        Raises:
            Refused: nobody is signed in, the role is too small, or the form is of another site.
        """
        found = await self.signed_in(request)
        if found is None:
            raise Refused("not-signed-in")
        if found.role < least:
            raise Refused("role-too-small", HTTPStatus.FORBIDDEN, found.subject)
        if request.method not in _SAFE and request.headers.get("sec-fetch-site") != "same-origin":
            raise Refused("another-site", HTTPStatus.FORBIDDEN, found.subject)
        return found

    async def signed_in(self, _: Request) -> SignedIn | None:
        """Return who is signed in."""
        return None

    def to_sign_in(self, _: Request, __: Refused) -> Response | None:
        """Return the way to the sign-in, None if there is none."""
        return None

    def headers(self, policy: ContentPolicy | None = None) -> Mapping[str, str]:
        """Return the headers of every answer of the console."""
        return console_headers(policy)
