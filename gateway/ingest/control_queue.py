"""Does what commands and webhooks asked of the service: takes stored studies in once more.

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
    """Works off the control rows, one after the other."""

    def __init__(self, controls: Controls, pipeline: Pipeline) -> None:
        self._controls, self._pipeline = controls, pipeline

    async def once(self) -> int:
        """Do what is asked; how much it was.

        What cannot be done is logged and let go of: the next look at the study finds all that is known of it by then.

        Raises:
            StoreUnavailable: the store cannot be reached; what is not done stays asked.
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
        """Look every second, until cancelled."""
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
