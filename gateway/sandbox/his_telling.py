"""Collect the simulated hospital's messages about one study, and the truth about it.

HL7 v2.5.1 §4.5.1.1 (ORC-1), §3.3.40 (A40), decision D48. Numbers are made of the study's id, equal at all facilities.
Proved by tests/gateway/sandbox/test_his.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.sandbox.dice import Dice
from gateway.sandbox.his_wire import (
    HisHeader,
    HisOrder,
    HisPerson,
    OrderStructure,
    merge_message,
    order_message,
    visit_message,
)
from gateway.sandbox.people import FACILITIES, SandboxFacility
from mappings.values.names import parse_name

Json = dict[str, Any]

ACCESSION_KEY: Final = "accession"
PLACER_KEY: Final = "order"
"""Keys of `Study.metadata` with the numbers, as a site names them in `accession_keys` and `placer_keys`."""
STRANGERS: Final = ("Xaverius", "Xanthippe")
"""Given names of all patients who are not the study's."""
KNOWN: Final = {one.name: one for one in FACILITIES if one.is_known}
"""Facilities that a site's settings name, by name."""
_SEX: Final = {"female": "F", "male": "M", "other": "O"}
_LENGTH_OF_DATE: Final = 10


@dataclass(frozen=True, slots=True)
class HisTruth:
    """Truth about a study: its workflow, and the placer order numbers of its orders.

    `reason` is the code for which it answers none; empty if it answers some. Without `is_clear`, its snapshot says too
    little to decide: it may then answer the orders, or be held for any reason. `metadata` are the numbers in the study.
    """

    study_id: str
    workflow: str
    facility: str
    orders: tuple[str, ...] = ()
    reason: str = ""
    is_clear: bool = True
    is_clean: bool = True
    metadata: Mapping[str, str] = field(default_factory=dict)


class Telling:
    """Messages of the hospital about one study, filled by the workflows in his_workflows.py."""

    def __init__(self, study: Json, signed_at: datetime, seed: int, *, is_shared: bool) -> None:
        snapshot = study["reportMetadata"]
        self.study, self.signed_at, self.is_shared = study, signed_at, is_shared
        self.dice = Dice(seed, "his", study["studyId"])
        self.created = datetime.fromisoformat(study["createdAt"])
        self.site = KNOWN.get(snapshot.get("facilityName", ""))
        self.here: SandboxFacility = self.site or FACILITIES[0]
        self.accession = str(10_000_000 + int(study["studyId"][4:14], 16) % 10**11)
        self.metadata: dict[str, str] = {ACCESSION_KEY: self.accession}
        self.is_clear = self.site is not None and str(snapshot.get("mrn", "")).startswith(f"{self.here.mrn_namespace}-")
        self.who = self._person(snapshot)
        self.sent: list[tuple[datetime, bytes]] = []
        self._count = 0

    def stranger(self, *, twin: bool = False, at: SandboxFacility | None = None) -> HisPerson:
        """Return another patient; a twin has the same family name and birth date."""
        self._count += 1
        place = at or self.here
        mrn = f"{place.mrn_namespace}-7{int(self.accession) % 10**9:09d}{self._count}"
        family, born = (self.who.family, self.who.born) if twin else ("Elsewhere", "19310131")
        sex = "M" if self.who.sex == "F" else "F"
        given = STRANGERS[sex == "F"]
        return HisPerson(place.mrn_namespace, mrn, family, given, born, sex)

    def new_mrn(self) -> str:
        """Return another number for the patient."""
        self._count += 1
        return f"{self.here.mrn_namespace}-8{int(self.accession) % 10**9:09d}{self._count}"

    def order(self, control: str = "NW", **changes: Any) -> HisOrder:
        """Make an order with new numbers under the study's accession number."""
        self._count += 1
        usual = {
            "placer": f"P{self.accession}{self._count}",
            "filler": f"F{self.accession}{self._count}",
            "accession": self.accession,
            "code": f"IMG{self._count}",
            "text": self.study["studyDescription"],
            "uid": self.study["studyInstanceUid"],
            "indication": self.study.get("clinicalIndication") or "",
            "note": "Patient has a pacemaker." if self.dice.chance(0.2) else "",
        }
        return HisOrder(control, **{**usual, **changes})

    def tell(
        self, at: datetime, *orders: HisOrder, who: HisPerson | None = None, kind: OrderStructure | None = None
    ) -> None:
        """Add an order message of a randomly drawn kind."""
        about = who or self.who
        kinds: tuple[OrderStructure, ...] = ("ORM", "ORM", "OMI")
        drawn: OrderStructure = self.dice.pick(kinds) if kind is None else kind
        visit = f"V{self.accession}"
        self._say(at, order_message(self._head(at, about), about, visit, *orders, kind=drawn))

    def tell_visit(self, at: datetime, event: Any) -> None:
        """Add an admission, or an update of the study's visit."""
        self._say(at, visit_message(self._head(at, self.who), self.who, f"V{self.accession}", event))

    def tell_merge(self, at: datetime, who: HisPerson, prior: str) -> None:
        """Add an A40 merge: `prior` is replaced by the person's number."""
        self._say(at, merge_message(self._head(at, who), who, prior))

    def before(self, hours: int = 0) -> datetime:
        """Return an instant before the study."""
        return self.created - timedelta(hours=hours or self.dice.integer(1, 72), minutes=self.dice.integer(0, 59))

    def repeat_some(self) -> None:
        """Repeat some of the messages byte for byte, some of them late."""
        for at, payload in tuple(self.sent):
            if self.dice.chance(0.15):
                self.sent.append((at + timedelta(minutes=self.dice.integer(1, 600)), payload))

    def _say(self, at: datetime, payload: bytes) -> None:
        delay = timedelta(minutes=self.dice.integer(1, 300)) if self.dice.chance(0.1) else timedelta()
        self.sent.append((at + delay, payload))

    def _head(self, at: datetime, who: HisPerson) -> HisHeader:
        self._count += 1
        return HisHeader(f"H{self.accession}{self._count:03d}", at, who.issuer)

    def _person(self, snapshot: Json) -> HisPerson:
        """Return the study's patient as the hospital writes it; what the snapshot lacks is invented."""
        name = parse_name(
            snapshot.get("patientName"), "given_family" if self.here.name_order == "given_family" else None
        )
        if self.here.name_order == "family_given":
            name = parse_name(snapshot.get("patientName"), "family_given")
        family, given = (name.family or "", " ".join(name.given)) if name else ("Unsaid", "")
        born = snapshot.get("dateOfBirth", "")
        try:
            born = datetime.fromisoformat(born).strftime("%Y%m%d") if len(born) == _LENGTH_OF_DATE else ""
        except ValueError:
            born = ""
        mrn = snapshot["mrn"] if self.is_clear else f"{self.here.mrn_namespace}-6{int(self.accession) % 10**9:09d}"
        known = (family.upper() or name.text if name else family, given.upper())
        return HisPerson(self.here.mrn_namespace, mrn, *known, born, _SEX.get(snapshot.get("sex", ""), ""))
