"""Carry out `receivers compare`: find how messages of another sender differ from ours, and which switch closes what.

HL7 v2.5.1 §2.5 (delimiters and fields), §7.4.2 (OBX); decisions D6, D34. What a switch closes is measured: it gets each
of its values, the invented studies of a rehearsal are mapped again, and their messages are compared with the samples.
Of a sample only its structure is read, and codes of the standard: never a value about a patient.
Proved by tests/gateway/cli/test_compare_samples.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from gateway.cli.rehearsal_studies import invented_system, rehearsal_script
from gateway.feed.operator.arguments import CommandAnswer, counted, wrong
from gateway.feed.operator.rehearsal import Script, composed_bytes
from gateway.routing import Destination, Folder
from mappings.hl7v2.received import Received, Segment, Unreadable, read
from mappings.profile import AssigningAuthority, Facility, Receiver, Site, conflicts, switches, written_as

_AT: Final = datetime(2026, 3, 3, 15, 0, tzinfo=UTC)
_HOSPITAL: Final = Facility(
    "Rehearsal", time_zone=ZoneInfo("America/New_York"), mrn=AssigningAuthority("urn:oid:2.999.1", "REHEARSAL")
)
_MESSAGE: Final = re.compile(rb"MSH[^A-Za-z0-9\s].*?(?=[\r\n\x0b\x1c]+MSH[^A-Za-z0-9\s]|\x1c|\Z)", re.DOTALL)
# Values that are shown: of the receiver's own name, and of codes that HL7 or DICOM define
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/^-]{0,39}")
_CODE: Final = re.compile(r"[A-Z]{1,3}")
_SHOWN: Final[dict[str, re.Pattern[str]]] = {
    "MSH-5": _NAME,
    "MSH-6": _NAME,
    "MSH-12": re.compile(r"2\.[0-9](?:\.[0-9])?"),
    "MSH-15": re.compile("AL|NE|ER|SU"),
    "MSH-16": re.compile("AL|NE|ER|SU"),
    "MSH-18": re.compile(r"(?:ASCII|UNICODE|8859/)[A-Z0-9 /-]{0,12}"),
    "OBR-24": _CODE,
    "OBR-25": re.compile("[A-Z]"),
}
# The names that senders give themselves, and fields that name or count one message
_LEFT_OUT: Final = frozenset(
    {"MSH-1", "MSH-2", "MSH-3", "MSH-4", "MSH-7", "MSH-9", "MSH-10", "MSH-11", "OBX-1", "OBX-4"}
)
_FIELDS: Final = frozenset({"MSH", "PID", "PV1", "ORC", "OBR", "TQ1"})
_COMPONENTS: Final = {"MSH-9": (3,), "PID-3": (4, 5), "PID-5": (7,)}
_TEXT_TYPES: Final = frozenset({"TX", "FT", "ST"})
_UID: Final = "113014"
_VITALS: Final = frozenset({"8302-2", "29463-7", "3137-7", "3141-9"})
_SUFFIXES: Final = frozenset({"GDT", "IMP", "ADT", "R", "I"})
_LOINC: Final = re.compile(r"[0-9]{1,7}-[0-9]")
_RADLEX: Final = re.compile(r"RID[0-9]{1,8}\^[A-Za-z0-9 ]{0,60}\^RadLex")
_SEGMENT: Final = re.compile("[A-Z][A-Z0-9]{2}")
_OFFSET: Final = re.compile(r"[0-9]{8,14}(?:\.[0-9]+)?([+-][0-9]{4})?")
_NPI: Final = re.compile("[0-9]{10}")
_NEARLY_FULL: Final = 66  # characters: shorter lines do not tell where a sender wraps
_DISCLAIMER: Final = "the receiver's own words"

# A place of these says only that something is there; where it is not, the message says so, too
_PRESENCE: Final = ("segment ", "OBX of ", "NTE after ", "more than ", "escape ")
_THERE: Final = "there"
_NONE: Final = "none"
_LONGEST: Final = "longest line"
_LENGTHS: Final = ("at most 75", "at most 80", "over 80")
# Switch with a text -> the place whose text it is
_SAID: Final = {"receiving_application": "MSH-5", "receiving_facility": "MSH-6", "critical_code": "OBX-15"}
_WORDS: Final = frozenset({"empty", "valued", "another code"})
# Switch -> why samples may look so without it
_CHANCE: Final = {
    "accession_field": "the sender may have no accession number, or send it in another field",
    "wrap": "the reports of the samples may be short",
}
Shape = frozenset[str]
Shapes = dict[str, Shape]  # by place


def samples_of(paths: Sequence[Path]) -> list[Received]:
    """Read every ORU message of the files, one after another or in MLLP frames.

    Raises:
        ConfigError: a file cannot be read, or has no ORU message; nothing of it is shown.
    """
    return [message for number, path in enumerate(paths, 1) for message in _messages(number, path)]


def _messages(number: int, path: Path) -> list[Received]:
    try:
        found = [read(one) for one in _MESSAGE.findall(path.read_bytes())]
    except OSError as error:
        raise wrong(f"SAMPLE {number}", f"cannot be read ({error.strerror})", "Name files with messages.") from None
    except Unreadable as error:
        raise wrong(
            f"SAMPLE {number}", f"no message: {error.code}", "Write each message from MSH to its end."
        ) from None
    results = [one for one in found if one.msh.field(9).startswith("ORU")]
    if not results:
        raise wrong(f"SAMPLE {number}", "has no ORU message", "Name files with results that the receiver accepts.")
    return results


def shapes(message: Received) -> Shapes:
    """Return the shapes of a message: each place with `valued`, a code, or a form, and no value about a patient."""
    found: dict[str, set[str]] = {}
    for place, shape in _shapes(message):
        found.setdefault(place, set()).add(shape)
    return {place: frozenset(seen) for place, seen in found.items()}


def _shapes(message: Received) -> Iterator[tuple[str, str]]:
    first = {one.name: one for one in reversed(message.segments)}
    for name, segment in first.items():
        yield f"segment {name if _SEGMENT.fullmatch(name) else '?'}", _THERE
        yield from _fields_of(message, segment) if name in _FIELDS else ()
    yield from _forms(message)
    if report := [one for one in message.segments if _is_text(message, one)]:
        yield from _report_forms(message, report)


def _fields_of(message: Received, segment: Segment) -> Iterator[tuple[str, str]]:
    for number in range(1, 60):
        place, value = f"{segment.name}-{number}", segment.field(number)
        if place in _SHOWN:
            yield place, (value if _SHOWN[place].fullmatch(value) else "another code") if value else "empty"
        elif place not in _LEFT_OUT:
            yield place, "valued" if value.strip('"') else "empty"
        for component in _COMPONENTS.get(place, ()) if value else ():
            parts = message.components(value.partition(message.delimiters.repetition)[0])
            yield f"{place}.{component}", "valued" if "".join(parts[component - 1 : component]) else "empty"


def _is_text(message: Received, one: Segment) -> bool:
    code = message.components(one.field(3))[0]
    return one.name == "OBX" and one.field(2) in _TEXT_TYPES and code != _UID and code not in _VITALS


def _forms(message: Received) -> Iterator[tuple[str, str]]:
    """Yield the forms of what is not the report's text."""
    for before, one in pairwise(message.segments):
        if one.name == "NTE" and before.name in ("OBR", "OBX"):
            yield f"NTE after {before.name}", _THERE
        if one.name == "OBX":
            yield from _observation(message, one)
    groups = [one for one in message.segments if one.name == "OBR"]
    if len(groups) > 1:
        yield "more than one OBR", _THERE
    for one in groups[:1]:
        yield "OBR-32.1", _interpreter(message, one.field(32))
        yield from (("times", shape) for shape in [_zone(one.field(7))] if len(one.field(7)) > 8)


