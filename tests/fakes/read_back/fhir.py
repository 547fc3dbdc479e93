"""Read a Study back from FHIR: AutoScribe's data, as far as a reader of the resources can tell.

Written from https://hl7.org/fhir/R4/ and the names of our own systems and extensions, independent of the mapping it
checks. Of the site it knows only public settings. A value that the resources do not tell is None.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fakes.read_back.numbers import patient_number

from mappings.model import ExpressCustomer, Measurement, Report, Snapshot, Study, User
from mappings.patient.identifiers import upstream_id
from mappings.profile import Site
from mappings.sections import cut

Json = Mapping[str, Any]
NOTHING: Final = Study("", ())
_OURS: Final = "urn:autoscribe-gateway:"
_NPIS: Final = ("http://hl7.org/fhir/sid/us-npi", f"{_OURS}npi:unverified")
# http://hl7.org/fhir/R4/valueset-diagnostic-report-status.html: statuses of an unsigned report
_UNSIGNED: Final = ("registered", "preliminary", "cancelled")
_CALLED_OFF: Final = ("cancelled", "entered-in-error")
# LOINC 18748-4: name of an examination without a name
_ANY_EXAMINATION: Final = "Diagnostic imaging study"
# UCUM -> AutoScribe
_UNITS: Final = {"cm": "cm", "[in_i]": "in", "kg": "kg", "[lb_av]": "lbs"}


@dataclass(frozen=True, slots=True)
class Chart:
    """Resources by their addresses, and their site."""

    resources: Mapping[str, Json]
    site: Site

    def of(self, kind: str) -> list[Json]:
        """All resources of a type."""
        return [one for one in self.resources.values() if one["resourceType"] == kind]

    def at(self, address: str) -> Json:
        """Resource at an address, empty if there is none."""
        return self.resources.get(address, {})

    @property
    def imaging(self) -> Json:
        """The only ImagingStudy."""
        return self.of("ImagingStudy")[0]


def study_of(resources: Iterable[Json], site: Site) -> Study:
    """Read the study from the resources."""
    chart = Chart({f"{one['resourceType']}/{one['id']}": one for one in resources}, site)
    if not chart.resources:
        return NOTHING
    imaging = chart.imaging
    study_id = _identifier(imaging, f"{_OURS}study") or ""
    reports = tuple(_report(one, chart, study_id) for one in chart.of("DiagnosticReport"))
    orders = chart.of("ServiceRequest")
    order = orders[0] if orders else {}
    notes = imaging.get("note", ())
    return Study(
        study_id=study_id,
        reports=reports,
        study_instance_uid=_uid(imaging),
        study_description=imaging.get("description"),
        severity=_extension(imaging, "severity"),
        study_report_status=_extension(imaging, "studyReportStatus"),
        is_cancelled=_is_cancelled(chart),
        metadata_snapshot=None if reports else _snapshot_alone(chart),
        express_customer=_express_customer(imaging),
        external_patient_id=_number(chart.of("Patient")[0], "PI", chart.site),
        modality="\\".join(one.get("code", one.get("display")) for one in imaging.get("modality", ())) or None,
        clinical_history=_first_text(order, "note"),
        clinical_indication=_first_text(order, "reasonCode"),
        technologist_technique=next((one["text"] for one in notes if _is_technique(one)), None),
        technologist_notes=tuple(one["text"] for one in notes if not _is_technique(one)),
        metadata=_metadata(orders, site),
        users={user.user_id: user for user in map(_user, chart.of("Practitioner"))},
    )


def _report(resource: Json, chart: Chart, study_id: str) -> Report:
    forms = {form["url"]: form for form in resource.get("presentedForm", ())}
    place = f"Binary/{resource['id']}"
    data = forms.get(f"{place}-text", {}).get("data")
    text = None if data is None else base64.b64decode(data).decode()
    made = chart.at(f"Provenance/{resource['id']}-prov")
    signed = forms.get(f"{place}-pdf", {}).get("creation")
    return Report(
        report_id=_identifier(resource, f"{_OURS}report") or "",
        study_id=study_id,
        user_id=_user_id(resource["resultsInterpreter"][0]),
        status=_status(resource),
        is_addendum=_extension(resource, "isAddendum"),
        is_critical=_extension(resource, "isCritical"),
        created_at=_extension(resource, "createdAt"),
        signed_at=_extension(resource, "signedAt") or signed,
        updated_at=_extension(resource, "updatedAt") or made.get("recorded"),
        snapshot=_snapshot(resource, chart),
        text=text,
        sections=cut(text or ""),
    )


def _status(resource: Json) -> str:
    if resource["status"] == "unknown":
        return _extension(resource, "status") or ""
    return "in_progress" if resource["status"] in _UNSIGNED else "completed"


def _snapshot(resource: Json, chart: Chart) -> Snapshot:
    """Read the report's snapshot; values not on the report come from the Patient and the ImagingStudy."""
    patient = chart.at(resource["subject"]["reference"])
    study_date, study_time = _study_date_and_time(resource, chart)
    procedure = resource["code"]["text"]
    return Snapshot(
        age=_extension(resource, "age"),
        date_of_birth=_extension(resource, "dateOfBirth") or patient.get("birthDate"),
        facility_name=_facility_name(resource.get("performer", ())),
        height=_measurement(chart.at(f"Observation/{resource['id']}-height")),
        mrn=_number(patient, "MR", chart.site),
        patient_name=resource["subject"].get("display"),
        procedure=None if procedure == _ANY_EXAMINATION else procedure,
        referring_physician_name=_extension(resource, "referringPhysicianName") or _referrer(chart),
        sex=_extension(resource, "sex") or _sex(patient),
        study_date=study_date,
        study_time=study_time,
        weight=_measurement(chart.at(f"Observation/{resource['id']}-weight")),
    )


