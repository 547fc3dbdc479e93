"""The life of a report: what AutoScribe says of a study, look by look (1.json, 2.json, …), and what is told of it.

`life.txt` of a case has for each look what `changes` found, the FHIR status of each report, and for each of the three
v2 renderings the messages with the fields that say how the report stands (D16-D22).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fakes.er7_reader import all_of, field

from gateway.convert import read
from mappings import to_oru
from mappings.changes import Change, Known, changes
from mappings.hl7v2 import messages_of_all, receiver
from mappings.hl7v2.judge import judge_message
from mappings.hl7v2.rendering import Rendering, rendering
from mappings.identifiers import message_control_id
from mappings.model import Cause, Facts, Study
from mappings.profile import Receiver, Site, parse_site
from mappings.status import report_status
from mappings.subjects import subjects

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
    """The study at each look."""
    return [read(path.read_bytes())[0][0] for path in sorted((HERE / "life" / case).glob("*.json"))]


def looks(case: str) -> Iterator[Change]:
    """What each look at the study finds."""
    before: Study | None = None
    known = Known()
    for now in seen(case):
        change = changes(before, now, site_of(case), known)
        yield change
        before, known = change.study, change.known


class Feed:
    """What a destination was sent: each report's filler order numbers, and those that hold something signed."""

    def __init__(self, to: Receiver, site: Site) -> None:
        self.to = to
        self.site = site
        self.sent: set[str] = set()
        self.numbers: dict[str, tuple[str, ...]] = {}

    def send(self, change: Change) -> Iterator[tuple[Cause, bytes | None, str]]:
        """Each message of the look, or why there is none."""
        study = change.study
        known = self.facts(change)
        for cause in messages_of_all(study, change.causes, self.site, self.to, known, sent=frozenset(self.sent)):
            facts, number = self.facts(change), message_control_id(cause, self.to.addendum)
            mapped = to_oru(study, cause, self.site, self.to, facts, control_id=number, at=AT)
            if mapped.output is not None:
                self.keep(study, cause, facts)
            yield cause, mapped.output, ", ".join(dict.fromkeys(issue.code for issue in mapped.issues))

    def facts(self, change: Change) -> Facts:
        """What is known when a message is made."""
        numbers = dict(self.numbers)
        return Facts(corrected=change.corrected, seen=change.seen, gone=change.gone, filler_order_numbers=numbers)

    def keep(self, study: Study, cause: Cause, facts: Facts) -> None:
        """Keep under which numbers what was sent."""
        made = rendering(study, cause, self.site, self.to, facts)
        assert isinstance(made, Rendering)
        under = made.place.filler_order_numbers
        for report_id in (cause.report_id, *(report.report_id for report in made.subject.reports)):
            self.numbers[report_id] = tuple(dict.fromkeys((*self.numbers.get(report_id, ()), *under)))
        if cause.kind not in ("draft", "draft_cancelled"):
            self.sent.update(under)


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
            said = "".join(f" ({doubt.code})" for doubt in doubts)
            yield f"  fhir: {short(report.report_id)} {kind} {status.diagnostic_report}{said}"
        for feed in feeds:
            for cause, message, issues in feed.send(change):
                yield from rendered(feed.to.addendum, cause, message, issues)


def rendered(name: str, cause: Cause, message: bytes | None, issues: str) -> Iterator[str]:
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


@pytest.mark.parametrize("case", CASES)
def test_every_message_of_a_life_is_found_good_and_has_a_number_of_its_own(case: str) -> None:
    for to in RENDERINGS.values():
        feed, numbers = Feed(to, site_of(case)), []
        for change in looks(case):
            for _, message, _ in feed.send(change):
                if message is not None:
                    assert judge_message(message) == ()
                    numbers.append(field(message, "MSH-10"))
        assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("case", CASES)
def test_a_look_at_what_was_seen_before_finds_nothing(case: str) -> None:
    for now, change in zip(seen(case), looks(case), strict=True):
        again = changes(change.study, now, site_of(case), change.known)
        assert again == replace(change, causes=(), moved=frozenset())


@pytest.mark.parametrize("case", CASES)
def test_no_preliminary_and_no_first_result_ever_follows_a_signed_one(case: str) -> None:
    """P < F < C/A for each filler order number (D16)."""
    rank = {"P": 0, "F": 1, "C": 2, "A": 2}
    for to in RENDERINGS.values():
        feed = Feed(to, site_of(case))
        highest: dict[str, int] = {}
        for change in looks(case):
            for _, message, _ in feed.send(change):
                if message is not None:
                    number, now = field(message, "OBR-3"), rank[field(message, "OBR-25")]
                    assert now >= highest.get(number, 0)
                    assert not now == highest.get(number) == 1
                    highest[number] = now


@pytest.mark.parametrize("case", CASES)
def test_a_life_says_in_one_line_what_it_shows(case: str) -> None:
    assert (HERE / "life" / case / "README.md").read_text().count("\n") == 1
