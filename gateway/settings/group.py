"""Pydantic options of all settings classes: refuse unknown keys, freeze values, show no value in errors.

Carries out no clause of a standard: the settings are the gateway's own.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class SettingsGroup(BaseModel):
    """A table of settings: a section, or one table of a list."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
