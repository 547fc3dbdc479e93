"""Rule that messages to a receiver must keep, with the public source that states the rule.

HL7 v2.5.1 §2.16 (message profiles: constraints of a receiver beyond the standard), decision D34. A rule is data: one
place in the message, its condition, and the segments concerned. `mappings/hl7v2/receiver_rules.py` checks messages
against it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from mappings.profile.table import Table

Level = Literal["block", "warn"]
Quantity = Literal["each", "any"]
# Verb of a rule -> kind of its `value`
MUST: Final[dict[str, str]] = {
    "be_valued": "nothing",
    "be_empty": "nothing",
    "be_one_of": "texts",
    "not_be_one_of": "texts",
    "not_contain": "texts",
    "match": "pattern",
    "equal": "place",
    "be_at_most": "number",
}
ANYWHERE: Final = "*"
_ANYWHERE_MUST: Final = ("not_be_one_of", "not_contain", "be_at_most")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.\-]*")
_PLACE: Final = re.compile(r"([A-Z][A-Z0-9]{2})-([1-9][0-9]?)(?:\.([1-9][0-9]?)(?:\.([1-9][0-9]?))?)?")
_WHERE: Final = re.compile(r"(\S+) (=|!=) (.*)")
_KEYS: Final = frozenset({"name", "level", "source", "field", "must", "value", "where", "of"})
_PLACE_REMEDY: Final = (
    "Write segment, field, component and sub-component, such as OBR-18 or OBX-3.1.2, or `*` for every value."
)


@dataclass(frozen=True, slots=True)
class RulePlace:
    """Place in a message: `OBX-3.1.2`, counted from 1, 0 for absent parts; segment `*` means every value."""

    segment: str
    field: int = 0
    component: int = 0
    subcomponent: int = 0

    def __str__(self) -> str:
        numbers = [str(one) for one in (self.field, self.component, self.subcomponent) if one]
        return f"{self.segment}-{'.'.join(numbers)}" if numbers else self.segment


@dataclass(frozen=True, slots=True)
class Where:
    """Condition that selects segments: those with (or, unless `is_equal`, without) that text at that place."""

    place: RulePlace
    is_equal: bool
    text: str

    def __str__(self) -> str:
        return f"{self.place} {'=' if self.is_equal else '!='} {self.text}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One `[[rules]]` table of a receiver profile: `field` `must` `value`, in `each` or `any` of its segments.

    `level`: a message that breaks a `block` rule would be misfiled, garbled, deleted or refused, and is not sent; one
    that
    breaks a `warn` rule is sent and counted. `value` holds texts, a regular expression, a place or a number, by `MUST`.
    """

    name: str
    level: Level
    source: str
    field: RulePlace
    must: str
    value: tuple[str, ...] = ()
    where: Where | None = None
    of: Quantity = "each"

    def __str__(self) -> str:
        place = "every value" if self.field.segment == ANYWHERE else str(self.field)
        value = ", ".join(f"`{one}`" for one in self.value)
        return f"{place} must {self.must.replace('_', ' ')} {value}".rstrip() + _qualifier(self)


def _qualifier(rule: Rule) -> str:
    if rule.of == "any":
        return f", in one {rule.field.segment} at least" + (f" with {rule.where}" if rule.where else "")
    return f", where {rule.where}" if rule.where else ""


def read_rules(table: Table) -> tuple[Rule, ...]:
    """Read the rules of a receiver profile; invalid ones are noted and left out."""
    rows = table.tables("rules", "Write each rule under `[[rules]]`.")
    read = [(one, rule) for one in rows if (rule := _read_rule(one)) is not None]
    names: set[str] = set()
    for row, rule in read:
        if rule.name in names:
            row.refuse("name", "two rules have this name", "Give each rule a name of its own.")
        names.add(rule.name)
    return tuple(rule for _, rule in read)


