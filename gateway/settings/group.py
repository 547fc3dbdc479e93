"""Pydantic options of all settings classes, and the mark of settings that are for experts.

Carries out no clause of a standard: the settings are the gateway's own.
Proved by tests/gateway/test_settings.py and tests/docs/test_settings.py.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

_Value = TypeVar("_Value")
_MARK: Final = "expert"

Expert = Annotated[_Value, _MARK]
"""Type of a setting that a site leaves as it is, unless a document describes its situation."""


def is_expert(field: FieldInfo) -> bool:
    """True if the setting is for experts."""
    return _MARK in field.metadata


class SettingsGroup(BaseModel):
    """A table of settings: a section, or one table of a list. Unknown keys are refused, and no error shows a value."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
