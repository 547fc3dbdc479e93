"""Laws of ORU^R01, tried on any text and on anything the upstream may send (HL7 v2.5.1 §2.5 to §2.7; D2, D4, D5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import hl7
from fakes import er7_reader
from fakes.oru_example import report, sent, study
from fakes.patients import patients
from fakes.scale import examples
from fakes.wire_strategies import REPORT_TEXTS, studies
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mappings import decode, to_oru
from mappings.hl7v2.judge import judge_message
from mappings.model import Cause, Facts, Study
from mappings.profile import Site, parse_site, receiver
from mappings.study.conclusion import ABSENT
from mappings.values.text import normal_form

SITE = parse_site("""
[mapping]
on_conflict = "send"
sending_facility = "CLINIC"
[[mapping.facilities]]
name = "Mercy"
code = "MERCY"
time_zone = "America/New_York"
name_order = "given_family"
mrn_system = "urn:oid:1.2.3"
mrn_namespace = "MERCY"
[[mapping.facilities]]
name = "City Medical Center"
external_patient_id_system = "urn:oid:1.2.4"
external_patient_id_namespace = "CMC"
""")
AT = datetime(2026, 1, 5, 16, 30, 14, tzinfo=UTC)
GENERIC = receiver("generic")
LIMITS = settings(max_examples=examples(60))
PIECES = st.sampled_from(
    (
        *(
            "FINDINGS:",
            "IMPRESSION:",
            "TECHNIQUE: ",
            "ADDENDUM\n",
            " ",
            "\n",
            "\r\n",
            "\r",
            "\x0b\x1c",
            "\x0c",
            "\t",
            "\x85",
        ),
        *(
            "\u2028",
            ". ",
            "|",
            "^",
            "~",
            "&",
            "\\",
            "\\.br\\",
            '""',
            "\x00",
            "\ud800",
            "a",
            "IMPRESSION - b",
            "MSH|^~\\&|",
        ),
    )
)
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=25).map("".join), st.sampled_from(REPORT_TEXTS))


def said(text: str) -> str:
    """N(text), or the line that replaces a blank text."""
    form = normal_form(text)
    return form if form.strip() else ABSENT


def readable(text: str) -> str:
    """N(text) as any reader gets it: a line of one blank is an empty line, and a line of `""` has a blank after it."""
    form = said(text)
    return "\n".join({" ": "", '""': '"" '}.get(line, line) for line in form.split("\n"))


def message_of(text: str, *, is_critical: bool = False) -> bytes:
    return sent(study(report(reportPlainText=text, isCritical=is_critical)))


@LIMITS
@given(TEXTS, st.booleans())
@example("FINDINGS: a. IMPRESSION: b", True)
@example('""', False)
@example("FINDING:\tFINDING:0", True)
@example(" \n ", False)
def test_any_text_reads_back_as_its_normal_form(text: str, is_critical: bool) -> None:
    message = message_of(text, is_critical=is_critical)
    assert "\n".join(er7_reader.lines(message)) == readable(text)
    marks = [row[8] for row in er7_reader.all_of(message, "OBX")]
    assert ("AA" in marks) is (is_critical and any(said(text).split("\n")))


@LIMITS
@given(TEXTS)
def test_the_hl7_package_reads_any_text_back(text: str) -> None:
    parsed = hl7.parse(message_of(text).decode())
    values = [str(row[5]) for row in parsed.segments("OBX")]
    assert "\n".join("" if value == " " else parsed.unescape(value) for value in values) == readable(text)


@settings(max_examples=25)
@given(TEXTS)
def test_hl7apy_reads_any_text_back(text: str) -> None:
    """hl7apy strips lines of white space alone, and leaves escape sequences to its caller."""
    parsed = parse_message(message_of(text).decode(), validation_level=VALIDATION_LEVEL.TOLERANT)
    values = [er7_reader.unescape(row.obx_5.to_er7()) for row in observations(parsed)]
    assert [value.rstrip() for value in values] == [line.rstrip() for line in readable(text).split("\n")]


def observations(element: Any) -> Iterator[Any]:
    for child in element.children:
        if child.name == "OBX":
            yield child
        elif child.classname == "Group":
            yield from observations(child)


@LIMITS
@given(TEXTS)
def test_no_control_character_but_the_end_of_a_segment_ever_gets_out(text: str) -> None:
    mrn = text if text.count("^") < 3 else text.replace("^", "&")  # a number of another authority is held
    everything = study(
        report(
            reportPlainText=text, snapshot={"patientName": text, "mrn": mrn, "procedure": text, "facilityName": text}
        ),
        clinicalIndication=text,
        externalPatientId=text,
    )
    message = sent(everything, accession=text)
    assert not re.search(rb"[\x00-\x0c\x0e-\x1f\x7f]", message)
    names = [segment[0] for segment in er7_reader.segments(message)]
    assert set(names) == {"MSH", "PID", "PV1", "ORC", "OBR", "TQ1", "OBX", "ZDS"}
    assert [names.count(name) for name in ("MSH", "PID", "PV1", "ORC", "OBR", "TQ1", "ZDS")] == [1] * 7


def messages(what: Study, site: Site, *, sent_before: bool = False) -> Iterator[bytes | None]:
    for one in what.reports:
        cause = Cause(one.report_id, sent_before=sent_before)
        yield to_oru(what, cause, site, GENERIC, Facts(), control_id="1", at=AT).output


@LIMITS
@given(studies(), st.sampled_from((SITE, Site(on_conflict="send"))), st.booleans())
def test_any_study_the_wire_allows_gives_a_message_for_each_signed_report_and_none_else(
    wire: Any, site: Site, sent_before: bool
) -> None:
    what = decode(*wire)
    made = list(messages(what, site, sent_before=sent_before))
    assert made == list(messages(what, site, sent_before=sent_before))
    for one, message in zip(what.reports, made, strict=True):
        assert (message is not None) is (one.is_completed and what.study_type != "external")


@settings(max_examples=30)
@given(studies(), st.sampled_from((SITE, Site(on_conflict="send"))))
def test_the_judge_finds_nothing_but_lengths_in_any_message(wire: Any, site: Site) -> None:
    for message in messages(decode(*wire), site):
        faults = judge_message(message) if message else ()
        assert {fault.code for fault in faults} <= {"length-exceeded"}


@LIMITS
@given(studies(), st.sampled_from((SITE, Site(on_conflict="send"))))
def test_every_signed_report_is_in_exactly_one_restatement_and_each_has_its_own_number(wire: Any, site: Site) -> None:
    what = replace(decode(*wire), study_type=None)
    groups = patients(what, site)
    assert sorted(one.report_id for group in groups for one in group) == sorted(one.report_id for one in what.completed)
    numbers = []
    for group in groups:
        made = [to_oru(what, Cause(one.report_id), site, GENERIC, control_id="1", at=AT) for one in group]
        found = {er7_reader.field(one.output, "OBR-3") for one in made if one.output}
        is_held = all("mrn-unreadable" in {issue.code for issue in one.issues} for one in made)
        assert len(found) == (0 if is_held else 1)
        numbers += found
    assert len(set(numbers)) == len(numbers)


@LIMITS
@given(studies(), st.sampled_from((SITE, Site(on_conflict="send"))))
def test_no_issue_holds_a_value(wire: Any, site: Site) -> None:
    what = replace(decode(*wire), study_type=None)
    for one in what.completed:
        marked = replace(
            what,
            reports=tuple(
                replace(
                    other,
                    snapshot=replace(other.snapshot, patient_name="Xq7Canary", procedure="Xq7Canary", mrn="Xq7Canary"),
                    text="Xq7Canary\x00",
                )
                for other in what.reports
            ),
        )
        mapped = to_oru(marked, Cause(one.report_id), site, GENERIC, control_id="1", at=AT)
        assert "Xq7Canary" not in "".join(map(str, mapped.issues))