def _observation(message: Received, one: Segment) -> Iterator[tuple[str, str]]:
    code, kind = message.components(one.field(3))[0], one.field(2)
    if code == _UID:
        yield "OBX of the study UID", kind if _CODE.fullmatch(kind) else "another type"
    if code in _VITALS:
        yield "OBX of height and weight", _THERE
    if kind in ("ED", "RP"):
        yield f"OBX of type {kind}", _THERE


def _interpreter(message: Received, value: str) -> str:
    first = re.split(f"[{re.escape(message.delimiters.component + message.delimiters.subcomponent)}]", value)[0]
    if not value:
        return "empty"
    if "," in first:
        return "a name"
    return "an NPI" if _NPI.fullmatch(first) else "a local id" if first else "no id"


def _zone(value: str) -> str:
    offset = match[1] if (match := _OFFSET.fullmatch(value)) else None
    return "in UTC" if offset == "+0000" else "with an offset" if offset else "without an offset"


def _report_forms(message: Received, report: Sequence[Segment]) -> Iterator[tuple[str, str]]:
    """Yield the forms of the report's text."""
    marks, values = message.delimiters, [one.field(5) for one in report]
    broken = f"{marks.escape}.br{marks.escape}"
    kind = "/".join(sorted({one.field(2) for one in report}))
    inside = "repetitions" if any(marks.repetition in one for one in values) else ""
    inside = inside or ("line breaks" if any(broken in one for one in values) else "one line")
    yield "OBX-2 and OBX-5 of the report", f"{kind}, {'several OBX' if len(report) > 1 else 'one OBX'}, {inside}"
    lines = [line for one in values for line in one.replace(broken, marks.repetition).split(marks.repetition)]
    plain = [marks.unescape(line) for line in lines]
    if any(not line.strip() for line in lines):
        yield "empty lines of the report", "a blank" if any(line == " " for line in lines) else "nothing"
    if (longest := max(map(len, plain))) > _NEARLY_FULL:
        yield _LONGEST, _LENGTHS[(longest > 75) + (longest > 80)]
    for mark in (f"{marks.escape}{letter}{marks.escape}" for letter in "FT"):
        yield from ([(f"escape sequence {mark}", _THERE)] if any(mark in line for line in lines) else [])
    for one in report:
        yield "OBX-3 of the report", _identifier(message, one.field(3))
        yield "OBX-11 of the report", one.field(11) if _CODE.fullmatch(one.field(11)) else "another code"
        flag, rid = one.field(8), one.field(15)
        yield "OBX-8", "empty" if not flag else "with components" if marks.component in flag else "a code"
        yield "OBX-15", "empty" if not rid else rid if _RADLEX.fullmatch(rid) else "valued"
    yield from _observed_at(message, report[0])


