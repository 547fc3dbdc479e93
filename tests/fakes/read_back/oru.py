"""Read a Study back from an ORU^R01: AutoScribe's data, as far as a reader of one message can tell.

Written from HL7 v2.5.1 chapters 2, 3, 4 and 7, independent of the mapping that it checks. Of the site it knows only
public settings. A message has one patient, one examination, and signers by number and name; missing ids are empty.
A name is its words in alphabetical order: the tests of PID-5 check family and given name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from fakes import er7_reader
from fakes.er7_reader import unescape
from fakes.read_back.numbers import patient_number
from fakes.read_back.values import written

from mappings.model import Measurement, Report, Snapshot, Study, User
from mappings.patient.identifiers import long_id
from mappings.profile import Site
from mappings.sections import cut

Fields = list[str]
NO_TEXT: Final = "(AutoScribe sent no report text)"
_HEADER: Final = re.compile(r"(ADDENDUM|REPORT) \(.*\):")
_FLAG: Final = re.compile(r"CRITICAL FLAG OF (ADDENDUM|REPORT) \(.*\):")
_SIGNED: Final = re.compile(r"\w+ \((\d{2}-[A-Z][a-z]{2}-\d{4} \d{2}:\d{2}) (UTC|[+-]\d{4})")
_FORMATTED: Final = re.compile(r"\\(\.br|[EFSRT])\\")
_DTM: Final = re.compile(r"(\d{4})(\d{2})?(\d{2})?(?:(\d{2})(\d{2})(\d{2})([+-]\d{2})(\d{2}))?")
# HL7 table 0001, table 0485, table 0074 for sections of one modality or none; UCUM
_SEX: Final = {"M": "male", "F": "female", "O": "other"}
_SEVERITY: Final = {"R": "normal", "A": "high", "S": "stat"}
_MODALITY: Final = {"NMR": "MR", "RUS": "US", "RAD": None}
_UNITS: Final = {"cm": "cm", "[in_i]": "in", "kg": "kg", "[lb_av]": "lbs"}


@dataclass(frozen=True, slots=True)
class Said:
    """OBX of one report's lines, without its header lines: kind and time of signing, and whose flag it shows."""

    is_addendum: bool
    rows: list[Fields]
    signed: str | None = None
    is_flag_of_another: bool = False


def study_of(message: bytes, site: Site) -> Study:
    """Read the study from the message."""
    rows = er7_reader.segments(message)
    orders = _orders(rows)
    obr = orders[0][0]
    parts = list(_said([row for row in orders[0] if row[0] == "OBX" and row[2] == "TX"]))
    if len(parts) == 1:
        parts = [replace(parts[0], signed=_moment(_at(obr, 22)))]
    study_id = long_id("stu", _at(obr, 3))
    report_id = long_id("rep", _at(obr, 21)) if len(parts) == 1 else ""
    users = [_user(one.rows[0]) for one in parts]
    snapshot = _snapshot(rows, orders[0], site)
    reports = [
        _report(one, user.user_id, snapshot, report_id, study_id) for one, user in zip(parts, users, strict=True)
    ]
    history, indication = _history_and_indication(obr)
    return Study(
        study_id=study_id,
        reports=(*_of_kind(reports, is_addendum=False), *reversed(_of_kind(reports, is_addendum=True))),
        study_instance_uid=_uid(rows),
        severity=_SEVERITY.get(_at(obr, 5)),
        external_patient_id=_number(rows, "PI", site),
        modality=_MODALITY.get(_at(obr, 24), _at(obr, 24)),
        clinical_history=history,
        clinical_indication=indication,
        technologist_notes=tuple(_formatted(row[3]) for row in orders[0] if row[0] == "NTE"),
        metadata=_metadata([order[0] for order in orders], site),
        users={user.user_id: user for user in users if user.user_id},
    )


def _orders(rows: Sequence[Fields]) -> list[list[Fields]]:
    """Segments of each order, the OBR first; all orders of a message must have the same content."""
    groups: list[list[Fields]] = []
    for row in rows:
        if row[0] == "ORC":
            groups.append([])
        elif groups and row[0] in ("OBR", "NTE", "OBX"):
            groups[-1].append(row)
    assert all(order[1:] == groups[0][1:] for order in groups), "two orders of a message, told otherwise"
    return groups


