"""Every receiver profile against every golden case: the rules that each message breaks are in the case's receivers.txt.

A `block` rule may be broken only if AutoScribe lacks data that the receiver needs, which `REASONS` names: never because
of a switch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.cli.convert import Conversion, Request, convert, read
from mappings.hl7v2.receiver_rules import Broken, check_rules
from mappings.model import Study
from mappings.patient.identifiers import is_doubtful, is_placeholder
from mappings.profile import RECEIVERS, AssigningAuthority, Directory, Provider, Receiver, parse_site, receiver
from mappings.values.dates import parse_date
from mappings.values.names import PersonName, parse_name

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/wire.json"))
AT = datetime(2026, 1, 5, 20, 30, 14, tzinfo=UTC)
SITE = replace(
    parse_site((HERE / "site.toml").read_text()),
    providers=Directory({}, {"usr_5a1fee25a39870287e7accc43871c7b2": Provider("Smith", "Alex", local_id="1234")}),
    provider_authority=AssigningAuthority("urn:oid:1.3.6.1.4.1.99999.9", "VA500"),
)
# Profiles whose messages are kept whole in a case, as `to-NAME.hl7`
HELD_WHOLE = {"vista": ("vista-2.3", "vista-2.4")}


def _lacks(*keys: str) -> Callable[[Study], bool]:
    return lambda study: not any(study.metadata.get(key) for key in keys)


def _signer_is_unknown(study: Study) -> bool:
    return any(report.user_id not in study.users for report in study.completed)


def _names(study: Study) -> Iterator[PersonName | None]:
    """Yield the names of the patients, taken apart."""
    for one in study.completed:
        place = SITE.facility(one.snapshot.facility_name)
        yield parse_name(one.snapshot.patient_name, place.name_order if place else None)


# `block` rules broken by missing source data -> test for studies that lack it
REASONS: dict[str, Callable[[Study], bool]] = {
    "obr-3.1-exam": _lacks(*SITE.vista.exam_keys),
    "obr-3.1-site-accession": _lacks(*SITE.accession_keys),
    "obr-18-valued": _lacks(*SITE.accession_keys),
    "obr-32-family-given": _signer_is_unknown,
    "obr-32.1-user-number": _signer_is_unknown,
    "obr-32.1-no-npi": lambda study: any(SITE.user(report.user_id) is None for report in study.completed),
    "pid-5.1-valued": lambda study: any(name is None or not name.family for name in _names(study)),
    "pid-5.2-valued": lambda study: any(name is None or not name.given for name in _names(study)),
    "pid-7-valued": lambda study: any(parse_date(one.snapshot.date_of_birth) is None for one in study.completed),
    "uid-obx-there": lambda study: not study.study_instance_uid,
}


def _has_no_dfn(study: Study) -> bool:
    """True if a patient's number of City Medical Center is missing, doubtful, a placeholder or contested."""
    patients = {(one.snapshot.facility_name, one.snapshot.mrn, one.snapshot.patient_name) for one in study.completed}
    numbers = {mrn for place, mrn, _ in patients if place == "City Medical Center" and mrn and mrn.isdigit()}
    return len([one for one in numbers if not (is_placeholder(one) or is_doubtful(one))]) < len(patients)


# Issues that hold a message for missing source data -> test for studies that lack it
HOLDS: dict[str, Callable[[Study], bool]] = {
    "name-absent": lambda study: any(not (one.snapshot.patient_name or "").strip() for one in study.completed),
    "vista-patient-unknown": _has_no_dfn,
}


def profile(name: str, case: str) -> Receiver:
    """Return a profile that holds no message for a missing order number, so that every message is seen."""
    if name in HELD_WHOLE.get(case, ()):
        return receiver(name)
    return replace(receiver(name), accession="optional", placer_required="off", vista_exam="off")


def converted(case: str, to: Receiver, *, validate: bool = False) -> Conversion:
    """Convert a case by a profile."""
    text = (HERE / case / "wire.json").read_bytes()
    return convert(text, Request("hl7v2", SITE, "http://127.0.0.1:8800/fhir", to, AT, validate=validate))


def messages(case: str, name: str) -> Iterator[bytes]:
    """Yield the messages of a case for a profile."""
    output = converted(case, profile(name, case)).output
    yield from (message for message in re.split(rb"(?<=\r)(?=MSH\|)", output) if message)


def broken(case: str) -> list[tuple[str, Broken]]:
    """Rules broken by the messages of a case, for each profile."""
    return [
        (name, one)
        for name in RECEIVERS
        for message in messages(case, name)
        for one in check_rules(message, profile(name, case))
    ]


def held(case: str) -> list[tuple[str, str]]:
    """Profiles for which a message of a case is held, with the issue's code."""
    found = {name: converted(case, profile(name, case)).issues for name in RECEIVERS}
    return [(name, issue.code) for name, issues in found.items() for issue in issues if issue.code in HOLDS]


@pytest.mark.parametrize("case", CASES)
def test_a_case_breaks_exactly_the_rules_that_it_holds(case: str, request: pytest.FixtureRequest) -> None:
    lines = dict.fromkeys(f"{name}: {one.rule.level}: {one.rule.name}: {one.place}\n" for name, one in broken(case))
    lines |= dict.fromkeys(f"{name}: held: {code}\n" for name, code in held(case))
    path = HERE / case / "receivers.txt"
    if request.config.getoption("--update-golden"):
        path.unlink(missing_ok=True)
        if lines:
            path.write_text("".join(lines))
    assert (path.read_text() if path.exists() else "") == "".join(lines)


@pytest.mark.full
@pytest.mark.parametrize("case", CASES)
def test_a_message_is_blocked_only_for_want_of_source_data(case: str) -> None:
    ((study, _),) = read((HERE / case / "wire.json").read_bytes())
    blocked = {one.rule.name for _, one in broken(case) if one.rule.level == "block"}
    assert [name for name in sorted(blocked) if name not in REASONS or not REASONS[name](study)] == []
    assert [code for _, code in held(case) if not HOLDS[code](study)] == []


@pytest.mark.full
@pytest.mark.parametrize("case", CASES)
def test_a_judge_finds_no_fault_with_a_message_of_any_profile(case: str) -> None:
    faults = [fault for name in RECEIVERS for fault in converted(case, profile(name, case), validate=True).faults]
    assert [fault for fault in faults if not fault.code.startswith("rule-")] == []


@pytest.mark.parametrize(("case", "name"), [(case, name) for case, names in HELD_WHOLE.items() for name in names])
def test_a_profile_is_sent_exactly_the_message_that_its_case_holds(
    case: str, name: str, request: pytest.FixtureRequest
) -> None:
    made = converted(case, receiver(name)).output.replace(b"\r", b"\n")
    path = HERE / case / f"to-{name}.hl7"
    if request.config.getoption("--update-golden"):
        path.write_bytes(made)
    assert path.read_bytes() == made


@pytest.mark.full
def test_each_reason_is_met_by_a_case() -> None:
    met = {one.rule.name for case in CASES for _, one in broken(case)}
    assert REASONS.keys() - met == set()
    assert HOLDS.keys() - {code for case in CASES for _, code in held(case)} == set()
