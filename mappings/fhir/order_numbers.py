"""Map the placer order number and the accession number to FHIR identifiers.

https://hl7.org/fhir/R4/datatypes.html#Identifier, table 0203 (ACSN, PLAC), decision D18. If the site does not name
their authority, they stand under systems of the gateway's own.
Proved by tests/mappings/fhir/test_service_request.py and tests/mappings/fhir/test_diagnostic_report.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from mappings.codes import SID_ACCESSION, SID_PLACER_ORDER
from mappings.fhir.datatypes import Json, identifier, line
from mappings.profile import Site
from mappings.study.orders import Order


def accession_identifier(order: Order, site: Site) -> Json | None:
    """Identifier of an order's accession number, or None if it is unknown."""
    value = line(order.accession_number)
    authority = site.accession_authority
    return identifier(authority.system if authority else SID_ACCESSION, value, "ACSN") if value else None


def placer_identifier(order: Order, site: Site) -> Json | None:
    """Identifier of an order's placer order number, or None if it is unknown."""
    value = line(order.placer_order_number)
    authority = site.placer_authority
    return identifier(authority.system if authority else SID_PLACER_ORDER, value, "PLAC") if value else None


def accession_identifiers(orders: Sequence[Order], site: Site) -> list[Json]:
    """Identifiers of all orders' accession numbers."""
    return [one for order in orders if (one := accession_identifier(order, site))]


def placer_identifiers(orders: Sequence[Order], site: Site) -> list[Json]:
    """Identifiers of all orders' placer order numbers, each once."""
    by_number = {order.placer_order_number: order for order in orders}
    return [one for order in by_number.values() if (one := placer_identifier(order, site))]
