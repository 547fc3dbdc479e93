"""Sign in at the hospital's identity provider: the code flow of OpenID Connect with PKCE, and sign-out there.

https://openid.net/specs/openid-connect-core-1_0.html §3.1 (code flow; §3.1.3.7 the checks of an ID token), RFC 7636
(PKCE, S256 alone), RFC 9207 (`iss` of the answer), https://openid.net/specs/openid-connect-rpinitiated-1_0.html §2.
Nothing is kept of somebody who is not signed in: state, nonce and verifier are made from a cookie of the browser.
Proved by tests/gateway/auth/test_console_attacks.py and tests/gateway/auth/test_console_gate.py.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote, urlencode, urlsplit

from gateway.auth.compact_jwt import taken_apart
from gateway.auth.discovery import END_SESSION, METHODS, Discovery
from gateway.auth.external_token import LEEWAY, MOST_CHARACTERS, check_signature, expiry, signing_key
from gateway.auth.issuer import EVERY, Issuer
from gateway.auth.key_set_fetch import KeySetFetch, KeySetUnreachable, url_fault
from gateway.auth.operators import Refused, Role
from gateway.auth.refusals import TokenRefused
from gateway.auth.strict_json import strict_object
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError, IssuerUnavailable
from gateway.runtime.log import get_logger
from gateway.runtime.loops import forever
from gateway.settings import Settings
from gateway.settings.console import RoleName

SIGN_IN_PATH: Final = "/console/sign-in"
CALLBACK_PATH: Final = "/console/signed-in"
MOST_SECONDS: Final = 600  # of an attempt to sign in
_ATTEMPT: Final = re.compile(r"[A-Za-z0-9_-]{43}\.([0-9]{1,12})\.([A-Za-z0-9_.~%-]{1,1536})")
_PLACE: Final = re.compile(r"[A-Za-z0-9.:\[\]-]+")  # host and port, which may not end a directive of CSP
_TYPES: Final = ("JWT", None)
_LONGEST: Final = 256
_FHIR: Final = "/fhir"


@dataclass(frozen=True, slots=True)
class ProviderRules:
    """Settings of the identity provider; `redirect_uri` and `after_sign_out` are registered there."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str
    groups_claim: str
    groups: Mapping[str, RoleName]
    subjects: Mapping[str, RoleName]
    redirect_uri: str
    after_sign_out: str


@dataclass(frozen=True, slots=True)
class SignInAttempt:
    """SignInAttempt to sign in, as a cookie has it: a secret, the second when it began, and the path where it leads.

    Each value that goes to the provider is an HMAC under the whole cookie: it is of use only in this browser.
    """

    cookie: str = field(repr=False)
    to: str

    @classmethod
    def begun(cls, to: str, now: float) -> SignInAttempt:
        """Begin an attempt."""
        return cls(f"{secrets.token_urlsafe(32)}.{int(now)}.{quote(to, safe='')}", to)

    @classmethod
    def of(cls, cookie: str, now: float) -> SignInAttempt:
        """Return the attempt of a cookie.

        Raises:
            Refused: there is none, or it began too long ago.
        """
        match = _ATTEMPT.fullmatch(cookie)
        if match is None or not -LEEWAY <= now - int(match[1]) <= MOST_SECONDS:
            raise Refused("attempt-not-known")
        return cls(cookie, unquote(match[2]))

    @property
    def state(self) -> str:
        """Value that comes back with the code."""
        return self._made("state")

    @property
    def nonce(self) -> str:
        """Value that stands in the ID token."""
        return self._made("nonce")

    @property
    def verifier(self) -> str:
        """Value that proves, with the code, who began (RFC 7636 §4.1)."""
        return self._made("verifier")

    @property
    def challenge(self) -> str:
        """Value that announces the verifier (RFC 7636 §4.2)."""
        return _base64url(hashlib.sha256(self.verifier.encode("ascii")).digest())

    def _made(self, label: str) -> str:
        return _base64url(hmac.digest(self.cookie.encode("ascii"), label.encode("ascii"), "sha256"))


