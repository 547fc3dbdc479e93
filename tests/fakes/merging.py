"""Merges of patient numbers as hospitals report them, and ingests that match studies with what is stored of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from gateway.ingest.pipeline import Pipeline
from gateway.store.database.engine import Engine
from gateway.store.known_study import Fetched, KnownStudy
from gateway.store.orders.hospital import OrderReader
from gateway.store.orders.numbers import add_change
from mappings.hospital.authorities import Authorities, HospitalNumber
from mappings.hospital.groups import ResolvedChange
from mappings.model import HospitalMessageName
from mappings.patient.identifiers import mrn_key
from mappings.profile import Site

SYSTEM = "urn:oid:1.2.3"


async def merge(engine: Engine, prior: str, surviving: str, system: str = SYSTEM, held: str = "") -> None:
    """Store that a hospital merged one MRN into another (A40), or that the merge is held for that reason."""
    numbers = [HospitalNumber("patient", system, "MR", mrn_key(one)) for one in (prior, surviving)]
    name = HospitalMessageName("adt", f"{prior}-{surviving}")
    await engine.do(lambda: add_change(ResolvedChange(*numbers), surviving, name, held, 1))


@contextmanager
def knowing(site: Site) -> Iterator[None]:
    """Let every ingest match its study with the orders and the merges in the store while the block runs."""
    seen = Pipeline._seen

    async def with_orders(self: Pipeline, study_id: str, known: KnownStudy, fetched: Fetched) -> KnownStudy:
        self._orders, self._has_orders = OrderReader(self._engine, Authorities(site)), True
        return await seen(self, study_id, known, fetched)

    with patch.object(Pipeline, "_seen", with_orders):
        yield
