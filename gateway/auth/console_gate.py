"""Gate of the console: sign-in, sessions, sign-out, and the headers of each answer. Every route asks it first.

RFC 6265bis §4.1.3 (`__Host-` cookies), https://www.w3.org/TR/fetch-metadata/ (`Sec-Fetch-Site`),
https://www.w3.org/TR/CSP3/, decisions D10, D42. The database has digests of the cookies, no cookie. What is said
of somebody to the audit is written before the answer.
Proved by tests/gateway/auth/test_console_gate.py and tests/gateway/auth/test_console_attacks.py.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from urllib.parse import quote

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from gateway.auth.bearer import CONSOLE
from gateway.auth.key_set_fetch import KeySetFetch
from gateway.auth.operators import LocalAccounts, Refused, Role, SignedIn, SignInBounds
from gateway.auth.provider import (
    CALLBACK_PATH,
    MOST_SECONDS,
    SIGN_IN_PATH,
    IdentityProvider,
    SignInAttempt,
    provider_rules,
)
from gateway.auth.refusals import TokenRefused
from gateway.auth.token_endpoint import posted_form
from gateway.runtime import clock
from gateway.runtime.errors import AuditUnavailable, ConfigError, StoreError, StoreUnavailable
from gateway.runtime.log import get_logger
from gateway.runtime.metrics import ROUTE
from gateway.settings import Settings, is_loopback
from gateway.store.clients import ConsoleSession, StoredOperator, StoredOperators, StoredTokens, digest_of
from gateway.store.database.engine import Engine, micros

__all__ = [
    "CALLBACK_PATH",
    "SIGN_IN_PATH",
    "ConsoleGate",
    "ConsoleSeen",
    "ContentPolicy",
    "Refused",
    "Role",
    "SignInPage",
    "SignedIn",
    "console_gate",
    "console_headers",
    "hash_source",
]

PROVIDER_PATH: Final = "/console/sign-in/provider"
WORD_PATH: Final = "/console/sign-in/word"
SIGN_OUT_PATH: Final = "/console/sign-out"
_SESSION, _ATTEMPT = "autoscribe-console", "autoscribe-sign-in"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")
# A path below the console, as its own pages have it. A percent sign may hide no dot, slash or backslash (RFC 3986 §2.1)
_OWN_PATH: Final = re.compile(r"/console/(?:[A-Za-z0-9._~/?=&+:@-]|%(?!2[eEfF]|5[cC])[0-9A-Fa-f]{2}){0,400}")
_DOTS: Final = re.compile(r"(?:^|/)\.{1,2}(?:/|\?|$)|//")
_NOTED_EVERY: Final = 60_000_000  # microseconds between two notes that a session is used
_FORM_KEPT: Final = 86_400_000_000  # microseconds; longer than a session, so no reload posts a form again
_WORD_SECONDS: Final = 300.0
_DEMO: Final = "demo"
_HINT_NONCE: Final = bytes(12)  # each key is used once: it is made from the token of one session


@dataclass(frozen=True, slots=True)
class ConsoleSeen:
    """Sign-in, sign-out or refusal, for the audit. `subject` is empty if nobody is known."""

    scope: Scope
    kind: Literal["login", "logout", "refusal"]
    subject: str
    status: int
    code: str
    request_id: str


@dataclass(frozen=True, slots=True)
class SignInPage:
    """Content of the page where somebody signs in; the console renders it.

    `to` is the path to come back to, which the form posts as a field; `provider_url` is None without a provider.
    """

    status: int
    message: str
    to: str
    has_accounts: bool
    provider_url: str | None
    is_signed_out: bool = False


@dataclass(frozen=True, slots=True)
class ContentPolicy:
    """Content that an answer may load; all else is forbidden. `styles` and `scripts` are sources as CSP has them.

    `polls`: its script fetches from the console. `images`: it has images. `shows_pdf`: it frames a page of the console;
    `is_framed`: it is that page.
    """

    styles: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    polls: bool = False
    images: bool = False
    shows_pdf: bool = False
    is_framed: bool = False


def hash_source(text: str) -> str:
    """Return the source of an inline style or script (CSP3 §2.3.1): of exactly what stands between its tags."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"


