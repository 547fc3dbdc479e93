"""RFC 9110 §14: any range is the slice that it names, and what is no range is ignored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from gateway.fhir_api.binary import ByteRange, wanted_range
from gateway.runtime.request_errors import RangeNotSatisfiable

TAG = '"abc"'
SIZE = 10


def wanted(value, size=SIZE, **more):
    return wanted_range(Headers({"range": value, **more}), size, TAG)


@given(st.integers(1, 40), st.integers(0, 45), st.integers(0, 60))
def test_any_range_is_the_slice_that_it_names(size, first, length):
    data = bytes(range(size))
    last = first + length
    for value, expected in ((f"bytes={first}-{last}", data[first : last + 1]), (f"bytes={first}-", data[first:])):
        if first >= size:
            with pytest.raises(RangeNotSatisfiable) as caught:
                wanted(value, size)
            assert caught.value.size == size
        else:
            found = wanted(value, size)
            assert data[found.first : found.last + 1] == expected


@given(st.integers(1, 40), st.integers(1, 60))
def test_a_suffix_is_the_end_of_it(size, length):
    data = bytes(range(size))
    found = wanted(f"bytes=-{length}", size)
    assert data[found.first : found.last + 1] == data[-length:]
    assert found.content_range(size) == f"bytes {found.first}-{found.last}/{size}"


def test_the_last_no_bytes_are_none():
    with pytest.raises(RangeNotSatisfiable):
        wanted("bytes=-0")


@pytest.mark.parametrize("value", ["bytes=2-4", "BYTES = 2-4", " bytes= 2-4 ", "bytes=,2-4,,"])
def test_a_range_is_known_however_it_is_spelt(value):
    assert wanted(value) == ByteRange(2, 4)


@pytest.mark.parametrize(
    "value",
    [
        *("", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=4-2", "bytes=2", "bytes=1-2-3", "bytes=+1-2"),
        *("lines=0-1", "0-1", "bytes=0-1,3-4", "bytes=0-1,99-", "bytes=٣-٤", f"bytes=0-{'9' * 5000}"),
    ],
)
def test_what_is_no_single_range_of_bytes_asks_for_the_whole(value):
    assert wanted(value.encode().decode("latin-1")) is None


def test_no_range_asks_for_the_whole_and_two_headers_for_several():
    assert wanted_range(Headers({}), SIZE, TAG) is None
    twice = Headers(raw=[(b"range", b"bytes=0-1"), (b"range", b"bytes=2-3")])
    assert wanted_range(twice, SIZE, TAG) is None


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (TAG, ByteRange(2, 4)),
        (f" {TAG} ", ByteRange(2, 4)),
        (f"W/{TAG}", None),
        ('"abd"', None),
        ("Sun, 01 Nov 2026 12:00:00 GMT", None),
        ("", None),
    ],
)
def test_a_range_of_other_bytes_than_these_asks_for_the_whole(condition, expected):
    assert wanted("bytes=2-4", **{"if-range": condition}) == expected


def test_a_range_of_other_bytes_is_not_even_looked_at():
    assert wanted("bytes=99-", **{"if-range": '"old"'}) is None


@given(
    st.text(st.characters(max_codepoint=255), max_size=30)
    | st.from_regex(r"bytes=[0-9]{0,25}-[0-9]{0,25}(,[0-9]{0,2}-[0-9]{0,2})?", fullmatch=True)
)
def test_no_header_breaks_it(value):
    try:
        found = wanted(value)
    except RangeNotSatisfiable:
        return
    assert found is None or 0 <= found.first <= found.last < SIZE
