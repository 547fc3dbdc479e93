"""Read the site's settings for the patient and exam numbers of VistA Radiology.

HL7 v2.5.1 §3.4.2.2, §3.4.2.3 (PID-2, PID-3) and §4.5.3.3 (OBR-3), decision D34. AutoScribe has no field for any of
them: the site names the namespaces of VistA's own numbers, and the keys of `Study.metadata`.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from mappings.profile.table import Table

_STATION: Final = re.compile(r"[0-9]{3}[0-9A-Z]{0,4}")


@dataclass(frozen=True, slots=True)
class Vista:
    """VistA's numbers at a site; all fields are empty if it has none.

    `dfn_namespace` is the namespace of VistA's own patient numbers (DFN), which a facility or express customer uses;
    `ssn_namespace` is that of Social Security numbers, `station` the number of the station that issued the DFN.
    `exam_keys` are the keys of `Study.metadata` with the exam (RADTI-RACNI), `case_keys` those with its long case
    number.
    """

    dfn_namespace: str = ""
    ssn_namespace: str = ""
    station: str = ""
    exam_keys: tuple[str, ...] = ()
    case_keys: tuple[str, ...] = ()


NO_VISTA: Final = Vista()
VISTA_KEYS: Final = (
    *("vista_dfn_namespace", "vista_ssn_namespace", "vista_station", "vista_exam_keys", "vista_case_keys"),
)


def read_vista(mapping: Table, namespaces: AbstractSet[str]) -> Vista:
    """Read the `vista_` settings of `[mapping]`; `namespaces` are those of its facilities and express customers."""
    named = {key: _namespace(mapping, key, namespaces) for key in ("vista_dfn_namespace", "vista_ssn_namespace")}
    if named["vista_dfn_namespace"] and named["vista_dfn_namespace"] == named["vista_ssn_namespace"]:
        problem = "the same numbers cannot be DFNs and Social Security numbers"
        mapping.refuse("vista_ssn_namespace", problem, "Give each a namespace of its own.")
    station = mapping.text("vista_station") or ""
    if station and not _STATION.fullmatch(station):
        mapping.refuse("vista_station", "not the number of a station", "Write three digits and a suffix, such as 500.")
    exams, cases = (mapping.texts(key, '["exam"]') for key in ("vista_exam_keys", "vista_case_keys"))
    if bool(exams) is not bool(cases):
        key = "vista_case_keys" if exams else "vista_exam_keys"
        mapping.refuse(key, "missing, with the other there", "Write both: OBR-3 is the exam and its long case number.")
    return Vista(named["vista_dfn_namespace"], named["vista_ssn_namespace"], station, exams, cases)


def _namespace(mapping: Table, key: str, known: AbstractSet[str]) -> str:
    text = mapping.text(key) or ""
    if text and text not in known:
        remedy = "Write an mrn_namespace or external_patient_id_namespace of a facility or express customer."
        mapping.refuse(key, "nobody's: no number has this namespace", remedy)
    return text
