"""Two third-party converters of HL7 v2 to FHIR, configured as a site would for our messages.

https://build.fhir.org/ig/HL7/v2-to-fhir/ (v2-to-FHIR IG); MSH-3 to MSH-6 and the assigning authorities are the site's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from conformance.corpus import AT, golden_site, sandbox_site
from conformance.outside import java, run
from v2fhir.config import Config
from v2fhir.convert import convert
from v2fhir.hl7.parser import parse

from mappings.codes import SID_EXTERNAL_UNASSIGNED, SID_FILLER_ORDER, SID_MRN_UNASSIGNED, SID_STUDY_PATIENT, US_NPI

Json = dict[str, Any]


# A namespace that the gateway makes where no setting names an authority
_MADE = re.compile("AGW(MR|PI)-([0-9A-F]{14})")
_UNASSIGNED = {"MR": SID_MRN_UNASSIGNED, "PI": SID_EXTERNAL_UNASSIGNED}


def authorities(text: str) -> dict[str, str]:
    """Namespace (HD.1) to system, of all facilities of both sites, of the gateway, and what it made in a text."""
    given = {
        "AUTOSCRIBE": SID_FILLER_ORDER,
        "AUTOSCRIBE_PATIENT": SID_STUDY_PATIENT,
        "NPI": US_NPI,
        **{made[0]: f"{_UNASSIGNED[made[1]]}:{made[2].lower()}" for made in _MADE.finditer(text)},
    }
    for site in (golden_site(), sandbox_site()):
        for facility in site.facilities.values():
            for authority in (facility.mrn, facility.external_patient_id):
                if authority:
                    given[authority.namespace] = authority.system
    return given


def bridge(messages: Sequence[str]) -> list[Json]:
    """hl7v2-fhir-bridge: Bundles. No time zone is assumed; a bare number is the receiver's own (EHR)."""
    known = authorities("".join(messages)) | {"EHR": "urn:oid:2.999.1"}
    config = Config(default_timezone="", assigning_authorities=known, default_assigning_authority="EHR")
    return [convert(parse(message), config, now=AT).bundle for message in messages]


def linuxforhealth(messages: Sequence[str]) -> list[Json]:
    """LinuxForHealth hl7v2-fhir-converter: Bundles. It knows no site: `urn:id:` and the namespace is a system."""
    return [_known(bundle) for bundle in run(java("linuxforhealth", "ConvertMessages.java"), messages)]


def _known(value: Any) -> Any:
    """The value with the namespaces in its systems looked up, as the site of the receiver would."""
    if isinstance(value, list):
        return [_known(one) for one in value]
    if isinstance(value, dict):
        return {key: _system(one) if key == "system" else _known(one) for key, one in value.items()}
    return value


def _system(system: str) -> str:
    return authorities(system).get(system.removeprefix("urn:id:"), system)


CONVERTERS: dict[str, Callable[[Sequence[str]], list[Json]]] = {"bridge": bridge, "LinuxForHealth": linuxforhealth}
