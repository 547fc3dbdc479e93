"""Recognize signature lines of a report: a name with a title or a degree, a radiologist's role, or initials.

Carries out no clause of a standard: how a radiologist signs is a custom.
"""

from __future__ import annotations

import re
from typing import Final

from mappings.sections.wording import DATE, TIME

_ROLE: Final = (
    r"(?:(?i:consultant|attending|staff|senior|chief|reporting|diagnostic|interventional|specialist|board[ -]certified"
    r"|clinical|musculoskeletal|paediatric|pediatric|breast|neuro|locum|specialty|department|dept|of|in|resident|fellow"
    r"|registrar|physician|radiologist|radiology|neuroradiologist|teleradiologist|sonographer|trainee|imaging"
    r"|radiographer|reporter|director|electronically|signed))"
)
_READER: Final = r"(?i:(?:neuro|tele)?radiologist|registrar|radiographer|sonographer)(?!\w)"
_DEGREE: Final = (
    r"(?:M\.?\s?D\.?|D\.?O\.?|M\.?B\.?,?\s?(?:B\.?S\.?|Ch\.?B\.?|B\.?Ch\.?)|Ph\.?D\.?|M\.?P\.?H\.?|F\.?R\.?C\.?R\.?|FRANZCR"
    r"|F\.?R\.?C\.?P\.?C?\.?|FACR|FSIR|DABR|MRCP|MMed|MSc|BSc|DMRD|FFRRCSI|PA-C|RRA|RDMS|RVT|RPVI|RT\(R\)|DNB)"
)
# ... or the name of a site
_SITE: Final = (
    r"(?:Hospital|Infirmary|(?:Medical|Health|Imaging|Radiology)\s(?:Cent(?:er|re)|Associates|Group|Department))"
)
_NAME: Final = r"[^\W\d_a-z][\w.'\u2019-]{0,30}"
# Allowed after a name: "Consultant Radiologist", "GMC 1234567", "02/03/2026 10:15", "/ abc"
_BESIDE: Final = rf"(?:{_DEGREE}|{_ROLE}|GMC|AHPRA|NPI|{DATE}|(?i:{TIME})|\#?\d{{3,12}}|[A-Za-z]{{2,4}}$)"
# Whole lines such as "Dr A. Smith", "A. Smith, MD", "Consultant Radiologist", "Reporting Radiologist Dr A Smith"
_SIGNATURE: Final = re.compile(
    rf"[\s*_\-]{{0,60}}+(?:(?:Dr|DR|Prof|Professor|PROF)\.?\s{{1,2}}(?:med\.\s{{1,2}})?{_NAME}(?:\s{{1,2}}{_NAME}){{0,3}}"
    rf"|{_NAME}(?:,?\s{{1,2}}{_NAME}){{0,4}}?,?\s{{1,2}}(?:{_DEGREE}|{_SITE})(?!\w)"
    rf"|(?:{_ROLE}\s{{1,2}}){{0,3}}{_READER}(?:[\s:,-]{{1,3}}(?:Dr\.?\s)?{_NAME}(?:\s{{1,2}}{_NAME}){{1,3}})?)"
    rf"(?:[\s,;/()|\-\u2013]{{1,4}}{_BESIDE})*+[\s.)*_:]*$"
)
# "ABC/de", "abc/de"
_INITIALS: Final = re.compile(r"(?:[A-Z]{2,4}[/:]|[a-z]{2,3}/)[a-z]{2,4}\b[\s\d/:.-]*$")
_SHORT_FORM: Final = 20  # characters; initials are shorter
_SIGNATURE_LINE: Final = 100  # characters; a longer line is prose


def signs(line: str) -> bool:
    """True if a line is a name with a title or a degree, a radiologist's role, or initials."""
    is_sentence = line[-1] == "." and not line[-2:-1].isupper()  # but "M.D."
    if is_sentence or line[-1] == ":" or len(line) > _SIGNATURE_LINE:
        return False
    if line[0].islower():
        return len(line) < _SHORT_FORM and _INITIALS.match(line) is not None
    return bool(_SIGNATURE.match(line) or _INITIALS.match(line))
