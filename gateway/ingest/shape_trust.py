"""Note that the judge by shape was wrong once, so that this process judges whole from then on, and alerts.

Carries out no clause of a standard; decision D45.
"""

from __future__ import annotations

from typing import Final

from gateway.runtime.log import get_logger

DISAGREES: Final = "judge-disagrees"


class ShapeTrust:
    """Trust of a process in the judge by shape; `trouble` is the code of the alert once it is gone, else empty."""

    def __init__(self) -> None:
        self.trouble = ""

    def withdraw(self) -> None:
        """Judge whole from now on, until the process starts again."""
        if not self.trouble:
            self.trouble = DISAGREES
            get_logger().error("judge-disagrees")


TRUST: Final = ShapeTrust()
