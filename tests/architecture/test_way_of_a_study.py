"""House rule: a study changes rooms seldom; a reader follows one ingest without going back and forth."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path
from types import FrameType

from fakes.upstream import STUDY_ID, FakeUpstream

from gateway.ingest.pipeline import Pipeline
from gateway.ingest.read_through import ReadThrough
from gateway.runtime import computing
from gateway.runtime.metrics import Metrics
from mappings.profile import Site

ROOT = Path(__file__).parents[2]
MOST_CHANGES = 12


def room(frame: FrameType | None) -> str:
    """Return the room of a frame; empty for other code."""
    if frame is None or not frame.f_code.co_filename.startswith((f"{ROOT}/gateway/", f"{ROOT}/mappings/")):
        return ""
    top, name, *_ = Path(frame.f_code.co_filename).relative_to(ROOT).parts
    return top if top == "mappings" else name


def caller(frame: FrameType) -> str:
    """Return the room that called, however much code of libraries lies between."""
    above = frame.f_back
    while above is not None and not room(above):
        above = above.f_back
    return room(above)


async def test_one_study_goes_from_ingest_to_another_room_at_most_twelve_times(sqlite_engine, monkeypatch) -> None:
    monkeypatch.setattr(computing, "_THREADS", ThreadPoolExecutor(1))  # only new threads are traced
    entered: list[str] = []

    def called(frame: FrameType, event: str, _: object) -> None:
        there = room(frame) if event == "call" else ""
        if there not in {"", "ingest", "runtime"} and caller(frame) == "ingest" and entered[-1:] != [there]:
            entered.append(there)

    reads = ReadThrough(FakeUpstream(), sqlite_engine, Pipeline(sqlite_engine, Site(), UTC), Metrics())
    threading.setprofile(called)
    sys.setprofile(called)
    try:
        ingested = await reads.study(STUDY_ID)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert ingested.written
    assert {"mappings", "routing", "store"} <= set(entered)
    assert len(entered) <= MOST_CHANGES, entered
