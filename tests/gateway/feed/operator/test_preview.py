"""A command shows what it would send and asks for consent before it sends (D37)."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing

import pytest
from fakes.feed_site import destination

SPAN = ("--from", "2020-01-01T00:00:00Z", "--to", "2040-01-01T00:00:00Z")
LATER = "2035-01-01T00:00:00Z"


class Terminal(io.StringIO):
    """Terminal at which a person types this text."""

    def isatty(self):
        return True


@pytest.fixture
def typing(monkeypatch):
    return lambda text: monkeypatch.setattr("sys.stdin", Terminal(text))


async def queued(here) -> int:
    """Count the messages and reports that wait to be sent."""
    [(count,)] = await here.query(
        "SELECT (SELECT count(*) FROM outbox WHERE state = 'waiting')"
        " + (SELECT count(*) FROM message WHERE state = 'queued')"
    )
    return count


async def ready(here, kind: str) -> tuple[str, ...]:
    """Prepare something that a command of that kind would send; return the command's arguments."""
    await here.sync()
    if kind == "backload":
        return ("backload", "ehr", *SPAN)
    await here.served()
    if kind == "resume":
        await here.feed("pause", "ehr", "--reason", "r")
        with closing(sqlite3.connect(here.here.database)) as database, database:
            database.execute("UPDATE message SET state = 'queued'")
        return ("resume", "ehr")
    with closing(sqlite3.connect(here.here.database)) as database, database:
        if kind in {"--study", "--held"}:
            database.execute(
                "INSERT INTO lane SELECT number, 1, 'ehr', study_id, 'refused' FROM message WHERE number = 1"
            )
            database.execute("UPDATE message SET state = 'held', reason = 'AE' WHERE number = 1")
    [(study_id,)] = await here.query("SELECT study_id FROM message WHERE number = 1")
    which = {"--study": ("--study", study_id), "--held": ("--held", "refused")}
    return ("resume", "ehr", *which[kind]) if kind in which else ("replay", "ehr", *SPAN, *kind.split()[1:])


