"""Every receiver profile against every golden case: what each message breaks stands in the case's receivers.txt.

A `block` rule may be broken only because AutoScribe does not say what the receiver needs, and `REASONS` names it: never
because of a switch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.convert import Request, convert, read
from mappings.hl7v2 import RECEIVERS, receiver
from mappings.hl7v2.rules import Broken, check_rules
from mappings.model import Study
from mappings.profile import Receiver, parse_site

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/wire.json"))
AT = datetime(2026, 1, 5, 20, 30, 14, tzinfo=UTC)
SITE = parse_site((HERE / "site.toml").read_text())
# The `block` rules that missing source data breaks -> whether a study has that data missing
REASONS: dict[str, Callable[[Study], bool]] = {
    "obr-18-valued": lambda study: not any(study.metadata.get(key) for key in SITE.accession_keys),
    "obr-32-valued": lambda study: any(report.user_id not in study.users for report in study.completed),
    "pid-5.7-empty": lambda study: any(not (one.snapshot.patient_name or "").strip() for one in study.completed),
    "uid-obx-there": lambda study: not study.study_instance_uid,
}


def profile(name: str) -> Receiver:
    """A profile that holds nothing back, so that every message is seen."""
    return replace(receiver(name), accession="optional", placer_required="off")


def messages(case: str, name: str) -> Iterator[bytes]:
    """The messages of a case as a profile has them."""
    text = (HERE / case / "wire.json").read_bytes()
    output = convert(text, Request("hl7v2", SITE, "http://127.0.0.1:8800/fhir", profile(name), AT)).output
    yield from (message for message in re.split(rb"(?<=\r)(?=MSH\|)", output) if message)


def broken(case: str) -> list[tuple[str, Broken]]:
    """What the messages of a case break, for each profile."""
    return [
        (name, one)
        for name in RECEIVERS
        for message in messages(case, name)
        for one in check_rules(message, profile(name))
    ]


@pytest.mark.parametrize("case", CASES)
def test_a_case_breaks_exactly_the_rules_that_it_holds(case: str, request: pytest.FixtureRequest) -> None:
    lines = dict.fromkeys(f"{name}: {one.rule.level}: {one.rule.name}: {one.place}\n" for name, one in broken(case))
    path = HERE / case / "receivers.txt"
    if request.config.getoption("--update-golden"):
        path.unlink(missing_ok=True)
        if lines:
            path.write_text("".join(lines))
    assert (path.read_text() if path.exists() else "") == "".join(lines)


@pytest.mark.parametrize("case", CASES)
def test_a_message_is_blocked_only_for_want_of_source_data(case: str) -> None:
    ((study, _),) = read((HERE / case / "wire.json").read_bytes())
    blocked = {one.rule.name for _, one in broken(case) if one.rule.level == "block"}
    assert [name for name in sorted(blocked) if name not in REASONS or not REASONS[name](study)] == []


def test_each_reason_is_met_by_a_case() -> None:
    met = {one.rule.name for case in CASES for _, one in broken(case)}
    assert REASONS.keys() - met == set()