def merge(inherited: tuple[Rule, ...], own: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Merge the rules of a base profile and of a profile built on it, whose rule wins under the same name."""
    by_name = {rule.name: rule for rule in (*inherited, *own)}
    return tuple(by_name.values())


def _read_rule(table: Table) -> Rule | None:
    before = len(table.faults)
    table.refuse_unknown(_KEYS)
    name = table.text("name") or ""
    if not _NAME.fullmatch(name):
        table.refuse("name", "not a name", "Write small letters, digits, dots and hyphens, such as obr-18-valued.")
    source = (table.text("source") or "").strip()
    if not source:
        table.refuse("source", "missing", "Write where it stands that the receiver asks for this.")
    level, must = _required(table, "level", ("block", "warn")), _required(table, "must", tuple(MUST))
    quantity = table.one_of("of", ("each", "any")) or "each"
    text = table.text("field") or ""
    field = RulePlace(ANYWHERE) if text == ANYWHERE else _read_place(table, "field", text)
    value = _value(table, must) if must else ()
    where = _read_where(table)
    if field and field.segment == ANYWHERE and (where or quantity == "any" or must not in _ANYWHERE_MUST):
        remedy = f"Name one field, or leave out `where` and `of` and write one of {', '.join(_ANYWHERE_MUST)}."
        table.refuse("field", "a rule that cannot be about every value", remedy)
    if field is None or len(table.faults) > before:
        return None
    return Rule(name, cast(Level, level), source, field, must, value, where, cast(Quantity, quantity))


def _required(table: Table, key: str, allowed: tuple[str, ...]) -> str:
    if key not in table.row:
        table.refuse(key, "missing", f"Write one of {', '.join(allowed)}.")
    return table.one_of(key, allowed) or ""


def place_of(text: str) -> RulePlace:
    """Parse the name of a place.

    Raises:
        ValueError: it names no place.
    """
    match = _PLACE.fullmatch(text)
    if match is None:
        raise ValueError("not a place in a message")
    return RulePlace(match[1], *(int(number or 0) for number in match.groups()[1:]))


def _read_place(table: Table, key: str, text: str) -> RulePlace | None:
    try:
        return place_of(text)
    except ValueError as error:
        table.refuse(key, str(error), _PLACE_REMEDY)
        return None


def _read_where(table: Table) -> Where | None:
    text = table.text("where")
    if text is None:
        return None
    match = _WHERE.fullmatch(text)
    if match is None:
        table.refuse("where", "not a condition", "Write a place, = or !=, and a text: OBX-3.1 = 113014.")
        return None
    place = _read_place(table, "where", match[1])
    return Where(place, match[2] == "=", match[3]) if place else None


def _value(table: Table, must: str) -> tuple[str, ...]:
    return _VALUES[MUST[must]](table, table.row.get("value"))


def _no_value(table: Table, value: Any) -> tuple[str, ...]:
    if value is not None:
        table.refuse("value", "not asked for by what the rule says", "Leave it out.")
    return ()


def _texts(table: Table, value: Any) -> tuple[str, ...]:
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return tuple(value)
    table.refuse("value", "not a list of texts", 'Write a list, such as ["A", "F"].')
    return ()


def _pattern(table: Table, value: Any) -> tuple[str, ...]:
    try:
        if isinstance(value, str):
            re.compile(value)
            return (value,)
    except re.error:
        pass
    table.refuse("value", "not a regular expression", "Write one that matches the whole value, in single quotes.")
    return ()


def _place(table: Table, value: Any) -> tuple[str, ...]:
    place = _read_place(table, "value", value if isinstance(value, str) else "")
    return (str(place),) if place else ()


def _number(table: Table, value: Any) -> tuple[str, ...]:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return (str(value),)
    table.refuse("value", "not a number of characters", "Write a whole number above 0.")
    return ()


_VALUES: Final = {"nothing": _no_value, "texts": _texts, "pattern": _pattern, "place": _place, "number": _number}
