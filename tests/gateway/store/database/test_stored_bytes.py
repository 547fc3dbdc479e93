"""Rows of the database: what is stored compressed is read as it was, whichever release wrote it."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.runtime.errors import RowUnreadable
from gateway.store.compression.dictionaries import DICTIONARIES, number_for
from gateway.store.database.kept import compressed, decompressed, served_version, stored_version

KINDS = [*(one.kind for one in DICTIONARIES), "Basic"]
HEAD = b'{"resourceType":"DiagnosticReport","id":"rep-1","meta":{'
STAMP = b'"versionId":"3","lastUpdated":"1970-01-01T00:00:00.000007Z"'


@pytest.mark.full
@given(st.sampled_from(KINDS), st.recursive(st.text() | st.integers(), lambda inner: st.dictionaries(st.text(), inner)))
def test_any_json_comes_back_byte_by_byte(kind, value):
    data = json.dumps({"a": value}).encode()
    row = compressed(kind, data)
    assert row[0] == number_for(kind)
    assert decompressed(row) == data


@given(st.lists(st.binary(max_size=200)), st.text())
def test_a_version_is_served_with_its_instant_and_its_base64_data_as_they_were(pieces, text):
    forms = [{"data": base64.b64encode(one).decode(), "title": text} for one in pieces]
    tail = json.dumps({"presentedForm": forms}).encode()
    tail = b"}," + tail[1:]
    row = stored_version("DiagnosticReport", HEAD, tail)
    assert served_version(row, 3, 7) == HEAD + STAMP + tail


@pytest.mark.parametrize(
    "data", ["QUJDREVGR0hJSktMTU5PUB==", "QUJDREVGR0hJSktMTU5PUFF", "AAAAAAAAAAAAAAAA", "AQABAAEAAQABAAEAAQAB"]
)
def test_base64_that_would_be_written_otherwise_stays_as_it_is(data):
    tail = f'}},"data":"{data}"}}'.encode()
    assert served_version(stored_version("Basic", HEAD, tail), 3, 7) == HEAD + STAMP + tail


def test_the_text_of_a_report_is_stored_once_though_it_is_there_in_base64_too():
    text = " ".join(str(number * 7_919 % 1_000_003) for number in range(200))
    tail = f'}},"div":"{text}","data":"{base64.b64encode(text.encode()).decode()}"}}'.encode()
    once = stored_version("Basic", HEAD, f'}},"div":"{text}"}}'.encode())
    assert len(stored_version("Basic", HEAD, tail)) < len(once) + 60


def test_plain_json_is_read_as_it_is():
    plain = HEAD + STAMP + b"}}"
    assert served_version(plain, 3, 7) == plain
    assert decompressed(plain) == plain


def test_a_damaged_row_is_an_error_and_never_other_bytes():
    row = compressed("Observation", json.dumps({"valueString": "No fracture." * 9}).encode())
    for damaged in (b"", row[:1], row[:-1], row + b"\0", bytes((row[0],)) + b"\xff" + row[2:], b"\x77" + row[1:]):
        with pytest.raises(RowUnreadable):
            decompressed(damaged)


def test_each_row_is_compressed_alone():
    """Or the length of a row would tell whether its text is like another patient's."""
    text = json.dumps({"valueString": "A 7 mm nodule of the left upper lobe."}).encode()
    first = compressed("Observation", text)
    compressed("Observation", b'{"valueString":"Something else of somebody else."}')
    assert compressed("Observation", text) == first
