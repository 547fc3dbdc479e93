"""Choose the number by which VistA Radiology knows a patient: the DFN, or the Social Security number.

HL7 v2.5.1 §3.4.2.2 (PID-2), §3.4.2.3 (PID-3); VistA-M RAHLTCPB and RAHLTCPX, decision D34. The site's settings tell the
numbers apart (`mappings.profile.vista`), never their form alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mappings.codes import SID_EXTERNAL_UNASSIGNED, SID_MRN_UNASSIGNED
from mappings.hl7v2.er7 import components, value
from mappings.hl7v2.result import Result
from mappings.patient.identifiers import Identity, PatientIdentifier
from mappings.profile import Receiver, Site

_DFN: Final = re.compile(r"[0-9]+")
_SSN: Final = re.compile(r"[0-9]{9}|[0-9]{3}-[0-9]{2}-[0-9]{4}")
_UNASSIGNED: Final = (SID_MRN_UNASSIGNED, SID_EXTERNAL_UNASSIGNED)


@dataclass(frozen=True, slots=True)
class VistaNumbers:
    """Values of PID-2 and PID-3; both empty if no number is known."""

    pid_2: str = ""
    pid_3: str = ""

    @property
    def is_known(self) -> bool:
        """True if one of them holds a number."""
        return bool(self.pid_2 or self.pid_3)


def vista_numbers(identity: Identity, site: Site, receiver: Receiver) -> VistaNumbers:
    """Find the number by which VistA knows a patient, by the receiver's `vista_patient`.

    It is empty if the numbers also belong to somebody else (D12), or lack the form of VistA's numbers.
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
    """Patient's number under a namespace, if it has that form; never a doubtful one, whose system is made up."""
    known = (one for one in identity.identifiers if namespace and one.namespace == namespace and not one.is_old)
    good = (one for one in known if not one.system.startswith(_UNASSIGNED))
    return next((one for one in good if form.fullmatch(one.value)), None)


def _cx(number: PatientIdentifier) -> str:
    return components(number.value.replace("-", ""), "", "", value(number.namespace), number.type)


def vista_pid_2(result: Result) -> str:
    """Value of PID-2 for VistA: the DFN under its station, if no Social Security number is known."""
    if result.receiver.vista_patient == "off":
        return ""
    return vista_numbers(result.subject.identity, result.site, result.receiver).pid_2


def vista_pid_3(result: Result) -> str:
    """Value of PID-3 for VistA: one number with its authority, or empty."""
    return vista_numbers(result.subject.identity, result.site, result.receiver).pid_3
