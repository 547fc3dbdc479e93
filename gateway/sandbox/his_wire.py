"""Write the simulated hospital's messages (orders, visits, merges) in v2.5.1.

HL7 v2.5.1 §4.4.1 (ORM), §4.4.10 (OMI), §3.3.1 (A01), §3.3.8 (A08), §3.3.40 (A40). One deviation is on purpose: OBR-18
of ORM names the issuer of the accession number, for which its ST has no room, as systems of several facilities do.
Proved by tests/gateway/sandbox/test_his.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

OrderStructure = Literal["ORM", "OMI"]
APPLICATION: Final = "SBXHIS"
PHYSICIAN: Final = "1528000001^REQUESTER^RALPH^^^DR^MD^^{issuer}"
_MERGED: Final = "ADT_A39"
_ESCAPED: Final = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"}
# Kind of a number -> what is put behind the facility's namespace to name its issuer
ISSUERS: Final = {"mrn": "", "accession": "ACC", "placer": "HIS", "filler": "RIS", "visit": "VN"}


@dataclass(frozen=True, slots=True)
class HisPerson:
    """Patient as the hospital has it; `issuer` is the facility's namespace, `born` is YYYYMMDD."""

    issuer: str
    mrn: str
    family: str
    given: str
    born: str
    sex: str


@dataclass(frozen=True, slots=True)
class HisOrder:
    """Order of the hospital: ORC-1 and its numbers, OBR-4, and texts about the study; unknown texts are empty."""

    control: str
    placer: str = ""
    filler: str = ""
    accession: str = ""
    code: str = ""
    text: str = ""
    priority: str = "R"
    uid: str = ""
    status: str = ""
    parent: str = ""
    indication: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class HisHeader:
    """Values of MSH that change from message to message."""

    control_id: str
    at: datetime
    facility: str
    processing_id: str = "P"


def order_message(
    head: HisHeader, who: HisPerson, visit: str, *orders: HisOrder, kind: OrderStructure = "ORM"
) -> bytes:
    """Write an order message: ORM^O01, or OMI^O23 with the accession number and the study UID in IPC."""
    structure = {"ORM": "ORM^O01^ORM_O01", "OMI": "OMI^O23^OMI_O23"}[kind]
    lines = [_msh(head, structure), _pid(who), _pv1(who, visit)]
    for place, order in enumerate(orders, 1):
        lines += _order(head, who, order, place, kind)
    return _joined(lines)


def visit_message(head: HisHeader, who: HisPerson, visit: str, event: Literal["A01", "A08"]) -> bytes:
    """Write an admission (A01), or an update of a patient and a visit (A08)."""
    lines = [_msh(head, f"ADT^{event}^ADT_A01"), _evn(head, event), _pid(who), _pv1(who, visit)]
    return _joined(lines)


def merge_message(head: HisHeader, who: HisPerson, prior: str) -> bytes:
    """Write an A40 merge: the number `prior` is replaced by the patient's number."""
    mrg = f"MRG|{_number(prior, who.issuer, 'mrn')}^MR"
    return _joined([_msh(head, f"ADT^A40^{_MERGED}"), _evn(head, "A40"), _pid(who), mrg])


def issuer_of(facility: str, kind: str) -> str:
    """Return the namespace of a facility's numbers of that kind."""
    return facility + ISSUERS[kind]


def _order(head: HisHeader, who: HisPerson, order: HisOrder, place: int, kind: OrderStructure) -> list[str]:
    issuer, at = who.issuer, _instant(head.at)
    placer, filler = _ei(order.placer, issuer, "placer"), _ei(order.filler, issuer, "filler")
    accession = _ei(order.accession, issuer, "accession")
    physician = PHYSICIAN.format(issuer=issuer)
    parent = _ei(order.parent, issuer, "placer").replace("^", "&")  # EIP.1 is an EI of sub-components
    orc = {1: order.control, 2: placer, 3: filler, 5: order.status, 8: parent, 9: at, 12: physician}
    obr = {
        **{1: str(place), 2: placer, 3: filler, 16: physician, 24: "RAD", 31: f"^{_text(order.indication)}"},
        **{4: f"{_text(order.code)}^{_text(order.text)}^L", 18: accession if kind == "ORM" else ""},
    }
    obr[31] = obr[31] if order.indication else ""
    note = [f"NTE|1||{_text(order.note)}"] if order.note else []
    if kind == "OMI":
        timing, uid = f"TQ1|1||||||||{order.priority}", order.uid or "2.25.1"
        ipc = f"IPC|{accession}|{placer or filler}|{uid}^{issuer}|{placer or filler}"
        return [_segment("ORC", orc), timing, _segment("OBR", obr), *note, ipc]
    obr[27] = f"^^^^^{order.priority}"
    zds = [f"ZDS|{order.uid}^{issuer}^Application^DICOM"] if order.uid else []
    return [_segment("ORC", orc), _segment("OBR", obr), *note, *zds]


def _msh(head: HisHeader, structure: str) -> str:
    fields = f"{APPLICATION}|{head.facility}|AUTOSCRIBE_GW|SANDBOX|{_instant(head.at)}||{structure}|{head.control_id}"
    return f"MSH|^~\\&|{fields}|{head.processing_id}|2.5.1||||||UNICODE UTF-8"


def _evn(head: HisHeader, event: str) -> str:
    return f"EVN|{event}|{_instant(head.at)}"


def _pid(who: HisPerson) -> str:
    name = f"{_text(who.family)}^{_text(who.given)}"
    return f"PID|1||{_number(who.mrn, who.issuer, 'mrn')}^MR||{name}||{who.born}|{who.sex}"


def _pv1(who: HisPerson, visit: str) -> str:
    return _segment("PV1", {1: "1", 2: "O", 3: "RAD^1", 19: f"{_number(visit, who.issuer, 'visit')}^VN"})


def _number(value: str, facility: str, kind: str) -> str:
    return f"{_text(value)}^^^{issuer_of(facility, kind)}"


def _ei(value: str, facility: str, kind: str) -> str:
    return f"{_text(value)}^{issuer_of(facility, kind)}" if value else ""


def _segment(name: str, fields: Mapping[int, str]) -> str:
    return "|".join([name, *(fields.get(number, "") for number in range(1, max(fields) + 1))]).rstrip("|")


def _text(value: str) -> str:
    return "".join(_ESCAPED.get(one, one) for one in value)


def _instant(at: datetime) -> str:
    return at.strftime("%Y%m%d%H%M%S+0000")


def _joined(lines: list[str]) -> bytes:
    return "".join(f"{line}\r" for line in lines).encode()
