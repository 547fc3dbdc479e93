"""Behaviors of the test receiver after reading a message: correct, late, missing or spoiled acknowledgements.

HL7 v2.5.1 §2.9.2 and §2.9.3 (the right answer), §2.15.8 (MSA), §2.5.4 (delimiters), over HL7 Transport
Specification: MLLP, Release 1. Each action runs once a message has been read and recorded.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.mllp.framing import CARRIAGE_RETURN, END_BLOCK, START_BLOCK
from gateway.runtime import clock
from gateway.sandbox.exchange import Exchange, framed
from mappings.hl7v2.ack import AckCode, AckError

Act = Callable[[Exchange], Awaitable[None]]
Spoil = Callable[[bytes], bytes]

# Seconds between two writes that should reach the sender as two separate reads.
APART: Final = 0.02

_MSA: Final = re.compile(rb"(\rMSA.)([AC][AER])(.?)[^\r]*")
# Other delimiters than the recommended ones, which the sender of an acknowledgement may choose (§2.5.4)
_OTHER_DELIMITERS: Final = bytes.maketrans(b"|^~\\&#@!%$", b"#@!%$|^~\\&")


def answer(code: AckCode, error: AckError | None = None) -> Act:
    """Make an action that sends a correct acknowledgement with this MSA-1."""

    async def act(exchange: Exchange) -> None:
        await exchange.answer(code, error)

    return act


def spoiled(spoil: Spoil, frame: Spoil = framed) -> Act:
    """Make an action that sends an AA with spoiled content; `frame` may be a wrong framing."""

    async def act(exchange: Exchange) -> None:
        await exchange.line.send(frame(spoil(exchange.acknowledge("AA"))))

    return act


async def nothing(_: Exchange) -> None:
    """Send no answer; keep the connection."""


async def slow(exchange: Exchange) -> None:
    """Send AA after `seconds`."""
    await clock.sleep(exchange.options["seconds"])
    await exchange.answer("AA")


async def byte_by_byte(exchange: Exchange) -> None:
    """Send AA, one byte every `seconds`."""
    for byte in framed(exchange.acknowledge("AA")):
        await exchange.line.send(bytes((byte,)))
        await clock.sleep(exchange.options["seconds"])


async def split(exchange: Exchange) -> None:
    """Send AA in two writes, cut after `at` bytes; with 0, each cut is one byte later than the last."""
    frame = framed(exchange.acknowledge("AA"))
    exchange.desk.split += 1
    cut = int(exchange.options["at"]) or (exchange.desk.split - 1) % (len(frame) - 1) + 1
    await exchange.line.send(frame[:cut])
    await clock.sleep(APART)
    await exchange.line.send(frame[cut:])


async def together(exchange: Exchange) -> None:
    """Send three acknowledgements in one write: the previous one again, AA, and an AR for a message never sent."""
    accepted = exchange.acknowledge("AA")
    before = exchange.desk.previous or of_another_message(exchange.acknowledge("AA"))
    stray = of_another_message(exchange.acknowledge("AR"))
    exchange.desk.previous = accepted
    await exchange.line.send(b"".join(map(framed, (before, accepted, stray))))


async def twice(exchange: Exchange) -> None:
    """Send the same AA twice, in two writes."""
    frame = framed(exchange.acknowledge("AA"))
    await exchange.line.send(frame)
    await clock.sleep(APART)
    await exchange.line.send(frame)


async def other_message_first(exchange: Exchange) -> None:
    """Send an ADT message of the receiver's own, then AA."""
    accepted = exchange.acknowledge("AA")
    await exchange.line.send(framed(admission(accepted)))
    await exchange.line.send(framed(accepted))


async def close(exchange: Exchange) -> None:
    """Send FIN instead of an answer."""
    await exchange.line.close()


async def accept_and_close(exchange: Exchange) -> None:
    """Send AA, then FIN."""
    await exchange.answer("AA")
    await exchange.line.close()


async def half_close(exchange: Exchange) -> None:
    """Send FIN instead of an answer, but keep reading."""
    exchange.line.half_close()


async def reset(exchange: Exchange) -> None:
    """Send RST instead of an answer."""
    exchange.line.reset()