def _identifier(message: Received, value: str) -> str:
    """Return the kind of an OBX-3 of the report; the code itself may be a sender's own."""
    code, _, suffix = message.components(value)[0].partition(message.delimiters.subcomponent)
    if (whole := "^".join(message.components(value)[:3])) in ("R^REPORT^L", "I^IMPRESSION^L"):
        return whole
    if suffix:
        return f"with &{suffix}" if suffix in _SUFFIXES else "with another suffix"
    return "LOINC" if _LOINC.fullmatch(code) else "a code of its own"


def _observed_at(message: Received, line: Segment) -> Iterator[tuple[str, str]]:
    order = next((one for one in message.segments if one.name == "OBR"), None)
    if order is not None and order.field(7) != order.field(22):
        for place, field_ in (("OBR-7", order.field(7)), ("OBR-22", order.field(22))):
            if field_ and line.field(14) == field_:
                yield "OBX-14 equals", place


@dataclass(frozen=True, slots=True)
class SampleDifference:
    """Place where samples differ from every message of ours: their shapes with the numbers of samples, and ours."""

    place: str
    theirs: tuple[tuple[str, int], ...]
    ours: tuple[str, ...]

    def __str__(self) -> str:
        theirs = ", ".join(f"{shape} in {count}" for shape, count in self.theirs)
        return f"{self.place}: theirs {theirs}; ours {' or '.join(self.ours) or _NONE}"


@dataclass(frozen=True, slots=True)
class ClosingSwitch:
    """Switches to set together, with what they close; `instead` closes the same, and the samples do not tell which."""

    switches: tuple[tuple[str, str], ...]
    closes: tuple[SampleDifference, ...]
    instead: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """Number of samples in which it was observed, at least."""
        return min(sum(count for _, count in one.theirs) for one in self.closes)


