"""Read a receiver profile from TOML text: a profile of this package, or a site's own profile.

HL7 v2.5.1 §2.15.9 (MSH), §4.5.3 (OBR), §7.4.2 (OBX) for the fields that the switches decide; decision D34. The switches
are those of mappings/profile/receiver.py; every mistake is noted with its key and remedy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import Field, replace
from functools import cache
from importlib import resources
from typing import Any, Final

from mappings.issues import SiteError
from mappings.profile.receiver import Receiver, conflicts, switches, written_as
from mappings.profile.rule import merge, read_rules
from mappings.profile.table import Table, read_toml

_PROFILES: Final = resources.files("mappings") / "hl7v2" / "receivers"
RECEIVERS: Final = tuple(sorted(file.name[:-5] for file in _PROFILES.iterdir() if file.name.endswith(".toml")))
"""Names of the receiver profiles of this package."""
_WITHDRAWN: Final = {"vista": ("it mixed the rules of two VistA routines", ("vista-2.3", "vista-2.4"))}
# Removed switches that changed nothing -> the fixed behavior
_REMOVED: Final = {
    "pipelining": "each connection waits for the acknowledgement of a message; `window` opens more connections",
    "batch": "each message goes by itself",
}
_PROOF: Final = re.compile(r"(?:tested with|from documents:) \S.*")
_PROOF_REMEDY: Final = "Write `tested with …`, naming the software, or `from documents: …`, naming them."


@cache
def receiver(name: str) -> Receiver:
    """Return the receiver profile of this package with that name.

    Raises:
        SiteError: there is no such profile.
    """
    if name not in RECEIVERS:
        raise SiteError("receiver", *unknown(name, RECEIVERS))
    return parse_receiver((_PROFILES / f"{name}.toml").read_text("utf-8"), needs_proof=True)


def unknown(name: str, known: Iterable[str]) -> tuple[str, str]:
    """Describe an unknown profile name: problem and remedy; the name itself is not repeated."""
    if name in _WITHDRAWN:
        reason, successors = _WITHDRAWN[name]
        remedy = f"Write {' or '.join(successors)}, by the version of HL7 that the receiver takes."
        return f"the profile {name} is withdrawn: {reason}", f"{remedy} See docs/site.md."
    return "no such receiver profile", f"Known here: {', '.join(known)}."


def parse_receiver(text: str, *, needs_proof: bool = False) -> Receiver:
    """Read a receiver profile from the text of its TOML file; a switch that is left out has its default.

    A profile of this package must have a `proof`; a site's own may have one.

    Raises:
        SiteError: the first wrong or unknown switch or rule, with its remedy.
    """
    faults: list[SiteError] = []
    made = read_receiver(Table(read_toml(text, "receiver"), "receiver", faults), needs_proof=needs_proof)
    if faults:
        raise faults[0]
    return made


def read_receiver(table: Table, *, needs_proof: bool = False) -> Receiver:
    """Read a receiver profile from its table; missing switches are taken from the profile that `base` names, if any.

    The `proof` is not inherited: it covers only the base's own switches and rules. Conflicts between switches are noted
    once each switch is valid.
    """
    known, faults = switches(), len(table.faults)
    for key in filter(table.row.__contains__, _REMOVED):
        table.refuse(key, f"removed, as it changed nothing: {_REMOVED[key]}", "Take the line out.")
    table = replace(table, row={key: value for key, value in table.row.items() if key not in _REMOVED})
    table.refuse_unknown({"name", "base", "proof", "rules", *known})
    name = table.text("name")
    if not name:
        table.refuse("name", "missing", "Write the name of the profile.")
    given = {key: value for key, one in known.items() if (value := _read_switch(table, key, one)) is not None}
    start, proof = _base(table), _proof(table, needs_proof=needs_proof)
    made = replace(start, name=name or "", proof=proof, rules=merge(start.rules, read_rules(table)), **given)
    if len(table.faults) == faults:
        for conflict in conflicts(made):
            table.refuse(conflict.key, conflict.problem, conflict.remedy)
    return made


def _base(table: Table) -> Receiver:
    """Return the profile that `base` names; the defaults without a `base` or for an unknown name."""
    name = table.text("base")
    if name is not None and name not in RECEIVERS:
        table.refuse("base", *unknown(name, RECEIVERS))
    return receiver(name) if name in RECEIVERS else Receiver("")


def _proof(table: Table, *, needs_proof: bool) -> str:
    text = table.text("proof")
    if text is None and needs_proof:
        table.refuse("proof", "missing", _PROOF_REMEDY)
    elif text is not None and not _PROOF.fullmatch(text):
        table.refuse("proof", "says neither what it was tested with nor from which documents it is", _PROOF_REMEDY)
    return text or ""


def _read_switch(table: Table, key: str, switch: Field[Any]) -> Any:
    """Read a switch from its table; None if it is missing or invalid."""
    if key not in table.row:
        return None
    if "range" in switch.metadata:
        return _read_number(table, key, switch.metadata["range"])
    if "keys" in switch.metadata:
        return _read_map(table, key, switch.metadata)
    return table.one_of(key, switch.metadata["values"]) if "values" in switch.metadata else table.text(key)


def _read_number(table: Table, key: str, limits: tuple[int, int]) -> int | None:
    value, (lowest, highest) = table.row[key], limits
    if isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest:
        return value
    table.refuse(key, "not a number that it can have", f"Write a whole number from {lowest} to {highest}.")
    return None


def _read_map(table: Table, key: str, asked: Mapping[str, Any]) -> tuple[tuple[str, str], ...] | None:
    value, keys = table.row[key], asked["keys"]
    if not isinstance(value, dict):
        table.refuse(key, "not a table", f"Write a table of {', '.join(keys)}.")
        return None
    good = []
    for entry, code in value.items():
        codes = keys[entry.partition(" ")[0]] if _is_key(entry, asked) else ()
        if code in codes:
            good.append((entry, code))
        elif codes:
            remedy = f"Write {' or '.join(map(written_as, codes))}, or leave it out."
            table.refuse(f"{key}.{entry}", "not one of the values it can have", remedy)
        else:
            behind = ", also with a blank and a regular expression behind" if asked["with_pattern"] else ""
            table.refuse(f"{key}.{entry}", "no such key", f"Known here: {', '.join(keys)}{behind}.")
    return tuple(good)


def _is_key(text: str, asked: Mapping[str, Any]) -> bool:
    """True for an allowed key of a map, alone or (if allowed) with a regular expression after a blank."""
    key, blank, pattern = text.partition(" ")
    try:
        re.compile(pattern)
    except re.error:
        return False
    return key in asked["keys"] and (not blank or (bool(pattern) and asked["with_pattern"]))
