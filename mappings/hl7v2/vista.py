"""The numbers by which VistA Radiology knows a patient: its own (DFN), or the Social Security number.

HL7 v2.5.1 §3.4.2.2 (PID-2), §3.4.2.3 (PID-3); VistA-M RAHLTCPB and RAHLTCPX, decision D34. Which number is which, the
site says (`mappings.profile.vista`): nothing is taken for one by its looks alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mappings.codes import SID_EXTERNAL_UNASSIGNED, SID_MRN_UNASSIGNED
from mappings.hl7v2.er7 import components, value
from mappings.hl7v2.result import Result
from mappings.identifiers import Identity, PatientIdentifier
from mappings.profile import Receiver, Site

_DFN: Final = re.compile(r"[0-9]+")
_SSN: Final = re.compile(r"[0-9]{9}|[0-9]{3}-[0-9]{2}-[0-9]{4}")
_UNASSIGNED: Final = (SID_MRN_UNASSIGNED, SID_EXTERNAL_UNASSIGNED)


@dataclass(frozen=True, slots=True)
class VistaNumbers:
    """The values of PID-2 and PID-3; both empty where no number is known."""

    pid_2: str = ""
    pid_3: str = ""

    @property
    def is_known(self) -> bool:
        """True if one of them holds a number."""
        return bool(self.pid_2 or self.pid_3)


def vista_numbers(identity: Identity, site: Site, receiver: Receiver) -> VistaNumbers:
    """The number by which VistA knows a patient, as the receiver's `vista_patient` has it.

    None where the numbers stand for somebody else too (D12), or are not of the form that VistA gives out.
    """
    if not identity.is_linked:
        return VistaNumbers()
    dfn = _number(identity, site.vista.dfn_namespace, _DFN)
    if receiver.vista_patient == "dfn":
        return VistaNumbers(pid_3=_cx(dfn)) if dfn else VistaNumbers()
    if ssn := _number(identity, site.vista.ssn_namespace, _SSN):
        return VistaNumbers(pid_3=_cx(ssn))
    station = site.vista.station
    return VistaNumbers(pid_2=f"{station}-{dfn.value}") if station and dfn else VistaNumbers()


def _number(identity: Identity, namespace: str, form: re.Pattern[str]) -> PatientIdentifier | None:
    """The patient's number under a namespace, if it is of that form; not a doubtful one, which has no system of it."""
    known = (one for one in identity.identifiers if namespace and one.namespace == namespace)
    good = (one for one in known if not one.system.startswith(_UNASSIGNED))
    return next((one for one in good if form.fullmatch(one.value)), None)


def _cx(number: PatientIdentifier) -> str:
    return components(number.value.replace("-", ""), "", "", value(number.namespace), number.type)


def vista_pid_2(result: Result) -> str:
    """The value of PID-2 for VistA: the DFN under its station, where no Social Security number is known."""
    if result.receiver.vista_patient == "off":
        return ""
    return vista_numbers(result.subject.identity, result.site, result.receiver).pid_2


def vista_pid_3(result: Result) -> str:
    """The value of PID-3 for VistA: one number with its authority, or nothing."""
    return vista_numbers(result.subject.identity, result.site, result.receiver).pid_3
