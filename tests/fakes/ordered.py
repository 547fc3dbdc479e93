"""Site whose one study has orders near it: hers, another patient's, and a cancelled one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from fakes import hospital
from fakes.commanded import Site
from fakes.gateway_process import MLLP_TABLE

from gateway.sandbox.people import FACILITIES
from gateway.store.database.engine import Statement, ask
from gateway.store.database.kept import kept
from gateway.store.orders.hospital import put_order
from gateway.store.orders.numbers import put_study_keys
from mappings.hospital.authorities import OrderSource
from mappings.hospital.events import Authority, HospitalPatient, IssuedNumber

_MATCH = Statement("INSERT INTO order_match VALUES (:study_id, :verdict, :reason, :orders, 1780000000000000, '[]')")
KEPT_OF = Statement("SELECT kept FROM study WHERE study_id = :study_id")
_ISSUERS = """[mapping]
accession_system = "urn:oid:1.9.1"
accession_namespace = "RIS"
placer_system = "urn:oid:1.9.2"
placer_namespace = "HIS"
"""
_SENT = "SELECT study_id FROM study WHERE has_signed = 1 ORDER BY 1"
KNOWN = {one.name: one for one in FACILITIES if one.is_known}


@dataclass
class Ordered:
    """A site with a signed study about a patient with a number, and the orders hers, another's, and a cancelled one."""

    site: Site
    study_id: str
    hers: int
    another: int
    cancelled: int
    facility: str
    mrn: IssuedNumber

    @property
    def system(self) -> str:
        """System of her number in FHIR."""
        return KNOWN[self.facility].mrn_system

    async def orders(self, *arguments: str) -> tuple[int, str, str]:
        return await self.site.run("orders", *arguments)

    async def write(self, statement: Statement, **values: Any) -> None:
        async with self.site.store() as engine:
            await engine.do(lambda: ask(statement, study_id=self.study_id, **values))

    async def audited(self) -> list[tuple[Any, ...]]:
        return await self.site.query("SELECT verb, argument, reason FROM audit ORDER BY number")

    async def decided(self) -> list[tuple[Any, ...]]:
        return await self.site.query("SELECT study_id, verdict, orders FROM order_verdict")


async def _numbered(engine: Any) -> AsyncIterator[tuple[str, str, str]]:
    """Yield studies that name one patient by a number of one known facility."""
    for (study_id,) in await engine.query(_SENT, []):
        study = kept((await engine.fetch(KEPT_OF, study_id=study_id))[0][0]).study
        said = {(str(one.snapshot.facility_name), str(one.snapshot.mrn or "")) for one in study.reports if one.snapshot}
        facility, mrn = next(iter(said))
        if len(said) == 1 and facility in KNOWN and mrn:
            yield str(study_id), facility, mrn


async def ordered(here: Site, verdict: str = "held", reason: str = "several-groups", orders: str = "[]") -> Ordered:
    """Ingest the account, and store orders near one of its studies, and the study's match."""
    settings = here.folder / "gateway.toml"
    site = settings.read_text().replace("[mapping]", _ISSUERS)
    settings.write_text(site + ("" if "[[destination]]" in site else MLLP_TABLE.format(port=2575)))
    code, _, err = await here.run("sync")
    assert code == 0, err
    async with here.store() as engine:
        study_id, facility, mrn_value = next(iter([one async for one in _numbered(engine)]))
        number = IssuedNumber(mrn_value, Authority(KNOWN[facility].mrn_namespace), "MR")
        each = []
        for effect, mrn in (("open", number), ("open", replace(number, value="X83751")), ("cancel", number)):
            about = HospitalPatient(numbers=(mrn,))
            made = hospital.order(source=OrderSource("his", facility), about=about, effect=effect)
            each.append(await engine.do(lambda made=made: put_order(None, made, ["near"], 5)))
        await engine.do(lambda: put_study_keys(study_id, ["near"]))
    found = Ordered(here, str(study_id), *each, facility, number)
    await found.write(_MATCH, verdict=verdict, reason=reason, orders=orders)
    return found
