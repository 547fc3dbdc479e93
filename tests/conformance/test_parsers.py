"""Third-party parsers read our messages correctly (HL7 v2.5.1 §2.5, §2.7.1).

MSH-9, PID-3, PID-5, OBR-3, OBR-25 and the report's text of every message to every kind of receiver. Needs Node.js with
npm, and a JDK with Maven, for the parsers in JavaScript and Java.
"""

from __future__ import annotations

import sys
from collections import Counter
from functools import cache

import pytest
from conformance.corpus import SEEDED, Case, Message, cases, messages
from conformance.outside_parsers import PARSERS, WAIVERS, mended
from conformance.reading import Reading, read, summary
from fakes.scale import IS_WHOLE

from mappings.profile import RECEIVERS, receiver
from mappings.values.text import lines

pytestmark = pytest.mark.timeout(600)


# hl7apy takes as long as all others: unless the run is whole, it reads each fourth message of the seeded studies
SLOW = {"hl7apy": 1 if IS_WHOLE else 4}


@cache
def read_by(parser: str) -> list[Message]:
    """Return the messages that a parser reads."""
    each = SLOW.get(parser, 1)
    return [one for number, one in enumerate(messages()) if number % each == 0 or not one.case.startswith("seed/")]


@cache
def readings(parser: str) -> list[Reading]:
    """Return a parser's reading of each message, in the order of `read_by`; equal messages are read once."""
    texts = list(dict.fromkeys(one.text for one in read_by(parser)))
    found = dict(zip(texts, PARSERS[parser](texts), strict=True))
    return [found[one.text] for one in read_by(parser)]


def differing(parser: str, left_out: str = "", receiver_name: str = "") -> list[str]:
    """The messages that a parser reads otherwise, with the waivers that it has but one."""
    waivers = [one for one in WAIVERS if one.parser == parser and one.reason != left_out]
    return [
        f"{message.receiver}: {message.case}"
        for message, theirs in zip(read_by(parser), readings(parser), strict=True)
        if receiver_name in ("", message.receiver)
        and summary(mended(theirs, waivers)) != summary(mended(read(message.text), waivers, ours=True))
    ]


@pytest.mark.parametrize("name", RECEIVERS)
@pytest.mark.parametrize("parser", PARSERS)
def test_a_parser_reads_every_message_as_it_is_meant(parser: str, name: str) -> None:
    assert differing(parser, receiver_name=name) == []


@pytest.mark.parametrize("parser", PARSERS)
def test_a_parser_reads_every_form_that_text_can_take(parser: str) -> None:
    assert differing(parser) == []


@pytest.mark.parametrize("waiver", WAIVERS, ids=lambda one: f"{one.parser}: {one.reason}")
def test_a_waiver_is_still_needed(waiver) -> None:
    assert differing(waiver.parser, left_out=waiver.reason) != []


def test_a_message_that_is_read_otherwise_is_noticed() -> None:
    """Without this, equal readings would prove nothing."""
    text = next(one.text for one in messages() if (one.receiver, one.case) == ("generic", "golden/final-ct"))
    for ours, theirs in (("|F|", "|C|"), ("^MR", "^PI"), ("OBX|1|TX|", "OBX|1|NM|"), ("FINDINGS", "FINDING")):
        assert ours in text
        assert summary(read(text)) != summary(read(text.replace(ours, theirs)))


@pytest.mark.parametrize("case", [one for one in cases() if not one.name.startswith("seed/")], ids=lambda one: one.name)
def test_the_lines_of_a_message_are_those_of_the_text_that_was_signed(case: Case) -> None:
    """The reading that parsers are compared with is itself right: N(text), of every report that stands alone."""
    study = case.study()
    if len(study.completed) != 1 or study.completed[0].is_addendum or not (study.completed[0].text or "").strip():
        return
    (message,) = case.messages(receiver("generic"))
    (order,) = summary(read(message))["orders"]
    meant = ["" if line == " " else line for line in lines(study.completed[0].text or "")]
    assert [line.replace('"" ', '""') for line in order["text"]] == [line.replace('"" ', '""') for line in meant]


def test_there_are_messages_enough() -> None:
    generic = [one for one in messages() if one.receiver == "generic"]
    assert len([one for one in generic if one.case.startswith("seed/")]) >= SEEDED * 3 // 4
    assert len([one for one in generic if one.case.startswith("golden/")]) >= 25


def test_the_parsers_and_what_they_read_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    waivers = Counter(one.parser for one in WAIVERS)
    rows = [f"{parser:<16}{len(readings(parser)):>10}{waivers[parser]:>10}\n" for parser in PARSERS]
    with capsys.disabled():
        sys.stdout.write(f"\n{'parser':<16}{'messages':>10}{'waivers':>10}\n" + "".join(rows))
    assert waivers.keys() <= PARSERS.keys()
