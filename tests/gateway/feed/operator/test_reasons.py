"""An operator's reason is kept in the audit with their name, for every command."""

from __future__ import annotations

import pytest

from gateway.store.database.facts import actor

SPAN = ("--from", "2020-01-01", "--to", "2040-01-01")


@pytest.mark.parametrize(
    ("verb", "command"),
    [
        ("feed-pause", ("pause", "ehr")),
        ("feed-resume", ("resume", "ehr", "--yes")),
        ("feed-resume", ("resume", "ehr", "--study", "STUDY", "--yes")),
        ("feed-resume-chart-corrected", ("resume", "ehr", "--study", "STUDY", "--chart-corrected", "--yes")),
        ("feed-replay", ("replay", "ehr", "--study", "STUDY", "--yes")),
        ("feed-replay-as-sent", ("replay", "ehr", "--study", "STUDY", "--as-sent", "--yes")),
        ("feed-backload", ("backload", "ehr", *SPAN, "--yes")),
        ("feed-show", ("show", "STUDY")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_a_reason_is_kept(site, verb, command):
    async with site() as here:
        await here.sync()
        ((study_id,), *_) = await here.query("SELECT study_id FROM study ORDER BY 1")
        given = [study_id if word == "STUDY" else word for word in command]
        await here.feed(*given, "--reason", "asked for by the ward")
        audit = 'SELECT verb, reason, "user", host FROM audit'
        assert await here.query(audit) == [(verb, "asked for by the ward", *actor())]


async def test_the_reason_of_studies_that_are_let_go_together_is_kept_for_each(site):
    async with site("ae:1") as here:
        await here.sync()
        await here.served()
        code, _, _ = await here.feed("resume", "ehr", "--held", "refused", "--reason", "mended there", "--yes")
        assert code == 0
        assert await here.query("SELECT verb, reason FROM audit") == [("feed-resume", "mended there")]


async def test_the_reason_of_a_pause_is_shown_by_the_status(site):
    async with site() as here:
        await here.sync()
        await here.feed("pause", "ehr", "--reason", "their upgrade")
        assert (await here.feed("status"))[1][1].startswith("  paused    their upgrade, since 20")
