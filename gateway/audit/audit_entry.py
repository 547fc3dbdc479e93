"""Entry of the audit journal: who asked for what, from where, and which resources and patients the answer showed.

IHE BALP 1.1.4 (https://profiles.ihe.net/ITI/BALP/) names the facts. No text of a patient is in clear: resource ids are
pseudonyms, and the values of a query are digests under a key of their own.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _text
from typing import Any, Final, Literal, NamedTuple, get_args

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_Shown = Literal["read", "vread", "history", "history-type", "history-system", "search", "operation", "binary"]
EntryKind = Literal[_Shown, "act", "login", "logout", "refusal"]
EntryHead = tuple[int, EntryKind, str, str, str, str, str, str, int, str]  # the fields of an entry from `at` to `code`
EntryAbout = tuple[tuple[str, ...], int, tuple[str, ...], int]  # shown, shown_count, patients, patient_count

MOST_BYTES: Final = 64_000  # of an entry; a page of 500 resources of 500 patients fits
UNKNOWN_NAME: Final = "(unknown)"
_MOST_TEXT: Final = 100  # characters of each text of an entry that was too large
_MOST_PARAMETERS: Final = 20  # of an entry that was too large
_LONGEST_ADDRESS: Final = 200  # characters; an address of FHIR has at most 129
_SEPARATORS: Final = re.compile("[:.]")
_KEY_LABEL: Final = b"audit"
_VALUE_LABEL: Final = b"audit value\0"


class EntryUnreadableError(ValueError):
    """Text that is no printed entry of this version; the message repeats nothing of it."""


class AuditEntry(NamedTuple):
    """One access, or one act, in the audit. A tuple: every answer waits for one, and a dataclass takes twice as long.

    `at` is in microseconds since 1970. `client`, `user` and `host` name who asked, `address` is the network address.
    `request` is the request id, `route` the route's template, and `code` the error code, all empty if there is none.
    `shown` has addresses (`Type/id`), `patients` has ids of Patient resources. Both counts are those of all parts.
    `parameters` has names in clear with digests of their values. `why` is the operator's reason or a purpose of use.
    An access too large for one entry has several, which `part` counts from 0. `is_cut`: texts were shortened.
    """

    at: int
    kind: EntryKind
    client: str = ""
    user: str = ""
    host: str = ""
    address: str = ""
    request: str = ""
    route: str = ""
    status: int = 0
    code: str = ""
    shown: tuple[str, ...] = ()
    shown_count: int = 0
    patients: tuple[str, ...] = ()
    patient_count: int = 0
    parameters: tuple[tuple[str, str], ...] = ()
    why: str = ""
    part: int = 0
    is_cut: bool = False


_NUMBERS: Final = frozenset({"at", "status", "shown_count", "patient_count", "part"})
_TEXTS: Final = ("client", "user", "host", "address", "request", "route", "code", "why")
_KINDS: Final = frozenset(get_args(EntryKind))


def printed(entry: AuditEntry) -> str:
    """Print an entry as canonical JSON, of any size."""
    return _printed(entry[:10], entry[10:14], entry.parameters, _end(entry.why, entry.part, entry.is_cut))


def printed_parts(entry: AuditEntry) -> Sequence[str]:
    """Print an entry as texts of at most `MOST_BYTES`; a larger entry as several texts, so that no id is lost."""
    text = printed(entry)
    return (text,) if len(text) <= MOST_BYTES else _divided(entry)


def printed_access(head: EntryHead, about: EntryAbout, parameters: tuple[tuple[str, str], ...]) -> Sequence[str]:
    """Print an access as `printed_parts` does, but faster: without making an `AuditEntry`."""
    text = _printed(head, about, parameters, _NO_MORE)
    if len(text) <= MOST_BYTES:
        return (text,)
    return _divided(AuditEntry(*head, *about, parameters))


def parsed(text: bytes) -> AuditEntry:
    """Parse a printed entry.

    Raises:
        EntryUnreadableError: no text that `printed` returns.
    """
    try:
        said = json.loads(text)
        entry = AuditEntry(
            **{
                **said,
                "shown": tuple(said["shown"]),
                "patients": tuple(said["patients"]),
                "parameters": tuple((name, digest) for name, digest in said["parameters"]),
            }
        )
        is_whole = _is_typed(entry) and printed(entry).encode("ascii") == text
    except (ValueError, TypeError, KeyError, RecursionError):
        is_whole = False
    if not is_whole:
        raise EntryUnreadableError("no audit entry of this version")
    return entry


def values_key(site_key: bytes) -> bytes:
    """Derive the key for digests of search values from the site key (RFC 5869)."""
    return HKDF(hashes.SHA256(), 32, salt=None, info=_KEY_LABEL).derive(site_key)


def sealed_parameters(
    parameters: Iterable[tuple[str, str]], known: Collection[str], key: bytes
) -> tuple[tuple[str, str], ...]:
    """Return a query's names with HMAC-SHA-256 digests of their values under `key`, from `values_key`.

    A name stays in clear only if each part of it (`subject:Patient.name`) is among the `known` words. A client may
    write a patient's name where a parameter's name belongs: such a name joins the digest.
    """
    return tuple([_sealed(name, value, known, key) for name, value in parameters])


def _sealed(name: str, value: str, known: Collection[str], key: bytes) -> tuple[str, str]:
    is_known = name in known or all(part in known for part in _SEPARATORS.split(name))
    said = value if is_known else f"{name}={value}"
    digest = _digest_begun(key).copy()
    digest.update(said.encode("utf-8", "surrogatepass"))
    return name if is_known else UNKNOWN_NAME, digest.hexdigest()


@lru_cache(maxsize=4)
def _digest_begun(key: bytes) -> hmac.HMAC:
    """Prepare the digest of a value under a key; setting up the key takes most of the time."""
    return hmac.new(key, _VALUE_LABEL, hashlib.sha256)


def _printed(head: EntryHead, about: EntryAbout, parameters: Sequence[tuple[str, str]], end: str) -> str:
    at, kind, client, user, host, address, request, route, status, code = head
    shown, shown_count, patients, patient_count = about
    pairs = ",".join([f"[{_text(name)},{_text(digest)}]" for name, digest in parameters]) if parameters else ""
    return (
        f'{{"at":{at},{_who(kind, client, user, host, address)}{_text(request)}{_outcome(route, status, code)}'
        f'{",".join(map(_text, shown))}],"shown_count":{shown_count}'
        f',"patients":[{",".join(map(_text, patients))}],"patient_count":{patient_count},"parameters":[{pairs}{end}'
    )


@lru_cache(maxsize=1_024)  # apart from the outcome: 250 users of 5 routes are 250 and 5 texts, not 1,250
def _who(kind: str, client: str, user: str, host: str, address: str) -> str:
    return (
        f'"kind":{_text(kind)},"client":{_text(client)},"user":{_text(user)},"host":{_text(host)}'
        f',"address":{_text(address)},"request":'
    )


@lru_cache(maxsize=1_024)
def _outcome(route: str, status: int, code: str) -> str:
    return f',"route":{_text(route)},"status":{status},"code":{_text(code)},"shown":['


def _end(why: str, part: int, is_cut: bool) -> str:
    return f'],"why":{_text(why)},"part":{part},"is_cut":{"true" if is_cut else "false"}}}'


_NO_MORE: Final = _end("", 0, is_cut=False)


def _divided(entry: AuditEntry) -> Sequence[str]:
    """Split an entry into several that are at most `MOST_BYTES` large."""
    bare, parts = _bare(entry), list[str]()
    shown, patients = _bounded(entry.shown), _bounded(entry.patients)
    while shown or patients or not parts:
        numbered = bare._replace(part=len(parts))
        some_patients, room = _fitting(patients, MOST_BYTES - len(printed(numbered)))
        some_shown, _ = _fitting(shown, room)
        parts.append(printed(numbered._replace(shown=some_shown, patients=some_patients)))
        shown, patients = shown[len(some_shown) :], patients[len(some_patients) :]
    return parts


def _bare(entry: AuditEntry) -> AuditEntry:
    """Return the entry without resources and patients, and with shortened texts."""
    short: dict[str, Any] = {name: getattr(entry, name)[:_MOST_TEXT] for name in _TEXTS}
    parameters = tuple((name[:_MOST_TEXT], digest[:64]) for name, digest in entry.parameters[:_MOST_PARAMETERS])
    bare = entry._replace(**short, parameters=parameters)
    return bare._replace(shown=(), patients=(), is_cut=bare != entry)


def _bounded(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one[:_LONGEST_ADDRESS] for one in texts)


def _fitting(texts: tuple[str, ...], room: int) -> tuple[tuple[str, ...], int]:
    """Return the first texts that fit into a number of bytes, and the bytes left."""
    for number, one in enumerate(texts):
        size = len(_text(one)) + 1
        if size > room:
            return texts[:number], room
        room -= size
    return texts, room


def _is_typed(entry: AuditEntry) -> bool:
    return (
        entry.kind in _KINDS
        and all(type(getattr(entry, name)) is int for name in _NUMBERS)
        and all(isinstance(getattr(entry, name), str) for name in _TEXTS)
        and all(isinstance(one, str) for one in (*entry.shown, *entry.patients, *sum(entry.parameters, ())))
        and type(entry.is_cut) is bool
    )
