"""Working example values for the OpenAPI document: codes, and ids of resources that are in the index now.

https://spec.openapis.org/oas/v3.1.1.html#parameter-object (`example`). The examples hold no name, number, date or text
of a patient (D9): ids are opaque.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request

from gateway.fhir_api.audit.audited import trail_of
from gateway.fhir_api.facade import circumstances, facade
from gateway.fhir_api.http.permission import sight_of
from gateway.fhir_api.search.paging import BEGINNING, page
from gateway.fhir_api.search.result_parameters import includes_of, revincludes_of
from gateway.fhir_api.search.search_query import understand
from gateway.fhir_api.served import BY_TYPE, OF_REPORTS
from gateway.index.parameter import Parameter
from gateway.index.parameter_lookup import TYPES
from gateway.store.studies.search import current
from mappings.patient.identifiers import role_id, upstream_id

SINCE: Final = "ge2000-01-01"
RECEIVER: Final = "generic"
_FINAL: Final = (("status", "final"), ("_lastUpdated", SINCE), ("_sort", "_lastUpdated"), ("_count", "1"))
# Elements of a DiagnosticReport that refer to other resources worth showing
_REFERENCES: Final = ("subject", "basedOn", "performer", "result", "imagingStudy", "encounter")
_CODES: Final = {
    ("Observation", "category"): "imaging",
    ("DocumentReference", "category"): "clinical-note",
    "status": "final",
    "category": "LP29684-5",
    "code": "18748-4",
    "specialty": "207U00000X",
    "type": "18748-4",
    "modality": "CT",
    "gender": "female",
    "critical": "false",
    "active": "true",
    "addendum": "false",
}
# Parameter type -> a value valid for any parameter of that type
_OF_KIND: Final = {"token": "unknown", "string": "a", "date": SINCE, "uri": "urn:example:none", "reference": "none"}
_OF_RESULT: Final = {
    "_count": "10",
    "_sort": "-_lastUpdated",
    "_summary": "true",
    "_elements": "id",
    "_total": "accurate",
    "_format": "json",
    "_pretty": "true",
    "_contained": "false",
    "_explain": "true",
}


@dataclass(frozen=True, slots=True)
class Examples:
    """Example ids, one for each resource type that has one; `has_words`: reports are found by words."""

    ids: Mapping[str, str] = field(default_factory=dict)
    has_words: bool = False

    def parameter(self, row: Parameter) -> str:
        """Return an example value of a search parameter."""
        kind = row.resource_type
        if row.name == "_id":
            return self.ids.get(kind, "none")
        if row.name == "_profile":
            return next(iter(BY_TYPE[kind].profiles), _OF_KIND["uri"])
        if row.name == "identifier" and kind in {OF_REPORTS, "DocumentReference"}:
            return upstream_id(self.ids.get(OF_REPORTS, "")) or "none"
        target = next((one for one in row.targets if one in self.ids), None)
        if row.type == "reference" and target:
            return f"{target}/{self.ids[target]}"
        return _CODES.get((kind, row.name)) or _CODES.get(row.name) or _OF_KIND[row.type]

    def result(self, resource_type: str, name: str) -> str | None:
        """Return an example value of a result parameter; None if the type has none."""
        if name == "_include":
            return next(iter(includes_of(resource_type)), None)
        if name == "_revinclude":
            return next(iter(revincludes_of(resource_type)), None)
        return _OF_RESULT.get(name)


async def examples(request: Request) -> Examples:
    """Find a signed report and the ids around it; empty before there is one that the client may see.

    Empty also where there is an audit: the description is not noted in it, so it names no patient (D42).
    """
    serving = facade(request)
    none = Examples(has_words=serving.has_words)
    if trail_of(request.scope) is not None:
        return none
    sight = await sight_of(request)
    query = understand(OF_REPORTS, _FINAL, circumstances(request), strict=True, sight=sight)
    if not sight.allows(OF_REPORTS, "s"):
        return none
    result = await page(serving.engine, query, BEGINNING)
    if not result.versions:
        return none
    ids = _ids(result.versions[0].resource)
    limits = None if sight.access is None else {kind: sight.limits(kind, "r") for kind in ids if kind in TYPES}
    stored = await current(serving.engine, [f"{kind}/{one}" for kind, one in ids.items()], limits)
    shown = {kind: one for kind, one in ids.items() if kind == "Binary" or stored.get(f"{kind}/{one}")}
    return Examples(shown, serving.has_words)


def _ids(report: Mapping[str, Any]) -> dict[str, str]:
    """Collect the ids of a report, of what it refers to, and of resources whose id is derived from its own."""
    own = str(report["id"])
    ids = {OF_REPORTS: own, "DocumentReference": f"{own}-doc", "Provenance": f"{own}-prov"}
    for name in _REFERENCES:
        rows = report.get(name, [])
        for row in rows if isinstance(rows, list) else [rows]:
            kind, _, resource_id = row.get("reference", "").partition("/")
            ids.setdefault(kind, resource_id)
    if "Practitioner" in ids and "Organization" in ids:
        ids["PractitionerRole"] = role_id(ids["Practitioner"], ids["Organization"])
    for form in report.get("presentedForm", ()):
        if form.get("url", "").endswith("-text"):
            ids["Binary"] = form["url"].partition("/")[2]
    return {kind: one for kind, one in ids.items() if kind}
