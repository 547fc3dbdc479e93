"""Map the sections of a report's text, the critical flag, height and weight to FHIR Observations.

https://hl7.org/fhir/R4/observation.html, US Core Observation Clinical Result, Body Height and Body Weight Profiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from mappings.codes import (
    DATA_ABSENT_REASON,
    DIAGNOSTIC_IMAGING_STUDY,
    LOINC,
    OBSERVATION_CATEGORY,
    OBSERVATION_INTERPRETATION,
    RADIOLOGY_OBSERVATION,
    SECTION_LOINC,
    UCUM,
    US_CORE,
)
from mappings.fhir.datatypes import CRITICAL, STRING_LIMIT, Json, coding, line, narrative, without_empty
from mappings.fhir.report_parts import (
    NOT_SIGNED,
    ReportParts,
    addenda_said,
    effective_date_time,
    in_order,
    newest_version,
)
from mappings.fhir.scene import Scene
from mappings.sections import heading_words
from mappings.study.conclusion import ADDED, CONCLUDING, FLAG_OF, Role, concluding_text, flagged
from mappings.values.units import vital_sign

# Observation.status of a vital sign <- DiagnosticReport.status (http://hl7.org/fhir/R4/valueset-observation-status.html)
_VITAL_STATUS: Final = {
    "registered": "preliminary",
    "preliminary": "preliminary",
    "cancelled": "cancelled",
    "entered-in-error": "entered-in-error",
    "unknown": "unknown",
}
_WHOLE: Final = "whole report"
_CONCLUDING: Final = CONCLUDING | {_WHOLE}
_SECTION_CODINGS: Final = {
    label: [coding(LOINC, *code), *([coding(LOINC, *RADIOLOGY_OBSERVATION)] if label == "findings" else [])]
    for label, code in SECTION_LOINC.items()
}
_CLINICAL_RESULT: Final[Json] = {"profile": [f"{US_CORE}observation-clinical-result"]}
_IMAGING: Final[list[Json]] = [{"coding": [coding(OBSERVATION_CATEGORY, "imaging", "Imaging")]}]
_VITAL_META: Final[dict[str, Json]] = {kind: {"profile": [f"{US_CORE}body-{kind}"]} for kind in ("height", "weight")}
_VITAL_SIGNS: Final[list[Json]] = [{"coding": [coding(OBSERVATION_CATEGORY, "vital-signs", "Vital Signs")]}]
_CRITICAL: Final[list[Json]] = [{"coding": [coding(OBSERVATION_INTERPRETATION, "AA", "Critical abnormal")]}]


# Roles of passages that a newer one of the same text may take back, and of those that stand before a passage
_SUPERSEDED: Final[frozenset[Role]] = frozenset({"superseded", "older", "unordered"})
_NEWER: Final[dict[Role, frozenset[Role]]] = {
    "addendum": frozenset({"addendum", "doubtful"}),
    "older": frozenset({"addendum"}),
    "unordered": frozenset({"unordered"}),
    "superseded": ADDED | {"doubtful", "impression"},
}


def observation_code(label: str, heading: str) -> Json:
    """Observation.code <- a section's heading: the LOINC code of its kind; findings get both codes in use (D23).

    https://hl7.org/fhir/R4/observation-definitions.html#Observation.code
    """
    if label == _WHOLE:
        return {"coding": [coding(LOINC, *DIAGNOSTIC_IMAGING_STUDY)], "text": DIAGNOSTIC_IMAGING_STUDY[1]}
    text = heading_words(line(heading) or "") or label.replace("_", " ")
    codings = _SECTION_CODINGS.get(label)
    return {"coding": codings, "text": text} if codings else {"text": text}


# Reports have few headings: all share the same objects
_code_of: Final = lru_cache(maxsize=1024)(observation_code)


def observation_value(scene: Scene, parts: ReportParts, text: str) -> Json:
    """Observation.valueString <- N of a section of reportPlainText; if absent or too long for a string, the reason.

    https://hl7.org/fhir/R4/observation-definitions.html#Observation.value_x_
    """
    if not text:
        return {"dataAbsentReason": {"coding": [coding(DATA_ABSENT_REASON, "unknown")]}}
    if len(text) <= STRING_LIMIT:
        return {"valueString": text}
    place = f"{parts.report.pointer}/reportPlainText"
    scene.warn("text-too-long", place, "a section beyond 1 MB: the whole text is in presentedForm")
    return {"dataAbsentReason": {"coding": [coding(DATA_ABSENT_REASON, "unsupported")]}}


def observation_interpretation(parts: ReportParts) -> list[Json]:
    """Observation.interpretation <- isCritical: `AA` on passages with the flag; false and null assert nothing (D22).

    https://hl7.org/fhir/R4/observation-definitions.html#Observation.interpretation
    A draft is never critical (D16), nor is a withdrawn report (D21).
    """
    return _CRITICAL if parts.is_critical else []


def observation_status(parts: ReportParts, *, is_superseded: bool) -> str:
    """Observation.status <- Report.status: `amended` behind a later signed addendum, or a newer impression (D36).

    https://hl7.org/fhir/R4/observation-definitions.html#Observation.status
    """
    return "amended" if is_superseded and parts.status.observation == "final" else parts.status.observation


def observation_issued(parts: ReportParts, addenda: Sequence[ReportParts]) -> str | None:
    """Observation.issued <- signedAt, or a later change of the text: the newest of the report and the `addenda`.

    https://hl7.org/fhir/R4/observation-definitions.html#Observation.issued
    """
    return newest_version((parts, *addenda))


def section_observations(scene: Scene, parts: ReportParts, addenda: Sequence[ReportParts] = ()) -> list[Json]:
    """DiagnosticReport.result: an Observation for each section with a heading; without any, one for the whole text.

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.result
    Text under no heading is in presentedForm only. A text that is not published has no Observation (D16). A critical
    report without a text has an Observation without a value, so that its flag is seen. An impression begins with the
    part of the signed `addenda`, newest first, and with the passages of its own text that correct it or supersede it;
    any other section begins with the newer addenda. None stands alone after a later text took it back (D36).
    """
    interpretation = observation_interpretation(parts)
    critical = flagged(parts.passages) if interpretation else frozenset()
    mark = f", {NOT_SIGNED}" if parts.is_draft_shown else ""
    alike: Json = {
        "resourceType": "Observation",
        "id": "",
        "meta": _CLINICAL_RESULT,
        "text": None,
        "status": observation_status(parts, is_superseded=False),
        "category": _IMAGING,
        "code": None,
        "subject": {"reference": parts.subject_reference["reference"]},
        **(effective_date_time(scene, parts) if parts.effective else {}),
        **without_empty({"issued": observation_issued(parts, addenda)}),
        "performer": [{key: value for key, value in parts.practitioner.items() if key != "display"}],
    }
    made = []
    for place, label, heading, content in _observed_sections(scene, parts):
        is_flagged = bool(interpretation) and (place in critical or label == _WHOLE)
        text = _amended(parts, addenda, (place, label, content), is_flagged=is_flagged)
        code = _code_of(label, heading)
        observation = alike.copy()
        observation["id"] = f"{parts.resource_id}-s{place}"
        observation["text"] = narrative(code["text"] + mark, text=text, alert=CRITICAL if is_flagged else "")
        if _role(parts, place) in _SUPERSEDED:
            observation["status"] = observation_status(parts, is_superseded=True)
        observation["code"] = code
        observation.update(observation_value(scene, parts, text))
        if is_flagged:
            observation["interpretation"] = interpretation
        made.append(observation)
    return made


def vital_observations(scene: Scene, parts: ReportParts) -> list[Json]:
    """Observation.valueQuantity <- snapshotMetadata.height, weight: on the study date, not part of `result` (D24).

    https://hl7.org/fhir/R4/observation-vitalsigns.html
    Not published: an impossible value, one without a study date, an addendum's repetition of its original's value.
    """
    made = []
    for kind in _VITAL_META:
        measurement = getattr(parts.report.snapshot, kind)
        if measurement is None or _is_repeated(parts, kind):
            continue
        place = f"{parts.report.pointer}/snapshotMetadata/{kind}"
        sign, doubts = vital_sign(kind, measurement, place)
        scene.issues.extend(doubts)
        if sign is None:
            continue
        if parts.effective is None or parts.is_effective_derived:
            scene.warn("measurement-undated", place, "not published: no study date says when it was measured")
            continue
        made.append(
            {
                "resourceType": "Observation",
                "id": f"{parts.resource_id}-{kind}",
                "meta": _VITAL_META[kind],
                "text": narrative(
                    sign.display,
                    [("Value", f"{sign.value} {sign.unit}"), ("Date", parts.effective[: len("YYYY-MM-DD")])],
                ),
                "status": _VITAL_STATUS.get(parts.status.diagnostic_report, "final"),
                "category": _VITAL_SIGNS,
                "code": {"coding": [coding(LOINC, sign.code, sign.display)], "text": sign.display},
                "subject": {"reference": parts.subject_reference["reference"]},
                "effectiveDateTime": parts.effective,
                "valueQuantity": {"value": sign.value, "unit": sign.unit, "system": UCUM, "code": sign.ucum},
            }
        )
    return made


def _observed_sections(scene: Scene, parts: ReportParts) -> list[tuple[int, str, str, str]]:
    """Sections that become Observations: index, label, heading and N(text); withdrawal does not change them."""
    if not parts.text.strip():
        if not (parts.report.is_critical and parts.report.is_completed):
            return []
        place = f"{parts.report.pointer}/isCritical"
        scene.warn(
            "critical-without-text", place, "an Observation without a value stands for the report: there is no text"
        )
        return [(0, _WHOLE, "", "")]
    sections = [
        (place, part.section.label, part.section.heading, content)
        for place, part in enumerate(parts.passages)
        if part.section.label and (content := part.content)
    ]
    if not sections:
        place = f"{parts.report.pointer}/reportPlainText"
        scene.inform("sections-not-found", place, "one Observation holds the whole text")
        return [(0, _WHOLE, "", parts.text)]
    return sections


def _role(parts: ReportParts, place: int) -> Role:
    """Role of a section in the conclusion."""
    return parts.passages[place].role if place < len(parts.passages) else ""


def _amended(
    parts: ReportParts, addenda: Sequence[ReportParts], section: tuple[int, str, str], *, is_flagged: bool
) -> str:
    """Text of a section's Observation: the newer text that supersedes it, if any, then the section itself."""
    place, label, content = section
    is_concluding = label in _CONCLUDING
    has_copy = any(part.role == "copy" for part in parts.passages)
    role = _role(parts, place)
    is_copied = role in {"copy", *_SUPERSEDED} or (label == "findings" and has_copy)
    newer = _NEWER.get(role, ADDED | {"doubtful"})
    added = [one for number, one in enumerate(parts.passages) if number != place and one.role in newer]
    own = concluding_text(added) if is_concluding or is_copied else ""
    shown = in_order(parts, addenda)
    number = shown.index(parts)
    first, last = shown[:number], shown[number + 1 :] if is_concluding else []
    if not (content and (first or last or own)):
        return content
    texts = [own, content.strip() if label == _WHOLE else parts.passages[place].text]
    if first or last:
        texts = [f"{parts.header}\n" + "\n\n".join(filter(None, texts))]
    text = "\n\n".join(filter(None, (addenda_said(first), *texts, addenda_said(last))))
    return text.replace("\n", f"\n{FLAG_OF} {parts.header}\n", 1) if is_flagged and first else text


def _is_repeated(parts: ReportParts, kind: str) -> bool:
    """True for an addendum that repeats its original's value for the same patient and day."""
    own = parts.report.snapshot
    return parts.report.is_addendum and any(
        (getattr(other.snapshot, kind), other.snapshot.study_date) == (getattr(own, kind), own.study_date)
        for other in parts.subject.reports
        if not other.is_addendum
    )
