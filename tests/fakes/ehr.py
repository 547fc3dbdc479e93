"""EHR of a receiver: charts that a bridge of others fills with our messages, behind a FHIR API as strict as one.

https://docs.oracle.com/en/industries/health/millennium-platform-apis/mfrap/op-diagnosticreport-get.html and
op-patient-get.html: what Oracle Health offers as searches. Any other parameter, prefix or method is refused. The client
signs in as https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html says, checked by a JOSE library.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.jwk import KeySet
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from v2fhir.config import Config
from v2fhir.convert import convert
from v2fhir.hl7.parser import parse

from gateway.routing import Ehr
from gateway.runtime import clock
from gateway.runtime.client_key import made_client_key
from gateway.runtime.serving import listening_socket, running
from mappings.codes import SID_FILLER_ORDER
from mappings.profile import Site

Json = dict[str, Any]
CLIENT = "gateway-client"
_OFFERED = {
    "Patient": {"identifier", "family", "given", "birthdate", "_count"},
    "DiagnosticReport": {"patient", "date", "_count"},
}
_DATE = re.compile(r"(ge|gt|le|lt)\d{4}-\d\d-\d\d")


@dataclass
class Charts:
    """Charts in memory: a bridge's Bundles are filed as its conditional requests say."""

    patients: dict[str, Json] = field(default_factory=dict)
    reports: dict[str, Json] = field(default_factory=dict)

    async def file(self, bundle: Json) -> None:
        """File a transaction: the report replaces the one with its number, unless it is posted."""
        [patient], [entry] = ([one for one in bundle["entry"] if _is(one, kind)] for kind in _OFFERED)
        patient_id, report = self.patient(patient["resource"]), entry["resource"]
        number = _key(report["identifier"][0])
        same = (key for key, one in self.reports.items() if number in map(_key, one["identifier"]))
        report_id = next(same, "") if entry["request"]["method"] == "PUT" else ""
        report_id = report_id or f"r{len(self.reports)}"
        self.reports[report_id] = {**report, "id": report_id, "subject": {"reference": f"Patient/{patient_id}"}}

    def patient(self, patient: Json) -> str:
        """Return the id of the patient with the first number of this one; add the patient if there is none."""
        number = _key(patient["identifier"][0])
        known = (key for key, one in self.patients.items() if number in map(_key, one["identifier"]))
        patient_id = next(known, f"p{len(self.patients)}")
        self.patients.setdefault(patient_id, {**patient, "id": patient_id})
        return patient_id

    async def search(self, kind: str, asked: Mapping[str, list[str]]) -> list[Json]:
        """Return the resources that match."""
        if kind == "DiagnosticReport":
            subject, bounds = f"Patient/{asked['patient'][0]}", asked.get("date", [])
            own = [one for one in self.reports.values() if one["subject"]["reference"] == subject]
            return [
                one for one in own if all(_within(one.get("effectiveDateTime", "")[:10], bound) for bound in bounds)
            ]
        return [one for one in self.patients.values() if all(_matches(one, *each) for each in asked.items())]


def _is(entry: Json, kind: str) -> bool:
    return entry["resource"]["resourceType"] == kind


def _key(identifier: Json) -> tuple[str, str]:
    return identifier.get("system", ""), identifier["value"]


def _within(day: str, bound: str) -> bool:
    there, limit = date.fromisoformat(day), date.fromisoformat(bound[2:])
    return {"ge": there >= limit, "gt": there > limit, "le": there <= limit, "lt": there < limit}[bound[:2]]


def _matches(patient: Json, name: str, values: list[str]) -> bool:
    official = patient["name"][0]
    if name == "identifier":
        system, bar, value = values[0].rpartition("|")
        return any(value == number and (not bar or system == own) for own, number in map(_key, patient["identifier"]))
    if name == "birthdate":
        return patient.get("birthDate") == values[0]
    said = [official.get("family", "")] if name == "family" else official.get("given", [])
    return name == "_count" or any(one.casefold().startswith(values[0].casefold()) for one in said)