def _snapshot_alone(chart: Chart) -> Snapshot | None:
    """Read patient and examination of a study without a report."""
    patient = chart.of("Patient")[0]
    made = Snapshot(
        date_of_birth=patient.get("birthDate"),
        facility_name=patient.get("managingOrganization", {}).get("display"),
        mrn=_number(patient, "MR", chart.site),
        patient_name=patient["name"][0].get("text"),
        procedure=_first_text(chart.imaging, "procedureCode"),
        referring_physician_name=_referrer(chart),
        sex=_sex(patient),
    )
    return made if made != Snapshot() else None


def _study_date_and_time(resource: Json, chart: Chart) -> tuple[str | None, str | None]:
    """Read study date and time; a document has no period if the time of signing replaces the examination's."""
    day, _, rest = resource.get("effectiveDateTime", "").partition("T")
    document = chart.at(f"DocumentReference/{resource['id']}-doc")
    if not day or (document and "period" not in document["context"]):
        return None, _extension(resource, "studyTime")
    if not rest:
        return day, _extension(resource, "studyTime")
    clock = rest.removesuffix("Z").partition("+")[0].partition("-")[0]
    return day, clock.removesuffix(":00") if len(clock) == len("HH:MM:SS") else clock


def _measurement(observation: Json) -> Measurement | None:
    quantity = observation.get("valueQuantity")
    return Measurement(_UNITS[quantity["code"]], quantity["value"]) if quantity else None


def _facility_name(performers: Iterable[Json]) -> str | None:
    return next((one["display"] for one in performers if one.get("reference", "").startswith("Organization/")), None)


def _referrer(chart: Chart) -> str | None:
    return chart.imaging.get("referrer", {}).get("display")


def _sex(patient: Json) -> str | None:
    if patient["gender"] == "unknown":
        return _extension(patient.get("_gender", {}), "sex")
    return str(patient["gender"])


def _user_id(interpreter: Json) -> str:
    if "reference" in interpreter:
        return upstream_id(interpreter["reference"].removeprefix("Practitioner/")) or ""
    return str(interpreter["identifier"]["value"])


def _user(resource: Json) -> User:
    name = resource["name"][0]
    first, middle, *_ = (*name.get("given", ()), None, None)
    suffix1, suffix2, *_ = (*name.get("suffix", ()), None, None)
    telecom = {one["system"]: one["value"] for one in resource.get("telecom", ())}
    return User(
        user_id=_identifier(resource, f"{_OURS}user") or "",
        email=telecom.get("email"),
        first_name=first,
        middle_name=middle,
        last_name=name["family"],
        suffix1=suffix1,
        suffix2=suffix2,
        npi_number=next((found for system in _NPIS if (found := _identifier(resource, system))), None),
        phone_number=telecom.get("phone"),
        clinic_role=_extension(resource, "clinicRole"),
    )


def _is_cancelled(chart: Chart) -> bool | None:
    states = [chart.imaging["status"], *(one["status"] for one in chart.of("DiagnosticReport"))]
    return True if any(one in _CALLED_OFF for one in states) else None


def _is_technique(note: Json) -> bool:
    return _extension(note, "technologistTechnique") is True


def _express_customer(imaging: Json) -> ExpressCustomer | None:
    found = _extension(imaging, "expressCustomer")
    return ExpressCustomer(found["value"], found.get("assigner", {}).get("display", "")) if found else None


def _uid(imaging: Json) -> str | None:
    uid = _identifier(imaging, "urn:dicom:uid")
    return uid.removeprefix("urn:oid:") if uid else _identifier(imaging, f"{_OURS}study-instance-uid:not-an-oid")


def _metadata(orders: Iterable[Json], site: Site) -> dict[str, str]:
    """Numbers of all orders under the first key that the site names for them, each once."""
    found = {}
    for keys, type_code in ((site.accession_keys, "ACSN"), (site.placer_keys, "PLAC")):
        numbers = dict.fromkeys(number for order in orders if (number := _typed(order, type_code)))
        if numbers:
            found[keys[0] if keys else ""] = (site.number_separator or ",").join(numbers)
    return found


def _extension(element: Json, name: str) -> Any:
    """Value of one of our extensions."""
    url = f"/StructureDefinition/{name}"
    found = next((one for one in element.get("extension", ()) if one["url"].endswith(url)), {})
    return next((value for key, value in found.items() if key.startswith("value")), None)


def _identifier(resource: Json, system: str) -> str | None:
    return next((one["value"] for one in resource.get("identifier", ()) if one["system"] == system), None)


def _typed(resource: Json, type_code: str) -> str | None:
    """Identifier with a type of HL7 table 0203."""
    for one in resource.get("identifier", ()):
        if any(code["code"] == type_code for code in one.get("type", {}).get("coding", ())):
            return str(one["value"])
    return None


def _number(patient: Json, kind: str, site: Site) -> str | None:
    """MRN or external id of a Patient."""
    told = [
        (code["code"], one["system"], str(one["value"]))
        for one in patient.get("identifier", ())
        for code in one.get("type", {}).get("coding", ())
    ]
    return patient_number(kind, told, site)


def _first_text(resource: Json, element: str) -> str | None:
    return next((one["text"] for one in resource.get(element, ())), None)
