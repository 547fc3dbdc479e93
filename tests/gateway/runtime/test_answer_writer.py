"""An answer is written in one piece where that costs nobody a wait."""

from __future__ import annotations

import asyncio

import pytest

from gateway.runtime.answer_writer import AnswerWriter

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"


class Transport:
    """Transport that keeps what is written to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


@pytest.fixture
async def transport():
    return Transport()


@pytest.fixture
async def writer(transport):
    return AnswerWriter(transport, asyncio.get_running_loop())


async def test_head_and_body_are_written_together(transport, writer):
    writer.write(HEAD)
    writer.write(b"hello")
    assert transport.written == [HEAD + b"hello"]
    await asyncio.sleep(0)
    assert transport.written == [HEAD + b"hello"]


async def test_a_head_waits_no_longer_than_a_turn_of_the_loop_for_its_body(transport, writer):
    writer.write(HEAD)
    assert transport.written == []
    await asyncio.sleep(0)
    assert transport.written == [HEAD]
    writer.write(b"hello")
    assert transport.written == [HEAD, b"hello"]


async def test_what_follows_the_first_part_of_a_body_is_written_at_once(transport, writer):
    for part in (HEAD, b"he", b"llo"):
        writer.write(part)
    assert transport.written == [HEAD + b"he", b"llo"]


async def test_a_large_body_is_written_without_a_copy(transport, writer):
    body = bytes(100_000)
    writer.write(HEAD)
    writer.write(body)
    assert transport.written[0] == HEAD
    assert transport.written[1] is body


@pytest.mark.parametrize("size", [5, 100_000])
async def test_a_body_may_be_a_view_of_bytes_with_or_without_a_head_before_it(transport, writer, size):
    body = memoryview(bytes(size))
    writer.write(HEAD)
    writer.write(body)
    writer.write(body)
    assert b"".join(transport.written) == HEAD + bytes(2 * size)


async def test_answers_keep_their_order(transport, writer):
    writer.write(HEAD)
    writer.flush()  # an answer without a body
    writer.write(HEAD)
    writer.write(b"hello")
    assert transport.written == [HEAD, HEAD + b"hello"]


async def test_the_end_of_a_connection_comes_behind_its_last_head(transport, writer):
    writer.write(HEAD)
    assert not writer.is_closing()
    writer.close()
    assert transport.written == [HEAD]
    assert writer.is_closing()
