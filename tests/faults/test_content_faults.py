"""Faults of content, F51 to F58: odd texts, patient data and PDFs, all the way to the receiver.

HL7 v2.5.1 §2.7 (escape sequences), §2.15.9.18 (MSH-18); decisions D5, D14, D15, D24, D28. An independent parser,
python-hl7, reads the messages that a receiver got.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from contextlib import asynccontextmanager
from datetime import UTC
from unittest.mock import patch

import hl7
import pytest
from fakes.charts import change, generic, speak_of
from fakes.fed import assert_all_arrived, bodies, fed, site
from fakes.inbox import sample
from fakes.pdfs import pdf
from fakes.store import rows

from gateway.ingest import Pipeline, pdf_queue
from gateway.ingest.pdf_queue import PdfQueue
from gateway.routing import Routes
from gateway.runtime.errors import PdfInterrupted, PdfUnavailable
from gateway.runtime.metrics import Metrics
from gateway.store.stored_reports import Pdfs
from gateway.upstream.pdf_stream import begin
from mappings.issues import WireError

PLAIN = {"facilityName": "Sandbox General Hospital", "height": None, "weight": None, "mrn": "SBXGEN-4711"}


def parsed(body, charset="utf-8"):
    """Parse a message with python-hl7; check that it holds no framing bytes and no stray line breaks."""
    assert not set(body) & set(b"\x00\x0b\x1c\n")
    return hl7.parse(body.decode(charset))


def lines(message):
    """Return the lines of the report."""
    return [message.unescape(str(one[5])) for one in message.segments("OBX") if str(one[2]) == "TX"]


async def said(feed, text=None, **snapshot):
    """Sign a report with that text and that patient data, and ingest it."""
    signed = feed.account.sign_new(critical=False)
    speak_of(feed, signed.report_id, **{**PLAIN, **snapshot})
    if text is not None:
        change(feed, signed.report_id, reportPlainText=text)
    await feed.tell(signed.study_id)
    return signed


async def codes(feed, signed):
    """Return the issue codes that are stored for a study."""
    return {
        str(code) for (code,) in await rows(feed.engine, "SELECT code FROM issue WHERE study_id = ?", signed.study_id)
    }


SCRIPTS = "\u05e9\u05dc\u05d5\u05dd \u202eabc\u202c \U0001f9e0 e\u0301 \u6b63\u5e38"
# Signed text -> the lines that a receiver reads
ODD = {
    "delimiters": (r"a|b^c~d\e&f", [r"a|b^c~d\e&f"]),
    "escape sequences": (r"\F\ \.br\ \X0D\ \H\x\N\ \\", [r"\F\ \.br\ \X0D\ \H\x\N\ \\"]),
    "line ends": ("a\rb\nc\r\nd\x0ce\x0bf\x1cg\x85h\u2028i\u2029j", list("abcdefghij")),
    "controls": ("N\x00U\x01L\x07 D\x7fE\x9fL", ["NUL DEL"]),
    "segments": ("x\rOBX|9|TX|||\rMSH|^~\\&|", ["x", "OBX|9|TX|||", "MSH|^~\\&|"]),
    "scripts": (SCRIPTS, [SCRIPTS]),
    "lone surrogate": ("a\ud800b", ["a\ufffdb"]),
}


async def test_f51_every_character_is_read_as_it_was_signed(engine):
    async with fed(engine) as (feed, receiver), feed.serving():
        for text, _ in ODD.values():
            await said(feed, text)
        await feed.until(*["delivered"] * len(ODD))
        messages = [parsed(body) for body in bodies(receiver)]
        assert dict(zip(ODD, map(lines, messages), strict=True)) == {name: read for name, (_, read) in ODD.items()}
        assert {str(list(one)[-1][0]) for one in messages} == {"ZDS"}
        await assert_all_arrived(feed, receiver)


async def test_f52_what_latin_1_cannot_hold_is_spelled_out_and_never_turns_into_another_number(sqlite_engine):
    text = "Gr\xf6\xdfe 5 \xb5m \u2265 4, 10\u2076/l, \u201eso\u201c, \u6b63\u5e38, \u0141\xf3d\u017a"
    async with fed(sqlite_engine, receiver=generic(charset="8859/1")) as (feed, receiver), feed.serving():
        await said(feed, text)
        await feed.until("delivered")
        message = parsed(bodies(receiver)[0], "latin-1")
        assert str(message.segment("MSH")[18]) == "8859/1"
        assert lines(message) == ['Gr\xf6\xdfe 5 \xb5m >= 4, 10^6/l, "so", ??, L\xf3dz']
        await assert_all_arrived(feed, receiver)


LONG = {
    "1 MB": "0123456789abcde " * 65_536,
    "5,000 lines": "\n".join(f"line {number}" for number in range(5_000)),
    "a line of 10,000 characters": "z" * 10_000,
}


async def test_f53_no_text_is_too_long(engine):
    async with fed(engine) as (feed, receiver), feed.serving():
        for text in LONG.values():
            await said(feed, text)
        await feed.until(*["delivered"] * len(LONG))
        read = [lines(parsed(body)) for body in bodies(receiver)]
        assert read == [text.split("\n") for text in LONG.values()]
        await assert_all_arrived(feed, receiver)


async def test_f53_a_report_without_a_text_says_that_it_has_none(sqlite_engine):
    async with fed(sqlite_engine) as (feed, receiver), feed.serving():
        for text in ("", "  \n\t ", None):
            signed = feed.account.sign_new(critical=False)
            await feed.tell(change(feed, signed.report_id, reportPlainText=text))
        await feed.until(*["delivered"] * 3)
        assert [lines(parsed(body)) for body in bodies(receiver)] == [["(AutoScribe sent no report text)"]] * 3
        await assert_all_arrived(feed, receiver)


class Shelf:
    """AutoScribe's PDFs: for each report in turn its pieces, or an error in place of one; None never arrives."""

    def __init__(self, every):
        self._left, self._of = list(every), {}

    @asynccontextmanager
    async def stream_pdf(self, report_id):
        pieces = self._of[report_id] if report_id in self._of else self._of.setdefault(report_id, self._left.pop(0))
        yield await begin({}, self._chunks(pieces), 2**30)

    async def _chunks(self, pieces):
        for piece in pieces:
            if piece is None:
                await asyncio.Event().wait()
            if isinstance(piece, Exception):
                raise piece
            yield piece


