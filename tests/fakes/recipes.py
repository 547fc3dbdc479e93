"""Gaps that a forgotten file of a recipe in docs/extending.md leaves, each as a sentence that names the file."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TYPES = "mappings/fhir/resource_types.py"
SERVED = "gateway/fhir_api/served.py"
PARAMETERS = "gateway/index/parameter_table.py"
STATEMENT = "docs/generators/mapping_documents.py"
LENGTHS = "mappings/hl7v2/lengths.py"
VERSIONS = "mappings/hl7v2/versions.py"
RECEIVER = "mappings/profile/receiver.py"
KINDS = "gateway/settings/destination.py"
READERS = "gateway/routing/transport_from_settings.py"
TRANSPORT = "gateway/routing/transport.py"
CHANNELS = "gateway/feed/deliver/channel.py"
Json = Mapping[str, Any]


def names_in(path: Path) -> set[str]:
    """Return every name that a module defines, also inside classes and functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def attributes_of(owner: str, paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Yield each attribute that is read from a variable or attribute of this name, with its file."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                of = node.value
                name = of.id if isinstance(of, ast.Name) else of.attr if isinstance(of, ast.Attribute) else ""
                if name == owner:
                    yield str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name, node.attr


def sources(*folders: str) -> list[Path]:
    """Return the modules below these folders of the project."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def is_shared(row: Any) -> bool:
    """True if several studies make the same resource of a type, so that no study owns it."""
    return row.place in {"patient", "referred", "apart"}


def missing_types(
    made: AbstractSet[str], types: Mapping[str, Any], served: AbstractSet[str], searched: Json
) -> list[str]:
    """Find resource types that are in one table and not in another; `made` are those of the sample study."""
    every = {*made, *types, *served, *searched}
    rows = (
        (types, "has no row in _ROWS of " + TYPES),
        (made, "is made of no study: add its function to `to_fhir` in mappings/fhir/__init__.py"),
        (served, f"has no row in RESOURCES of {SERVED}"),
        (searched, f"has no search parameters: add rows to _OF_TYPE and _FINDS of {PARAMETERS}"),
    )
    return [f"{name} {cure}" for known, cure in rows for name in sorted(every - set(known))]


def misplaced_types(types: Mapping[str, Any], searched: Json) -> Iterator[str]:
    """Find resource types whose place in a patient's compartment is not that of their search parameters."""
    for name, row in types.items():
        names = {one.name for one in searched.get(name, ())}
        wanted = {"member": "patient", "about": "target"}.get(row.place)
        if wanted and wanted not in names:
            yield f"{name} is a `{row.place}` in {TYPES}, and has no parameter {wanted} in {PARAMETERS}: add it"
        if "patient" in names and row.place not in {"member", "about"}:
            yield f"{name} has a parameter patient in {PARAMETERS}: its place in {TYPES} is `member`, not `{row.place}`"
    for name, rows in searched.items():
        for one in rows if types.get(name) and types[name].place == "member" else ():
            for target in one.targets:
                if target in types and types[target].place == "apart":
                    yield f"{target} is referred to by {name}.{one.name}: its place in {TYPES} is `referred`"


def unchecked_codes(resources: Iterable[Json], codes: Mapping[tuple[str, str], str], class_of: Any) -> Iterator[str]:
    """Find coded elements of made resources whose required binding is not checked."""
    for resource in resources:
        kind = resource["resourceType"]
        for name, one in class_of(kind).model_fields.items():
            is_bound = "enum_values" in (one.json_schema_extra or {})
            if is_bound and isinstance(resource.get(one.alias or name), str) and (kind, one.alias or name) not in codes:
                yield f"{kind}.{one.alias or name} has a required binding: add its codes to CODES of {TYPES}"


def unsaid_ends(types: Mapping[str, Any], ends: Json) -> list[str]:
    """Find types of one study for which no row says how a resource ends."""
    own = [name for name, row in types.items() if not is_shared(row)]
    return [
        f"{name} has no row in ENDS of {TYPES}: how does one end that AutoScribe no longer says?"
        for name in own
        if name not in ends
    ]


def unnamed_profiles(resources: Iterable[Json], profiles: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """Find profiles that made resources claim, and the facade does not name."""
    for resource in resources:
        for profile in resource.get("meta", {}).get("profile", ()):
            if profile not in profiles.get(resource["resourceType"], ()):
                yield f"{resource['resourceType']} claims {profile}: name it in its row in RESOURCES of {SERVED}"


def missing_segments(
    tables: Mapping[str, Mapping[int, Any]],
    sent: AbstractSet[str],
    lengths: Mapping[str, Mapping[int, int]],
    has: Callable[[str, str], bool],
    is_known: Callable[[str, str], bool],
    versions: Iterable[str],
) -> Iterator[str]:
    """Find segments that are in one table and not in another; `is_known` says if HL7's version has the segment."""
    for name in sorted({*sent, *tables}):
        if name not in tables:
            yield f"{name} is sent, and has no row in SEGMENTS of {STATEMENT}: add one"
            continue
        if name not in sent:
            yield f"{name} is in no message: write it in `_segments` of mappings/hl7v2/oru_r01.py"
        if name.startswith("Z"):
            continue
        if unknown := sorted(set(tables[name]) - set(lengths.get(name, ()))):
            yield f"{name} has no length of field {unknown[0]} in LENGTHS of {LENGTHS}: add it"
        for version in versions:
            if has(version, name) != is_known(name, version):
                yield f"{name} is not in HL7 v{version}: add a row to MISSING of {VERSIONS}"


def unlisted_tables(folder: Path, listed: AbstractSet[tuple[str, str]]) -> Iterator[str]:
    """Find field tables of segments (`NAME: Final[Table[...]]`) that the conformance statement does not list."""
    for path in sorted(folder.glob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                is_table = re.search(r"\bTable\[", ast.unparse(node.annotation))
                if is_table and (path.stem, node.target.id) not in listed:
                    yield f"{path.name} has the table {node.target.id}: add a row to SEGMENTS of {STATEMENT}"


def undeclared_switches(switches: AbstractSet[str], read: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Find switches that are read and not declared; `read` has the attributes of a receiver with their files."""
    for path, name in read:
        if name not in switches:
            yield f"{path} reads receiver.{name}: declare the switch in Receiver of {RECEIVER}"


def unread_switches(switches: AbstractSet[str], read: AbstractSet[str]) -> list[str]:
    """Find switches that are declared and read nowhere."""
    unread = sorted(switches - read)
    return [f"{name} of {RECEIVER} is read nowhere: read receiver.{name} where its field is written" for name in unread]


def missing_kinds(
    kinds: Iterable[str], transports: Iterable[type], readers: Json, tls: Json, only_of: Mapping[str, Iterable[str]]
) -> Iterator[str]:
    """Find kinds of destination that are in one table and not in another."""
    by_kind = {getattr(one, "kind", ""): one for one in transports}
    for kind in sorted({*kinds, *by_kind, *readers}):
        if kind not in kinds:
            yield f"{kind} is no kind of a [[destination]]: add it to Kind of {KINDS}"
        if kind not in readers:
            yield f"{kind} has no reader: add one to READERS of {READERS}"
        if kind not in tls:
            yield f"{kind} has no row in TLS_KEYS of {READERS}: which key decides about TLS?"
        if kind not in by_kind:
            yield f"{kind} has no class: add one with kind = {kind!r} to {TRANSPORT}, and to Transport there"
        elif kind not in only_of.get(by_kind[kind].key, ()):  # type: ignore[attr-defined]
            yield f"{by_kind[kind].key} is a key of {kind} alone: say so in ONLY_OF of {KINDS}"  # type: ignore[attr-defined]


def missing_channels(transports: Iterable[type], channels: str) -> list[str]:
    """Find transports without a channel; `channels` is the text of the module that chooses one."""
    unsaid = [one.__name__ for one in transports if f"{one.__name__}Channel" not in channels]
    return [f"{name} has no {name}Channel: add one, and a branch of `channel` in {CHANNELS}" for name in unsaid]


def unread_keys(descriptions: Mapping[str, str], kinds: Iterable[str], only_of: AbstractSet[str]) -> list[str]:
    """Find keys of a destination that are described as of one kind (`mllp: …`), and are taken of all kinds."""
    own = [key for key, text in descriptions.items() if text.startswith(tuple(f"{kind}:" for kind in kinds))]
    return [f"{key} is described as of one kind: say so in ONLY_OF of {KINDS}" for key in own if key not in only_of]


def unhandled_events(kinds: Iterable[str], handlers: AbstractSet[str]) -> list[str]:
    """Find events that have a name and no handler: they would be set aside as unknown."""
    unknown = sorted(set(kinds) - handlers)
    return [f"{kind} has no handler: add one to HANDLERS of gateway/webhooks/endpoint.py" for kind in unknown]


def event_kinds(module: Mapping[str, Any]) -> list[str]:
    """Return the names of events among the constants of a module."""
    texts = [one for name, one in module.items() if name.isupper() and isinstance(one, str)]
    return [one for one in texts if re.fullmatch(r"[a-z_]+\.[a-z_]+", one)]


def unworkable_events(kind: str, bodies: Iterable[Json], needed: AbstractSet[str]) -> list[str]:
    """Find recorded events that the worker would give up as not understood."""
    lacking = [needed - body.keys() for body in bodies if needed - body.keys()]
    return [
        f"{kind} is recorded without {', '.join(sorted(one))}, and given up: see NEEDED of gateway/webhooks/worker.py"
        for one in lacking
    ]


def undeclared_settings(groups: Mapping[str, AbstractSet[str]], paths: Iterable[Path]) -> Iterator[str]:
    """Find settings that are read (`settings.<section>.<name>`) and not declared."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute)):
                continue
            section, owner = node.value.attr, ast.unparse(node.value.value).rpartition(".")[2]
            if owner == "settings" and section in groups and node.attr not in groups[section]:
                key = f"{section}.{node.attr}"
                yield f"{path.name} reads settings.{key}: declare it in gateway/settings/, in the class of [{section}]"


def recipe_faults(text: str) -> Iterator[str]:
    """Find the faults of docs/extending.md: too long a recipe, a file that is not there, a name that a file lacks."""
    for recipe in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title = recipe.partition("\n")[0]
        steps = re.findall(r"^\d+\. .*(?:\n +\S.*)*", recipe, flags=re.MULTILINE)
        if steps and len(steps) > 5:
            yield f"{title}: {len(steps)} files"
        for step in steps:
            yield from (f"{title}: {fault}" for fault in _step_faults(step))


def _step_faults(step: str) -> Iterator[str]:
    """Find the faults of a step: its first code is a file, the capitals and calls after it are names in that file."""
    first, *others = re.findall(r"`([^`]+)`", step) or [""]
    path = ROOT / first
    if not path.is_file():
        yield f"{first or step} is no file"
        return
    defined = names_in(path) if path.suffix == ".py" else set()
    for name in others:
        if re.fullmatch(r"_?[A-Z][A-Za-z0-9_]*|_?[a-z_]+\(\)", name) and name.removesuffix("()") not in defined:
            yield f"{first} has no {name}"
