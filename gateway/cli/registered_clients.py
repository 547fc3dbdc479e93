"""Carry out the commands for clients: check scopes and keys, and register them in the database.

https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html (registration). The commands write to the same
database as the service, which may run meanwhile.
Proved by tests/gateway/cli/test_clients.py.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, Final

from gateway.auth.access import Access
from gateway.auth.builtin import token_url_of
from gateway.auth.client_keys import registered
from gateway.auth.external_token import CLIENT_ID
from gateway.auth.key_set import MOST_BYTES, KeySetInvalid, key_set
from gateway.auth.key_set_fetch import KeySetFetch, KeySetUnreachable, url_fault
from gateway.auth.refinements import RefinementNotApplied, refinement_clauses
from gateway.auth.scopes import EVERY_TYPE, ScopeInvalid, SmartScope, printed, scope_list
from gateway.feed.operator.arguments import Say, typed_instant
from gateway.fhir_api.audit.events import AUDIT_EVENT
from gateway.fhir_api.served import BY_TYPE, DEFINITIONS
from gateway.ingest.assembly import store_for_command
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.settings import Configuration
from gateway.store.clients import ClientKeySet, Outcome, RegisteredClient, StoredClients
from gateway.store.database.engine import instant_text, micros
from gateway.store.studies.identities import organizations_named
from mappings.profile import exact

_LONGEST_NAME: Final = 100
_TYPES: Final = frozenset({EVERY_TYPE, AUDIT_EVENT, *BY_TYPE, *(row.resource_type for row in DEFINITIONS)})


@dataclass(frozen=True, slots=True)
class KeysGiven:
    """Options that give the public keys of a client: a file or a URL."""

    file: Path | None
    url: str | None


@dataclass(frozen=True, slots=True)
class NewClient:
    """Arguments of `clients add`, as typed. Without `facilities` the client may see all."""

    name: str
    scopes: tuple[str, ...]
    keys: KeysGiven
    expires: str | None
    reason: str
    external: str | None = None
    facilities: tuple[str, ...] = ()


async def add(configuration: Configuration, typed: NewClient, say: Say, *, as_json: bool) -> int:
    """Register a client.

    Raises:
        ConfigError: name, scopes, keys or expiry cannot be taken as they are.
    """
    now, facilities = micros(clock.now()), _facilities(typed.facilities)
    client = RegisteredClient(
        _client_id(typed),
        _name(typed.name),
        _scopes(typed.scopes, facilities, is_external=typed.external is not None),
        facilities,
        now,
        _instant(configuration, "--expires", typed.expires, now),
        key_sets=() if typed.external is not None else (await _key_set(configuration, typed.keys),),
    )
    url = None if client.is_external else token_url_of(configuration.settings)
    async with store_for_command(configuration) as engine:
        if await StoredClients(engine).add(client, typed.reason) == "name-taken":
            raise _wrong(
                "NAME",
                "another client has this name, or this id at the issuer",
                "Choose a name that `clients list` does not show.",
            )
        known = {*configuration.site.facilities, *(await organizations_named(engine, facilities or ())).values()}
    shown = _shown(client, now)
    if as_json:
        say(json.dumps({**shown, **({"token_url": url} if url else {})}, indent=2))
    else:
        say(f"client id: {client.client_id}" + (f"\ntoken URL: {url}" if url else ""))
        say(f"scopes: {client.scopes}")
        say(f"facilities: {_named(facilities)}")
    for one in facilities or ():
        if one not in known:
            _note(
                f"no facility of the settings or of the stored reports is called {one!r}: it shows the client nothing"
            )
    mode = "external" if client.is_external else "builtin"
    if configuration.settings.auth.mode != mode:
        _note(f'auth.mode is not "{mode}": this client cannot log in until it is')
    return 0


async def list_all(configuration: Configuration, say: Say, *, as_json: bool) -> int:
    """Print every client."""
    now = micros(clock.now())
    async with store_for_command(configuration, writes=False) as engine:
        rows = [_shown(one, now) for one in await StoredClients(engine).every(now)]
    if as_json:
        say(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        say(f"{row['client_id']}  {row['state']}  {row['name']}  {row['scopes']}{'  external' * row['external']}")
        if row["facilities"] is not None:
            say(f"  facilities: {_named(row['facilities'])}")
        for keys in row["keys"]:
            say(
                f"  keys: {keys['url'] or ', '.join(keys['kids'])}"
                + (f", until {keys['until']}" if keys["until"] else "")
            )
    say(f"{len(rows)} clients")
    return 0


async def disable(configuration: Configuration, client_id: str, reason: str, say: Say) -> int:
    """Disable a client and revoke its tokens."""
    async with store_for_command(configuration) as engine:
        outcome = await StoredClients(engine).disable(client_id, reason, micros(clock.now()))
    return _said(outcome, client_id, say, "is disabled; its tokens are revoked", "was disabled already")


async def enable(configuration: Configuration, client_id: str, reason: str, say: Say) -> int:
    """Enable a disabled client."""
    async with store_for_command(configuration) as engine:
        outcome = await StoredClients(engine).enable(client_id, reason, micros(clock.now()))
    return _said(outcome, client_id, say, "is enabled", "was not disabled")


async def rotate(
    configuration: Configuration, client_id: str, given: KeysGiven, until: str | None, reason: str, say: Say
) -> int:
    """Add a second key set to a client.

    Raises:
        ConfigError: there is no such client, or it has two key sets already; or the keys or the time are wrong.
    """
    now = micros(clock.now())
    ends = _instant(configuration, "--until", until, now)
    new = await _key_set(configuration, given)
    async with store_for_command(configuration) as engine:
        outcome = await StoredClients(engine).rotate(client_id, new, ends, reason, now)
    if outcome == "no-keys":
        raise _wrong(client_id, "the client is external: it has no keys here", "Change its keys at the issuer.")
    if outcome == "too-many-key-sets":
        remedy = "Run `clients rotate CLIENT --finish` first, once the client signs with the newer keys."
        raise _wrong(client_id, "the client has two key sets already", remedy)
    when = f"at {instant_text(ends)}" if ends else "with `clients rotate CLIENT --finish`"
    return _said(outcome, client_id, say, f"has new keys; the older ones end {when}")


async def finish_rotation(
    configuration: Configuration, client_id: str, given: KeysGiven, until: str | None, reason: str, say: Say
) -> int:
    """Remove the older key set of a client.

    Raises:
        ConfigError: there is no such client, or new keys were given as well.
    """
    if given.file or given.url or until:
        raise _wrong("--finish", "with --jwks, --jwks-url or --until", "Add the new keys first, and finish later.")
    async with store_for_command(configuration) as engine:
        outcome = await StoredClients(engine).finish_rotation(client_id, reason, micros(clock.now()))
    return _said(outcome, client_id, say, "has its newer keys alone", "had one key set already")


def _said(outcome: Outcome, client_id: str, say: Say, done: str, unchanged: str = "") -> int:
    if outcome == "unknown":
        raise _wrong(client_id, "no client has this id", "`clients list` shows them.")
    say(f"{client_id} {done if outcome == 'done' else unchanged}")
    return 0


def _name(text: str) -> str:
    if not 0 < len(text) <= _LONGEST_NAME or not text.isprintable() or text != text.strip():
        raise _wrong("NAME", "not a line of 1 to 100 characters", "Write the name of the application.")
    return text


def _client_id(typed: NewClient) -> str:
    """Return a new client id, or the client's id at the external issuer.

    Raises:
        ConfigError: the issuer's is no client id, or keys are given beside it.
    """
    if typed.external is None:
        return f"client-{secrets.token_hex(16)}"
    if not CLIENT_ID.fullmatch(typed.external):
        raise _wrong(
            "--external", "not 1 to 256 ASCII characters without spaces", "Write `azp` of the client's tokens."
        )
    if typed.keys.file or typed.keys.url:
        raise _wrong("--external", "with --jwks or --jwks-url", "Leave the keys out: the issuer has them.")
    return typed.external


def _facilities(given: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the facility names in the form in which they are compared (D11), None if there are none.

    Raises:
        ConfigError: a name is blank.
    """
    names = {exact(one) for one in given}
    if "" in names:
        raise _wrong("--facility", "the name is blank", "Write the name as reports have it in facilityName.")
    return tuple(sorted(names)) or None


