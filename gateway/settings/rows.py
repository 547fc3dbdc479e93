"""The settings as rows of a table, read off the model: what the documents show and what error messages point at.

Carries out no clause of a standard: it describes the gateway's own settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import SecretStr

from gateway.settings.model import PREFIX, VENDOR_NAMES, Settings

FILE_ONLY: Final = frozenset({"mapping.facilities"})


@dataclass(frozen=True, slots=True)
class Row:
    """One setting of the documentation table; `env` is empty for what only the file can say."""

    env: str
    key: str
    type: str
    default: str
    description: str


def rows() -> list[Row]:
    """Every setting, in the order of the sections, read off the model."""
    vendor = {f"{section}.{field}": name for name, (section, field) in VENDOR_NAMES.items()}
    table = []
    for section, group in Settings.model_fields.items():
        for name, field in group.default.__class__.model_fields.items():
            key = f"{section}.{name}"
            env = "" if key in FILE_ONLY else vendor.get(key, f"{PREFIX}{section}__{name}".upper())
            table.append(Row(env, key, _type_name(field.annotation), _default(field.default), field.description or ""))
    return table


_TYPE_NAMES: Final = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    SecretStr: "secret",
    Path: "path",
}


def _type_name(annotation: Any) -> str:
    inner = [part for part in get_args(annotation) if part is not NoneType]
    if get_origin(annotation) in {Union, UnionType}:
        return _type_name(inner[0])
    if get_origin(annotation) is Literal:
        return ", ".join(inner)
    if get_origin(annotation) is tuple:
        return "list of tables" if get_origin(inner[0]) is dict else "list of " + _type_name(inner[0])
    return _TYPE_NAMES[annotation]


def _default(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
