"""Listener for application acknowledgements that a receiver sends later, over connections opened by the receiver.

HL7 v2.5.1 §2.9.3 (enhanced mode), table 0155, over HL7 Transport Specification: MLLP, Release 1; decision D32. An
acknowledgement is answered after it was stored, and only if it asks for an answer. If it cannot be stored yet, the
connection is closed without an answer, and the receiver sends it again. Anyone who knows a message's control id could
acknowledge it. Therefore only the peers in the settings are let in (`ack_peers`, or a certificate).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Final

from gateway.feed.deliver.late_acks import LateAcks
from gateway.feed.payload import NotAnAcknowledgement, PayloadKind, Receipt
from gateway.mllp.caller import Caller
from gateway.mllp.framing import Event, Frame, encode
from gateway.mllp.listener import ListenAddress, MllpListener
from gateway.routing import Destination, Mllp
from gateway.runtime import clock

_IN_HAND: Final = 5.0  # seconds to wait until the message's immediate result is stored: less than a frame may take


def ack_listener(destination: Destination, payload: PayloadKind, late: LateAcks) -> Iterator[MllpListener]:
    """Yield the listener of a destination, if its settings have one."""
    transport = destination.transport
    if isinstance(transport, Mllp) and transport.ack_listen is not None:
        host, port = transport.ack_listen
        names = {"destination": destination.name}
        where = (host, port, transport.ack_peers, transport.ack_tls, destination.place, "ack_listen")
        yield MllpListener(ListenAddress(*where, "ack", names), _LateAcknowledgements(payload, late))


class _LateAcknowledgements:
    """Host that stores each frame as an acknowledgement; see `gateway.mllp.listener.Host`."""

    def __init__(self, payload: PayloadKind, late: LateAcks) -> None:
        self._payload, self._late = payload, late

    def turned_away(self) -> None:
        """Count a connection that was refused."""
        self._late.turned_away()

    async def take(self, event: Event, caller: Caller) -> bool:
        """Store one acknowledgement and answer it; return True if the connection stays open.

        Raises:
            StoreUnavailable: the store cannot be reached; nothing was answered.
        """
        if not isinstance(event, Frame):
            self._late.unreadable(event.code)
            return event.code != "frame-too-large"
        try:
            ack = self._payload.acknowledgement(event.payload)
        except NotAnAcknowledgement as error:
            self._late.unreadable(error.code)
            return self._answered(caller, event.payload, "unreadable")
        outcome = await self._late.store(ack, caller.where, within=_IN_HAND)
        if outcome == "too_early":
            return False
        return self._answered(caller, event.payload, "unmatched" if outcome == "unmatched" else "stored")

    def _answered(self, caller: Caller, frame: bytes, receipt: Receipt) -> bool:
        """Answer a frame that asks for an answer; return True if the connection stays open."""
        answer = self._payload.receipt(frame, receipt, secrets.token_hex(10), clock.now())
        return True if answer is None else caller.say(encode(answer))
