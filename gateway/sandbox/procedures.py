"""All procedures of the sandbox: CT, MR, US, XR, MG, NM and PET.

Carries out no clause of a standard: AutoScribe's procedure is free text without a code.
"""

from __future__ import annotations

from typing import Final

from gateway.sandbox.cases import Procedure, ReportCase
from gateway.sandbox.cases_ct import CT
from gateway.sandbox.cases_mg_nm_pet import MAMMOGRAPHY, NUCLEAR
from gateway.sandbox.cases_mr import MR
from gateway.sandbox.cases_us_xr import RADIOGRAPHY, ULTRASOUND

__all__ = ["PROCEDURES", "Procedure", "ReportCase"]

PROCEDURES: Final[tuple[Procedure, ...]] = (*CT, *MR, *ULTRASOUND, *RADIOGRAPHY, *MAMMOGRAPHY, *NUCLEAR)
