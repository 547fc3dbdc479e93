"""A gateway with an audit, and the entries of its journal."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fakes.facade import facade, resource_id

from gateway.audit.audit_entry import AuditEntry
from gateway.audit.segment import line_of
from gateway.audit.segment_file import segment_paths
from gateway.settings import Audit


def entries(folder: Path) -> list[AuditEntry]:
    """Return the entries in the segments of a folder."""
    rows = [row for path in segment_paths(folder) for row in path.read_bytes().splitlines(keepends=True)]
    lines = [line_of(row) for row in rows]
    return [one.content for one in lines if one and isinstance(one.content, AuditEntry)]


class Noted:
    """A facade with an audit, and what it noted."""

    def __init__(self, stage: Any, folder: Path) -> None:
        self.stage, self.folder, self._seen = stage, folder, 0

    def new(self) -> list[AuditEntry]:
        """Return the entries since the last call."""
        every = entries(self.folder)
        seen, self._seen = self._seen, len(every)
        return every[seen:]

    async def one(self, path: str, **more: Any) -> tuple[Any, AuditEntry]:
        """Ask for a path below the base; return the answer and its one entry."""
        self.new()
        answer = await self.stage.get(path, **more)
        [entry] = self.new()
        return answer, entry

    async def read_report(self) -> str:
        """Have a signed report read, and return its id."""
        report = resource_id(self.stage.signed())
        assert (await self.stage.get(f"DiagnosticReport/{report}")).status_code == 200
        return report


def audit_settings(folder: Path) -> Audit:
    """Return settings of an audit in this folder."""
    return Audit(dir=folder, seal_key=folder.with_name("seal.pem"))


@asynccontextmanager
async def noted(folder: Path, **groups: Any):
    """Run a facade with an audit in this folder while the block runs."""
    async with facade(groups={"audit": audit_settings(folder), **groups}) as stage:
        yield Noted(stage, folder)