@dataclass(frozen=True, slots=True)
class Comparison(CommandAnswer):
    """Answer of `receivers compare`: what a switch closes, what none closes, and what the samples contradict."""

    samples: int
    profile: str
    closed: tuple[ClosingSwitch, ...]
    unclosed: tuple[SampleDifference, ...]
    contradictory: tuple[SampleDifference, ...]

    @property
    def exit_code(self) -> int:
        """1 if there is a difference."""
        return int(bool(self.closed or self.unclosed or self.contradictory))

    def lines(self) -> Iterator[str]:
        """Yield the differences, and the switches as TOML."""
        yield f"{counted(self.samples, 'sample')} compared with messages of ours by the profile {self.profile}"
        for one in self.closed:
            yield ""
            yield " and ".join(f"{key} = {value}" for key, value in one.switches) + " closes:"
            yield from (f"  {difference}" for difference in one.closes)
            yield from (f"  {other} would close the same" for other in one.instead)
            yield from (f"  ask the receiver: {_CHANCE[key]}" for key, _ in one.switches if key in _CHANCE)
        for title, listed in (
            ("no switch closes:", self.unclosed),
            ("contradictory, so decide with the receiver:", self.contradictory),
        ):
            yield from ("", title, *(f"  {one}" for one in listed)) if listed else ()
        if self.closed:
            yield from ("", "[[mapping.receivers]]", 'name = "…"', f'base = "{self.profile}"')
        for one in self.closed:
            asks = "# " if _CHANCE.keys() & {key for key, _ in one.switches} else ""
            observed = f"# observed in {one.samples} of {self.samples}"
            yield from (f"{asks}{key} = {value}  {observed}" for key, value in one.switches)


def compare(messages: Sequence[Received], receiver: Receiver, ours: OurMessages) -> Comparison:
    """Compare samples with messages of ours, and find the switches that close more places than they open.

    They are tried one on top of the other, first the one that closes most. A place is closed if it agrees with each
    sample. One that a switch moves, and in which two samples have nothing in common, is contradictory.
    """
    theirs = [shapes(one) for one in messages]
    now, open_ = receiver, differences(theirs, ours.shapes(receiver))
    trials, moved = _trials(theirs), set[str]()
    closed: list[ClosingSwitch] = []
    while open_:
        found: dict[Receiver, _Effect] = {}
        for key, value in trials:
            changed = _with(now, key, value)
            if changed is None or changed == now or changed in found:
                continue
            moved |= {place for place, shape in ours.shapes(changed).items() ^ ours.shapes(now).items()}
            left = differences(theirs, ours.shapes(changed))
            found[changed] = _Effect(key, value, open_.keys() - left.keys(), left)
        best = max(found, key=lambda one: found[one].gain(open_), default=now)
        if best == now or found[best].gain(open_) <= 0:
            break
        effect = found[best]
        same = [one for one in found.values() if one.closes == effect.closes and one.left.keys() == effect.left.keys()]
        closed.append(
            ClosingSwitch(
                _changed(now, best),
                tuple(open_[place] for place in sorted(effect.closes)),
                tuple(f"{one.key} = {written_as(one.value)}" for one in same if one is not effect),
            )
        )
        trials = [(one.key, one.value) for one in found.values() if one.closes or one is effect]
        now, open_ = best, effect.left
    contradictory = {place for place in moved & open_.keys() if _contradict(theirs, place)}
    return Comparison(
        len(messages),
        receiver.name,
        tuple(closed),
        tuple(one for place, one in open_.items() if place not in contradictory),
        tuple(one for place, one in open_.items() if place in contradictory),
    )


def differences(theirs: Sequence[Shapes], ours: Mapping[str, Shape]) -> dict[str, SampleDifference]:
    """Return, by place, each difference of a sample to all messages of ours."""
    found = {}
    for place in sorted({place for one in theirs for place in one} | {one for one in ours if _is_presence(one)}):
        mine = ours.get(place, _absent(place))
        counts = Counter(shape for one in theirs for shape in one.get(place, _absent(place)))
        if counts.keys() - mine:
            found[place] = SampleDifference(place, tuple(sorted(counts.items())), tuple(sorted(mine)))
    return found


def _contradict(theirs: Sequence[Shapes], place: str) -> bool:
    told = [shape for one in theirs if (shape := one.get(place, _absent(place)))]
    return any(one.isdisjoint(other) for one, other in combinations(told, 2))