def _named(facilities: Sequence[str] | None) -> str:
    return "all" if facilities is None else ", ".join(facilities)


def _scopes(given: tuple[str, ...], facilities: tuple[str, ...] | None, *, is_external: bool) -> str:
    """Return the scopes as one text; only an external client may have scopes outside `system/`.

    Raises:
        ConfigError: one is no scope, one that the client may not have, or of a type that is not served; or a search
            parameter of it cannot narrow what the client sees.
    """
    try:
        scopes = scope_list(" ".join(given))
    except ScopeInvalid as error:
        raise _wrong("--scope", str(error), "docs/facade.md#scopes has the scopes.") from None
    if not is_external and any(one.context != "system" for one in scopes):
        problem = "user/ and patient/ scopes are given by an external issuer alone"
        raise _wrong("--scope", problem, "Write scopes that begin with system/, or register the client by --external.")
    if unknown := sorted({one.resource_type for one in scopes} - _TYPES):
        raise _wrong("--scope", f"no such type is served: {unknown[0]}", f"Types are {', '.join(sorted(_TYPES))}.")
    limited = None if facilities is None else frozenset(facilities)
    is_limited = limited is not None or Access("", scopes, limited, 0).has_limited_scopes
    if is_limited and any(one.resource_type == AUDIT_EVENT for one in scopes):
        problem = f"{AUDIT_EVENT} tells of all patients, so a client with any limit may not have it"
        raise _wrong("--scope", problem, "Register one client for the audit alone.")
    for one in scopes:
        _check_refinements(one, limited)
    return printed(scopes)


