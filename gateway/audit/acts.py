"""Write an operator's act to the audit: its begin, what it shows, its failure. If that is impossible, nothing is done.

Carries out no clause of a standard; IHE BALP has no pattern for commands. An operator is a user of the operating
system, or a person at the console. The process of a command has a segment of its own.
Proved by tests/gateway/cli/test_run_command.py.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit.audit_entry import AuditEntry
from gateway.audit.journal import AuditJournal
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError, GatewayError
from gateway.store.database.engine import micros
from gateway.store.database.facts import actor

_ID: Final = re.compile("(rep|stu|pat|usr)[-_]([0-9a-f]{32})")
_TYPES: Final = {"rep": "DiagnosticReport", "stu": "ImagingStudy", "pat": "Patient", "usr": "Practitioner"}


class OperatorAct:
    """Act of an operator that is being carried out."""

    def __init__(self, journal: AuditJournal, entry: AuditEntry) -> None:
        self._journal, self._entry = journal, entry

    def shows(self, addresses: Collection[str], patients: Collection[str]) -> None:
        """Note which resources the act is about to show, and of which patients.

        Raises:
            AuditUnavailable: it cannot be noted, so nothing may be shown.
        """
        shown = self._entry._replace(shown=tuple(addresses), shown_count=len(addresses))
        self.note(shown._replace(patients=tuple(patients), patient_count=len(patients)))

    def note(self, entry: AuditEntry) -> None:
        """Write an entry of this act to the audit now.

        Raises:
            AuditUnavailable: it cannot be noted.
        """
        self._journal.append(entry._replace(at=micros(clock.now())))


@asynccontextmanager
async def acting(
    folder: Path, key: Ed25519PrivateKey, command: str, why: str, about: tuple[str, ...]
) -> AsyncIterator[OperatorAct]:
    """Write to the audit that a command begins, about these addresses; and, if it fails, that it fails.

    Raises:
        AuditUnavailable: it cannot be noted.
    """
    journal = AuditJournal(folder, key)
    try:
        await journal.turn()
        with noted_act(journal, act_entry(command, why, about)._replace(request=secrets.token_hex(8))) as act:
            yield act
    finally:
        journal.close()


@contextmanager
def noted_act(journal: AuditJournal, entry: AuditEntry) -> Iterator[OperatorAct]:
    """Write an act to an open journal before the block runs; and, if it fails, that it fails.

    Raises:
        AuditUnavailable: it cannot be noted, and the block does not run.
    """
    act = OperatorAct(journal, entry)
    act.note(entry)
    try:
        yield act
    except GatewayError as error:
        status = HTTPStatus.BAD_REQUEST if isinstance(error, ConfigError) else error.http_status
        act.note(entry._replace(status=int(status), code=error.code))
        raise


def act_entry(command: str, why: str, about: tuple[str, ...]) -> AuditEntry:
    """Return the entry of an act of the `actor`, about these addresses."""
    who = actor()
    patients = tuple(one.removeprefix("Patient/") for one in about if one.startswith("Patient/"))
    return AuditEntry(
        at=0,
        kind="act",
        user=who.user,
        host=who.host,
        route=command,
        shown=about,
        shown_count=len(about),
        patients=patients,
        patient_count=len(patients),
        why=why,
    )


def addresses_in(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the addresses of the gateway's and AutoScribe's ids in the texts; other texts may be a patient's."""
    found = [match for text in texts if (match := _ID.fullmatch(text.removeprefix("Patient/")))]
    return tuple(dict.fromkeys(f"{_TYPES[match[1]]}/{match[1]}-{match[2]}" for match in found))
