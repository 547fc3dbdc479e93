"""Run the requests of commands and webhooks to the service: ingest stored studies again.

Carries out no clause of a standard; decision D8: control rows are read within a second.
"""

from __future__ import annotations

from typing import Final

from gateway.ingest import Pipeline
from gateway.runtime import clock
from gateway.runtime.errors import StoreError
from gateway.runtime.log import code_of, get_logger
from gateway.store.database.controls import Control, Controls

EVERY: Final = 1.0
MOST: Final = 50
REFRESH: Final = "refresh"
RERENDER: Final = "rerender"


class ControlWork:
    """Worker for the control rows, one after the other."""

    def __init__(self, controls: Controls, pipeline: Pipeline) -> None:
        self._controls, self._pipeline = controls, pipeline

    async def once(self) -> int:
        """Run the open requests; return their number.

        A request that fails is logged and marked as done: the next ingest of the study covers it.

        Raises:
            StoreUnavailable: the store cannot be reached; unfinished requests stay open.
        """
        rows = await self._controls.open(MOST)
        for row in rows:
            try:
                await self._do(row)
            except StoreError:
                raise
            except Exception as error:
                get_logger().error("control-failed", action=row.verb, study_id=row.argument, exc_info=error)
            await self._controls.done(row.number)
        return len(rows)

    async def run(self) -> None:
        """Look for requests every second, until cancelled."""
        while True:
            count = 0
            try:
                count = await self.once()
            except Exception as error:
                get_logger().warning("control-not-done", code=code_of(error), exc_info=error)
            if count < MOST:
                await clock.sleep(EVERY)

    async def _do(self, row: Control) -> None:
        if row.verb == REFRESH:
            await self._pipeline.refresh(row.argument)
        elif row.verb == RERENDER:
            await self._pipeline.rerender(row.argument)
        else:
            get_logger().warning("control-not-known", action=row.verb)
