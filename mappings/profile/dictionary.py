"""Read the procedure dictionary (codes by text) from the site's CSV file and built-in list, with modality fallbacks.

HL7 v2.5.1 §4.5.3.4 (OBR-4), https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.code,
decision D23. A text gets a code only by exact match (`mappings.profile.table.exact`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Final

from mappings.codes import DICOM_MODALITY, LOINC
from mappings.issues import SiteError
from mappings.profile.facility import URI
from mappings.profile.table import SheetRow, Table, exact, is_loinc, read_rows

PROCEDURE_COLUMNS: Final = ("procedure", "code", "system", "display", "modality")
MODALITIES: Final = tuple(sorted(set(DICOM_MODALITY.values())))
_STARTER: Final = resources.files("mappings") / "data" / "procedures.csv"
_CODE: Final = re.compile(
    r"[^\s\x00-\x1f\x7f]+(?: [^\s\x00-\x1f\x7f]+)*"
)  # https://hl7.org/fhir/R4/datatypes.html#code
_CODE_LENGTH: Final = 20  # HL7 v2.5.1 §2.A.10, CE.1 ST
_CODING_SYSTEM: Final = re.compile(r"L|99[A-Za-z0-9]{1,10}")  # HL7 table 0396: local codes

Refuse = Callable[[str, str, str], None]


@dataclass(frozen=True, slots=True)
class ProcedureCode:
    """Code of an examination: `system` for FHIR (a URI), `coding_system` for OBR-4.3 (HL7 table 0396: LN, L).

    `display` is the code system's own text, empty if a site gives none. `modality` is the DICOM code of its
    examinations, empty for any.
    """

    code: str
    display: str = ""
    system: str = LOINC
    coding_system: str = "LN"
    modality: str = ""


Dictionary = Mapping[str, tuple[ProcedureCode, ...]]
"""Codes by the key of their text; several only if each is of another modality."""


@dataclass(frozen=True, slots=True)
class LocalCodes:
    """The site's own code system: `system` for FHIR (a URI), `coding_system` for OBR-4.3."""

    system: str = ""
    coding_system: str = "L"


@cache
def starter() -> Dictionary:
    """Read the procedures of this package: every code and display is from the FHIR R4 core or US Core packages."""
    return read_procedures(_STARTER.read_text("utf-8"), LocalCodes(), [])


def read_local_codes(mapping: Table) -> LocalCodes:
    """Read the code system in the settings `procedure_system` and `procedure_coding_system`."""
    system, name = mapping.text("procedure_system") or "", mapping.text("procedure_coding_system") or "L"
    if system and not URI.fullmatch(system):
        mapping.refuse("procedure_system", "not an absolute URI", "Write one such as urn:oid:1.2.3 or https://….")
    if not _CODING_SYSTEM.fullmatch(name):
        remedy = "Write L, or 99 and up to ten letters, such as 99MERCY (HL7 table 0396)."
        mapping.refuse("procedure_coding_system", "no name of a local code system", remedy)
    return LocalCodes(system, name)


def read_dictionary(mapping: Table, local: LocalCodes, text: str | None) -> Dictionary:
    """Read the dictionary of `[mapping]`: rows of its `procedures` file, and the starter for other texts."""
    rows = {} if text is None else read_procedures(text, local, mapping.faults)
    if not local.system and any(code.system != LOINC for codes in rows.values() for code in codes):
        problem = "missing, and the procedures file has codes of the site's own"
        mapping.refuse("procedure_system", problem, "Write the URI that stands for them in FHIR: urn:oid:1.2.3.")
    return {**starter(), **rows} if mapping.flag("starter", default=True) else rows


def read_procedures(text: str, local: LocalCodes, faults: list[SiteError]) -> Dictionary:
    """Read the codes of a CSV text with the columns `procedure,code,system,display,modality`."""
    codes: dict[str, tuple[ProcedureCode, ...]] = {}
    lines: dict[str, dict[str, int]] = {}
    for row in read_rows(text, "mapping.procedures", PROCEDURE_COLUMNS, PROCEDURE_COLUMNS[:3], faults):
        key, code = exact(row.text("procedure")), _row_code(row, local)
        if not key:
            row.refuse("procedure", "empty", "Write the procedure as AutoScribe reports it.")
        elif code:
            others = lines.setdefault(key, {})
            clash = next((line for one, line in others.items() if code.modality in {"", one} or not one), None)
            if clash:
                remedy = "Keep one of them, or say of each for which modality it is."
                row.refuse("procedure", f"the same procedure as in line {clash}", remedy)
            else:
                others[code.modality] = row.line
                codes[key] = (*codes.get(key, ()), code)
    return codes


def read_fallbacks(mapping: Table, local: LocalCodes) -> Mapping[str, ProcedureCode]:
    """Read `[mapping.procedure_fallbacks]`: codes by DICOM modality, for OBR-4 without an exact match."""
    given = mapping.row.get("procedure_fallbacks", {})
    if not isinstance(given, dict):
        mapping.refuse("procedure_fallbacks", "not a table", 'Write [mapping.procedure_fallbacks], then CT = "…".')
        return {}
    table = Table(given, f"{mapping.place}.procedure_fallbacks", mapping.faults)
    table.refuse_unknown(frozenset(MODALITIES))
    fallbacks = {key: _fallback(table, key, local) for key in MODALITIES if key in given}
    return {key: code for key, code in fallbacks.items() if code}


def _fallback(table: Table, modality: str, local: LocalCodes) -> ProcedureCode | None:
    """Read a local code as text, or a table of `code`, `system` and `display`."""
    value = table.row[modality]
    if not isinstance(value, dict):
        return _coded(table.text(modality) or "", "L", local, lambda _, *said: table.refuse(modality, *said))
    inner = Table(value, f"{table.place}.{modality}", table.faults)
    inner.refuse_unknown(frozenset({"code", "system", "display"}))
    code = _coded(inner.text("code") or "", inner.text("system") or "", local, inner.refuse)
    return replace(code, display=inner.text("display") or "") if code else None


def _row_code(row: SheetRow, local: LocalCodes) -> ProcedureCode | None:
    written = row.text("modality").upper()
    modality = DICOM_MODALITY.get(written, "")
    if written and not modality:
        row.refuse("modality", "not a modality that is known", f"Write one of {', '.join(MODALITIES)}, or nothing.")
    code = _coded(row.text("code"), row.text("system"), local, row.refuse)
    return replace(code, display=row.text("display"), modality=modality) if code else None


def _coded(code: str, system: str, local: LocalCodes, refuse: Refuse) -> ProcedureCode | None:
    """Build a code of LOINC (`LOINC`) or of the site's own system (`L`), or None if it is wrong."""
    if system.upper() not in {"LOINC", "L"}:
        refuse("system", "neither LOINC nor L", "Write LOINC, or L for a code of the site's own.")
    elif system.upper() == "LOINC":
        if is_loinc(code):
            return ProcedureCode(code)
        refuse("code", "not a LOINC code: digits, a hyphen and the check digit", "Copy it from loinc.org.")
    elif len(code) <= _CODE_LENGTH and _CODE.fullmatch(code):
        return ProcedureCode(code, system=local.system, coding_system=local.coding_system)
    else:
        refuse("code", "not 1 to 20 characters in one line", "Write the code as the site's system has it.")
    return None
