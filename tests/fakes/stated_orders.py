"""Orders of a hospital as facts of a study: ingests know what a test says, whatever is in the tables of orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mappings.model import AnsweredOrder, Facts, HospitalMessageName, StatedNumber

ORDER = AnsweredOrder(
    7,
    placer=StatedNumber("PL-7", "EPIC", "urn:oid:1.2.3"),
    accession=StatedNumber("ACC-7", "RIS", "urn:oid:1.2.4"),
    message=HospitalMessageName("his", "M-1"),
)


class StatedOrders:
    """Orders that the hospital stated of every study, or the reason that there is none."""

    def __init__(self, reason: str = "", orders: Sequence[AnsweredOrder] = ()) -> None:
        self.reason, self.orders = reason, tuple(orders)

    def facts(self, **given: Any) -> Facts:
        """Make the facts of a study, with the orders."""
        return Facts(**given, orders=self.orders, order_reason="" if self.orders else self.reason)


def stating(monkeypatch: pytest.MonkeyPatch, reason: str = "", *orders: AnsweredOrder) -> StatedOrders:
    """Have every ingest find these orders, or none for this reason; a test changes both as it goes on."""
    stated = StatedOrders(reason, orders)
    monkeypatch.setattr("gateway.ingest.map_study.Facts", stated.facts)
    return stated
