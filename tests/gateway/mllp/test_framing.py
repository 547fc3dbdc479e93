"""MLLP framing, case by case (HL7 Transport Specification: MLLP, Release 1)."""

import dataclasses
import tracemalloc

import pytest

from gateway.mllp.framing import HEAD, Decoder, Frame, FramingError, encode
from gateway.runtime.errors import FrameInvalid

OUTSIDE, UNOPENED, CUT, TOO_LARGE = "bytes-outside-frame", "frame-not-opened", "frame-cut", "frame-too-large"


def events_of(stream, max_size=1_000):
    decoder = Decoder(max_size)
    return decoder.feed(stream) + decoder.close()


def test_a_frame_is_vt_content_fs_cr():
    assert encode(b"MSH|") == b"\x0bMSH|\x1c\r"


@pytest.mark.parametrize(("payload", "offset"), [(b"\x0bMSH", 0), (b"MSH\x1c\r", 3), (b"MS\x0bH\x1c", 2)])
def test_content_with_a_block_character_is_refused_with_its_offset_and_without_the_content(payload, offset):
    with pytest.raises(FrameInvalid, match=f"offset {offset}$") as refused:
        encode(payload)
    assert "MS" not in str(refused.value).replace("MLLP", "")


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", []),
        (b"\x0ba\x1c\r", [Frame(b"a", 0)]),
        (b"\x0b\x1c\r", [Frame(b"", 0)]),
        (b"\x0ba\x1c\r\x0bb\x1c\r", [Frame(b"a", 0), Frame(b"b", 4)]),
        (b"\x0ba\x1c", [Frame(b"a", 0)]),
        (b"\x0ba\x1c\x0bb\x1c", [Frame(b"a", 0), Frame(b"b", 3)]),
        (b"\x00\x00\r\n\x0ba\x1c\r\n\x00", [Frame(b"a", 4)]),
        (b"\x1c\r\x0ba\x1c\x1c\r", [Frame(b"a", 2)]),
        (b"hello", [FramingError(OUTSIDE, 0, 5)]),
        (b"\r\nhello\x0ba\x1c\r", [FramingError(OUTSIDE, 2, 5), Frame(b"a", 7)]),
        (b"hello\r\n\x0ba\x1c\r", [FramingError(OUTSIDE, 0, 7), Frame(b"a", 7)]),
        (b"MSH|\r\x1c\r", [FramingError(UNOPENED, 0, 5)]),
        (b"\x0bab\x0bc\x1c\r", [FramingError(CUT, 0, 3), Frame(b"c", 3)]),
        (b"\x0bab", [FramingError(CUT, 0, 3)]),
        (b"\x0ba\x1cb\x1c\r", [Frame(b"a", 0), FramingError(UNOPENED, 3, 1)]),
    ],
)
def test_a_stream_gives_these_events(stream, expected):
    assert events_of(stream) == expected


def test_a_frame_at_the_limit_is_taken_and_one_byte_more_is_not():
    assert events_of(b"\x0b1234\x1c\r", max_size=4) == [Frame(b"1234", 0)]
    assert events_of(b"\x0b12345\x1c\r", max_size=4) == [FramingError(TOO_LARGE, 0, 6)]


@pytest.mark.parametrize("end", [b"\x1c\r", b""])
def test_after_a_frame_over_the_limit_the_next_one_is_read(end):
    stream = b"\x0b" + b"x" * 100 + end + b"\x0bok\x1c\r"
    assert events_of(stream, max_size=10) == [FramingError(TOO_LARGE, 0, 12), Frame(b"ok", 101 + len(end))]


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_of_a_frame_over_the_limit_the_first_bytes_are_kept_however_it_is_cut(step):
    stream = b"\x0b" + bytes(range(32, 127)) * 100
    for size in (10, HEAD, 8_000):
        decoder = Decoder(size)
        (event,) = (one for at in range(0, len(stream), step) for one in decoder.feed(stream[at : at + step]))
        assert event.head == stream[1 : 1 + min(size, HEAD)]


def test_nothing_beyond_the_limit_is_held_in_memory():
    decoder = Decoder(max_size=10_000)
    chunk = b"x" * 1_000
    decoder.feed(b"\x0b")
    tracemalloc.start()
    try:
        for _ in range(5_000):
            decoder.feed(chunk)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200_000


@pytest.mark.full
@pytest.mark.parametrize(("size", "step"), [(100_000, 1), (10_000_000, 1_000)])
def test_small_chunks_cost_no_more_memory_traffic_than_the_frame_is_long(size, step):
    decoder = Decoder(max_size=size)
    stream = encode(b"x" * size)
    allocated = 0
    events = []
    tracemalloc.start()
    try:
        for position in range(0, len(stream), step):
            chunk = stream[position : position + step]
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            events += decoder.feed(chunk)
            _, peak = tracemalloc.get_traced_memory()
            allocated += peak - before
    finally:
        tracemalloc.stop()
    assert [len(event.payload) for event in events] == [size]
    steps = len(stream) // step + 1
    assert allocated < 4 * size + 1_000 * steps, "joining per chunk would allocate size x steps / 2"


def test_what_stands_unfinished_is_counted():
    decoder = Decoder(1_000)
    assert decoder.pending == 0
    decoder.feed(b"\x0bMSA")
    assert decoder.pending == 4
    decoder.feed(b"\x1c\rnoise")
    assert decoder.pending == 5


def test_after_the_end_of_a_stream_offsets_begin_again():
    decoder = Decoder(1_000)
    assert decoder.feed(b"\x0ba\x1c\r\x0bb") + decoder.close() == [Frame(b"a", 0), FramingError(CUT, 4, 2)]
    assert decoder.feed(b"\x0bc\x1c\r") == [Frame(b"c", 0)]


def test_a_fault_shows_no_bytes_of_the_stream():
    for fault in (events_of(b"DOE^JANE")[0], events_of(b"\x0bDOE^JANE", max_size=4)[0]):
        assert {type(value) for key, value in dataclasses.asdict(fault).items() if key != "head"} == {str, int}
        assert "DOE" not in repr(fault)
