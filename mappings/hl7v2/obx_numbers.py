"""The numbers of the OBX of one OBR group.

HL7 v2.5.1 §7.4.2.1 (OBX-1 counts them), §7.4.2.4 (OBX-4 tells those of one OBX-3 apart, and keeps lines together).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_BEGINNINGS: Final = tuple(f"OBX|{number}|" for number in range(1, 1000))


@dataclass(slots=True)
class Numbers:
    """The numbers that were given out last."""

    obx_1: int = 0
    obx_4: int = 0

    def next_set_id(self) -> str:
        """OBX-1 Set ID of one more OBX."""
        self.obx_1 += 1
        return str(self.obx_1)

    def next_beginnings(self, count: int) -> Sequence[str]:
        """The segment name and OBX-1 Set ID of several more OBX: `OBX|1|`, `OBX|2|`, …"""
        first, self.obx_1 = self.obx_1, self.obx_1 + count
        if self.obx_1 <= len(_BEGINNINGS):
            return _BEGINNINGS[first : self.obx_1]
        return [f"OBX|{number}|" for number in range(first + 1, self.obx_1 + 1)]

    def next_sub_id(self) -> str:
        """OBX-4 Observation Sub-ID of one more OBX, or of lines that belong together."""
        self.obx_4 += 1
        return str(self.obx_4)
