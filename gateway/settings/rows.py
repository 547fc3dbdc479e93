"""List all settings as table rows, read from the settings model, for the documents and error messages.

Carries out no clause of a standard: it describes the gateway's own settings.
Proved by tests/docs/generators/test_documents.py and tests/gateway/settings/test_destination.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from gateway.settings.destination import SECRETS
from gateway.settings.destination_secrets import variable
from gateway.settings.group import is_expert
from gateway.settings.model import TABLES, fields, new_variables


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One row of the settings table; `env` is empty for a setting that only the file can set.

    A site leaves a setting with `is_expert` as it is, unless a document describes its situation.
    """

    env: str
    key: str
    type: str
    default: str
    description: str
    is_expert: bool


def rows() -> list[SettingRow]:
    """Return all settings in order; if a setting has two variables, the row shows the vendor's."""
    return [
        _row(f"{section}.{name}", field, new_variables(f"{section}.{name}")[-1:]) for section, name, field in fields()
    ]


def table_rows(section: str) -> list[SettingRow]:
    """Return all keys of a list of tables, such as `[[destination]]`."""
    return [
        _row(f"{section}.{name}", field, [variable("<name>", name)] if name in SECRETS else ())
        for name, field in TABLES[section].model_fields.items()
    ]


def every_row() -> Iterator[SettingRow]:
    """Yield all settings, and all keys of the tables."""
    yield from rows()
    for section in TABLES:
        yield from table_rows(section)


def _row(key: str, field: FieldInfo, environment: Sequence[str]) -> SettingRow:
    return SettingRow(
        env="".join(environment),
        key=key,
        type=_type_name(field.annotation),
        default="must be written" if field.is_required() else _default(field.default),
        description=field.description or "",
        is_expert=is_expert(field),
    )


_TYPE_NAMES: Final = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    SecretStr: "secret",
    Path: "path",
    datetime: "instant",
}


def _type_name(annotation: Any) -> str:
    inner = [part for part in get_args(annotation) if part is not NoneType]
    if get_origin(annotation) in {Union, UnionType, Annotated}:
        return _type_name(inner[0])
    if get_origin(annotation) is Literal:
        return ", ".join(inner)
    if get_origin(annotation) is tuple:
        is_tables = get_origin(inner[0]) is dict or inner[0] in TABLES.values()
        return "list of tables" if is_tables else "list of " + _type_name(inner[0])
    return "table" if get_origin(annotation) is dict else _TYPE_NAMES[annotation]


def _default(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, SecretStr):
        return value.get_secret_value()  # a default is no secret
    return ", ".join(value) if isinstance(value, tuple | dict) else "" if value is None else str(value)
