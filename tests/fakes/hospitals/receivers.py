"""Receivers of the hospitals, and the laws that every message must keep.

A message carries reports of its own hospital and patient, never an older state after a newer one, and never twice what
was acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from fakes.hospitals.account import Signed, marks
from fakes.simulation.loops import Loop, Scheduler
from fakes.simulation.network import Manners, Network, Wire

from mappings.hl7v2.ack import acknowledge

FIRST_PORT = 20_000
_SLOW, _LOST = 0.002, 0.001  # shares of messages that are answered after seconds, or never
_USUAL = 0.02, 0.4  # seconds until an acknowledgement
_LONG = 3.0, 8.0


class Receivers(Network):
    """Receivers of all hospitals; `down` holds those that are switched off."""

    def __init__(
        self,
        scheduler: Scheduler,
        fileno: int,
        dice: Random,
        signed: dict[tuple[int, int], Signed],
        broken: Callable[[str], None],
    ) -> None:
        super().__init__(scheduler, fileno)
        self._dice, self._signed, self._broken = dice, signed, broken
        self.down: set[int] = set()
        self.messages = self.repeated = 0
        self._ports: dict[int, int] = {}
        self._bodies: dict[str, int] = {}
        self._answered: set[str] = set()
        self._said: set[tuple[frozenset[tuple[int, int]], str]] = set()
        self._newest: dict[int, int] = {}

    async def connect(self, loop: Loop, factory: Any, port: int, **more: Any) -> tuple[Wire, Any]:
        """Connect to the receiver of a hospital, if it is on."""
        self.wires = [one for one in self.wires if not one.is_closed]
        if port - FIRST_PORT in self.down:
            raise ConnectionRefusedError(111, "refused")
        wire, protocol = await super().connect(loop, factory, port, **more)
        self._ports[id(wire)] = port - FIRST_PORT
        return wire, protocol

    def switch_off(self, hospital: int) -> None:
        """Switch a receiver off: its connections are lost, with every answer under way."""
        self.down.add(hospital)
        for wire in self.wires:
            if self._ports[id(wire)] == hospital:
                wire.lose("reset")

    def arrive(self, wire: Wire, data: bytes) -> None:
        """Receive bytes; check each whole frame, and answer it after a while."""
        wire.came += data
        while b"\x1c\r" in wire.came:
            frame, _, wire.came = wire.came.partition(b"\x1c\r")
            if self._ports[id(wire)] not in self.down:
                self._take(wire, frame.removeprefix(b"\x0b"))

    def _take(self, wire: Wire, payload: bytes) -> None:
        control_id = self._checked(payload, self._ports[id(wire)])
        self.messages += 1
        chance = self._dice.random()
        if chance < _LOST:
            return
        seconds = self._dice.uniform(*(_LONG if chance < _LOST + _SLOW else _USUAL))
        answer = acknowledge(payload, "AA", control_id="1", at="2026")

        def answered() -> None:
            if wire.is_closed:
                return
            self._answered.add(control_id)
            for key in marks(payload):
                one = self._signed[key]
                one.acknowledged = one.acknowledged or self.scheduler.now
            wire.answer(answer)

        self.scheduler.at(self.scheduler.now + seconds, answered)

    def _checked(self, payload: bytes, hospital: int) -> str:
        """Check the laws of a message; return its control id."""
        segments = [one.split("|") for one in payload.decode().split("\r")]
        by_name = {one[0]: one for one in reversed(segments)}
        control_id, mrn = by_name["MSH"][9], by_name["PID"][3].partition("^")[0]
        status, about = by_name["OBR"][25], marks(payload)
        place = f"message {control_id} at hospital {hospital}"
        if not about <= self._signed.keys() or len({study for study, _ in about}) != 1:
            self._broken(f"{place} speaks of {sorted(about)}")
            return control_id
        for key in about:
            if (self._signed[key].hospital, self._signed[key].mrn) != (hospital, mrn):
                self._broken(f"{place} has report {key} under a wrong patient or at a wrong hospital")
        study, newest = max(about)
        if newest < self._newest.get(study, 0):
            self._broken(f"{place} comes after a newer one of study {study}")
        self._newest[study] = newest
        self._check_repeats(place, control_id, payload, (about, status))
        return control_id

    def _check_repeats(
        self, place: str, control_id: str, payload: bytes, said: tuple[frozenset[tuple[int, int]], str]
    ) -> None:
        """Check that a message is repeated only with its own bytes, and only before its sender got an answer."""
        digest = hash(payload)
        if control_id in self._bodies:
            self.repeated += 1
            if self._bodies[control_id] != digest:
                self._broken(f"{place} is repeated with other bytes")
            if control_id in self._answered:
                self._broken(f"{place} is sent again after its acknowledgement")
        elif said in self._said:
            self._broken(f"{place} says again what another message said")
        self._bodies[control_id] = digest
        self._said.add(said)


def manners() -> Manners:
    """Effects on a new connection: none but a short way."""
    return Manners(connects_in=0.005, arrives_in=0.005)
