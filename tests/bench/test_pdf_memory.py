"""A 50 MB PDF into the store and out again through Binary: memory grows by less than 10 MB (design, "speed")."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from fakes.documents import pdf_item
from fakes.pdfs import Library, pdf
from fakes.scripted_server import Reply, ScriptedServer

MB = 1_000_000
LARGE = 50 * MB
WARM = 80 * MB  # fills the page cache of SQLite's writer, which has a bound of its own
LIMIT = 10 * MB


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request):
    kind = request.param
    return kind, str(request.getfixturevalue(f"{'sqlite' if kind == 'sqlite' else 'postgres'}_database"))


async def test_a_pdf_of_50_mb_costs_less_than_10_mb_of_memory(database, say):
    kind, url = database
    bodies = {"1": pdf(WARM), "2": pdf(LARGE)}

    def answer(request):
        if "files" in request.target:
            return Reply(body=bodies[request.target[-1]])
        report_id = request.query["reportId"][0]
        link = f"{server.url}/files/{report_id[-1]}"
        return Reply.of(pdf_item(link, reportId=report_id, studyId=Library.study_id(report_id[-1])))

    async with ScriptedServer(answer) as server:
        script = Path(__file__).with_name("pdf_memory.py")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(script),
            url,
            server.url,
            str(WARM),
            str(LARGE),
            stdout=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": f"{script.parents[1]}:{script.parents[2]}"},
        )
        output, _ = await process.communicate()
    growth = json.loads(output)
    shown = ", ".join(f"{name} {count / MB:.1f}" for name, count in growth.items())
    say(f"a PDF of {LARGE // MB} MB, {kind}, growth of memory in MB: {shown}")
    assert max(growth.values()) < LIMIT
