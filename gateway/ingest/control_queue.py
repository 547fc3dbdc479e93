"""Carry out requests that commands and webhooks left in the database, such as to ingest a stored study again.

Carries out no clause of a standard; decision D8: control rows are read within a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.ingest import Pipeline
from gateway.runtime.errors import StoreError, StudyContended
from gateway.runtime.log import code_of, get_logger
from gateway.runtime.work_queue import WorkQueue
from gateway.store.database.facts import Control, Controls

MOST: Final = 50
REFRESH: Final = "refresh"
RERENDER: Final = "rerender"


class ControlWork(WorkQueue[Sequence[Control]]):
    """Worker for open requests; one item is all of them, carried out one after the other."""

    def __init__(self, controls: Controls, pipeline: Pipeline) -> None:
        super().__init__(slots=1)
        self._controls, self._pipeline = controls, pipeline

    async def due(self, most: int) -> dict[str, Sequence[Control]]:
        """Read the open requests, oldest first."""
        rows = await self._controls.open(max(most, MOST))
        return {"open": rows} if rows else {}

    async def work(self, item: Sequence[Control]) -> None:
        """Carry out the open requests, in order.

        A request that fails is logged and marked as done: the next ingest of the study covers it.

        Raises:
            StoreUnavailable: the store cannot be reached; unfinished requests stay open.
            StudyContended: others write a study again and again; its request is the last of all now.
        """
        contended: StudyContended | None = None
        for row in item:
            try:
                await self._do(row)
            except StudyContended as error:
                contended = error
                await self._controls.ask(row.verb, row.argument)
            except StoreError:
                raise
            except Exception as error:
                get_logger().error("control-failed", action=row.verb, study_id=row.argument, exc_info=error)
            await self._controls.done(row.number)
        if contended is not None:
            raise contended

    def failed(self, error: Exception) -> None:
        """Log a failure; the requests stay open."""
        get_logger().warning("control-not-done", code=code_of(error), exc_info=error)

    async def _do(self, row: Control) -> None:
        if row.verb == REFRESH:
            await self._pipeline.refresh(row.argument)
        elif row.verb == RERENDER:
            await self._pipeline.rerender(row.argument)
        else:
            get_logger().warning("control-not-known", action=row.verb)