@dataclass(frozen=True, slots=True)
class ProvedPerson:
    """Somebody whom the provider has signed in. `groups` are those that the settings name; `expires` is in seconds."""

    subject: str
    name: str
    groups: tuple[str, ...]
    expires: int
    id_token: str = field(repr=False)


class IdentityProvider:
    """The identity provider, as one process on one loop knows it."""

    def __init__(self, rules: ProviderRules, fetch: KeySetFetch, now: Callable[[], float] = clock.monotonic) -> None:
        self.rules, self._fetch = rules, fetch
        self._issuer = Issuer(fetch, rules.issuer, now=now)

    def loops(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return the loop behind it: the provider is asked for its keys again and again."""
        return (forever(self._issuer.renew, EVERY, not_done="issuer-not-read"),)

    @property
    def sign_out_origin(self) -> str:
        """Origin of the page that signs somebody out at the provider, empty if it names none."""
        place = urlsplit(self._sign_out_page).netloc
        return f"https://{place}" if _PLACE.fullmatch(place) else ""

    @property
    def _sign_out_page(self) -> str:
        return self._issuer.discovered.urls.get(END_SESSION, "") if self._issuer.discovered else ""

    def sign_out_url(self, id_token: str) -> str | None:
        """Return the address that signs somebody out at the provider, None if it names none."""
        url = self._sign_out_page
        if not self.sign_out_origin:
            return None
        given = {"id_token_hint": id_token, "client_id": self.rules.client_id}
        return _with(url, **given, post_logout_redirect_uri=self.rules.after_sign_out)

    async def sign_in_url(self, attempt: SignInAttempt) -> str:
        """Return the address where somebody signs in.

        Raises:
            Refused: the provider does not answer, or names no such address.
        """
        return _with(
            _named((await self._discovery()).urls, "authorization_endpoint"),
            response_type="code",
            client_id=self.rules.client_id,
            redirect_uri=self.rules.redirect_uri,
            scope=self.rules.scope,
            state=attempt.state,
            nonce=attempt.nonce,
            code_challenge=attempt.challenge,
            code_challenge_method="S256",
        )

    async def person(self, code: str, attempt: SignInAttempt, now: float) -> ProvedPerson:
        """Return who has signed in, by the code of the provider's answer. `now` is in seconds since 1970.

        Raises:
            Refused: the provider does not know the code, does not answer, or its ID token breaks a rule.
        """
        id_token = await self._id_token(code, attempt)
        try:
            header, claims = taken_apart(id_token, MOST_CHARACTERS)
            key_id, algorithm = signing_key(header, _TYPES)
            key = await self._issuer.key(key_id, algorithm)
            if key is None:
                raise Refused("key-unknown")
            check_signature(id_token, key)
            expires = expiry(claims, now) // 1_000_000
        except TokenRefused as refused:
            raise Refused(refused.reason) from None
        except IssuerUnavailable:
            raise Refused("provider-unavailable", 503) from None
        except ValueError:
            raise Refused("token-malformed") from None
        self._check_claims(claims, attempt)
        return self._described(claims, expires, id_token)

    def role(self, subject: str, groups: Sequence[str]) -> Role | None:
        """Return the role of a person of these groups, None without any."""
        named = [self.rules.groups.get(one) for one in groups]
        roles = [Role.named(one) for one in (self.rules.subjects.get(subject), *named) if one is not None]
        return max(roles, default=None)

    async def _discovery(self) -> Discovery:
        try:
            return await self._issuer.discovery()
        except IssuerUnavailable:
            raise Refused("provider-unavailable", 503) from None

    async def _id_token(self, code: str, attempt: SignInAttempt) -> str:
        discovery, rules = await self._discovery(), self.rules
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": rules.redirect_uri}
        form["code_verifier"] = attempt.verifier
        authorization = ""
        if "client_secret_basic" in discovery.lists[METHODS] or "client_secret_post" not in discovery.lists[METHODS]:
            both = f"{quote_plus(rules.client_id)}:{quote_plus(rules.client_secret)}"  # RFC 6749 §2.3.1
            authorization = f"Basic {base64.b64encode(both.encode('ascii')).decode('ascii')}"
        else:
            form |= {"client_id": rules.client_id, "client_secret": rules.client_secret}
        try:
            answer = strict_object(
                await self._fetch.post(_named(discovery.urls, "token_endpoint"), form, authorization)
            )
        except KeySetUnreachable as error:
            get_logger().warning("sign-in-code-not-redeemed", code=error.reason)
            is_refusal = error.reason in {"status-400", "status-401"}
            raise Refused(*("code-refused",) if is_refusal else ("provider-unavailable", 503)) from None
        except ValueError:
            raise Refused("token-malformed") from None
        id_token = answer.get("id_token")
        if not isinstance(id_token, str):
            raise Refused("token-missing")
        return id_token

    def _check_claims(self, claims: Mapping[str, Any], attempt: SignInAttempt) -> None:
        client = self.rules.client_id
        if claims.get("iss") != self.rules.issuer:
            raise Refused("wrong-issuer")
        if claims.get("aud") not in (client, [client]) or claims.get("azp", client) != client:
            raise Refused("wrong-audience")
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), attempt.nonce.encode()):
            raise Refused("wrong-nonce")
        if "iat" not in claims:
            raise Refused("iat-missing")

    def _described(self, claims: Mapping[str, Any], expires: int, id_token: str) -> ProvedPerson:
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST or not subject.isprintable():
            raise Refused("sub-missing")
        said = claims.get(self.rules.groups_claim)
        listed = [said] if isinstance(said, str) else said if isinstance(said, list) else []
        groups = tuple(one for one in self.rules.groups if one in listed)
        names = (claims.get(one) for one in ("name", "preferred_username"))
        usable = (one for one in names if isinstance(one, str) and 0 < len(one) <= _LONGEST and one.isprintable())
        return ProvedPerson(subject, next(usable, subject), groups, expires, id_token)


def provider_rules(settings: Settings) -> ProviderRules | None:
    """Return the rules that the settings make for the identity provider, None without one.

    Raises:
        ConfigError: a setting is missing or wrong.
    """
    console, base = settings.console, settings.server.fhir_base
    if console.issuer is None:
        return None
    if fault := url_fault(console.issuer):
        raise _wrong("issuer", fault, "Write an https URL: what comes by http proves nothing.")
    if not console.client_id or console.client_secret is None:
        remedy = "Register the console at the provider, and write what it gave out."
        raise _wrong("client_secret" if console.client_id else "client_id", "missing", remedy)
    if not console.groups and not console.subjects:
        raise _wrong("groups", "missing, so nobody has a role", 'Write a line such as `"radiology-it" = "operator"`.')
    if not base.endswith(_FHIR):
        raise ConfigError("settings", "server.public_url", "without /fhir at its end", "The console lies beside it.")
    root = base.removesuffix(_FHIR)
    return ProviderRules(
        console.issuer,
        console.client_id,
        console.client_secret.get_secret_value(),
        console.scope,
        console.groups_claim,
        console.groups,
        console.subjects,
        root + CALLBACK_PATH,
        root + SIGN_IN_PATH,
    )


def _named(urls: Mapping[str, str], name: str) -> str:
    if name not in urls:
        raise Refused("provider-incomplete", 503)
    return urls[name]


def _with(url: str, **parameters: str) -> str:
    """Return a URL, which may have a query, with more parameters."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"


def _wrong(name: str, problem: str, remedy: str) -> ConfigError:
    return ConfigError("settings", f"console.{name}", problem, remedy)


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")
