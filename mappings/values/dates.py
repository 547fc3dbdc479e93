"""Parse and format dates and times, without inventing a time: if no time zone is known, only the date is given.

https://hl7.org/fhir/R4/datatypes.html#dateTime, HL7 v2.5.1 §2.A.22 (DTM), decision D15.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from mappings.issues import MappingIssue
from mappings.model import Report, Snapshot
from mappings.profile import Site

_PARTIAL_DATE: Final = re.compile(r"[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?")
# Hours and offsets as FHIR instant allows them: no 24:00, no offset beyond 14:00
_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"(Z|[+-](0[0-9]|1[0-3]):?[0-5][0-9]|[+-]14:?00)"
)
_CLOCK_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?")


# Age in one unit, as AutoScribe's examples (`34.5 years`, `2 months`) and DICOM's AS (`034Y`) write it
_AGE: Final = re.compile(
    r"([0-9]{1,5}(?:[.,][0-9]{1,3})?)\s*"
    r"(years?|yrs?|y|y/?o|months?|mos?|m|weeks?|wks?|w|days?|d)\.?(?:[\s-]+old)?"
)
_DAYS_OF_UNIT: Final = {"y": 365.2425, "m": 365.2425 / 12, "w": 7, "d": 1}
_ROUNDED: Final = 1.02  # one unit, and months and years of different lengths
LATE_STUDY_DATE: Final = "study-date-too-late"
_ONE_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_DAY_IN_UTC: Final = " in UTC, since no time_zone is known for its facility"
_NO_ZONE: Final = "no time_zone for its facility in [[mapping.facilities]]: only the date is said"


@dataclass(frozen=True, slots=True)
class When:
    """A calendar date (`YYYY-MM-DD`), or a moment with its offset.

    `is_of_signature`: it is the time of signing, and `day` its day where the examination was (D15).
    """

    day: str
    moment: datetime | None = None
    is_of_signature: bool = False

    @property
    def fhir(self) -> str:
        """Format as FHIR dateTime: `YYYY-MM-DD`, or with seconds and offset."""
        return fhir_instant(self.moment) if self.moment else self.day

    @property
    def dtm(self) -> str:
        """Format as HL7 DTM: `YYYYMMDD`, also of a signature, or `YYYYMMDDHHMMSS±ZZZZ`."""
        return dtm_instant(self.moment) if self.moment and not self.is_of_signature else self.day.replace("-", "")


def parse_date(text: str | None) -> str | None:
    """Return the text if it is an existing date (`YYYY-MM-DD`, or partial: `YYYY-MM`, `YYYY`), else None."""
    stripped = (text or "").strip()
    if not _PARTIAL_DATE.fullmatch(stripped):
        return None
    try:
        date.fromisoformat(f"{stripped}-01-01"[:10])
    except ValueError:
        return None
    return stripped


def dtm_date(iso: str) -> str:
    """Format `YYYY-MM-DD` as `YYYYMMDD`; a partial date stays partial."""
    return iso.replace("-", "")


@lru_cache(maxsize=256)  # both languages ask for a study's few moments in many places
def parse_instant(text: str | None) -> datetime | None:
    """Parse a moment with seconds and offset, to the microsecond; None without an offset or if it does not exist.

    RFC 3339 §5.6 allows `t` and `z` in lower case. Without an offset the moment is not known.
    """
    stripped = (text or "").strip().upper()
    if not _INSTANT.fullmatch(stripped):
        return None
    try:
        moment = datetime.fromisoformat(stripped)
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment


def reading_order(report: Report) -> tuple[bool, datetime, str]:
    """Sort key for reading order: originals, then addenda, by signedAt ?? updatedAt ?? createdAt, then id (D25).

    An unreadable moment counts as absent; a report without any moment comes last.
    """
    moments = map(parse_instant, (report.signed_at, report.updated_at, report.created_at))
    return report.is_addendum, next(filter(None, moments), _NEVER), report.report_id


def read_instant(text: str | None, pointer: str) -> tuple[datetime | None, tuple[MappingIssue, ...]]:
    """Parse the text at `pointer` as a moment, with an issue if it is present and unreadable."""
    moment = parse_instant(text)
    if moment is not None or text is None:
        return moment, ()
    return None, (MappingIssue("instant-unreadable", "warning", pointer, "no moment is said; FHIR keeps it as text"),)


def birth_date(snapshot: Snapshot, pointer: str) -> tuple[str | None, tuple[MappingIssue, ...]]:
    """PID-7 and Patient.birthDate: whole or partial; dropped if it does not exist. `pointer` is the snapshot's."""
    if snapshot.date_of_birth is None:
        return None, ()
    place = f"{pointer}/dateOfBirth"
    day, study_day = parse_date(snapshot.date_of_birth), parse_date(snapshot.study_date)
    if day is None:
        return None, (MappingIssue("birth-date-impossible", "warning", place, "dropped"),)
    if study_day and day > study_day:
        return day, (MappingIssue("birth-date-after-study", "warning", place, "kept as it came"),)
    return day, age_issues(snapshot, pointer)


