"""Parse, print and intersect SMART scopes, such as `system/DiagnosticReport.rs?category=LAB`.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html (v2, and v1 for its older clients), RFC 6749
§3.3. A scope never grows: what is granted is the meet of what is asked and what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal, cast
from urllib.parse import quote, unquote

Context = Literal["system", "patient", "user"]
EVERY_TYPE: Final = "*"
# `$addendum` writes to a report, and no SMART permission means that: `c` is to create, `u` to replace a resource. Its
# scope has the form of the others with the operation's name, which RFC 6749 allows; no wildcard holds it
ADDENDUM: Final = "$addendum"
OPERATIONS: Final = {"DiagnosticReport": (ADDENDUM,)}
# The audit says who else sees which patients: no wildcard gives it, only a scope that names the type
BY_NAME_ALONE: Final = frozenset({"AuditEvent"})
MOST_SCOPES: Final = 50
MOST_CHARACTERS: Final = 1_024
_PERMISSIONS: Final = "cruds"
# Permissions of SMART v1 -> of v2
_OF_V1: Final = {"read": "rs", "write": "cud", "*": "cruds"}
_FORM: Final = re.compile(
    r"(?P<context>system|patient|user)/(?P<type>\*|[A-Z][A-Za-z]{0,63})\.(?P<access>\*|[a-z]+|\$[a-z-]+)"
    r"(?:\?(?P<query>[\x21\x23-\x5b\x5d-\x7e]+))?"
)
_PARAMETER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff\ud800-\udfff]")
_UNQUOTED: Final = "/:|,;@$*()!~'"


class ScopeInvalid(ValueError):
    """A text is not a scope that the gateway knows; the message says why, without the text."""


@dataclass(frozen=True, slots=True, order=True)
class SmartScope:
    """Permission for one resource type, or for every type (`*`). Only `parsed` makes it.

    `access` holds letters of `cruds` in this order, or the name of an operation. `refinements` are search parameters
    with decoded values, sorted; a resource must match all of them.
    """

    context: Context
    resource_type: str
    access: str
    refinements: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        query = "&".join(f"{name}={quote(value, safe=_UNQUOTED)}" for name, value in self.refinements)
        return f"{self.context}/{self.resource_type}.{self.access}{f'?{query}' if query else ''}"

    def is_of(self, resource_type: str) -> bool:
        """True if this scope covers a type: by its name, or by `*` (but not the types in `BY_NAME_ALONE`)."""
        by_wildcard = self.resource_type == EVERY_TYPE and resource_type not in BY_NAME_ALONE
        return by_wildcard or self.resource_type == resource_type

    @property
    def letters(self) -> str:
        """Permissions of `cruds`; empty for a scope of an operation."""
        return "" if self.access.startswith("$") else self.access

    def covers(self, other: SmartScope) -> bool:
        """True if this scope grants all that the other one grants."""
        return _meet(self, other) == other


def parsed(text: str) -> SmartScope:
    """Parse one scope of SMART v2 or v1; v1 becomes v2 (`.read` is `.rs`, `.write` is `.cud`, `.*` is `.cruds`).

    Raises:
        ScopeInvalid: it is no such scope, or an operation that has none.
    """
    match = _FORM.fullmatch(text)
    if match is None or len(text) > MOST_CHARACTERS:
        raise ScopeInvalid("not of the form system/Type.cruds")
    resource_type, access = match["type"], match["access"]
    if access in _OF_V1:
        if match["query"]:
            raise ScopeInvalid("a scope of SMART v1 has no search parameters; write .rs, .cud or .cruds")
        access = _OF_V1[access]
    elif access.startswith("$"):
        if access not in OPERATIONS.get(resource_type, ()) or match["query"]:
            raise ScopeInvalid("no operation of this type has a scope, or search parameters stand behind it")
    elif "".join(letter for letter in _PERMISSIONS if letter in access) != access:
        raise ScopeInvalid("permissions are letters of cruds, in this order, each once")
    context = cast(Context, match["context"])
    return SmartScope(context, resource_type, access, _refinements(match["query"]))


def scope_list(text: str) -> tuple[SmartScope, ...]:
    """Parse scopes separated by single spaces (RFC 6749 §3.3); sorted, without repeats.

    Raises:
        ScopeInvalid: one is no scope, or there are more than `MOST_SCOPES`.
    """
    words = text.split(" ") if text else []
    if len(words) > MOST_SCOPES:
        raise ScopeInvalid(f"more than {MOST_SCOPES} scopes")
    return tuple(sorted({parsed(word) for word in words}))


def scopes_among(words: Iterable[str]) -> tuple[SmartScope, ...]:
    """Parse the words that are scopes known here, sorted, without repeats; others, such as `openid`, are skipped.

    Raises:
        ScopeInvalid: there are more than `MOST_SCOPES`.
    """
    found = set()
    for word in words:
        with suppress(ScopeInvalid):
            found.add(parsed(word))
    if len(found) > MOST_SCOPES:
        raise ScopeInvalid(f"more than {MOST_SCOPES} scopes")
    return tuple(sorted(found))


def printed(scopes: Iterable[SmartScope]) -> str:
    """Return scopes as one text, which `scope_list` reads."""
    return " ".join(map(str, scopes))


def granted(requested: Iterable[SmartScope], allowed: Iterable[SmartScope]) -> tuple[SmartScope, ...]:
    """Return what both lists grant, sorted, without scopes that another one covers.

    Raises:
        ScopeInvalid: these would be more than `MOST_SCOPES`.
    """
    limits = tuple(allowed)
    common = {both for one in requested for limit in limits if (both := _meet(one, limit))}
    if len(common) > MOST_SCOPES:
        raise ScopeInvalid(f"more than {MOST_SCOPES} scopes in common")
    return tuple(sorted(one for one in common if not any(other.covers(one) for other in common if other != one)))


def _meet(one: SmartScope, other: SmartScope) -> SmartScope | None:
    """Return the scope that grants what both grant; None if they share nothing."""
    types = {one.resource_type, other.resource_type}
    if one.context != other.context or len(types - {EVERY_TYPE}) > 1:
        return None
    if EVERY_TYPE in types and types & BY_NAME_ALONE:
        return None
    if one.access.startswith("$") or other.access.startswith("$"):
        return one if one == other else None
    access = "".join(letter for letter in one.access if letter in other.access)
    if not access:
        return None
    refinements = tuple(sorted({*one.refinements, *other.refinements}))
    return SmartScope(one.context, min(types - {EVERY_TYPE}, default=EVERY_TYPE), access, refinements)


def _refinements(query: str | None) -> tuple[tuple[str, str], ...]:
    """Parse the search parameters of a scope.

    Raises:
        ScopeInvalid: one has no name or no value, or a value cannot be read in one way only.
    """
    pairs = set()
    for field in query.split("&") if query else []:
        name, _, value = field.partition("=")
        if not _PARAMETER.fullmatch(name) or not value:
            raise ScopeInvalid("a search parameter of a scope has the form name=value")
        if "+" in value:
            raise ScopeInvalid("+ in a search parameter may mean a space or a plus: write %20 or %2B")
        pairs.add((name, _decoded(value)))
    return tuple(sorted(pairs))


def _decoded(value: str) -> str:
    try:
        decoded = unquote(value, "utf-8", "strict")
    except UnicodeDecodeError:
        raise ScopeInvalid("a search parameter of a scope is no percent-encoded UTF-8") from None
    if re.search(r"%(?![0-9A-Fa-f]{2})", value) or _CONTROL.search(decoded):
        raise ScopeInvalid("a search parameter of a scope holds a lone % or a control character")
    return decoded
