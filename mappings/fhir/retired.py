"""Make the last version of a resource that no longer applies: a status that says so, with the content kept.

https://hl7.org/fhir/R4/lifecycle.html, US Core CONF-0187 to CONF-0192: `entered-in-error`, never a delete.
Proved by tests/contract/test_pipeline.py.
"""

from __future__ import annotations

from typing import Final

from mappings.fhir.datatypes import Json
from mappings.fhir.narrative import narrative
from mappings.fhir.resource_types import ENDS

_ERROR: Final = "entered-in-error"
_SAID: Final = "AutoScribe no longer says this"


def retired(resource: Json) -> Json | None:
    """Return the final version; None for one that stays as it is: a Patient, an Organization, a Provenance, a study."""
    ends = ENDS.get(resource["resourceType"])
    if ends is None:
        return None
    status = ends.get(resource["status"], _ERROR)
    return {**resource, "text": narrative(_SAID, [("Status", status)]), "status": status}