@asynccontextmanager
async def with_pdfs(engine, *every, wait=60.0, way="ed"):
    """Run a feed to a receiver that takes PDFs and waits that long for them, with the queue that fetches PDFs."""
    async with fed(engine, receiver=generic(pdf=way), input_wait=wait) as (feed, receiver), feed.serving():
        feed.pipeline = Pipeline(engine, site(), UTC, routes=Routes(feed.destinations))
        with patch.multiple(pdf_queue, ATTEMPTS=2, CONCURRENCY=8):
            queue = PdfQueue(Pdfs(engine), Shelf(every).stream_pdf, feed.pipeline.refresh, Metrics())
            task = asyncio.create_task(queue.run())
            yield feed, receiver
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def remarks(feed):
    """Return the PDF remarks of each message; check that metric and log count all remarks."""
    remarks_by_message = [
        one.split() for (one,) in await rows(feed.engine, "SELECT remarks FROM message ORDER BY number")
    ]
    for code in {code for one in remarks_by_message for code in one}:
        count = sum(code in one for one in remarks_by_message)
        assert sample(feed.metrics, "feed_remarks_total", destination="ehr", code=code) == count
        lines = [one for one in feed.logs if (one["event"], one.get("code")) == ("message-remarked", code)]
        assert sum(one["count"] for one in lines) == count
    return [[code for code in one if code.startswith("pdf-")] for one in remarks_by_message]


def pdfs(message):
    """Return the PDFs of a message."""
    return [b64decode(str(one[5][0][4])) for one in message.segments("OBX") if str(one[2]) == "ED"]


async def test_f54_a_pdf_that_comes_in_time_goes_with_its_text(engine):
    data = pdf(300_000)
    async with with_pdfs(engine, [data[:1_000], data[1_000:]]) as (feed, receiver):
        await said(feed, "FINDINGS: seen.")
        await feed.until("delivered")
        message = parsed(bodies(receiver)[0])
        assert pdfs(message) == [data]
        assert lines(message) == ["FINDINGS: seen."]
        assert await remarks(feed) == [[]]
        await assert_all_arrived(feed, receiver)


FAILING = {
    "0 bytes": [],
    "not a PDF": [b"<html>Access denied</html>"],
    "truncated": [pdf(2_000), PdfInterrupted("GET the PDF")],
    "link expired": [PdfUnavailable("GET the PDF", status=403)],
    "slow": [pdf(2_000), None],
}


