"""Make and check links that expire, like the presigned URLs of AutoScribe's PDFs; upstream.py sets their lifetime.

Carries out no clause of a standard: AutoScribe says only that a link is valid for an hour and needs no key.
Proved by tests/gateway/sandbox/test_pdf.py.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final

from gateway.runtime import clock

ONE_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Links:
    """Maker and checker of links `/storage/reports/<reportId>.pdf?token=<expiry>.<HMAC>`."""

    key: bytes
    lifetime: float = ONE_HOUR

    def path(self, report_id: str) -> str:
        """Make path and query of a link that is valid for `lifetime` seconds from now."""
        expiry = f"{clock.now().timestamp() + self.lifetime:.3f}"
        return f"/storage/reports/{report_id}.pdf?token={expiry}.{self._mac(report_id, expiry)}"

    def allows(self, report_id: str, token: str) -> bool:
        """True while the link is valid; False for a wrong or expired token."""
        expiry, _, mac = token.rpartition(".")
        if not hmac.compare_digest(mac.encode(), self._mac(report_id, expiry).encode()):
            return False
        return clock.now().timestamp() < float(expiry)

    def _mac(self, report_id: str, expiry: str) -> str:
        return hmac.digest(self.key, f"{report_id}|{expiry}".encode(), "sha256").hex()
