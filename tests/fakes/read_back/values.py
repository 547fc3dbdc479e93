"""Losses of values in both languages: spellings, and values that neither may publish (D6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from fakes.read_back.telling import Told, each_report, each_snapshot, each_text, formatted

from mappings.model import Measurement, Report, Snapshot, Study
from mappings.sections import cut
from mappings.study.orders import orders
from mappings.values.dates import parse_date, parse_instant

Apply = Callable[[Study, Told], Study]
# kind -> unit -> minimum and maximum of a person (D24: 20-260 cm, 0.2-650 kg)
_PUBLISHED: Final = {
    "height": {"cm": (20.0, 260.0), "in": (20.0 / 2.54, 260.0 / 2.54)},
    "weight": {"kg": (0.2, 650.0), "lbs": (0.2 / 0.45359237, 650.0 / 0.45359237)},
}
_ANY_EXAMINATION: Final = "Diagnostic imaging study"


def not_said(*names: str) -> Apply:
    """Lose fields of the study."""
    return lambda study, told: replace(study, **dict.fromkeys(names))


def not_said_of_reports(*names: str) -> Apply:
    """Lose fields of every report."""
    return lambda study, told: each_report(study, lambda report: replace(report, **dict.fromkeys(names)))


def not_said_of_users(*names: str) -> Apply:
    """Lose fields of every user."""

    def apply(study: Study, told: Told) -> Study:
        nothing = dict.fromkeys(names)
        return replace(study, users={key: replace(user, **nothing) for key, user in study.users.items()})

    return apply


def normal_forms(study: Study, told: Told) -> Study:
    """Change short texts to normal form, without outer white space."""
    technique = study.technologist_technique
    return replace(
        each_text(study, told.clean),
        technologist_notes=tuple(map(formatted, study.technologist_notes)),
        technologist_technique=None if technique is None else formatted(technique),
    )


def blanks(study: Study, told: Told) -> Study:
    """Lose blank texts; a customer without an id is lost."""
    made = each_text(study, lambda text: text or None)
    customer = made.express_customer
    return replace(
        made,
        express_customer=customer if customer and customer.express_customer_id else None,
        technologist_notes=tuple(filter(None, study.technologist_notes)),
        technologist_technique=study.technologist_technique or None,
    )


def with_text(report: Report, text: str | None) -> Report:
    """Replace the text of a report and cut it again."""
    return report if text == report.text else replace(report, text=text, sections=cut(text or ""))


def impossible_birth_date(study: Study, told: Told) -> Study:
    """Lose a date of birth that does not exist (D15); one in an older snapshot stays as text in FHIR."""

    def change(report: Report, snapshot: Snapshot) -> Snapshot:
        born = told.original(report).snapshot.date_of_birth
        is_own = told.language == "fhir" and born != told.subject(report).snapshot.date_of_birth
        return snapshot if is_own else replace(snapshot, date_of_birth=parse_date(born))

    made = each_snapshot(study, change)
    if study.metadata_snapshot is None:
        return made
    day = parse_date(told.study.metadata_snapshot.date_of_birth if told.study.metadata_snapshot else None)
    return replace(made, metadata_snapshot=replace(study.metadata_snapshot, date_of_birth=day))


def no_whole_study_date(study: Study, told: Told) -> Study:
    """Lose a study date that is not a whole day: the time of signing replaces it, in HL7 v2 its day (D15)."""
    return each_snapshot(
        study,
        lambda report, own: replace(own, study_date=own.study_date if told.is_dated(report) else told.day(report)),
    )


def measured_in_unknown_units(study: Study, told: Told) -> Study:
    """Lose height and weight in a unit that AutoScribe does not have."""
    return _measured(study, lambda kind, one: one.unit in _PUBLISHED[kind])


def measured_impossibly(study: Study, told: Told) -> Study:
    """Lose impossible height and weight (D24)."""

    def keeps(kind: str, one: Measurement) -> bool:
        least, most = _PUBLISHED[kind].get(one.unit, (float("-inf"), float("inf")))
        return least <= one.value <= most

    return _measured(study, keeps)


def _measured(study: Study, keeps: Callable[[str, Measurement], bool]) -> Study:
    def change(report: Report, own: Snapshot) -> Snapshot:
        height, weight = own.height, own.weight
        return replace(
            own,
            height=height if height and keeps("height", height) else None,
            weight=weight if weight and keeps("weight", weight) else None,
        )

    return each_snapshot(study, change)


def description_for_procedure(study: Study, told: Told) -> Study:
    """Replace a missing procedure by the study's description."""
    return each_snapshot(
        study, lambda report, own: own if own.procedure else replace(own, procedure=study.study_description)
    )


def any_examination(study: Study, told: Told) -> Study:
    """Lose a procedure with the name used for a missing one."""
    return each_snapshot(
        study, lambda report, own: replace(own, procedure=None) if own.procedure == _ANY_EXAMINATION else own
    )


def technique_among_notes(study: Study, told: Told) -> Study:
    """Move the technique to the front of the technologist's notes."""
    if study.technologist_technique is None:
        return study
    notes = (study.technologist_technique, *study.technologist_notes)
    return replace(study, technologist_technique=None, technologist_notes=notes)


def unnamed_metadata(study: Study, told: Told) -> Study:
    """Keep only the metadata keys that the site names for order numbers."""
    named = (*told.site.accession_keys, *told.site.placer_keys)
    return replace(study, metadata={key: value for key, value in study.metadata.items() if key in named})


def order_numbers(study: Study, told: Told) -> Study:
    """Put the numbers of all orders under the first key that the site names for them, each once."""
    known, _ = orders(told.study, told.site, told.facts)
    metadata = {}
    for keys, name in ((told.site.accession_keys, "accession_number"), (told.site.placer_keys, "placer_order_number")):
        numbers = dict.fromkeys(number for one in known if (number := told.clean(getattr(one, name))))
        if numbers:
            metadata[keys[0] if keys else ""] = (told.site.number_separator or ",").join(numbers)
    return replace(study, metadata=metadata)


def without_strangers(study: Study, told: Told) -> Study:
    """Lose users who created or signed no report in the output."""
    signers = {report.user_id for report in study.reports}
    return replace(study, users={key: user for key, user in study.users.items() if key in signers})


def moment(text: str | None) -> datetime | None:
    """Parse a moment, or None."""
    return parse_instant(text)


def written(when: datetime) -> str:
    """Write a moment in RFC 3339, UTC as `Z`."""
    text = when.isoformat()
    return f"{text[:-6]}Z" if text.endswith("+00:00") else text