async def test_f54_a_pdf_that_cannot_be_had_keeps_no_text_back(sqlite_engine):
    async with with_pdfs(sqlite_engine, *FAILING.values(), wait=0.7) as (feed, receiver):
        for fault in FAILING:
            await said(feed, f"FINDINGS: {fault}.")
        await feed.until(*["delivered"] * len(FAILING))
        messages = [parsed(body) for body in bodies(receiver)]
        assert [pdfs(one) for one in messages] == [[]] * len(FAILING)
        assert sorted(line for one in messages for line in lines(one)) == sorted(f"FINDINGS: {one}." for one in FAILING)
        assert not await rows(feed.engine, "SELECT 1 FROM pdf WHERE state = 'kept'")
        assert await remarks(feed) == [["pdf-absent"]] * len(FAILING)
        await assert_all_arrived(feed, receiver)


async def test_f54_a_pdf_that_is_too_large_for_the_receiver_is_left_out_as_soon_as_that_is_known(sqlite_engine):
    async with with_pdfs(sqlite_engine, [pdf(1_000_000)] * 25) as (feed, receiver):
        await said(feed, "FINDINGS: seen.")
        await feed.until("delivered")
        assert [tuple(one) for one in await rows(feed.engine, "SELECT state, size FROM pdf")] == [("kept", 25_000_000)]
        assert (pdfs(message := parsed(bodies(receiver)[0])), lines(message)) == ([], ["FINDINGS: seen."])
        assert await remarks(feed) == [["pdf-too-large"]]
        await assert_all_arrived(feed, receiver)


async def test_f54_a_pdf_that_was_to_be_a_message_of_its_own_is_missed_beside_the_text(engine):
    async with with_pdfs(engine, FAILING["link expired"], wait=0.5, way="separate_message") as (feed, receiver):
        await said(feed, "FINDINGS: seen.")
        await feed.until("delivered")
        assert await remarks(feed) == [["pdf-absent"]]
        assert await rows(engine, "SELECT reason, ack FROM message") == [("", "AA")]
        await assert_all_arrived(feed, receiver)


async def test_f54_a_critical_result_waits_for_no_pdf(sqlite_engine):
    async with with_pdfs(sqlite_engine, [None]) as (feed, receiver):
        signed = feed.account.sign_new(critical=True)
        await feed.tell(signed.study_id)
        await feed.until("delivered")
        assert pdfs(parsed(bodies(receiver)[0])) == []
        await assert_all_arrived(feed, receiver)


MISSING = {
    "mrn": ({"mrn": None}, 3, "mrn-absent"),
    "name": ({"patientName": None}, 5, "patient-name-absent"),
    "birth date": ({"dateOfBirth": None}, 7, None),
}


async def test_f55_a_report_is_sent_though_something_of_its_patient_is_not_said(engine):
    async with fed(engine) as (feed, receiver), feed.serving():
        for number, (snapshot, field, code) in enumerate(MISSING.values(), start=1):
            signed = await said(feed, "FINDINGS: seen.", **snapshot)
            await feed.until(*["delivered"] * number)
            value = str(parsed(bodies(receiver)[-1]).segment("PID")[field])
            assert "4711" not in value
            assert '""' not in value, "nothing said deletes nothing"
            assert code in {None, *await codes(feed, signed)}
        await assert_all_arrived(feed, receiver)


async def test_f55_a_report_without_a_time_of_signing_is_sent_without_one(sqlite_engine):
    async with fed(sqlite_engine) as (feed, receiver), feed.serving():
        signed = feed.account.sign_new(critical=False)
        await feed.tell(change(feed, signed.report_id, signedAt=None))
        await feed.until("delivered")
        message = parsed(bodies(receiver)[0])
        assert (str(message.segment("OBR")[22]), str(message.segment("OBR")[25])) == ("", "F")
        assert "signed-at-absent" in await codes(feed, signed)
        await assert_all_arrived(feed, receiver)


async def test_f55_a_study_without_a_uid_is_taken_in_once_it_has_one_and_holds_up_no_other(sqlite_engine):
    async with fed(sqlite_engine) as (feed, receiver), feed.serving():
        signed = feed.account.sign_new(critical=False)
        uid = feed.account.studies[signed.study_id]["studyInstanceUid"]
        feed.account.change_study(signed.study_id, studyInstanceUid=None)
        with pytest.raises(WireError, match="/studyInstanceUid"):
            await feed.tell(signed.study_id)
        await feed.sign(critical=False)
        await feed.until("delivered")
        feed.account.change_study(signed.study_id, studyInstanceUid=uid)
        await feed.tell(signed.study_id)
        await feed.until("delivered", "delivered")
        await assert_all_arrived(feed, receiver)


