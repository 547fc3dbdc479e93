"""Find studies by a hospital's patient number, also studies that never looked for an order.

HL7 v2.5.1 §2.A.14 (CX); decisions D11, D49. A study that was read before hospitals sent orders has no keys of orders.
Proved by tests/gateway/cli/test_patients.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from gateway.cli.typed_numbers import named_in_settings, namespace_and_system
from gateway.settings import Configuration
from gateway.store.database.engine import Engine
from gateway.store.erasing import studies_claiming
from gateway.store.studies.identities import patients_spelling, survivor_of
from mappings.hospital.authorities import Authorities, HospitalNumber


async def studies_by_patient(engine: Engine, patient_ids: Iterable[str]) -> dict[str, list[str]]:
    """Return the studies of these patients, by the id of the patient that survives merges.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    found = dict.fromkeys([await survivor_of(engine, one) for one in patient_ids])
    return {one: studies for one in found if (studies := await studies_claiming(engine, one))}


async def patients_having(engine: Engine, number: HospitalNumber) -> list[str]:
    """Return the ids of patients who have a number under its authority.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    _, system = namespace_and_system(number.authority)
    found = await patients_spelling(engine, {number.value})
    return [one.patient_id for one in found if one.system == system]


async def study_of_numbers(engine: Engine, numbers: Collection[HospitalNumber], configuration: Configuration) -> str:
    """Return a study whose patient has, or may have, one of these numbers; empty if there is none.

    Only a number under another authority of the site is surely somebody else's. One under a namespace that no setting
    named, when its message came, may be of the authority that the settings name so since.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    others = {one.value: Authorities(configuration.site).patient_systems for one in numbers}
    for one in numbers:
        namespace, system = namespace_and_system(one.authority)
        others[one.value] -= {system, *(named_in_settings(configuration, namespace) if namespace else ())}
    found = await patients_spelling(engine, others)
    having = [one.patient_id for one in found if one.system not in others[one.value]]
    return next((study_ids[0] for study_ids in (await studies_by_patient(engine, having)).values()), "")
