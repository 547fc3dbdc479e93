"""Life of a report: successive versions of a study (1.json, 2.json, …), and the messages about them.

`life.txt` of a case has for each version the result of `changes`, the FHIR status of each report, and for each of the
three v2 renderings the messages with their status fields (D16-D22).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fakes.destination import Destination, Feed, Sent
from fakes.er7_reader import all_of, field

from gateway.cli.convert import read
from mappings.hl7v2.judge import judge_message
from mappings.life.changes import Change, Known, changes
from mappings.life.status import report_status
from mappings.model import Facts, Study
from mappings.patient.subjects import subjects
from mappings.profile import Site, parse_site, receiver

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("life/*/1.json"))
AT = datetime(2026, 1, 7, 12, 0, 0, tzinfo=UTC)
RENDERINGS = {
    name: replace(receiver("generic"), addendum=name, send_drafts="on") for name in ("replace", "append", "new_order")
}


def site_of(case: str) -> Site:
    own = HERE / "life" / case / "site.toml"
    settings = tomllib.loads(own.read_text())["mapping"] if own.exists() else {}
    return parse_site((HERE / "site.toml").read_text(), given=settings)


def seen(case: str) -> list[Study]:
    """Read each version of the study."""
    return [read(path.read_bytes())[0][0] for path in sorted((HERE / "life" / case).glob("*.json"))]


def looks(case: str) -> Iterator[Change]:
    """Yield the change in each version of the study."""
    before: Study | None = None
    known = Known(at=AT)
    for now in seen(case):
        change = changes(before, now, site_of(case), known)
        yield change
        before, known = change.study, replace(change.known, at=AT)


def told(case: str) -> Iterator[str]:
    feeds = [Feed(to, site_of(case)) for to in RENDERINGS.values()]
    for number, change in enumerate(looks(case), 1):
        yield f"look {number}"
        yield f"  causes: {', '.join(f'{one.kind} {short(one.report_id)}' for one in change.causes) or 'none'}"
        if change.is_move:
            yield f"  moved: {', '.join(map(short, sorted(change.moved)))}"
        for issue in change.issues:
            yield f"  issue: {issue.code} {issue.pointer}"
        facts = Facts(corrected=change.corrected, seen=change.seen, gone=change.gone)
        about = subjects(change.study, change.study.reports, site_of(case), facts)
        for report in change.study.reports:
            status, doubts = report_status(change.study, report, about[report.report_id].reports, site_of(case), facts)
            kind = "addendum" if report.is_addendum else "original"
            codes = "".join(f" ({doubt.code})" for doubt in doubts)
            yield f"  fhir: {short(report.report_id)} {kind} {status.diagnostic_report}{codes}"
        for feed in feeds:
            for sent in feed.send(change):
                yield from rendered(feed.to.addendum, sent)


def rendered(name: str, sent: Sent) -> Iterator[str]:
    cause, message = sent.cause, sent.message
    issues = ", ".join(dict.fromkeys(issue.code for issue in sent.issues))
    head = f"  {name}: {cause.kind} {short(cause.report_id)}"
    if message is None:
        yield f"{head}: nothing, {issues}"
        return
    rows = all_of(message, "OBX")
    statuses = " ".join(sorted({row[11] for row in rows}))
    parent = f" OBR-29={field(message, 'OBR-29')}" if field(message, "OBR-29") else ""
    critical = " OBX-8=AA" if any(row[8] == "AA" for row in rows) else ""
    yield f"{head}: {issues}" if issues else head
    yield f"    OBR-3={field(message, 'OBR-3')}{parent} PID-3={field(message, 'PID-3')}"
    yield (
        f"    OBR-25={field(message, 'OBR-25')} OBX-11={statuses} ORC-5={field(message, 'ORC-5')}"
        f" OBR-22={field(message, 'OBR-22')}{critical}"
    )
    heads = [row[5] for row in rows if row[5].startswith(("ADDENDUM (", "REPORT (", "PRELIMINARY", "VOID"))]
    yield from (f"    | {line}" for line in heads or [row[5] for row in rows[:2]])


def short(report_id: str) -> str:
    return f"rep_…{report_id[-1]}"


@pytest.mark.parametrize("case", CASES)
def test_a_life_is_told_as_its_file_says(case: str, request: pytest.FixtureRequest) -> None:
    made = "".join(f"{line}\n" for line in told(case))
    path = HERE / "life" / case / "life.txt"
    if request.config.getoption("--update-golden"):
        path.write_text(made)
    assert path.read_text() == made


@pytest.mark.full
@pytest.mark.parametrize("case", CASES)
def test_every_message_of_a_life_is_found_good_and_has_a_number_of_its_own(case: str) -> None:
    for to in RENDERINGS.values():
        feed, numbers = Feed(to, site_of(case)), []
        for change in looks(case):
            for sent in feed.send(change):
                if sent.message is not None:
                    assert judge_message(sent.message) == ()
                    numbers.append(field(sent.message, "MSH-10"))
        assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("case", CASES)
def test_a_look_at_what_was_seen_before_finds_nothing(case: str) -> None:
    for now, change in zip(seen(case), looks(case), strict=True):
        again = changes(change.study, now, site_of(case), change.known)
        assert again == replace(change, causes=(), moved=frozenset())


@pytest.mark.parametrize("case", CASES)
def test_no_preliminary_and_no_first_result_ever_follows_a_signed_one(case: str) -> None:
    for to in RENDERINGS.values():
        feed, destination = Feed(to, site_of(case)), Destination()
        for change in looks(case):
            for sent in feed.send(change):
                destination.receive(sent.message)
        assert [one.history for one in destination.results.values() if not one.is_in_order] == []


@pytest.mark.parametrize("case", CASES)
def test_a_life_says_in_one_line_what_it_shows(case: str) -> None:
    assert (HERE / "life" / case / "README.md").read_text().count("\n") == 1
