"""MRN and external id among a patient's numbers: by type, and for type `U` by authority (D11)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mappings.profile import Site

_MADE: Final = {
    "MR": ("AGWMR-", "urn:autoscribe-gateway:mrn:unassigned:"),
    "PI": ("AGWPI-", "urn:autoscribe-gateway:external-patient-id:unassigned:"),
}


def patient_number(kind: str, told: Iterable[tuple[str, str, str]], site: Site) -> str | None:
    """Number of a kind among triples of type, authority (a namespace or a system) and value."""
    facilities = site.facilities.values()
    external = [*(one.external_patient_id for one in facilities), *site.express_customers.values()]
    given = {"MR": [one.mrn for one in facilities], "PI": external}[kind]
    known = {name for one in given if one for name in (one.namespace, one.system)}
    for code, authority, value in told:
        if code == kind or (code == "U" and (authority.startswith(_MADE[kind]) or authority in known)):
            return value
    return None
