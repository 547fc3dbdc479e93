"""Let the sandbox's hospital order the demo's reports, and check that FHIR and HL7 v2 have the order's number.

HL7 v2.5.1 §4.5.3.2 (OBR-2); https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.basedOn;
decision D48.
Proved by tests/gateway/demo/test_orders.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from gateway.demo.agreement import AgreementRow
from gateway.sandbox.his import issuers
from gateway.sandbox.his_telling import ACCESSION_KEY, HisTruth
from gateway.sandbox.his_wire import issuer_of
from gateway.settings import SourceSettings
from mappings.hl7v2.received import read
from mappings.profile import AssigningAuthority, Site

Json = Mapping[str, Any]

WORKFLOW: Final = "order-before"
"""Workflow of the demo's studies: one order, a visit, and no contradiction."""
_PLACER: Final = "PLAC"


def with_orders(site: Site) -> Site:
    """Add the issuers of the hospital's order numbers to the site, and the key of the accession number."""
    numbers: dict[str, dict[str, Any]] = {
        place.name: {kind: AssigningAuthority(*one) for kind, one in given.items()} for place, given in issuers()
    }
    rows = {row.name: replace(row, **numbers.get(row.name, {})) for row in site.facilities.values()}
    default = rows[site.default_facility.name] if site.default_facility else None
    return replace(site, facilities=rows, default_facility=default, accession_keys=(ACCESSION_KEY,))


def hospital_source(port: int) -> SourceSettings:
    """Return the `[[source]]` table for the sandbox's hospital, which sends messages for all its facilities."""
    named = [(issuer_of(place.mrn_namespace, "visit"), "") for place, _ in issuers()]
    for place, given in issuers():
        named += [(place.mrn_namespace, place.mrn_system), *((name, system) for system, name in given.values())]
    return SourceSettings(
        name="sandbox-his",
        listen=f"127.0.0.1:{port}",
        may=("orders", "visits", "merges"),
        authorities=tuple({"namespace": name, "system": system} for name, system in named),
        time_zone="UTC",
    )


def order_row(truth: HisTruth, service_requests: Iterable[Json], message: bytes) -> AgreementRow:
    """Compare the placer order numbers of the hospital with those of the ServiceRequests and of OBR-2."""
    received = read(message)
    sent = [received.components(one.field(2))[0] for one in received.segments if one.name == "OBR"]
    shown = [
        identifier["value"]
        for request in service_requests
        for identifier in request.get("identifier", ())
        if any(coding.get("code") == _PLACER for coding in identifier.get("type", {}).get("coding", ()))
    ]
    ordered, based_on, obr_2 = (", ".join(sorted(set(one))) for one in (truth.orders, shown, sent))
    return AgreementRow("order", ordered, based_on, obr_2, ordered == based_on == obr_2)