def _said(rows: Sequence[Fields]) -> Iterator[Said]:
    """Yield the reports in the order of the message; all but the last end with a blank line."""
    starts = [number for number, row in enumerate(rows) if _HEADER.fullmatch(_at(row, 5))]
    if not starts or starts[0] > 0:
        yield Said(False, list(rows))
        return
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        lines = list(rows[start + 1 : end])
        if end < len(rows):
            assert lines.pop()[5] == " ", "reports run into each other"
        header = _at(rows[start], 5)
        own = [row for row in lines if not _FLAG.fullmatch(_at(row, 5))]
        yield Said(header.startswith("ADDENDUM"), own, _spoken(header), len(own) < len(lines))


def _spoken(header: str) -> str | None:
    """Time of signing in the line above a report, to the minute."""
    found = _SIGNED.match(header)
    if not found:
        return None
    offset = "+0000" if found[2] == "UTC" else found[2]
    return written(datetime.strptime(f"{found[1]} {offset}", "%d-%b-%Y %H:%M %z").astimezone(UTC))


def _of_kind(reports: Iterable[Report], *, is_addendum: bool) -> list[Report]:
    return [report for report in reports if report.is_addendum is is_addendum]


def _report(said: Said, user_id: str, snapshot: Snapshot, report_id: str, study_id: str) -> Report:
    lines = ["" if row[5] == " " else unescape(row[5]) for row in said.rows]
    text = "\n".join('""' if line == '"" ' else line for line in lines)
    if text == NO_TEXT:
        text = ""
    return Report(
        report_id=report_id,
        study_id=study_id,
        user_id=user_id,
        status="completed",
        is_addendum=said.is_addendum,
        is_critical=True if any(_at(row, 8) == "AA" for row in said.rows) and not said.is_flag_of_another else None,
        created_at=None,
        signed_at=said.signed,
        updated_at=None,
        snapshot=snapshot,
        text=text or None,
        sections=cut(text),
    )


def _snapshot(rows: Sequence[Fields], order: Sequence[Fields], site: Site) -> Snapshot:
    """Read the patient from PID, and the examination from PV1, OBR and OBX."""
    pid, pv1 = (next(row for row in rows if row[0] == name) for name in ("PID", "PV1"))
    obr = order[0]
    study_date, study_time = _study_date_and_time(_at(obr, 7))
    return Snapshot(
        date_of_birth=_day(_at(pid, 7)),
        facility_name=_facility_name(pv1, site),
        height=_measurement(order, "8302-2"),
        mrn=_number(rows, "MR", site),
        patient_name=_name(pid, 5, 1),
        procedure=_at(obr, 4, 2) if _at(obr, 4) != "18748-4" else None,
        referring_physician_name=_name(obr, 16, 2),
        sex=_SEX.get(_at(pid, 8)),
        study_date=study_date,
        study_time=study_time,
        weight=_measurement(order, "29463-7"),
    )


def _study_date_and_time(said: str) -> tuple[str | None, str | None]:
    """Read study date and time from OBR-7."""
    moment = _instant(said)
    if moment is None:
        return _day(said), None
    return moment[:10], moment[11:16] if moment[17:19] == "00" else moment[11:19]


def _day(dtm: str) -> str | None:
    found = _DTM.fullmatch(dtm)
    return "-".join(part for part in found.groups()[:3] if part) if found else None


def _instant(dtm: str) -> str | None:
    found = _DTM.fullmatch(dtm)
    if not found or not found[4]:
        return None
    year, month, day, hour, minute, second, offset, minutes = found.groups()
    zone = "Z" if (offset, minutes) == ("+00", "00") else f"{offset}:{minutes}"
    return f"{year}-{month}-{day}T{hour}:{minute}:{second}{zone}"


def _moment(dtm: str) -> str | None:
    """Convert a DTM with its offset to the same moment in UTC."""
    said = _instant(dtm)
    return written(datetime.fromisoformat(said).astimezone(UTC)) if said else None


