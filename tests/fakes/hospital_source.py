"""A source of the hospital of tests/fakes/hospital.py, messages that it sends, and its inbox and its applying."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fakes.hospital import AUTHORITIES, CITY
from fakes.ports import free_address
from fakes.store import rows

from gateway.ingest.orders.apply_loop import Applying
from gateway.ingest.orders.inbox import new_inbound
from gateway.ingest.orders.sources import HospitalSource, authority_of
from gateway.runtime import clock
from gateway.runtime.metrics import PREFIX, Metrics
from gateway.store.database.engine import micros
from gateway.store.orders.hospital import StoredOrder, order_of
from gateway.store.orders.inbound import add_message
from mappings.hl7v2.inbound import SourceRules, read_hospital_message
from mappings.hl7v2.received import read
from mappings.hospital.events import Authority

PATIENTS, VISITS = authority_of("CITY", "urn:oid:1.2.1"), Authority("CITYVN")
PLACERS, FILLERS = authority_of("CITYHIS", "urn:oid:1.2.3"), authority_of("CITYFILL", "urn:oid:1.2.4")
ACCESSIONS = authority_of("CITYRIS", "urn:oid:1.2.2")
RULES = SourceRules(
    authorities=(PATIENTS, VISITS, PLACERS, FILLERS, ACCESSIONS),
    bare={"patient": PATIENTS, "placer": PLACERS, "filler": FILLERS, "accession": ACCESSIONS},
)


def hospital_source(**changes: Any) -> HospitalSource:
    """Return City's source on a free port of this machine."""
    host, port = free_address()
    made = HospitalSource("source[0]", host, port, (), None, CITY, RULES, False)
    rules = {key: changes.pop(key) for key in tuple(changes) if key in SourceRules.__slots__}
    return replace(made, rules=replace(RULES, **rules), **changes)


def msh(structure: str = "ORM^O01", control_id: str = "1", minute: int = 0, enhanced: str = "") -> str:
    """Write the MSH of a message, sent at that minute of a day in 2026."""
    at = f"20260105{10 + minute // 60:02d}{minute % 60:02d}00-0600"
    return rf"MSH|^~\&|HIS|CITY|GW|CITY|{at}||{structure}|{control_id}|P|2.5.1|||{enhanced}"


def hl7(*segments: str) -> bytes:
    """Join segments to a message."""
    return "".join(f"{one}\r" for one in segments).encode()


def ordering(
    control: str = "NW", placer: str = "P1", filler: str = "", accession: str = "A1", mrn: str = "4711", **header: Any
) -> bytes:
    """Write an order message of Jane Doe about a head CT."""
    return hl7(
        msh(**header),
        f"PID|1||{mrn}^^^CITY^MR||DOE^JANE||19850720|F",
        _pv1("ED^12", "V1"),
        f"ORC|{control}|{placer}|{filler}",
        f"OBR|1|{placer}|{filler}|CTHEAD^CT Head||||||||||||||{accession}",
    )


def visiting(event: str = "A02", mrn: str = "4711", visit: str = "V1", location: str = "ICU", **header: Any) -> bytes:
    """Write a visit message of Jane Doe."""
    return hl7(
        msh(f"ADT^{event}", **header),
        f"EVN|{event}|20260105120000-0600",
        f"PID|1||{mrn}^^^CITY^MR~99^^^CITYVN^PI||DOE-MILLER^JANE||19850720|F",
        _pv1(location, visit),
    )


def merging(prior: str = "4711", surviving: str = "5000", event: str = "A40", **header: Any) -> bytes:
    """Write a merge message of two patient numbers."""
    return hl7(
        msh(f"ADT^{event}", **header),
        f"EVN|{event}|20260105120000-0600",
        f"PID|1||{surviving}^^^CITY^MR",
        f"MRG|{prior}^^^CITY^MR",
    )


def _pv1(location: str, visit: str) -> str:
    return f"PV1|1|I|{location}{'|' * 16}{visit}^^^CITYVN"


class Hospital:
    """City's messages in a store, and what became of them."""

    def __init__(self, engine: Any, source: HospitalSource | None = None) -> None:
        self.engine, self.metrics = engine, Metrics()
        self.source = source or hospital_source()
        self.applying = Applying(self.source, AUTHORITIES, engine, self.metrics)

    async def stores(self, *payloads: bytes) -> None:
        """Store messages as the inbox does."""
        for payload in payloads:
            received = read(payload)
            message = read_hospital_message(received, self.source.rules)
            new = new_inbound(self.source, message, payload, received)
            await self.engine.do(lambda new=new: add_message(new, micros(clock.now())))

    async def sends(self, *payloads: bytes) -> list[tuple[str, str]]:
        """Store and apply messages; return state and code of all so far."""
        await self.stores(*payloads)
        await self.applying.turn()
        return await self.states()

    async def states(self) -> list[tuple[str, str]]:
        """Return state and code of every message, in order."""
        return [(str(state), str(code)) for state, code in await rows(self.engine, _STATES)]

    async def bodies(self) -> list[bool]:
        """Return whether the bytes of each message are kept."""
        return [body is not None for (body,) in await rows(self.engine, "SELECT body FROM inbound ORDER BY number")]

    async def orders(self) -> list[StoredOrder]:
        """Return every known order, oldest first."""
        numbers = [number for (number,) in await rows(self.engine, "SELECT number FROM hospital_order ORDER BY number")]
        return [await self.engine.do(lambda number=number: order_of(number)) for number in numbers]

    async def asked(self) -> list[str]:
        """Return the studies whose ingest was requested, in order."""
        return [str(one) for (one,) in await rows(self.engine, "SELECT argument FROM control ORDER BY number")]

    def counted(self, name: str, **labels: str) -> float:
        """Return the value of a metric."""
        return self.metrics.registry.get_sample_value(f"{PREFIX}{name}", {"source": "city-his"} | labels) or 0


_STATES = "SELECT state, code FROM inbound ORDER BY number"
