"""Which switches of a receiver's profile do not go together, and with which its messages would break its own rules.

HL7 v2.5.1 §2.16 (message profiles), decision D34. Of what goes wrong whatever the rules say there is a table. The rest
is found by trying: the specimen (mappings/hl7v2/specimen.py) is written as the profile has it, and where that breaks a
rule, every switch is turned to see which one mends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

from mappings.hl7v2.rules import check_rules
from mappings.hl7v2.specimen import Occasion, occasions, written
from mappings.issues import SiteError
from mappings.profile import Receiver, Rule, switches
from mappings.profile.receiver import written_as

# HL7 v2.3 table 0211 knows no Unicode
_WITHOUT_UNICODE: Final = frozenset({"2.3"})
# Key of `status_map` -> the codes that say the same or less: nothing signed goes out as a draft, or not at all
_SAME_OR_LESS: Final[dict[str, tuple[str, ...]]] = {
    "P": ("R", "none"),
    "F": (),
    "C": ("F",),
    "A": (),
    "W": ("C", "void"),
}


@dataclass(frozen=True, slots=True)
class Conflict:
    """Switches that cannot work together: the one to look at first, when it is so, why, and what to write instead."""

    key: str
    is_there: Callable[[Receiver], bool]
    problem: str
    remedy: str


def _maps_to_other(key: str, codes: tuple[str, ...]) -> Callable[[Receiver], bool]:
    return lambda receiver: dict(receiver.status_map).get(key, key) not in (key, *codes)


CONFLICTS: Final = (
    Conflict(
        "version",
        lambda receiver: receiver.version in _WITHOUT_UNICODE and receiver.charset == "UNICODE UTF-8",
        "HL7 v2.3 knows no Unicode in MSH-18",
        'Write charset = "8859/1" or "ASCII".',
    ),
    Conflict(
        "escape",
        lambda receiver: receiver.escape == "strip" and receiver.text == "ft",
        "formatted text needs the escape sequence \\.br\\ that this receiver cannot read",
        'Write text = "tx_lines" or "st_lines".',
    ),
    Conflict(
        "escape",
        lambda receiver: receiver.escape == "strip" and receiver.nte != "none",
        "an NTE of several lines needs the escape sequence \\.br\\ that this receiver cannot read",
        'Write nte = "none".',
    ),
    Conflict(
        "uid",
        lambda receiver: receiver.uid in ("zds", "both") and receiver.zsegments == "off",
        "the ZDS segment is not of the standard, and zsegments is off",
        'Write uid = "obx113014" or "none", or zsegments = "on".',
    ),
    Conflict(
        "critical_code",
        lambda receiver: (receiver.critical == "obx15_rid") is not bool(receiver.critical_code.strip()),
        "critical = obx15_rid and critical_code go together",
        "Write the code, such as RID49480^Category 1 Emergent Actionable Finding^RadLex, or another `critical`.",
    ),
    Conflict(
        "disclaimer",
        lambda receiver: (receiver.nte in ("disclaimer", "both")) is not bool(receiver.disclaimer.strip()),
        "a disclaimer and nte = disclaimer or both go together",
        "Write both or neither.",
    ),
    Conflict(
        "accession_field",
        lambda receiver: receiver.accession_field == "3" and receiver.accession == "optional",
        "without an accession number a report would be filed under another number",
        'Write accession = "required".',
    ),
    Conflict(
        "accessions",
        lambda receiver: receiver.accession_field == "3" and receiver.accessions == "messages",
        "a study keeps the filler order number that was sent first, so all corrections would go to that one",
        'Write accessions = "groups" or "first".',
    ),
    Conflict(
        "send_drafts",
        lambda receiver: receiver.send_drafts == "on" and ("P", "none") in receiver.status_map,
        "drafts are asked for, and status_map has no code for them",
        'Write send_drafts = "off", or leave out P.',
    ),
    *(
        Conflict(
            f"status_map.{key}",
            _maps_to_other(key, codes),
            f"{key} as another code would say something else of the report, or keep it back",
            f"Leave {key} out{''.join(f', or write {key} = {written_as(code)}' for code in codes)}.",
        )
        for key, codes in _SAME_OR_LESS.items()
    ),
)


def contradictions(receiver: Receiver) -> tuple[SiteError, ...]:
    """What keeps a receiver's profile from working, each with the switch, the reason and what to write instead.

    Empty: no message about a study of which everything is known breaks a `block` rule of the profile.
    """
    place = f"mapping.receivers.{receiver.name}"
    found = [SiteError(f"{place}.{one.key}", one.problem, one.remedy) for one in _conflicts(receiver)]
    return (*found, *_refused(receiver, place))


def _conflicts(receiver: Receiver) -> list[Conflict]:
    return [one for one in CONFLICTS if one.is_there(receiver)]


@dataclass(frozen=True, slots=True)
class _Turn:
    """A switch with another value; `key` is the switch, or of a map the entry that changes."""

    switch: str
    value: Any
    key: str

    def __str__(self) -> str:
        return f"{self.switch} = {written_as(self.value)}"


@dataclass(frozen=True, slots=True)
class _Trial:
    """An occasion written as a profile has it, and the `block` rules that this breaks."""

    occasion: Occasion
    receiver: Receiver
    broken: list[Rule]

    def is_mended(self, rule: Rule, turn: _Turn) -> bool:
        """Whether with a switch turned messages are written that keep a rule, and nothing else goes wrong for it."""
        turned = replace(self.receiver, **{turn.switch: turn.value})
        before = _conflicts(self.receiver)
        if any(one.key == turn.key or one not in before for one in _conflicts(turned)):
            return False
        left = set(_broken(self.occasion, turned)) if written(self.occasion, turned) else {rule}
        return rule not in left and left <= set(self.broken)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A rule that the profile's messages break on some occasions, and the turns each of which mends that."""

    rule: Rule
    remedies: tuple[_Turn, ...]
    occasions: list[str]