def age_issues(snapshot: Snapshot, pointer: str) -> tuple[MappingIssue, ...]:
    """Report an age that the birth date contradicts on the study date: one of the two is somebody else's, or mistyped.

    The age may be rounded up or down by one of its units. An age in words that are not known contradicts nothing.
    """
    stated = _AGE.fullmatch((snapshot.age or "").strip().casefold())
    born, studied = (_days_of(parse_date(text)) for text in (snapshot.date_of_birth, snapshot.study_date))
    if stated is None or born is None or studied is None or studied[1] < born[0]:
        return ()
    age, length = float(stated[1].replace(",", ".")), _DAYS_OF_UNIT[stated[2][0]]
    least, most = (studied[0] - born[1]).days / length, (studied[1] - born[0]).days / length
    if least - _ROUNDED <= age <= most + _ROUNDED:
        return ()
    action = "not the age on the study date by the birth date: both are kept as they came"
    return (MappingIssue("age-contradicts-birth-date", "warning", f"{pointer}/age", action),)


def _days_of(day: str | None) -> tuple[date, date] | None:
    """Return the first and the last day of a date, whole or partial."""
    if day is None:
        return None
    first = date.fromisoformat(f"{day}-01-01"[:10])
    if len(day) == len("YYYY-MM-DD"):
        return first, first
    last_month = first if len(day) == len("YYYY-MM") else first.replace(month=12)
    return first, last_month.replace(day=monthrange(last_month.year, last_month.month)[1])


def version_instant(report: Report) -> datetime | None:
    """Return the moment of a signed report's present version: its signature, or the later change of its text (D17).

    None for an unsigned report, and if no moment is readable.
    """
    if not report.is_completed:
        return None
    moments = map(parse_instant, (report.signed_at, report.text_changed_at))
    return max(filter(None, moments), default=None)


def second_after(moment: datetime) -> datetime:
    """Return the moment one second later, or the last possible one."""
    return moment + _SECOND if moment < datetime.max.replace(tzinfo=UTC) - _SECOND else moment


def study_date_limit(report: Report) -> datetime | None:
    """Latest moment at which a report's examination can have taken place; None if no moment is known.

    It is the time of signing. For an unsigned report, or without a time of signing, it is the last update, else the
    creation.
    """
    signed = parse_instant(report.signed_at) if report.is_completed else None
    return signed or parse_instant(report.updated_at) or parse_instant(report.created_at)


def study_dates_after(reports: Iterable[Report], at: datetime) -> Iterator[MappingIssue]:
    """Yield an issue for each report whose studyDate lies after `at`, the present.

    The time of signing is ignored, since it may lie in the future too.
    """
    for report in reports:
        day = parse_date(report.snapshot.study_date)
        if day and is_too_late(day, at):
            yield _too_late(report)


def is_too_late(day: str, moment: datetime) -> bool:
    """True for a day, whole or partial, more than one day after a moment in UTC: no time zone is further ahead."""
    last = min(moment.astimezone(UTC).date(), date.max - _ONE_DAY) + _ONE_DAY
    return day > last.isoformat()[: len(day)]


def fhir_instant(moment: datetime) -> str:
    """Format as FHIR instant; UTC is written `Z`, a fraction of a second is kept."""
    text = moment.isoformat()
    return text[:-6] + "Z" if text.endswith("+00:00") else text


def spoken(moment: datetime, zone: ZoneInfo | None) -> str:
    """Format a moment for clinicians, in the zone with its offset, or in UTC: `05-Jan-2026 12:45 -0500`."""
    try:
        local = moment.astimezone(zone or UTC)
    except OverflowError:
        zone, local = None, moment.astimezone(UTC)
    clock = local.isoformat(timespec="minutes").partition("T")[2]  # strftime takes several times as long
    offset = clock[5:].replace(":", "")[:5] if zone else "UTC"
    return f"{spoken_day(local)} {clock[:5]} {offset}"


