"""Laws of MLLP framing for every stream and every chunking."""

import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.mllp.framing import Decoder, Frame, FramingError, encode

payloads = st.binary(max_size=60).map(lambda data: re.sub(rb"[\x0b\x1c]", b"", data))
wire_bytes = st.lists(st.sampled_from([b"\x0b", b"\x1c", b"\r", b"\n", b"\x00", b"MSH|", b"x"])).map(b"".join)
cuts = st.lists(st.integers(min_value=1, max_value=9), max_size=40)


def decode(stream, sizes, max_size=1_000):
    decoder = Decoder(max_size)
    events = []
    position = 0
    for size in sizes:
        events += decoder.feed(stream[position : position + size])
        position += size
    events += decoder.feed(stream[position:])
    return events, decoder


@given(st.lists(payloads, max_size=8), cuts)
def test_messages_that_were_framed_come_back_at_any_chunking(messages, sizes):
    stream = b"".join(encode(message) for message in messages)
    events, decoder = decode(stream, sizes)
    assert [event.payload for event in events if isinstance(event, Frame)] == messages
    assert len(events) == len(messages)
    assert decoder.close() == []


@given(payloads)
def test_a_frame_is_its_payload_and_three_bytes(message):
    assert len(encode(message)) == len(message) + len(b"\x0b" + b"\x1c\x0d")


@given(wire_bytes, payloads, cuts)
def test_no_garbage_before_a_good_frame_loses_it(garbage, message, sizes):
    events, _ = decode(garbage + encode(message), sizes)
    assert isinstance(events[-1], Frame)
    assert events[-1].payload == message
    assert events[-1].offset == len(garbage)


@given(wire_bytes, cuts, st.integers(min_value=0, max_value=6))
def test_the_events_do_not_depend_on_how_the_stream_was_cut(stream, sizes, max_size):
    cut, cut_decoder = decode(stream, sizes, max_size)
    whole, whole_decoder = decode(stream, [], max_size)
    assert cut == whole
    assert cut_decoder.pending == whole_decoder.pending
    assert cut_decoder.close() == whole_decoder.close()


@given(wire_bytes, cuts)
def test_every_byte_is_in_a_frame_in_a_fault_or_padding(stream, sizes):
    events, decoder = decode(stream, sizes)
    events += decoder.close()
    covered = bytearray(len(stream))
    for event in events:
        length = len(event.payload) + 2 if isinstance(event, Frame) else event.count
        span = range(event.offset, event.offset + length)
        assert not any(covered[place] for place in span), "no byte is told of twice"
        for place in span:
            covered[place] = 1
    rest = {stream[place] for place in range(len(stream)) if not covered[place]}
    assert rest <= set(b"\r\n\x00\x1c")


@given(st.binary(max_size=200), st.integers(min_value=0, max_value=50))
def test_any_bytes_decode_without_an_exception_and_within_the_limit(stream, max_size):
    events, decoder = decode(stream, [1] * len(stream), max_size)
    for event in [*events, *decoder.close()]:
        assert isinstance(event, FramingError) or len(event.payload) <= max_size