@dataclass
class StandIn:
    """FHIR API with sign-in in front of charts; `spoils` makes an answer of a fault for a search, if it returns one."""

    search: Callable[[str, Mapping[str, list[str]]], Any]
    keys: Json
    base: str = ""
    requests: Counter[str] = field(default_factory=Counter)
    searches: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    spoils: Callable[[str], Response | None] = lambda _: None
    life: int = 300
    _tokens: set[str] = field(default_factory=set)
    _used: set[str] = field(default_factory=set)

    async def token(self, request: Request) -> Response:
        """Give a token for an assertion of the client, once for each."""
        self.requests["token"] += 1
        if (spoiled := self.spoils("token")) is not None:
            return spoiled
        form = {
            key: values[0] for key, values in parse_qs((await request.body()).decode(), strict_parsing=True).items()
        }
        assert form["grant_type"] == "client_credentials"
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        assert form["scope"].split() == ["system/Patient.rs", "system/DiagnosticReport.rs"]
        known = KeySet.import_key_set(self.keys)
        claims = jwt.decode(form["client_assertion"], known, algorithms=["RS384", "ES384"]).claims
        assert (claims["iss"], claims["sub"], claims["aud"]) == (CLIENT, CLIENT, f"{self.base}/token")
        assert 0 < claims["exp"] - clock.now().timestamp() <= 300
        assert claims["jti"] not in self._used
        self._used.add(claims["jti"])
        self._tokens.add(token := f"t{len(self._used)}")
        return JSONResponse({"access_token": token, "token_type": "bearer", "expires_in": self.life})

    async def answer(self, request: Request) -> Response:
        """Answer a search that such an EHR offers; refuse any other."""
        kind = request.path_params["kind"]
        self.requests[kind] += 1
        self.searches.append(f"{kind}?{request.url.query}")
        if (spoiled := self.spoils(kind)) is not None:
            return spoiled
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self._tokens:
            return Response(status_code=401)
        asked = parse_qs(request.url.query, keep_blank_values=True, strict_parsing=True)
        if fault := _fault(kind, asked):
            self.refused.append(f"{fault}: {request.url.query}")
            return _outcome(400)
        found = await self.search(kind, asked)
        entries = [{"resource": one, "search": {"mode": "match"}} for one in found]
        return JSONResponse({"resourceType": "Bundle", "type": "searchset", "total": len(found), "entry": entries})

    def revoke(self) -> None:
        """Forget every token."""
        self._tokens.clear()


def _fault(kind: str, asked: Mapping[str, list[str]]) -> str:
    """Say what an EHR would refuse in a search; empty if nothing."""
    if strange := asked.keys() - _OFFERED[kind]:
        return f"not offered {sorted(strange)}"
    dates = asked.get("date", [])
    if any(len(values) > 1 for name, values in asked.items() if name != "date") or len(dates) > 2:
        return "repeated"
    if kind == "DiagnosticReport" and "patient" not in asked:
        return "no patient"
    if not all(map(_DATE.fullmatch, dates)):
        return "date without prefix"
    return "" if kind != "Patient" or asked.keys() & {"identifier", "family", "birthdate"} else "nothing asked"


def _outcome(status: int) -> Response:
    issue = [{"severity": "error", "code": "invalid"}]
    return JSONResponse({"resourceType": "OperationOutcome", "issue": issue}, status_code=status)


@asynccontextmanager
async def ehr(folder: Path, search: Any, **more: Any) -> AsyncIterator[tuple[StandIn, Ehr]]:
    """Run an EHR over charts; yield it, and the settings by which the gateway reads it."""
    key = made_client_key(folder / "ehr.pem", more.pop("algorithm", "ES384"))
    made = StandIn(search, key.public_keys)
    routes = [Route("/token", made.token, methods=["POST"]), Route("/fhir/{kind}", made.answer, methods=["GET"])]
    with listening_socket("127.0.0.1", 0) as listener:
        async with running(Starlette(routes=routes), listener):
            made.base = f"http://127.0.0.1:{listener.getsockname()[1]}"
            usual = {"requests_per_hour": 100_000, "sampling": 1.0}
            yield made, Ehr(f"{made.base}/fhir", f"{made.base}/token", CLIENT, folder / "ehr.pem", **{**usual, **more})


def bridged(body: bytes, site: Site) -> Json:
    """Return the Bundle that hl7v2-fhir-bridge makes of a message; an EHR marks what OBX-11 withdraws."""
    given = [
        one for facility in site.facilities.values() for one in (facility.mrn, facility.external_patient_id) if one
    ]
    known = {"AUTOSCRIBE": SID_FILLER_ORDER} | {one.namespace: one.system for one in given}
    text = body.decode()
    config = Config(default_timezone="", assigning_authorities=known, default_assigning_authority="EHR")
    bundle: Json = convert(parse(text), config).bundle
    observed = [line.split("|")[11] for line in text.split("\r") if line.startswith("OBX|")]
    if observed and set(observed) == {"W"}:
        report_of(bundle)["status"] = "entered-in-error"
    return bundle


def report_of(bundle: Json) -> Json:
    """The report of a Bundle."""
    report: Json = next(one["resource"] for one in bundle["entry"] if _is(one, "DiagnosticReport"))
    return report


def retold(report: Json, change: Callable[[str], str]) -> None:
    """Change the text of a report, everywhere."""
    form = report["presentedForm"][0]
    form["data"] = b64encode(change(b64decode(form["data"]).decode()).encode()).decode()
    report["conclusion"] = change(report.get("conclusion", ""))