def _check_refinements(scope: SmartScope, facilities: frozenset[str] | None) -> None:
    remedy = "docs/facade.md#limits-of-a-client says what a scope may have."
    try:
        refinement_clauses(scope, UTC)
    except RefinementNotApplied as error:
        raise _wrong("--scope", str(error), remedy) from None
    resource_type = "DiagnosticReport" if scope.resource_type == EVERY_TYPE else scope.resource_type
    # User and patient are stand-ins: the tokens of the client name them later
    access = Access("", (scope,), facilities, 0, user="user", patient="patient")
    if not access.granting(resource_type, scope.letters[:1] or scope.access):
        problem = "it grants nothing to a client with limits"
        if scope.refinements:
            problem = f"such a search parameter tells of other facilities or patients: {problem}"
        raise _wrong("--scope", problem, remedy)


def _instant(configuration: Configuration, option: str, text: str | None, now: int) -> int | None:
    if text is None:
        return None
    if (at := micros(typed_instant(option, text, configuration.zone))) <= now:
        raise _wrong(option, "not in the future", "Write a later day or time.")
    return at


async def _key_set(configuration: Configuration, given: KeysGiven) -> ClientKeySet:
    """Read and check the keys that the options give.

    Raises:
        ConfigError: not exactly one option is given, or its keys cannot be used.
    """
    if (given.file is None) is (given.url is None):
        raise _wrong("--jwks", "not exactly one of --jwks and --jwks-url", "Write the one or the other.")
    if given.file is not None:
        return ClientKeySet(_document(given.file))
    url = given.url or ""
    if fault := url_fault(url):
        raise _wrong("--jwks-url", fault, "Write an https URL, or give the keys as a file with --jwks.")
    try:
        key_set(await KeySetFetch(allows_private=configuration.settings.auth.allow_private_jwks)(url))
    except KeySetUnreachable as error:
        if error.reason == "private-address":
            remedy = "Set auth.allow_private_jwks = true if the URL is meant to lead into your own network."
            raise _wrong("--jwks-url", "leads to a private or loopback address", remedy) from None
        _note(f"no keys could be fetched from the URL now ({error.reason})")
    except KeySetInvalid as error:
        _note(f"the document at the URL has no keys that can be used now ({error})")
    return ClientKeySet(url=url)


def _document(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            text = opened.read(MOST_BYTES + 1)
        keys = key_set(text)
    except OSError as error:
        raise _wrong("--jwks", f"cannot be read ({error.strerror})", "Name a file that is there.") from None
    except KeySetInvalid as error:
        raise _wrong(
            "--jwks", str(error), "docs/facade.md#rules-for-an-assertion says which keys can be used."
        ) from None
    if keys.faults:
        raise _wrong("--jwks", "; ".join(keys.faults), "Take these keys out of the file.")
    return text.decode()


def _shown(client: RegisteredClient, now: int) -> dict[str, Any]:
    state = "disabled" if client.disabled is not None else "active" if client.is_active(now) else "expired"
    return {
        "client_id": client.client_id,
        "name": client.name,
        "state": state,
        "external": client.is_external,
        "scopes": client.scopes,
        "facilities": None if client.facilities is None else list(client.facilities),
        "created": instant_text(client.created),
        "expires": None if client.expires is None else instant_text(client.expires),
        "keys": [_shown_keys(one) for one in client.key_sets],
    }


def _shown_keys(one: ClientKeySet) -> Mapping[str, Any]:
    kids = sorted({kid for kid, _ in registered(one.document).keys}) if one.document else []
    return {"kids": kids, "url": one.url, "until": None if one.ends is None else instant_text(one.ends)}


def _note(text: str) -> None:
    sys.stderr.write(f"note: {text}\n")


def _wrong(argument: str, problem: str, remedy: str) -> ConfigError:
    return ConfigError("command line", argument, problem, remedy)
