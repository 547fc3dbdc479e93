"""List the mapping functions with the FHIR element or HL7 v2 field that each function makes, from docstrings.

Carries out no clause of a standard. A rule's docstring begins `PID-5 Patient Name <- snapshot.patientName` or
`Patient.name <- snapshotMetadata.patientName`, and names its clause below.
Proved by tests/mappings/trace/test_trace.py and tests/architecture/test_index.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from inspect import cleandoc
from pkgutil import walk_packages
from types import FunctionType
from typing import Final

import mappings

_FIELD: Final = re.compile(r"\b[A-Z][A-Z0-9]{2}-[0-9]+\b(?!\.[0-9])")
_ELEMENT: Final = re.compile(r"\b[A-Z][A-Za-z]+(?:\.[a-z][A-Za-z]*)+")
_CLAUSE: Final = re.compile(
    r"^(?:HL7 v2[0-9.]* §[0-9A-Z.]+[0-9A-Z]|IHE [^:,\n]+?(?=\.(?:\s|$)|[:,])|https://hl7\.org/fhir/\S+)", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class TraceRule:
    """A function of the mapping: its `targets`, their source, its place in the code, and its clause."""

    targets: tuple[str, ...]
    name: str
    source: str
    path: str
    line: int
    clause: str


@cache
def rules() -> tuple[TraceRule, ...]:
    """Every rule, in the order of the modules."""
    return tuple(rule for module in _modules() for rule in _module_rules(module))


# Observation of an OBX outside the report text -> the module that writes it
_OBX: Final = {
    "PDF": "mappings/hl7v2/obx_pdf.py",
    "113014": "mappings/hl7v2/obx_uid.py",
    "8302-2": "mappings/hl7v2/obx_vitals.py",
    "29463-7": "mappings/hl7v2/obx_vitals.py",
}


@cache
def rule_of(target: str) -> TraceRule | None:
    """Find the rule of a target: that of the field, or of the nearest element above.

    `OBX(8302-2)-5` is OBX-5 of the OBX of a height: a rule of its module, if it has one. Of two rules of a field the
    one named after it is taken.
    """
    kind = re.match(r"OBX\(([^)]*)\)", target)
    plain = re.sub(r"\([^)]*\)", "", target)
    own = _OBX.get(kind[1]) if kind else None
    named = f"{plain.lower().replace('-', '_')}_"
    candidates = [
        (rule.path == own, rule.name.startswith(named), len(made), rule)
        for rule in rules()
        for made in rule.targets
        if _is_within(plain, made) and (rule.path == own or rule.path not in _OBX.values())
    ]
    return max(candidates, key=lambda row: row[:3])[3] if candidates else None


def rules_of(targets: Iterable[str]) -> tuple[str, ...]:
    """Names of the rules that make these targets, each once."""
    rules = map(rule_of, targets)
    return tuple(dict.fromkeys(rule.name for rule in rules if rule))


def _is_within(target: str, made: str) -> bool:
    if "-" in made:
        return target == made
    return target.startswith(made) and not target[len(made) : len(made) + 1].islower()


def _modules() -> Iterator[str]:
    for module in walk_packages(mappings.__path__, "mappings."):
        if not module.name.endswith(".judge") and not module.name.startswith("mappings.trace"):
            yield module.name


def _functions(name: str) -> tuple[FunctionType, ...]:
    """Functions of a module, in their order."""
    members = vars(import_module(name)).values()
    return tuple(one for one in members if isinstance(one, FunctionType) and one.__module__ == name)


def _path(function: FunctionType) -> str:
    return function.__module__.replace(".", "/") + ".py"


def _module_rules(name: str) -> Iterator[TraceRule]:
    for function in _functions(name):
        if "<-" in (function.__doc__ or ""):
            yield from _rule(function)


def _rule(function: FunctionType) -> Iterator[TraceRule]:
    text = function.__doc__ or ""
    made, _, source = text.split("\n", 1)[0].partition("<-")
    targets = (*_FIELD.findall(made), *_ELEMENT.findall(made))
    clause = _CLAUSE.search(cleandoc(text))
    if targets:
        yield TraceRule(
            targets,
            function.__name__,
            source.strip().rstrip("."),
            _path(function),
            function.__code__.co_firstlineno,
            clause[0] if clause else "",
        )


@cache
def builder_of(target: str) -> TraceRule:
    """Find the function that builds the resource of an element without a rule of its own.

    Raises:
        LookupError: there is none.
    """
    kind = target.split(".", maxsplit=1)[0]
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()
    named = {one.__name__: one for one in _functions(f"mappings.fhir.{name}")}
    made = named.get(name) or named.get(f"{name}s") or named.get("vital_observations")
    if made is None:
        raise LookupError(kind)
    page = f"https://hl7.org/fhir/R4/{kind.lower()}.html"
    return TraceRule((kind,), made.__name__, "", _path(made), made.__code__.co_firstlineno, page)