def _is_presence(place: str) -> bool:
    return place.startswith(_PRESENCE)


def _absent(place: str) -> Shape:
    return frozenset({_NONE}) if _is_presence(place) else frozenset()


@dataclass(frozen=True, slots=True)
class _Effect:
    """Effect of a trial: the places that it closes, and the differences that are left."""

    key: str
    value: Any
    closes: AbstractSet[str]
    left: dict[str, SampleDifference]

    def gain(self, before: Mapping[str, SampleDifference]) -> int:
        """Number of places that it closes, less those that it opens."""
        return len(before) - len(self.left) if self.closes else 0


class OurMessages:
    """Messages that we make of the invented studies at a site, by profile."""

    def __init__(self, site: Site) -> None:
        hospital = {_HOSPITAL.name: _HOSPITAL}
        self._site = replace(site, facilities=hospital, default_facility=None, send_drafts=True, processing_id="T")
        self._known: dict[Receiver, Shapes] = {}
        self._script = self._made(replace(Receiver("compare"), send_drafts="on"))

    def _destination(self, receiver: Receiver) -> Destination:
        return Destination(receiver.name, "", Folder(Path()), receiver, _AT)

    def _made(self, receiver: Receiver) -> Script:
        run = "000000"
        return rehearsal_script(run, _AT, invented_system(run), self._site, self._destination(receiver))

    def messages(self, receiver: Receiver) -> list[Received]:
        """Return the messages by that profile."""
        destination = self._destination(replace(receiver, rules=()))
        return [read(one) for one in composed_bytes(self._script, destination.site(self._site), destination)]

    def shapes(self, receiver: Receiver) -> Shapes:
        """Return all shapes that messages by that profile have, of a line only the longest."""
        if receiver not in self._known:
            each = [shapes(one) for one in self.messages(receiver)]
            places = {place for one in each for place in one}
            all_ = {place: frozenset().union(*(one.get(place, _absent(place)) for one in each)) for place in places}
            if _LONGEST in all_:
                all_[_LONGEST] = frozenset({max(all_[_LONGEST], key=_LENGTHS.index)})
            self._known[receiver] = all_
        return self._known[receiver]


def _trials(theirs: Sequence[Shapes]) -> list[tuple[str, Any]]:
    """List the switches with the values to try: all that they can have, and the codes that samples have."""
    tried: list[tuple[str, Any]] = [("status_map", (("P", "R"),))]
    for name, switch in switches().items():
        tried += [(name, value) for value in switch.metadata.get("values", ())]
    for name, place in (
        ("receiving_application", "MSH-5"),
        ("receiving_facility", "MSH-6"),
        ("critical_code", "OBX-15"),
    ):
        seen = sorted({shape for one in theirs for shape in one.get(place, ())} - _WORDS)
        tried += [(name, value) for value in seen]
    return tried


def _with(receiver: Receiver, key: str, value: Any) -> Receiver | None:
    """Return the profile with another value of a switch, and of those that go with it; None if they cannot."""
    if key == "status_map":
        value = tuple({**dict(receiver.status_map), **dict(value)}.items())
    changed = replace(receiver, **{key: value})
    if key == "critical_code":
        changed = replace(changed, critical="obx15_rid")
    elif changed.critical != "obx15_rid":
        changed = replace(changed, critical_code="")
    has_disclaimer = changed.nte in ("disclaimer", "both")
    changed = replace(changed, disclaimer=(changed.disclaimer or _DISCLAIMER) if has_disclaimer else "")
    if changed.version == "2.3" and changed.charset == "UNICODE UTF-8":
        changed = replace(changed, charset="8859/1")
    if changed.uid in ("zds", "both"):
        changed = replace(changed, zsegments="on")
    if changed.accession_field == "3":
        changed = replace(changed, accession="required")
    if ("P", "R") in changed.status_map and key == "status_map":
        changed = replace(changed, send_drafts="on")
    return None if conflicts(changed) else changed


def _changed(before: Receiver, after: Receiver) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, written_as(value)) for name in switches() if (value := getattr(after, name)) != getattr(before, name)
    )