def console_headers(policy: ContentPolicy | None = None, forms_also_to: str = "") -> dict[str, str]:
    """Return the headers of an answer of the console; SafeHeaders adds `no-store` and `nosniff` to every answer.

    A form may lead on to one more origin: the identity provider's, at sign-out.
    """
    given = policy or ContentPolicy()
    sources = {
        "default-src": ("'none'",),
        "base-uri": ("'none'",),
        "form-action": ("'self'", *([forms_also_to] if forms_also_to else ())),
        "frame-ancestors": ("'self'" if given.is_framed else "'none'",),
        "style-src": given.styles,
        "script-src": given.scripts,
        "connect-src": ("'self'",) if given.polls else (),
        "img-src": ("'self'", "data:") if given.images else (),
        "frame-src": ("'self'",) if given.shows_pdf else (),
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {' '.join(one)}" for name, one in sources.items() if one),
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
    }


RenderSignIn = Callable[[Request, SignInPage], Response]
_Handler = Callable[[Request], Awaitable[Response]]


class ConsoleGate:
    """Gate of the console in one process, on one loop.

    `note` gets what the audit has to know, and raises if it cannot be noted. `is_demo` lets in who has a one-time word.
    """

    def __init__(
        self,
        engine: Engine,
        provider: IdentityProvider | None,
        note: Callable[[ConsoleSeen], None],
        render: RenderSignIn,
        *,
        is_demo: bool = False,
    ) -> None:
        self._stored, self._used = StoredOperators(engine), StoredTokens(engine)
        self._accounts, self._provider = LocalAccounts(self._stored), provider
        self._note_seen, self._render, self._is_demo = note, render, is_demo
        self._bounds, self._provider_bounds = SignInBounds(), SignInBounds()
        self._words: dict[str, float] = {}

    def routes(self) -> list[Route]:
        """Return the routes of sign-in and sign-out."""
        handlers: dict[str, tuple[_Handler, str]] = {
            SIGN_IN_PATH: (self._sign_in, "GET HEAD POST"),
            PROVIDER_PATH: (self._to_provider, "GET"),
            CALLBACK_PATH: (self._from_provider, "GET"),
            WORD_PATH: (self._by_word, "GET"),
            SIGN_OUT_PATH: (self._sign_out, "POST"),
        }
        return [Route(path, _SignInDoor(self, path, act, methods)) for path, (act, methods) in handlers.items()]

    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return the loops behind it."""
        return self._provider.loops() if self._provider else ()

    def headers(self, policy: ContentPolicy | None = None) -> dict[str, str]:
        """Return the headers of an answer; see `console_headers`."""
        return console_headers(policy, self._provider.sign_out_origin if self._provider else "")

    async def signed_in(self, request: Request) -> SignedIn | None:
        """Return who is signed in, None if nobody is. Only what a person opens keeps a session alive, no poll.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        token = _cookie(request, _SESSION)
        if not _TOKEN.fullmatch(token):
            return None
        digest, now = digest_of(token), micros(clock.now())
        session = await self._stored.session(digest, now)
        role = self._role(session) if session is not None else None
        if session is None or role is None:
            return None
        if now - session.seen >= _NOTED_EVERY and request.headers.get("sec-fetch-mode") == "navigate":
            await self._stored.keep(digest, now)
        return SignedIn(session.subject, session.name, role, digest)

    def may_post(self, request: Request) -> bool:
        """True if a form came from a page of this very origin, as its browser says."""
        return request.headers.getlist("sec-fetch-site") == ["same-origin"]

    async def admit(self, request: Request, least: Role) -> SignedIn:
        """Return who is signed in with this role or a larger one; what is no GET must come from a page of our own.

        Raises:
            Refused: 401 or 403; the audit knows of a 403.
            StoreUnavailable: the database does not answer.
            AuditUnavailable: the refusal cannot be noted.
        """
        who = await self.signed_in(request)
        if who is None:
            raise Refused("not-signed-in")
        is_foreign = request.method not in {"GET", "HEAD"} and not self.may_post(request)
        if not is_foreign and who.role >= least:
            return who
        refused = Refused("another-site" if is_foreign else "role-too-small", 403, who.subject)
        self._note(request, "refusal", refused.subject, refused.status, refused.code)
        raise refused

    def to_sign_in(self, request: Request, refused: Refused) -> Response | None:
        """Return the way to the sign-in, for a page that a person opened without being signed in; else None."""
        is_page = request.method == "GET" and request.headers.get("sec-fetch-mode", "navigate") == "navigate"
        if refused.status != 401 or not is_page:
            return None
        query = f"?{request.url.query}" if request.url.query else ""
        to = quote(_own_path(request.url.path + query), safe="")
        return RedirectResponse(f"{SIGN_IN_PATH}?to={to}", 303, self.headers())

    async def is_first(self, form: str) -> bool:
        """True if no form with this token was accepted before; from now on one was.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        return await self._used.use(digest_of(form), micros(clock.now()) + _FORM_KEPT)

    def one_time_word(self) -> str:
        """Return a path that signs somebody of this machine in to the demo, once and within five minutes.

        Raises:
            ConfigError: this is not the demo.
        """
        if not self._is_demo:
            raise ConfigError("console", "word", "not the demo", "Add an account with `operators add`.")
        word, now = secrets.token_urlsafe(32), clock.monotonic()
        self._words = {one: until for one, until in self._words.items() if until > now}
        self._words[digest_of(word)] = now + _WORD_SECONDS
        return f"{WORD_PATH}?word={word}"

    async def page(self, request: Request, refused: Refused | None) -> Response:
        """Return the page where somebody signs in, with what was refused."""
        to = _own_path(getattr(request.state, "to", request.query_params.get("to", "")))
        try:
            has_accounts = bool(await self._stored.every())
        except StoreUnavailable:
            has_accounts, refused = False, Refused("unavailable", 503)
        url = f"{PROVIDER_PATH}?to={quote(to, safe='')}" if self._provider else None
        signed_out = "signed-out" in request.query_params and refused is None
        status, message = (refused.status, refused.message) if refused else (200, "")
        return self._render(request, SignInPage(status, message, to, has_accounts, url, signed_out))

    def note_refusal(self, request: Request, refused: Refused) -> None:
        """Note a sign-in that failed.

        Raises:
            AuditUnavailable: it cannot be noted.
        """
        self._note(request, "login", refused.subject, refused.status, refused.code)

    async def _sign_in(self, request: Request) -> Response:
        if request.method != "POST":
            return await self.page(request, None)
        if not self.may_post(request):
            raise Refused("another-site", 403)
        self._bounds.take(_address(request))
        form = await posted_form(request)
        request.state.to = form.get("to", "")
        account = await self._accounts.checked(form.get("name", ""), form.get("password", ""))
        session = ConsoleSession(account.subject, account.name, account.name, ())
        return await self._begin(request, session, request.state.to, checked=account)

    async def _to_provider(self, request: Request) -> Response:
        attempt = SignInAttempt.begun(_own_path(request.query_params.get("to", "")), clock.now().timestamp())
        answer = RedirectResponse(await self._known_provider().sign_in_url(attempt), 303, self.headers())
        _set_cookie(request, answer, _ATTEMPT, attempt.cookie)
        return answer

    async def _from_provider(self, request: Request) -> Response:
        provider, now = self._known_provider(), clock.now().timestamp()
        attempt = SignInAttempt.of(_cookie(request, _ATTEMPT), now)
        request.state.to = attempt.to
        state, code = _one(request, "state"), _one(request, "code")
        if not hmac.compare_digest(state.encode(), attempt.state.encode()):
            raise Refused("attempt-not-known")
        if request.query_params.get("iss", provider.rules.issuer) != provider.rules.issuer:
            raise Refused("wrong-issuer")
        if not code:
            raise Refused("provider-refused")
        self._provider_bounds.take(_address(request))
        person = await provider.person(code, attempt, now)
        if not await self._used.use(digest_of(attempt.state), micros(clock.now()) + 2 * MOST_SECONDS * 1_000_000):
            raise Refused("attempt-not-known", subject=f"oidc:{person.subject}")
        session = ConsoleSession(f"oidc:{person.subject}", person.name, None, person.groups)
        return await self._begin(request, session, attempt.to, id_token=person.id_token)

    async def _by_word(self, request: Request) -> Response:
        until = self._words.pop(digest_of(_one(request, "word")), 0.0)
        if not self._is_demo or not is_loopback(_address(request)) or clock.monotonic() >= until:
            raise Refused("word-not-known")
        return await self._begin(request, ConsoleSession(_DEMO, "Demo", None, ()), "")

    async def _begin(
        self,
        request: Request,
        session: ConsoleSession,
        to: str,
        *,
        id_token: str = "",
        checked: StoredOperator | None = None,
    ) -> Response:
        """Begin a session with a new token, which nobody knew before this answer."""
        session = replace(session, began=micros(clock.now()), role=checked.role if checked else None)
        if self._role(session) is None:
            raise Refused("no-role", 403, session.subject)
        token, former = secrets.token_urlsafe(32), digest_of(_cookie(request, _SESSION))
        hint = _hint_key(token).encrypt(_HINT_NONCE, id_token.encode("ascii"), None) if id_token else None
        if not await self._stored.begin(digest_of(token), session, hint, former, checked):
            raise Refused("account-changed", subject=session.subject)
        self._note(request, "login", session.subject, 200, "")
        answer = RedirectResponse(_own_path(to), 303, self.headers())
        _set_cookie(request, answer, _SESSION, token)
        _forget_cookie(request, answer, _ATTEMPT)
        return answer

    async def _sign_out(self, request: Request) -> Response:
        if not self.may_post(request):
            raise Refused("another-site", 403)
        token = _cookie(request, _SESSION)
        who, hint = await self.signed_in(request), await self._stored.end(digest_of(token))
        if who is not None:
            self._note(request, "logout", who.subject, 200, "")
        url = None
        if hint is not None and self._provider is not None:
            url = self._provider.sign_out_url(_opened_hint(token, hint))
        answer = RedirectResponse(url or f"{SIGN_IN_PATH}?signed-out", 303, self.headers())
        _forget_cookie(request, answer, _SESSION)
        return answer

    def _role(self, session: ConsoleSession) -> Role | None:
        """Return the role that a session has now, None if whoever it is of may not be here any more."""
        if session.account is not None:
            return Role.named(session.role) if session.role else None
        if session.subject == _DEMO:
            return Role.ADMIN if self._is_demo else None
        return self._provider.role(session.subject.removeprefix("oidc:"), session.member_of) if self._provider else None

    def _known_provider(self) -> IdentityProvider:
        if self._provider is None:
            raise Refused("provider-unavailable", 404)
        return self._provider

    def _note(
        self, request: Request, kind: Literal["login", "logout", "refusal"], subject: str, status: int, code: str
    ) -> None:
        request_id = secrets.token_hex(8)
        if code:
            get_logger().warning("console-refused", code=code, status=status, request_id=request_id)
        self._note_seen(ConsoleSeen(request.scope, kind, subject, status, code, request_id))


class _SignInDoor:
    """ASGI application of one path: as a class it gets requests of every method, and answers each."""

    def __init__(self, gate: ConsoleGate, path: str, act: _Handler, methods: str) -> None:
        self._gate, self._path, self._act, self._methods = gate, path, act, methods.split()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        scope[ROUTE] = self._path
        await (await self._answer(Request(scope, receive, send)))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method not in self._methods:
            return Response(status_code=405, headers=self._gate.headers() | {"Allow": ", ".join(self._methods)})
        try:
            _require_safe(request)
            return await self._act(request)
        except Refused as refused:
            return await self._refused(request, refused)
        except TokenRefused as fault:
            return await self._refused(request, Refused("form-malformed", fault.status))
        except (StoreError, AuditUnavailable) as error:
            get_logger().error("console-failed", code=error.code, status=503)
            return await self._gate.page(request, Refused("unavailable", 503))

    async def _refused(self, request: Request, refused: Refused) -> Response:
        """Note a refusal, then say it; an attempt at the provider is over with it."""
        try:
            self._gate.note_refusal(request, refused)
        except AuditUnavailable as error:
            get_logger().error("console-failed", code=error.code, status=503)
            refused = Refused("unavailable", 503)
        answer = await self._gate.page(request, refused)
        if self._path == CALLBACK_PATH:
            _forget_cookie(request, answer, _ATTEMPT)
        return answer


def console_gate(
    engine: Engine,
    settings: Settings,
    note: Callable[[ConsoleSeen], None],
    render: RenderSignIn,
    *,
    is_demo: bool = False,
) -> ConsoleGate:
    """Put the gate together.

    Raises:
        ConfigError: a setting of the identity provider is missing or wrong.
    """
    rules = provider_rules(settings)
    fetch = KeySetFetch(allows_private=settings.console.allow_private)
    provider = None if rules is None else IdentityProvider(rules, fetch)
    return ConsoleGate(engine, provider, note, render, is_demo=is_demo)


def _own_path(text: str) -> str:
    """Return a path of the console as it is, else the console's first page: nobody is led elsewhere."""
    is_own = _OWN_PATH.fullmatch(text) and not _DOTS.search(text.partition("?")[0])
    return text if is_own and not text.startswith((SIGN_IN_PATH, CALLBACK_PATH, SIGN_OUT_PATH)) else CONSOLE