NAMES = {
    "Testonly": "Testonly",
    "A,B,C,D,E,F": "A,B,C,D,E,F",
    "DOE^JOHN^Q^JR^DR^MD": "DOE^JOHN^Q^JR^DR^MD",
    "7 of 9 2nd": "7 of 9 2nd",
    r"|^~\&": r"\F\\S\\R\\E\\T\^",
}


async def test_f56_a_name_in_any_form_reaches_the_receiver_whole(sqlite_engine):
    async with fed(sqlite_engine) as (feed, receiver), feed.serving():
        for name in NAMES:
            await said(feed, "FINDINGS: seen.", patientName=name)
        await feed.until(*["delivered"] * len(NAMES))
        sent = [str(parsed(body).segment("PID")[5]) for body in bodies(receiver)]
        assert [one for one in zip(sent, NAMES.values(), strict=True) if not one[0].startswith(one[1])] == []
        await assert_all_arrived(feed, receiver)


# Changed fields -> PID-7, OBR-7 and the issue
TIMES = {
    "birth in the future": ({"dateOfBirth": "2199-01-01"}, "21990101", "20260203100000-0500", "birth-date-after-study"),
    "impossible birth": ({"dateOfBirth": "7321-69-10"}, "", "20260203100000-0500", "birth-date-impossible"),
    "24:00": ({"studyTime": "24:00"}, "19700101", "20260203", "study-time-impossible"),
    "an hour that never was": (
        {"studyDate": "2026-03-08", "studyTime": "02:30"}, "19700101", "20260308", "study-time-ambiguous",
    ),
    "an hour that came twice": (
        {"studyDate": "2026-11-01", "studyTime": "01:30"}, "19700101", "20261101", "study-time-ambiguous",
    ),
}  # fmt: skip


async def test_f57_a_time_that_cannot_be_is_not_made_up(sqlite_engine):
    usual = {"studyDate": "2026-02-03", "studyTime": "10:00", "dateOfBirth": "1970-01-01"}
    async with fed(sqlite_engine) as (feed, receiver), feed.serving():
        every = [await said(feed, "FINDINGS: seen.", **{**usual, **one[0]}) for one in TIMES.values()]
        await feed.until(*["delivered"] * len(TIMES))
        messages = [parsed(body) for body in bodies(receiver)]
        sent = [(str(one.segment("PID")[7]), str(one.segment("OBR")[7])) for one in messages]
        assert sent == [(born, taken) for _, born, taken, _ in TIMES.values()]
        assert all([one[3] in await codes(feed, signed) for one, signed in zip(TIMES.values(), every, strict=True)])
        await assert_all_arrived(feed, receiver)


HEIGHTS = {
    "170 cm": ({"unit": "cm", "value": 170}, ["170"]),
    "0 cm": ({"unit": "cm", "value": 0}, []),
    "9,999 cm": ({"unit": "cm", "value": 9999}, []),
    "no unit": ({"unit": "", "value": 170}, []),
    "an unknown unit": ({"unit": "furlong", "value": 170}, []),
}


async def test_f58_a_height_that_cannot_be_is_left_out_and_nothing_else_is(sqlite_engine):
    async with fed(sqlite_engine, receiver=generic(vitals="on")) as (feed, receiver), feed.serving():
        every = [await said(feed, "FINDINGS: seen.", height=height) for height, _ in HEIGHTS.values()]
        await feed.until(*["delivered"] * len(HEIGHTS))
        messages = [parsed(body) for body in bodies(receiver)]
        sent = [[str(obx[5]) for obx in one.segments("OBX") if str(obx[2]) == "NM"] for one in messages]
        assert sent == [numbers for _, numbers in HEIGHTS.values()]
        assert [lines(one) for one in messages] == [["FINDINGS: seen."]] * len(HEIGHTS)
        doubted = [await codes(feed, one) & {"measurement-impossible", "unit-unknown"} for one in every]
        assert [not numbers for _, numbers in HEIGHTS.values()] == list(map(bool, doubted))
        await assert_all_arrived(feed, receiver)
