"""Check a message against the rules in the receiver's profile, and find the fields that break a rule.

HL7 v2.5.1 §2.16 (message profiles), decision D34. Rules are defined in `mappings/profile/rule.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mappings.hl7v2.er7 import NULL
from mappings.hl7v2.received import Delimiters, Received, Segment, placed, read
from mappings.issues import MappingIssue
from mappings.profile import Receiver, Rule
from mappings.profile.rule import ANYWHERE, RulePlace, Where, place_of

_Texts = Sequence[str]
_ESCAPED: Final = re.compile(r"\\[^\\]*\\")


def _has_part(text: str, part: str) -> bool:
    r"""True if a text has a part; an escape sequence counts only where it is read as one: `\E\F\E\` has no `\F\`."""
    return part in (_ESCAPED.findall(text) if _ESCAPED.fullmatch(part) else text)


def _length(text: str) -> int:
    """Count characters as the receiver does after decoding the escape sequences."""
    return len(_ESCAPED.sub(" ", text))


# Rule verb -> its check of two lists: the texts at the rule's place (one per repetition, as in the message), and the
# rule's `value`, or for `equal` the texts at the other place
CHECKS: Final[dict[str, Callable[[_Texts, _Texts], bool]]] = {
    "be_valued": lambda texts, _: any(text.strip("^&~") not in ("", NULL) for text in texts),
    "be_empty": lambda texts, _: not any(texts),
    "be_one_of": lambda texts, allowed: all(text in allowed for text in texts),
    "not_be_one_of": lambda texts, refused: not any(text in refused for text in texts),
    "not_contain": lambda texts, refused: not any(_has_part(text, part) for text in texts for part in refused),
    "match": lambda texts, pattern: all(re.fullmatch(pattern[0], text) for text in texts),
    "equal": lambda texts, others: list(texts) == list(others),
    "be_at_most": lambda texts, limit: all(_length(text) <= int(limit[0]) for text in texts),
}


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that a message breaks, and the place, such as `OBX[3]-5`; never the offending value."""

    rule: Rule
    place: str

    @property
    def issue(self) -> MappingIssue:
        """Convert to an issue: an error if the message must not be sent."""
        is_blocking = self.rule.level == "block"
        action = f"{self.rule} ({self.rule.source}){': not sent' if is_blocking else ''}"
        return MappingIssue(f"rule-{self.rule.name}", "error" if is_blocking else "warning", self.place, action)


def check_rules(message: bytes, receiver: Receiver) -> tuple[Broken, ...]:
    """Find the receiver's rules that a message breaks, in the order of the profile; empty if it keeps all.

    A missing segment counts as one without fields, unless the rule has a `where`.

    Raises:
        Unreadable: the bytes are no HL7 v2 message.
    """
    received = read(message)
    names = [name for name, _ in placed(received)]
    return tuple(Broken(rule, place) for rule in receiver.rules for place in _broken_places(rule, received, names))


def _broken_places(rule: Rule, received: Received, names: list[str]) -> Iterator[str]:
    """Yield the places where a message breaks a rule."""
    if rule.field.segment == ANYWHERE:
        yield from _broken_anywhere(rule, received, names)
        return
    chosen = list(_chosen(rule, received))
    kept = [_is_kept(rule, received, index) for index in chosen]
    if rule.of == "any":
        if not any(kept):
            yield str(rule.field)
        return
    place = str(rule.field).removeprefix(rule.field.segment)
    for index, is_kept in zip(chosen, kept, strict=True):
        if not is_kept:
            yield (rule.field.segment if index is None else names[index]) + place


def _chosen(rule: Rule, received: Received) -> Iterator[int | None]:
    """Yield the index of each segment that a rule concerns; None stands for a missing segment."""
    places = [index for index, segment in enumerate(received.segments) if segment.name == rule.field.segment]
    if rule.where is None and not places:
        yield None
    for index in places:
        if rule.where is None or _is_chosen(rule.where, received, index):
            yield index


def _is_chosen(where: Where, received: Received, index: int) -> bool:
    return (where.text in _texts(received, index, where.place)) is where.is_equal


def _is_kept(rule: Rule, received: Received, index: int | None) -> bool:
    value: _Texts = rule.value
    if rule.must == "equal":
        value = _texts(received, index, place_of(rule.value[0]))
    return CHECKS[rule.must](_texts(received, index, rule.field), value)


def _texts(received: Received, index: int | None, place: RulePlace) -> list[str]:
    """Texts at a place, seen from a segment: in it, else in the last such segment before it, else in the first.

    One text for each repetition; at least one.
    """
    segments = received.segments
    if index is not None and segments[index].name == place.segment:
        return texts_at(segments[index], place, received.delimiters)
    backwards = reversed(segments if index is None else segments[: index + 1])
    segment = next((one for one in (*backwards, *segments) if one.name == place.segment), None)
    return texts_at(segment, place, received.delimiters) if segment else [""]


def texts_at(segment: Segment, place: RulePlace, delimiters: Delimiters) -> list[str]:
    """Texts at a place of a segment, one per repetition of the field; at least one."""
    text = segment.field(place.field)
    if segment.name == "MSH" and place.field <= 2:
        return [text]
    return [_part(one, place, delimiters) for one in text.split(delimiters.repetition)]


def _part(text: str, place: RulePlace, delimiters: Delimiters) -> str:
    for number, delimiter in (
        (place.component, delimiters.component),
        (place.subcomponent, delimiters.subcomponent),
    ):
        if number:
            text = (text.split(delimiter) + [""] * number)[number - 1]
    return text


def _broken_anywhere(rule: Rule, received: Received, names: list[str]) -> Iterator[str]:
    """Yield the fields of all segments in which a value breaks a rule about every value."""
    marks = received.delimiters
    divided = re.compile("|".join(map(re.escape, (marks.repetition, marks.component, marks.subcomponent))))
    for name, segment in zip(names, received.segments, strict=True):
        for number in range(3 if segment.name == "MSH" else 1, len(segment.fields)):
            if any(not CHECKS[rule.must]([part], rule.value) for part in divided.split(segment.field(number))):
                yield f"{name}-{number}"
