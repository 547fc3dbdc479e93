"""Find the Patient of a token that identifies the patient by an EHR's number: `system|value`.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html (launch context), decisions D11, D12, D41
and D48. Only the exact number that is the key of a Patient is taken. Of a client with facilities only their studies
count, as if there were no others.
Proved by tests/gateway/auth/test_launch_patient.py and tests/property/test_non_interference.py.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from gateway.store.database.engine import Engine
from gateway.store.studies.identities import is_described, is_disputed, merged_into, organizations_named
from mappings.patient.identifiers import keyed_patient_id
from mappings.profile import Site

PatientFault = Literal["", "patient-unknown", "patient-disputed"]
# Fault -> the reason that a client is told
FAULTS: Final[dict[PatientFault, str]] = {
    "patient-unknown": "the number in the token's patient claim is not the key of a Patient that this client may see",
    "patient-disputed": "the number in the token's patient claim may be that of two people: an identity conflict here",
}


class PatientNumber(NamedTuple):
    """Patient number with its system (`Identifier.system`), compared exactly."""

    system: str
    value: str


@dataclass(frozen=True, slots=True)
class LaunchPatients:
    """Look up patients by number."""

    engine: Engine
    site: Site

    async def find(self, number: PatientNumber, facilities: Collection[str] | None) -> tuple[str, PatientFault]:
        """Return the id of the Patient with this key number, or of its replacement since a merge; else a fault.

        `facilities` are those of the client, None for all.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        organizations = None
        if facilities is not None:
            organizations = sorted(await organizations_named(self.engine, facilities))
        line = await merged_into(self.engine, keyed_patient_id(*number, self.site), organizations)
        if not line or not await is_described(self.engine, line[-1]):
            return "", "patient-unknown"
        if await is_disputed(self.engine, line, organizations):
            return "", "patient-disputed"
        return line[-1], ""