def _prefix(request: Request) -> str | None:
    """Return what the names of cookies begin with: over https, and without it on this machine; None elsewhere."""
    if request.url.scheme == "https":
        return "__Host-"
    is_here = is_loopback(_address(request)) and is_loopback(request.url.hostname or "")
    return "local-" if is_here else None


def _require_safe(request: Request) -> None:
    """Refuse a request that others on the network can read.

    Raises:
        Refused: it came by http from another machine, or by its name.
    """
    if not _prefix(request):
        raise Refused("not-secure", 403)


def _cookie(request: Request, name: str) -> str:
    """Return the value of a cookie, empty if there is none that counts here."""
    prefix = _prefix(request)
    return request.cookies.get(f"{prefix}{name}", "") if prefix else ""


def _set_cookie(request: Request, answer: Response, name: str, value: str) -> None:
    """Set a cookie that no script reads, and that no form of another site sends. It ends with the browser."""
    prefix = _prefix(request)
    answer.set_cookie(f"{prefix}{name}", value, path="/", secure=prefix == "__Host-", httponly=True, samesite="lax")


def _forget_cookie(request: Request, answer: Response, name: str) -> None:
    prefix = _prefix(request)
    answer.delete_cookie(f"{prefix}{name}", path="/", secure=prefix == "__Host-", httponly=True, samesite="lax")


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _one(request: Request, name: str) -> str:
    """Return a parameter of the query that stands there once, else nothing."""
    found = request.query_params.getlist(name)
    return found[0] if len(found) == 1 else ""


def _hint_key(token: str) -> AESGCM:
    """Return the key of a session's ID token: only the browser has what it is made from."""
    return AESGCM(hmac.digest(token.encode("ascii"), b"id token", "sha256"))


def _opened_hint(token: str, hint: bytes) -> str:
    try:
        return _hint_key(token).decrypt(_HINT_NONCE, hint, None).decode("ascii")
    except InvalidTag:
        return ""