def _refused(receiver: Receiver, place: str) -> Iterator[SiteError]:
    """The rules that messages of the specimen break, with the switches that mend it."""
    for one in _refusals(receiver):
        rule, key = one.rule, one.remedies[0].key if one.remedies else "rules"
        problem = f"{', '.join(one.occasions)} would break `{rule.name}`: {rule} ({rule.source})"
        remedy = f"Write {' or '.join(map(str, one.remedies))}."
        yield SiteError(
            f"{place}.{key}", problem, remedy if one.remedies else "No switch alone mends it: turn several."
        )


def _refusals(receiver: Receiver) -> list[_Refusal]:
    """What mends a rule on one occasion is tried first on the next."""
    found: list[_Refusal] = []
    for occasion in occasions():
        trial = _Trial(occasion, receiver, _broken(occasion, receiver))
        for rule in trial.broken:
            alike = (one for one in found if one.rule == rule)
            known = next((one for one in alike if all(trial.is_mended(rule, turn) for turn in one.remedies)), None)
            if known is not None:
                known.occasions.append(occasion.name)
                continue
            remedies = tuple(turn for turn in _turns(receiver) if trial.is_mended(rule, turn))
            found.append(_Refusal(rule, remedies, [occasion.name]))
    return found


def _broken(occasion: Occasion, receiver: Receiver) -> list[Rule]:
    """The `block` rules that an occasion's messages break."""
    found = [broken.rule for message in written(occasion, receiver) for broken in check_rules(message, receiver)]
    return [rule for rule in dict.fromkeys(found) if rule.level == "block"]


def _turns(receiver: Receiver) -> Iterator[_Turn]:
    """Every switch with every other value; of `status_map`, every entry with every value."""
    for name, one in switches().items():
        now = getattr(receiver, name)
        if name == "status_map":
            for key, code in product(one.metadata["keys"], one.metadata["values"]):
                yield _Turn(name, tuple({**dict(now), key: code}.items()), f"{name}.{key}")
        elif "keys" not in one.metadata:
            values = one.metadata.get("values", ())
            yield from (_Turn(name, value, name) for value in values if value != now)
