"""A rule that a receiver imposes on what it is sent, with the public source that says so.

HL7 v2.5.1 §2.16 (message profiles: what a receiver constrains beyond the standard), decision D34.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mappings.profile.table import Table


@dataclass(frozen=True, slots=True)
class Rule:
    """One `[[rules]]` table of a receiver profile.

    `level`: a message that breaks a `block` rule would be misfiled or deleted and is not sent; `warn` is counted.
    """

    name: str
    level: Literal["block", "warn"]
    source: str


def read_rules(table: Table) -> tuple[Rule, ...]:
    """The rules of a receiver profile."""
    return tuple(Rule(one.text("name") or "", "block", one.text("source") or "") for one in table.tables("rules", "…"))