def _facility_name(pv1: Fields, site: Site) -> str | None:
    """Read PL.4 of PV1-3: the name, or the code of a facility of the site, or an OID."""
    parts = _components(pv1, 3)
    namespace, oid, *_ = (*(unescape(part) for part in (*parts, "", "", "")[3].split("&")), "")
    of_code = next((one.name for one in site.facilities.values() if one.code and one.code == namespace), None)
    return of_code or namespace or oid or None


def _measurement(order: Sequence[Fields], code: str) -> Measurement | None:
    found = next((row for row in order if row[0] == "OBX" and _at(row, 3) == code and row[2] == "NM"), None)
    return Measurement(_UNITS[_at(found, 6)], float(found[5])) if found else None


def _user(row: Fields) -> User:
    """Read OBX-16: XCN.1 number, XCN.2-4 name, XCN.5 suffix, XCN.7 degrees, XCN.9 authority."""
    parts = [unescape(part) for part in _components(row, 16)] + [""] * 9
    number, family, given, middle, suffix, _, degree, _, authority = parts[:9]
    return User(
        user_id="^".join((number, family, given, middle, suffix, degree)).rstrip("^"),
        first_name=given or None,
        middle_name=middle or None,
        last_name=family or None,
        suffix1=suffix or None,
        suffix2=degree or None,
        npi_number=number if number and authority == "NPI" else None,
    )


def _history_and_indication(obr: Fields) -> tuple[str | None, str | None]:
    """Read OBR-13, the history or else the indication, and OBR-31, the indication, then a long history."""
    relevant = _at(obr, 13)
    reasons = [_part(one.split("^"), 2) for one in _raw(obr, 31).split("~")]
    if len(reasons) > 1:
        return reasons[1], reasons[0]
    return (relevant if relevant != reasons[0] else "") or None, reasons[0] or None


def _uid(rows: Sequence[Fields]) -> str | None:
    """Read ZDS-1.1 and the OBX of DICOM code 113014, which must agree."""
    zds = [_at(row, 1) for row in rows if row[0] == "ZDS"]
    observed = [_at(row, 5) for row in rows if row[0] == "OBX" and _at(row, 3) == "113014"]
    assert set(zds) == set(observed), "two Study Instance UIDs"
    return zds[0] if zds else None


def _number(rows: Sequence[Fields], kind: str, site: Site) -> str | None:
    """Read the MRN or the external id in PID-3."""
    pid = next(row for row in rows if row[0] == "PID")
    found = [one.split("^") for one in _raw(pid, 3).split("~")]
    told = [(_part(parts, 5) or "", _part(parts, 4) or "", _part(parts, 1) or "") for parts in found]
    return patient_number(kind, told, site) or None


def _name(row: Fields, number: int, first: int) -> str | None:
    """Read the words of XPN or XCN, whose name starts at component `first` and has six parts."""
    parts = _components(row, number)[first - 1 : first + 5]
    words = re.split(r"[\s^,]+", " ".join(map(unescape, parts)))
    return " ".join(sorted(filter(None, words))) or None


def _metadata(obrs: Sequence[Fields], site: Site) -> dict[str, str]:
    """Numbers of all orders under the first key that the site names for them, each once."""
    found = {}
    for keys, number in ((site.accession_keys, 18), (site.placer_keys, 2)):
        numbers = dict.fromkeys(value for obr in obrs if (value := _at(obr, number)))
        if numbers:
            found[keys[0] if keys else ""] = (site.number_separator or ",").join(numbers)
    return found


def _formatted(text: str) -> str:
    """Decode FT: `.br` between lines; a comment of two quotation marks has a blank after it, or it would delete."""
    said = _FORMATTED.sub(lambda found: "\n" if found[1] == ".br" else unescape(found[0]), text)
    return '""' if said == '"" ' else said


def _raw(row: Fields, number: int) -> str:
    return row[number] if number < len(row) else ""


def _components(row: Fields, number: int) -> list[str]:
    return _raw(row, number).split("~")[0].split("^")


def _part(parts: Sequence[str], number: int) -> str:
    return unescape(parts[number - 1]) if number <= len(parts) else ""


def _at(row: Fields, number: int, component: int = 1) -> str:
    return _part(_components(row, number), component)
