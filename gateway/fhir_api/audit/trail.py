"""Write audit entries of the facade (access, login, refusal) before the answer is sent; start the audit's loops.

https://profiles.ihe.net/ITI/BALP/ (what an event says); decision D42. Nothing a client writes is in clear, except
names of parameters that are known and ids that the gateway gave out.
Proved by tests/gateway/fhir_api/audit/test_audited.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.types import Scope

from gateway.audit.acts import OperatorAct, act_entry, addresses_in, noted_act
from gateway.audit.audit_entry import AuditEntry, EntryHead, EntryKind, printed_access, sealed_parameters, values_key
from gateway.audit.forwarding import AuditForwarding, SyslogReceiver
from gateway.audit.journal import AuditJournal
from gateway.audit.loading import AuditLoading
from gateway.audit.retention import AuditRetention
from gateway.audit.seal_key import prepared
from gateway.auth.access import access_of
from gateway.auth.console_gate import ConsoleSeen
from gateway.auth.token_endpoint import LoginSeen
from gateway.fhir_api.audit.shown import ID, Shown
from gateway.fhir_api.http.outcome import REQUEST_ID
from gateway.fhir_api.http.query import RESULT_PARAMETERS
from gateway.fhir_api.served import OPERATIONS
from gateway.index.parameter_lookup import PARAMETERS
from gateway.index.parameter_table import CONTENT
from gateway.runtime import clock
from gateway.runtime.errors import AuditUnavailable
from gateway.runtime.loops import alongside
from gateway.runtime.metrics import ROUTE, Metrics
from gateway.runtime.tls import TlsSettings, tls_context
from gateway.settings import Configuration
from gateway.settings.values import host_and_port
from gateway.store.audit_entries import AuditEntries
from gateway.store.database.engine import Engine, micros

MOST_REFUSALS: Final = 60  # of one client at once; one more each second
AUTOSCRIBE: Final = "autoscribe"
CONSOLE: Final = "console"
_MOST_CLIENTS: Final = 1_024
# Words of which the names of parameters consist; any other name may be a patient's
_WORDS: Final = frozenset(
    {
        *(word for one in PARAMETERS for word in (one.name, one.resource_type, *one.modifiers, *one.chains)),
        *(word for name in RESULT_PARAMETERS for word in name.split(":")),
        *(one.name for row in OPERATIONS for one in row.inputs),
        *(
            ID,
            "_has",
            CONTENT.name,
            "family",
            "given",
            "mode",
            "resource",
            "date",
            "agent",
            "entity",
            "action",
            "outcome",
            "subtype",
        ),
    }
)


class RefusalBound:
    """Limit on audit entries for refusals of each client: `MOST_REFUSALS`, and 1 a second; anybody can cause them.

    `taken` returns None for a refusal that is only counted, else how many were only counted since the last entry.
    """

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float, int]] = {}  # entries left, at an instant, and refusals counted

    def taken(self, client: str, now: float) -> int | None:
        """Use up one entry for a refusal of a client (empty: unknown client); False if none is left."""
        left, at, counted = self._left.pop(client, (float(MOST_REFUSALS), now, 0))
        left = min(MOST_REFUSALS, left + now - at)
        has_room = left >= 1
        if len(self._left) >= _MOST_CLIENTS:
            del self._left[next(iter(self._left))]
        self._left[client] = (left - 1, now, 0) if has_room else (left, now, counted + 1)
        return counted if has_room else None


@dataclass(frozen=True, slots=True)
class ConsoleView:
    """Visit of a person (`subject`) to a page of the console, for a purpose, with its outcome."""

    kind: EntryKind
    subject: str
    purpose: str
    status: int
    code: str


class AuditTrail:
    """Audit of the requests that one event loop answers. `key` digests values.

    Every method that notes something raises `AuditUnavailable` if it cannot be noted; then nothing may be shown.
    """

    def __init__(self, journal: AuditJournal, key: bytes) -> None:
        self._journal, self._key, self._refusals = journal, key, RefusalBound()

    @property
    def is_open(self) -> bool:
        """True while the audit accepts entries."""
        return self._journal.is_open

    @property
    def trouble(self) -> str:
        """Code of the alert while the audit accepts no entries, else empty."""
        return "" if self._journal.is_open else AuditUnavailable.code

    def require_open(self) -> None:
        """Refuse a request that changes something while the audit accepts no entries."""
        if not self._journal.is_open:
            raise AuditUnavailable("the audit journal is not open")

    def access(self, scope: Scope, kind: EntryKind, status: int, code: str, shown: Shown) -> None:
        """Record an access to data: what it shows, or the error code if it failed."""
        head, given = _head(kind, scope, scope[REQUEST_ID], status, code), shown.given
        parameters = sealed_parameters(given, _WORDS, self._key) if given else ()
        self._journal.write(head[0], printed_access(head, shown.counted(), parameters))

    def view(self, scope: Scope, seen: ConsoleView, shown: Shown) -> None:
        """Note a visit to a page of the console, and what the page shows."""
        parameters = sealed_parameters(shown.given, _WORDS, self._key) if shown.given else ()
        head = _head(seen.kind, scope, scope[REQUEST_ID], seen.status, seen.code)
        entry = AuditEntry(*head, *shown.counted(), parameters)
        self._journal.append(entry._replace(client=CONSOLE, user=seen.subject, why=seen.purpose))

    def acting(
        self, scope: Scope, command: str, reason: str, about: Sequence[str]
    ) -> AbstractContextManager[OperatorAct]:
        """Note an act at the console as that of its command, before the block runs; `about` are texts with ids."""
        peer = scope.get("client")
        entry = act_entry(command, reason, addresses_in(about))._replace(client=CONSOLE, request=scope[REQUEST_ID])
        return noted_act(self._journal, entry._replace(address=peer[0] if peer else ""))

    def answer(self, scope: Scope, request_id: str, addresses: Sequence[str]) -> None:
        """Record an answer to a webhook question of AutoScribe: the resources it reveals something of."""
        shown = Shown()
        for address in addresses:
            shown.add(address)
        entry = AuditEntry(*_head("operation", scope, request_id, HTTPStatus.OK, ""), *shown.counted())
        self._journal.append(entry._replace(client=AUTOSCRIBE))

    def refusal(self, scope: Scope, status: int, code: str, request_id: str) -> None:
        """Record that a request was refused; of very many refusals, some are only counted."""
        self._append_bounded(AuditEntry(*_head("refusal", scope, request_id, status, code)))

    def login(self, seen: LoginSeen) -> None:
        """Record an answer of the token endpoint; of very many refusals, some are only counted."""
        entry = AuditEntry(*_head("login", seen.scope, seen.request_id, seen.status, seen.code))
        if seen.client_id:
            self._journal.append(entry._replace(client=seen.client_id))
        else:
            self._append_bounded(entry)

    def console(self, seen: ConsoleSeen) -> None:
        """Note a sign-in, a sign-out or a refusal at the console; of many by nobody known, some are counted."""
        entry = AuditEntry(*_head(seen.kind, seen.scope, seen.request_id, seen.status, seen.code))
        entry = entry._replace(client=CONSOLE, user=seen.subject)
        if seen.subject:
            self._journal.append(entry)
        else:
            self._append_bounded(entry)

    def _append_bounded(self, entry: AuditEntry) -> None:
        counted = self._refusals.taken(entry.client, clock.monotonic())
        if counted is not None:
            why = f"{counted} refusals before were counted only" if counted else ""
            self._journal.append(entry._replace(why=why))


def _head(kind: EntryKind, scope: Scope, request_id: str, status: int, code: str) -> EntryHead:
    """Return the common part of an entry: when, who asks, from where, on which route, and the outcome."""
    access, peer, route = access_of(scope), scope.get("client"), scope.get(ROUTE)
    return (
        micros(clock.now()),
        kind,
        access.client_id if access else "",
        (access.user or "") if access else "",
        "",
        peer[0] if peer else "",
        request_id,
        f"{scope['method']} {route}" if route else scope["method"],
        status,
        code,
    )


def prepare_audit(configuration: Configuration) -> Ed25519PrivateKey | None:
    """Create the audit's folder and seal key if they are missing; return the key, None without an audit.

    Raises:
        ConfigError: one of them cannot be made, or the key would lie in the folder.
    """
    folder = configuration.audit_dir
    return None if folder is None else prepared(folder, configuration.audit_seal_key)


@asynccontextmanager
async def audit_trail(configuration: Configuration, metrics: Metrics) -> AsyncIterator[AuditTrail | None]:
    """Keep the journal of this event loop's audit while the block runs; None if the settings ask for no audit.

    Raises:
        ConfigError: the folder or the seal key cannot be used.
    """
    key, folder = prepare_audit(configuration), configuration.audit_dir
    if key is None or folder is None:
        yield None
        return
    journal = AuditJournal(folder, key)
    try:
        with suppress(AuditUnavailable):  # then it is tried again each second, and nothing is shown meanwhile
            await journal.turn()
        metrics.watch_audit(lambda: journal.is_open)
        async with alongside([journal.run()]):
            yield AuditTrail(journal, values_key(configuration.site.site_key))
    finally:
        with suppress(AuditUnavailable):  # the service ends all the same; the next start reads how far the file goes
            journal.close()


def audit_loops(configuration: Configuration, engine: Engine) -> list[Coroutine[Any, Any, None]]:
    """Return the loops for the journals of this machine: load them into the database, and remove old segments."""
    key, folder = prepare_audit(configuration), configuration.audit_dir
    if key is None or folder is None:
        return []
    retention = AuditRetention(AuditEntries(engine), folder, key, configuration.settings.audit.retention_days)
    return [AuditLoading(engine, folder).run(), retention.run()]


def audit_forwarding(configuration: Configuration) -> AuditForwarding | None:
    """Return the forwarder of this machine's journals to a syslog receiver, None if the settings name none.

    Raises:
        ConfigError: a file of the receiver's TLS cannot be used.
    """
    audit, folder = configuration.settings.audit, configuration.audit_dir
    if audit.syslog is None or folder is None:
        return None
    tls = TlsSettings(audit.syslog_ca_file, audit.syslog_client_cert, audit.syslog_client_key)
    tls_context(tls, configuration.source)
    receiver = SyslogReceiver(*host_and_port(audit.syslog), tls, audit.syslog_body, configuration.site.canonical)
    return AuditForwarding(folder, receiver)