KINDS = ["backload", "resume", "--study", "--held", "replay", "replay --as-sent"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_dry_run_says_how_much_how_critical_and_how_old_it_is_and_changes_nothing(site, kind):
    async with site(**({"start": LATER} if kind == "backload" else {})) as here:
        command = await ready(here, kind)
        tables = ("outbox", "message", "lane", "destination", "audit")
        before = [await here.query(f"SELECT * FROM {one}") for one in tables]
        code, lines, _ = await here.feed(*command, "--dry-run", "--yes")
        assert code == 0
        assert lines[0].startswith("ehr would be sent ")
        assert " message" in lines[0] and " critical, signed 20" in lines[0]
        assert lines[1] == "nothing is sent: --dry-run"
        assert [await here.query(f"SELECT * FROM {one}") for one in tables] == before


@pytest.mark.parametrize("kind", KINDS)
async def test_a_script_must_say_yes(site, kind):
    async with site(**({"start": LATER} if kind == "backload" else {})) as here:
        command = await ready(here, kind)
        count = await queued(here)
        code, lines, err = await here.feed(*command)
        assert (code, len(lines)) == (2, 1)
        assert "--yes: missing, and there is no terminal to ask on: nothing is sent." in err
        assert await queued(here) == count
        assert (await here.feed(*command, "--yes"))[0] == 0
        assert await queued(here) > count or kind == "resume"


async def test_on_a_terminal_a_person_is_asked_and_may_say_no(site, typing):
    async with site(start=LATER) as here:
        command = await ready(here, "backload")
        for text in ("n\n", "\n", ""):
            typing(text)
            code, lines, err = await here.feed(*command)
            assert (code, lines[-1], "Send it? [y/N] " in err) == (1, "nothing is sent", True)
        assert await queued(here) == 0
        typing("y\n")
        code, lines, _ = await here.feed(*command)
        assert (code, lines[0].startswith("ehr would be sent "), lines[1].startswith("ehr is sent ")) == (0, True, True)
        assert await queued(here) > 0


async def test_a_study_that_is_held_while_the_question_stands_is_not_released(site, monkeypatch):
    async with site() as here:
        command = await ready(here, "--held")
        [(held,)] = await here.query("SELECT study_id FROM lane")

        class Later(Terminal):
            def readline(self, *_):
                with closing(sqlite3.connect(here.here.database)) as database, database:
                    chosen = "FROM message WHERE number = (SELECT min(number) FROM message WHERE study_id <> ?)"
                    lane = "INSERT INTO lane SELECT number, 1, 'ehr', study_id, 'refused'"
                    database.execute(f"{lane} {chosen}", (held,))
                return "y\n"

        monkeypatch.setattr("sys.stdin", Later())
        code, lines, _ = await here.feed(*command)
        assert (code, lines[-1]) == (0, "1 study went on")
        assert await here.query("SELECT argument FROM audit WHERE verb = 'feed-resume'") == [(f"ehr {held}",)]


async def test_where_nothing_would_be_sent_nobody_is_asked(site):
    async with site() as here:
        await here.sync()
        await here.served()
        assert (await here.feed("resume", "ehr"))[:2] == (0, ["ehr was not paused"])
        assert (await here.feed("resume", "ehr", "--held", "refused"))[:2] == (
            1,
            ["no study is held at ehr as refused"],
        )
        code, lines, _ = await here.feed("backload", "ehr", *SPAN)
        assert (code, lines[0].startswith("ehr is sent 0 reports")) == (0, True)
        assert (await here.feed("resume", "ehr", "--dry-run"))[1][0] == "ehr would be sent nothing"
        code, lines, _ = await here.feed("replay", "ehr", "--dead-letters", "--dry-run")
        assert (code, lines) == (0, ["ehr would be sent nothing", "nothing is sent: --dry-run"])


async def test_of_everything_a_replay_sends_only_what_the_certificate_lacks(site):
    async with site() as here:
        await here.sync()
        await here.served()
        assert (await here.feed("replay", "ehr", "--missing", "--dry-run"))[1][0] == "ehr would be sent nothing"
        with closing(sqlite3.connect(here.here.database)) as database, database:
            database.execute("UPDATE message SET state = 'dead_letter', reason = 'AE-101' WHERE number = 1")
            database.execute("UPDATE message SET state = 'held', reason = 'AE-101' WHERE number = 2")
        [(study_id, other)] = await here.query(
            "SELECT (SELECT study_id FROM message WHERE number = 1), (SELECT study_id FROM message WHERE number = 2)"
        )
        code, lines, _ = await here.feed("replay", "ehr", *SPAN, "--missing", "--yes")
        assert (code, " of 1 study again" in lines[0]) == (0, True)
        assert await here.query("SELECT DISTINCT study_id FROM outbox WHERE kind = 'replay'") == [(study_id,)]
        assert (await here.feed("replay", "ehr", "--study", other, "--missing", "--dry-run"))[1][0].endswith("nothing")
        assert (await here.feed("replay", "ehr", "--missing", "--as-sent"))[0] == 2
        assert await here.query("SELECT argument FROM audit WHERE verb = 'feed-replay'") == [
            ("ehr 2020-01-01T00:00:00.000000Z to 2040-01-01T00:00:00.000000Z, what is missing",)
        ]


async def test_a_backload_of_what_is_missing_leaves_out_what_an_addendum_took_along(site):
    async with site(start=LATER) as here:
        await here.sync()
        [(count,)] = await here.query("SELECT count(*) FROM outbox WHERE state = 'before_start'")
        [(study_id, report_id)] = await here.query(
            "SELECT study_id, min(report_id) FROM outbox GROUP BY study_id HAVING count(*) = 1 LIMIT 1"
        )
        assert (await here.feed("backload", "ehr", *SPAN, "--yes", "--rate", "1000"))[0] == 0
        await here.served()
        with closing(sqlite3.connect(here.here.database)) as database, database:
            database.execute("UPDATE outbox SET state = 'before_start'")
            database.execute("DELETE FROM message WHERE study_id = ?", (study_id,))
        _, lines, _ = await here.feed("backload", "ehr", *SPAN, "--missing", "--dry-run")
        assert lines[0].startswith("ehr would be sent 1 message at least (1 report of 1 study)")
        assert (await here.feed("backload", "ehr", *SPAN, "--dry-run"))[1][0].count(f"({count} report") == 1
        await here.feed("backload", "ehr", *SPAN, "--missing", "--yes")
        assert await here.query("SELECT report_id FROM outbox WHERE state = 'waiting'") == [(report_id,)]


async def test_a_study_that_is_asked_for_as_is_needs_a_yes_though_its_destination_is_not_paused(site):
    async with site() as here:
        here.settings(destination(here.receiver.port))
        await here.sync()
        await here.served()
        [(study_id,)] = await here.query("SELECT study_id FROM message WHERE number = 1")
        assert (await here.feed("replay", "ehr", "--study", study_id))[0] == 2
        assert await here.query("SELECT count(*) FROM outbox WHERE kind = 'replay'") == [(0,)]


async def test_what_awaits_its_application_is_not_missing_and_is_sent_again_by_name_alone(site):
    async with site("ca", ack_mode='"two_phase"') as here:
        await here.sync()
        await here.served()
        count = len(here.receiver.messages)
        _, lines, _ = await here.feed("certificate", "ehr")
        assert (" CA only; " in " ".join(lines), lines[-1]) == (True, "open")
        assert (await here.feed("replay", "ehr", "--missing", "--dry-run"))[1][0] == "ehr would be sent nothing"
        [(study_id,)] = await here.query("SELECT min(study_id) FROM message")
        assert (await here.feed("replay", "ehr", "--study", study_id, "--yes"))[0] == 0
        await here.served()
        assert len(here.receiver.messages) > count
