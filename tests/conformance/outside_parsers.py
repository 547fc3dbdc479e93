"""Five third-party parsers of HL7 v2, with the known differences of each.

HL7 v2.5.1 §2.7.1 (escape sequences). A waiver names the parser and mends its reading, and nothing else; each is proved
to be needed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import hl7
from conformance.outside import java, node, run
from conformance.reading import WANTED, Field, Reading, each_leaf, unescape
from hl7apy.parser import parse_message


@dataclass(frozen=True, slots=True)
class Waiver:
    """Known difference of a parser: `mend` undoes it; `on_both`: its losses are left out of the comparison."""

    parser: str
    reason: str
    mend: Callable[[str], str]
    on_both: bool = False


WAIVERS = (
    Waiver("hl7apy", "gives leaves as they were sent: escape sequences are the caller's to read", unescape),
    Waiver(
        "hl7apy",
        "takes a field of nothing but blanks for an empty one",
        lambda leaf: leaf if leaf.strip(" ") else "",
        on_both=True,
    ),
    Waiver("@medplum/core", "gives leaves as they were sent: escape sequences are the caller's to read", unescape),
    Waiver("simple-hl7", "gives leaves as they were sent: escape sequences are the caller's to read", unescape),
    Waiver("hl7", r"unescapes \.br\ to CR", lambda leaf: leaf.replace("\r", "\n")),
    Waiver(
        "HAPI HL7v2",
        r"leaves \.br\ in the text, where it is one with a text that has these five characters",
        lambda leaf: leaf.replace("\\.br\\", "\n"),
        on_both=True,
    ),
)


def hl7apy_reading(message: str) -> Reading:
    """Read by hl7apy, TOLERANT; it leaves out empty components and fields, so places come from its names (`CX_4`)."""
    rows: Reading = []
    for segment in parse_message(message, find_groups=False).children:
        if segment.name in WANTED:
            fields = {
                str(number): [
                    _by_place(field.children, _leaves) for field in segment.children if _place(field) == number
                ]
                for number in WANTED[segment.name]
            }
            rows.append((segment.name, fields))
    return rows


def _place(element: Any) -> int | None:
    found = re.search(r"_(\d+)$", element.name or "")
    return int(found.group(1)) if found else None


def _by_place(elements: Sequence[Any], make: Callable[[Any], Any]) -> list[Any]:
    made: list[Any] = []
    for element in elements:
        made += [[""] if make is _leaves else ""] * ((_place(element) or len(made) + 1) - 1 - len(made))
        made.append(make(element))
    return made


def _leaves(component: Any) -> list[str]:
    return _by_place(component.children, lambda leaf: str(leaf.to_er7() if leaf.value is None else leaf.value.value))


def _hl7apy(messages: Sequence[str]) -> list[Reading]:
    """hl7apy is slow, so every core reads."""
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        return list(pool.map(hl7apy_reading, messages, chunksize=20))


def _hl7(messages: Sequence[str]) -> list[Reading]:
    return [list(_hl7_rows(message)) for message in messages]


def _hl7_rows(message: str) -> Iterator[tuple[str, dict[str, Field]]]:
    parsed = hl7.parse(message)
    for segment in parsed:
        name = str(segment[0])
        if name in WANTED:
            yield name, {str(n): _hl7_field(parsed, segment[n]) for n in WANTED[name] if n < len(segment)}


def _hl7_field(parsed: hl7.Message, field: Any) -> Field:
    repetitions = [one if isinstance(one, hl7.Repetition) else [one] for one in field]
    return [
        [[parsed.unescape(str(leaf)) for leaf in (c if isinstance(c, hl7.Component) else [c])] for c in one]
        for one in repetitions
    ]


def _program(command: Callable[..., list[str]], *arguments: str) -> Callable[[Sequence[str]], list[Reading]]:
    return lambda messages: run(command(*arguments, json.dumps(WANTED)), messages)


PARSERS: dict[str, Callable[[Sequence[str]], list[Reading]]] = {
    "hl7apy": _hl7apy,
    "hl7": _hl7,
    "HAPI HL7v2": _program(java, "hapi-hl7v2", "ReadMessages.java"),
    "@medplum/core": _program(node, "read-messages.mjs", "@medplum/core"),
    "simple-hl7": _program(node, "read-messages.mjs", "simple-hl7"),
}


def mended(reading: Reading, waivers: Sequence[Waiver], *, ours: bool = False) -> Reading:
    """A reading by these waivers; `ours`: the one it is compared with, from which only what a parser loses is taken."""
    for waiver in waivers:
        if waiver.on_both or not ours:
            reading = each_leaf(reading, waiver.mend)
    return reading
