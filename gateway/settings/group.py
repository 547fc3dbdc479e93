"""What all groups of settings share: nothing unknown is taken, nothing changes once it is read, no value is shown.

Carries out no clause of a standard: what can be set is the gateway's own affair.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class SettingsGroup(BaseModel):
    """A table of settings: a section, or one of a list of tables."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
