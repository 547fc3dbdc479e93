"""Find switches in a receiver's profile by which our messages would break the rules of the same profile.

HL7 v2.5.1 §2.16 (message profiles), decision D34. The check is a trial: it writes the specimen
(mappings/hl7v2/specimen.py) by the profile, and if that breaks a rule, changes each switch to find one that helps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from mappings.hl7v2.rules import check_rules
from mappings.hl7v2.specimen import Occasion, occasions, written
from mappings.issues import SiteError
from mappings.profile import Receiver, Rule, switches
from mappings.profile.receiver import conflicts, written_as


def contradictions(receiver: Receiver) -> tuple[SiteError, ...]:
    """Find the faults that make a receiver's profile unusable, each with the switch, the reason and the remedy.

    Empty if no message about a study with every value known breaks a `block` rule of the profile.
    """
    names_by_refusal: dict[tuple[Rule, tuple[_Turn, ...]], list[str]] = {}
    for occasion in occasions():
        for refusal in _refusals(occasion, receiver):
            names_by_refusal.setdefault(refusal, []).append(occasion.name)
    return tuple(_site_error(receiver, rule, turns, names) for (rule, turns), names in names_by_refusal.items())


@dataclass(frozen=True, slots=True)
class _Turn:
    """A switch with another value; `key` is the switch, or the changed entry of a map."""

    switch: str
    value: Any
    key: str

    def __str__(self) -> str:
        return f"{self.switch} = {written_as(self.value)}"


def _site_error(receiver: Receiver, rule: Rule, turns: tuple[_Turn, ...], occasion_names: list[str]) -> SiteError:
    problem = f"{', '.join(occasion_names)} would break `{rule.name}`: {rule} ({rule.source})"
    remedy = f"Write {' or '.join(map(str, turns))}." if turns else "No switch alone mends it: turn several."
    return SiteError(f"mapping.receivers.{receiver.name}.{turns[0].key if turns else 'rules'}", problem, remedy)


def _refusals(occasion: Occasion, receiver: Receiver) -> list[tuple[Rule, tuple[_Turn, ...]]]:
    """The `block` rules that an occasion breaks, each with the switch changes that fix it and break nothing else."""
    broken = _broken_rules(occasion, receiver)
    if not broken:
        return []
    turns = ((turn, _broken_rules(occasion, turned)) for turn, turned in _turns(receiver))
    tried = [(turn, left) for turn, left in turns if left is not None]
    return [
        (rule, tuple(turn for turn, left in tried if rule not in left and set(left) <= set(broken))) for rule in broken
    ]


def _broken_rules(occasion: Occasion, receiver: Receiver) -> list[Rule] | None:
    """The `block` rules that an occasion's messages break; None if there is no message."""
    messages = written(occasion, receiver)
    rules = [broken.rule for message in messages for broken in check_rules(message, receiver)]
    return [rule for rule in dict.fromkeys(rules) if rule.level == "block"] if messages else None


def _turns(receiver: Receiver) -> Iterator[tuple[_Turn, Receiver]]:
    """Yield each valid profile with one switch changed (for `status_map`, one entry changed)."""
    for turn in _all_turns(receiver):
        turned = replace(receiver, **{turn.switch: turn.value})
        if not conflicts(turned):
            yield turn, turned


def _all_turns(receiver: Receiver) -> Iterator[_Turn]:
    for name, switch in switches().items():
        now = getattr(receiver, name)
        if name == "status_map":
            for key, codes in switch.metadata["keys"].items():
                for code in codes:
                    yield _Turn(name, tuple({**dict(now), key: code}.items()), f"{name}.{key}")
        elif "keys" not in switch.metadata:
            values = switch.metadata.get("values", ())
            yield from (_Turn(name, value, name) for value in values if value != now)
