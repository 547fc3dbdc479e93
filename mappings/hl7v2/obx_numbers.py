"""Number the OBX segments under one OBR (OBX-1 and OBX-4).

HL7 v2.5.1 §7.4.2.1 (OBX-1 counts the OBX), §7.4.2.4 (OBX-4 distinguishes OBX of one OBX-3, and groups lines).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_BEGINNINGS: Final = tuple(f"OBX|{number}|" for number in range(1, 1000))


@dataclass(slots=True)
class Numbers:
    """Last numbers used."""

    obx_1: int = 0
    obx_4: int = 0

    def next_set_id(self) -> str:
        """OBX-1 Set ID of the next OBX."""
        self.obx_1 += 1
        return str(self.obx_1)

    def next_beginnings(self, count: int) -> Sequence[str]:
        """Segment name and OBX-1 Set ID of the next OBX: `OBX|1|`, `OBX|2|`, …"""
        first, self.obx_1 = self.obx_1, self.obx_1 + count
        if self.obx_1 <= len(_BEGINNINGS):
            return _BEGINNINGS[first : self.obx_1]
        return [f"OBX|{number}|" for number in range(first + 1, self.obx_1 + 1)]

    def next_sub_id(self) -> str:
        """OBX-4 Observation Sub-ID of the next OBX, or of the next lines that belong together."""
        self.obx_4 += 1
        return str(self.obx_4)
