"""Law of decision D22: no alert points to a sentence that was taken back, in any layout of HL7 v2, nor in FHIR.

HL7 v2.5.1 §7.4.2.8, https://hl7.org/fhir/R4/observation-definitions.html#Observation.status. For each original with its
addenda, the first flagged line is never older than their newest signed word. A report is known by the header above it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple, get_args

from fakes import er7_reader
from fakes.addenda import Life, life, words_of
from fakes.destination import AT, Destination, Feed, Result, flagged_lines
from fakes.er7_reader import segments
from fakes.oru_example import SITE, report, send, study
from fakes.scale import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings import to_fhir, to_oru
from mappings.life.changes import Known, changes
from mappings.life.status import is_withdrawn
from mappings.model import Cause, Report, Study
from mappings.profile import RECEIVERS, OnCancelled, Receiver, Site, conflicts, receiver, switches
from mappings.sections import cut
from mappings.study.conclusion import FLAG_OF
from mappings.study.newest_word import newest_first

LIMITS = settings(max_examples=examples(150))
HEADER = re.compile(r"(?:ADDENDUM|REPORT) \((\d{2}-\w{3}-\d{4} \d{2}:\d{2} -\d{4})")
NEW_WORD = "O9other"
KINDS = ("signed", "addendum_signed", "text_changed", "critical_changed", "replay")
STYLES = ("text", "obx3_style", "blank_line", "wrap", "addendum", "addendum_obx3", "critical")


class Line(NamedTuple):
    """An OBX of the text: when the report under whose header it stands was signed, if it is flagged, and its text."""

    signed: datetime
    is_flagged: bool
    text: str


@st.composite
def lives(draw: st.DrawFn) -> Life:
    return life(lambda things: draw(st.sampled_from(things)))


@st.composite
def profiles(draw: st.DrawFn) -> Receiver:
    """Draw each profile of this package with any form of text, layout of addenda and mark of a critical result."""
    turned = {name: draw(st.sampled_from(switches()[name].metadata["values"])) for name in STYLES}
    code = "RID49480^Category 1^RadLex" if turned["critical"] == "obx15_rid" else ""
    asked = receiver(draw(st.sampled_from(RECEIVERS)))
    made = replace(asked, vista_exam="off", vista_patient="off", **{**turned, "critical_code": code})
    return made if not conflicts(made) else replace(made, escape="full", addendum_obx3="impression")


def minute(report: Report) -> datetime:
    """Time of signing as the headers have it: to the minute."""
    return datetime.fromisoformat((report.signed_at or "").replace("Z", "+00:00")).replace(second=0)


def marked_lines(message: bytes, to: Receiver, alone: Report) -> Iterator[Line]:
    """Read the lines of the text; without a header they are of the only report."""
    signed = minute(alone)
    rows = segments(message)
    for row, following in zip(rows, [*rows[1:], ["END"]], strict=True):
        if row[0] != "OBX" or row[2] not in ("TX", "FT", "ST") or row[3].startswith("113014"):
            continue
        text = row[5].replace("\\.br\\", "\n").replace("~", "\n")
        if found := HEADER.match(text):
            signed = datetime.strptime(found[1], "%d-%b-%Y %H:%M %z")
        is_noted = following[0] == "NTE" and following[3] == "CRITICAL RESULT"
        yield Line(signed, is_noted if to.critical == "nte" else row[8].startswith("AA"), text)


def messages(what: Study, to: Receiver, kind: str, *, is_sent: bool) -> Iterator[tuple[list[Line], list[datetime]]]:
    """Write the message of each report; yield its lines, and when the reports in it were signed."""
    for one in what.reports:
        made = send(what, to=to, report_id=one.report_id, kind=kind, sent_before=is_sent, accession="ACC1").output
        if made is not None:
            lines = list(marked_lines(made, to, one))
            yield lines, sorted({line.signed for line in lines})


@LIMITS
@given(lives(), profiles(), st.sampled_from(KINDS), st.booleans())
def test_the_first_flagged_line_of_a_report_and_its_addenda_is_never_older_than_their_newest_word(
    lived: Life, to: Receiver, kind: str, is_sent: bool
) -> None:
    critical = [minute(one) for one in lived.study.reports if one.is_critical]
    for lines, carried in messages(lived.study, to, kind, is_sent=is_sent):
        flagged = [line for line in lines if line.is_flagged]
        if to.critical == "none" or not any(moment <= carried[-1] for moment in critical):
            assert not flagged
            assert not any(FLAG_OF in line.text for line in lines)
            continue
        assert flagged[0].signed == carried[-1]
        if carried[-1] not in critical:
            assert any(f"{FLAG_OF} " in line.text and line.signed == carried[-1] for line in lines)


@LIMITS
@given(lives(), profiles())
def test_a_report_whose_text_changed_after_all_its_addenda_leads_with_its_own_flag_alone(
    lived: Life, to: Receiver
) -> None:
    original, *addenda = lived.study.reports
    changed = replace(original, text_changed_at="2026-01-25T12:00:00Z")
    what = replace(lived.study, reports=(changed, *addenda))
    for lines, _ in messages(what, replace(to, addendum="replace"), "text_changed", is_sent=True):
        flagged = [line for line in lines if line.is_flagged]
        assert lines[0].signed == minute(original)
        assert any(line.signed == minute(original) for line in flagged[:1]) is (
            to.critical != "none" and original.is_critical is True
        )
        assert bool(flagged) is (to.critical != "none" and any(one.is_critical for one in what.reports))


@LIMITS
@given(lives(), st.sampled_from((True, False, None)), profiles())
def test_no_report_is_flagged_for_another_to_which_it_is_not_known_to_belong(
    lived: Life, critical: bool | None, to: Receiver
) -> None:
    """A second original makes the parent of each addendum unclear, unless its text is in the addendum."""
    other = report(
        reportId="rep_" + "9" * 32,
        signedAt="2026-01-20T12:00:00Z",
        reportPlainText=f"IMPRESSION: {NEW_WORD} is broken.",
        isCritical=critical,
    )
    another = study(other).reports[0]
    what = replace(lived.study, reports=(lived.study.reports[0], another, *lived.study.reports[1:]))
    for lines, _ in messages(what, to, "text_changed", is_sent=True):
        for one in what.reports:
            is_flagged = any(line.is_flagged and line.signed == minute(one) for line in lines)
            others = [each for each in what.reports if each.is_critical and is_known_to_follow(one, each, what)]
            assert not is_flagged or one.is_critical or others


def is_known_to_follow(one: Report, other: Report, what: Study) -> bool:
    """True for an addendum that contains the other report, or an original that the other contains."""
    originals = [each for each in what.reports if not each.is_addendum and (each.text or "") in (other.text or "")]
    return one.is_addendum and any((each.text or "") in (one.text or "") for each in (other, *originals))


@LIMITS
@given(lives())
def test_nothing_older_than_the_newest_addendum_stands_alone_as_final_in_fhir(lived: Life) -> None:
    """Nor than any other addendum: all that are newer stand first, the newest of them first."""
    ids = [one.report_id.replace("_", "-") for one in lived.study.reports]
    last = ids[-1]
    for one in to_fhir(lived.study, SITE).output:
        places = [place for place, own in enumerate(ids) if one["id"].startswith(own)]
        newer = [word for place in places for word in reversed(lived.addenda[place:])]
        is_older = bool(newer)
        if one["resourceType"] == "DiagnosticReport":
            assert one["status"] == ("final" if not is_older else "amended" if is_addendum(one) else "appended")
            assert words_of(one.get("conclusion", ""))[: len(newer)] == newer
        elif one["resourceType"] == "DocumentReference":
            assert one["docStatus"] == ("amended" if is_older else "final")
            assert not is_older or last in one["content"][0]["attachment"]["url"]
        elif one["resourceType"] == "Observation" and "valueString" in one:
            assert one["status"] == ("amended" if is_older else "final")
            assert words_of(one["valueString"])[: len(newer)] == newer


@LIMITS
@given(lives())
def test_no_addendum_stands_alone_as_final_in_fhir_once_its_report_changed(lived: Life) -> None:
    original, *addenda = lived.study.reports
    changed = replace(original, text_changed_at="2026-01-25T12:00:00Z")
    ids = {one.report_id.replace("_", "-") for one in addenda}
    for one in to_fhir(replace(lived.study, reports=(changed, *addenda)), SITE).output:
        if any(map(one["id"].startswith, ids)) and one["resourceType"] in ("DiagnosticReport", "Observation"):
            said = one.get("conclusion") or one.get("valueString")
            assert said is None or (one["status"], said[: len("REPORT (")]) == ("amended", "REPORT (")


def is_addendum(resource: dict[str, object]) -> bool:
    return "'valueBoolean': True" in str([one for one in resource["extension"] if "isAddendum" in one["url"]])  # type: ignore[attr-defined]


@LIMITS
@given(lives())
def test_a_flag_in_fhir_is_the_reports_own_and_says_whose_it_is_where_an_addendum_stands_first(lived: Life) -> None:
    critical = {one.report_id.replace("_", "-") for one in lived.study.reports if one.is_critical}
    last = lived.study.reports[-1].report_id.replace("_", "-")
    flagged = [one for one in to_fhir(lived.study, SITE).output if "interpretation" in one]
    assert {one["id"].rpartition("-")[0] for one in flagged} == critical
    for one in flagged:
        assert one["valueString"].partition("\n")[2].startswith(FLAG_OF) is (last not in one["id"])


@st.composite
def histories(draw: st.DrawFn) -> list[Study]:
    """Draw versions of a study: texts change with a date or without, flags and cancellations come and go."""
    what = draw(lives()).study
    versions = [replace(what, reports=what.reports[:1]), what]
    for number in range(1, draw(st.integers(1, 6)) + 1):
        reports, act = list(what.reports), draw(st.sampled_from(("text", "undated", "flag", "addendum", "study")))
        place = draw(st.integers(0, len(reports) - 1))
        one = reports[place]
        if act == "addendum" and one.is_addendum:
            del reports[place]
        elif act == "flag":
            reports[place] = replace(one, is_critical=not one.is_critical)
        elif act in ("text", "undated"):
            text = f"IMPRESSION: O{number}changed is seen."
            at = f"2026-01-2{number}T12:00:00Z" if act == "text" else one.updated_at
            reports[place] = replace(one, text=text, sections=cut(text), updated_at=at)
        what = replace(what, reports=tuple(reports), is_cancelled=bool(what.is_cancelled) is not (act == "study"))
        versions.append(what)
    return versions


def told(versions: list[Study], to: Receiver, site: Site) -> Iterator[tuple[dict[str, Result], dict[str, list[str]]]]:
    """Yield what stands at a destination after each version, and the flagged lines that a message would have now."""
    feed, destination, known = Feed(to, site), Destination(), Known()
    before: Study | None = None
    for number, now in enumerate(versions):
        gone = {one.report_id for earlier in versions[:number] for one in earlier.reports if one.is_addendum}
        cancelled = frozenset(gone - {one.report_id for one in now.reports})
        change = changes(before, now, site, replace(known, cancelled=cancelled, at=AT))
        for sent in feed.send(change):
            destination.receive(sent.message)
        before, known, afresh = change.study, change.known, {}
        for one in () if is_withdrawn(before, site) else before.completed:
            cause = Cause(one.report_id, "replay", sent_before=True)
            message = to_oru(before, cause, site, to, feed.facts(change), control_id="1", at=AT).output
            assert message is not None
            afresh[er7_reader.field(message, "OBR-3")] = flagged_lines(message)
        yield destination.results, afresh


@LIMITS
@given(histories(), st.sampled_from(("replace", "append", "new_order")), st.sampled_from(get_args(OnCancelled)))
def test_the_flags_that_stand_at_a_destination_are_those_of_the_present_study(
    versions: list[Study], addendum: str, policy: OnCancelled
) -> None:
    """Whichever report changed. At a receiver that appends, older flags stay until no report is critical."""
    to, site = replace(receiver("generic"), addendum=addendum), replace(SITE, on_cancelled_after_sign=policy)
    for standing, afresh in told(versions, to, site):
        for number, lines in afresh.items():
            stands = standing[number].flagged
            assert set(lines) <= set(stands) if addendum == "append" and lines else lines == stands


@LIMITS
@given(histories(), profiles())
def test_a_report_that_changed_stands_before_the_addenda_known_by_then_with_or_without_a_date(
    versions: list[Study], to: Receiver
) -> None:
    before: Study | None = None
    for now in versions:
        change = changes(before, now, SITE, Known(at=AT))
        texts = {one.report_id: one.text for one in before.reports} if before else {}
        changed = [one for one in change.study.completed if texts.get(one.report_id, one.text) != one.text]
        issues = [one.code for one in change.issues]
        for one in changed:
            assert newest_first(change.study.completed)[0].report_id == one.report_id
            assert one.is_change_dated or "text-change-undated" in issues
        before = change.study