def spoken_when(when: When, zone: ZoneInfo | None) -> str:
    """Format a date or a moment for clinicians: a moment with its offset, or the date alone."""
    return spoken(when.moment, zone) if when.moment else spoken_day(date.fromisoformat(when.day))


def spoken_day(day: date) -> str:
    """Format a calendar date for clinicians, so that day and month cannot be confused: `05-Jan-2026`."""
    return f"{day.day:02d}-{_MONTHS[day.month - 1]}-{day.year:04d}"


def dtm_instant(moment: datetime) -> str:
    """Format as HL7 DTM `YYYYMMDDHHMMSS±ZZZZ`: whole seconds (D15); years keep four digits."""
    text = moment.isoformat(":", "seconds")  # only the first two hyphens belong to the date
    return text.replace(":", "").replace("-", "", 2)[:19]


def effective(report: Report, site: Site) -> tuple[When | None, tuple[MappingIssue, ...]]:
    """OBR-7 and DiagnosticReport.effective: studyDate and studyTime in the facility's zone, else the date alone.

    Without a valid studyDate it is the signedAt instant, with an issue: OBR-7 has only its day, in the facility's zone,
    or in UTC if the zone is unknown. Without signedAt, or for an unsigned report, it is None with an issue.
    """
    snapshot, place = report.snapshot, report.snapshot_pointer
    day, facility = parse_date(snapshot.study_date), site.facility(snapshot.facility_name)
    zone = facility.time_zone if facility else None
    if day is not None and len(day) == 10:
        when, doubts = _study_moment(day, snapshot.study_time, zone, f"{place}/studyTime")
        return when, (*doubts, *_late_study_date(report, day))
    code = "study-date-absent" if snapshot.study_date is None else "study-date-impossible"
    signed = parse_instant(report.signed_at) if report.is_completed else None
    if signed is not None:
        action = f"the time of signing stands for it (derived): in HL7 v2 its day{'' if zone else _DAY_IN_UTC}"
        return When(_day_of(signed, zone), signed, is_of_signature=True), (
            MappingIssue(code, "warning", f"{place}/studyDate", action),
        )
    return None, (MappingIssue(code, "warning", f"{place}/studyDate", "no time of the examination is said"),)


def _day_of(moment: datetime, zone: ZoneInfo | None) -> str:
    """Return the calendar day of a moment in a zone, or in UTC."""
    try:
        local = moment.astimezone(zone or UTC)
    except OverflowError:
        local = moment.astimezone(UTC)
    return local.date().isoformat()


def _late_study_date(report: Report, day: str) -> tuple[MappingIssue, ...]:
    limit = study_date_limit(report)
    if limit is None or not is_too_late(day, limit):
        return ()
    return (_too_late(report),)


def _too_late(report: Report) -> MappingIssue:
    action = "later than it can have been: kept as it came, and the study is never its patient's newest"
    return MappingIssue(LATE_STUDY_DATE, "warning", f"{report.snapshot_pointer}/studyDate", action)


def _study_moment(
    day: str, study_time: str | None, zone: ZoneInfo | None, pointer: str
) -> tuple[When, tuple[MappingIssue, ...]]:
    if study_time is None:
        return When(day), ()
    clock = _clock_time(study_time)
    if clock is None:
        return When(day), (MappingIssue("study-time-impossible", "warning", pointer, "only the date is said"),)
    if zone is None:
        return When(day), (MappingIssue("time-zone-unknown", "information", pointer, _NO_ZONE),)
    moment = datetime.combine(date.fromisoformat(day), clock, zone)
    if not _has_one_offset(moment):
        action = "the zone has no or two offsets then: only the date is said"
        return When(day), (MappingIssue("study-time-ambiguous", "warning", pointer, action),)
    return When(day, moment), ()


def _clock_time(text: str) -> time | None:
    match = _CLOCK_TIME.fullmatch(text.strip())
    return time.fromisoformat(match[0]) if match else None


def _has_one_offset(moment: datetime) -> bool:
    """False if the clocks go back (the hour occurs twice) or forward (the hour does not exist).

    Also false if the offset is not in whole minutes (local mean time, before standard time), or if the moment in UTC is
    outside the calendar: neither FHIR nor DTM can write it.
    """
    offset = moment.utcoffset()
    try:
        moment.astimezone(UTC)
    except OverflowError:
        return False
    return offset is not None and offset == moment.replace(fold=1).utcoffset() and offset.seconds % 60 == 0