async def reset_in_ack(exchange: Exchange) -> None:
    """Send the first half of AA, then RST."""
    frame = framed(exchange.acknowledge("AA"))
    await exchange.line.send(frame[: len(frame) // 2])
    # RST may discard bytes sent just before it; wait so that the half arrives first.
    await clock.sleep(APART)
    exchange.line.reset()


async def fall_silent(exchange: Exchange) -> None:
    """Send AA, then neither read nor write for `seconds`."""
    await exchange.answer("AA")
    await exchange.line.fall_silent(exchange.options["seconds"])


async def demand_a_pause(exchange: Exchange) -> None:
    """Send AA, but RST if the message comes within `seconds` of the last accepted one."""
    desk, at = exchange.desk, clock.monotonic()
    if desk.accepted_at is not None and at - desk.accepted_at < exchange.options["seconds"]:
        exchange.line.reset()
        return
    desk.accepted_at = at
    await exchange.answer("AA")


def two_phase(code: AckCode, error: AckError | None = None) -> Act:
    """Make an action that sends CA, and the application acknowledgement `seconds` later on the same connection."""

    async def act(exchange: Exchange) -> None:
        await exchange.answer("CA")
        if exchange.refusal is None:
            late = framed(exchange.acknowledge(code, error))
            exchange.desk.late.over(exchange.line, late, exchange.options["seconds"])

    return act


async def accept_over_own_connection(exchange: Exchange) -> None:
    """Send CA, and AA `seconds` later over a connection that the receiver opens."""
    await exchange.answer("CA")
    if exchange.refusal is None:
        exchange.desk.late.over_own_connection(framed(exchange.acknowledge("AA")), exchange.options["seconds"])


async def accept_next_time(exchange: Exchange) -> None:
    """Send CA, then FIN, and AA when the sender connects again."""
    await exchange.answer("CA")
    if exchange.refusal is None:
        exchange.desk.late.next_time(framed(exchange.acknowledge("AA")))
    await exchange.line.close()


def of_another_message(ack: bytes) -> bytes:
    """Replace MSA-2 by the id of a message never sent."""
    return _MSA.sub(lambda msa: msa[1] + msa[2] + msa[3] + b"NOT-YOUR-MESSAGE", ack)


def of_no_message(ack: bytes) -> bytes:
    """Cut MSA after MSA-1."""
    return _MSA.sub(rb"\1\2", ack)


def of_unknown_code(ack: bytes) -> bytes:
    """Replace MSA-1 by a code that is not in table 0008."""
    return re.sub(rb"(\rMSA.)[AC][AER]", rb"\1OK", ack)


def empty(_: bytes) -> bytes:
    """Return no content."""
    return b""


def no_acknowledgement(_: bytes) -> bytes:
    """Return content that is not HL7."""
    return b"this is no acknowledgement"


def with_line_feeds(ack: bytes) -> bytes:
    """Separate segments by LF."""
    return ack.replace(b"\r", b"\n")


def with_nuls(ack: bytes) -> bytes:
    """Add NUL after each segment."""
    return ack.replace(b"\r", b"\r\x00")


def with_other_delimiters(ack: bytes) -> bytes:
    """Use other delimiters; the text of MSA-2 stays the same."""
    return ack.translate(_OTHER_DELIMITERS)


def in_latin_1(ack: bytes) -> bytes:
    """Encode as ISO 8859-1: MSH-18 is 8859/1, and MSA-3 has a byte that is no UTF-8."""
    return _in_charset(ack, "8859/1", "latin-1")


def in_utf_16(ack: bytes) -> bytes:
    """Encode as UTF-16 with a byte order mark; MSH-18 is UNICODE UTF-16."""
    return _in_charset(ack, "UNICODE UTF-16", "utf-16")


def admission(ack: bytes) -> bytes:
    """Build an ADT^A08 of the same receiver from its acknowledgement; it has no patient."""
    header, separator = ack.split(b"\r")[0], ack[3:4]
    fields = header.split(separator)
    fields[8] = ack[4:5].join((b"ADT", b"A08", b"ADT_A01"))
    fields[9] += b"-ADT"
    return b"\r".join((separator.join(fields), separator.join((b"EVN", b"", fields[6])), b""))


def without_start(content: bytes) -> bytes:
    """Frame without the leading VT."""
    return content + END_BLOCK + CARRIAGE_RETURN


def without_return(content: bytes) -> bytes:
    """Frame without the final CR."""
    return START_BLOCK + content + END_BLOCK


def between_nuls(content: bytes) -> bytes:
    """Frame with NULs around it."""
    return b"\x00\x00" + framed(content) + b"\x00\x00"


def as_it_is(content: bytes) -> bytes:
    """Return the content unchanged."""
    return content


def _in_charset(ack: bytes, name: str, codec: str) -> bytes:
    separator = ack[3:4].decode("ascii")
    lines = ack.decode("utf-8", "replace").split("\r")
    lines[0] += separator * (17 - lines[0].count(separator)) + name
    lines[1] += separator * (3 - lines[1].count(separator)) + "geprüft"
    return "\r".join(lines).encode(codec, "replace")
