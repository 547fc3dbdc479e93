"""Open work of a destination that was removed from the settings is reported until it is closed (D31)."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing

import pytest
from fakes.feed_site import destination

from gateway.store.feed.leases import Leases


async def made(here, name: str, *, sent: bool = True) -> int:
    """Serve until all messages to a destination are composed and, if `sent`, delivered; return their number."""
    ended = "delivered" if sent else "queued"
    left = f"SELECT 1 FROM outbox WHERE destination = '{name}' AND state = 'waiting'"
    open_ = f"SELECT 1 FROM message WHERE destination = '{name}' AND state <> '{ended}'"
    async with asyncio.timeout(20), here.serving():
        while not await here.query(f"SELECT 1 FROM message WHERE destination = '{name}'"):
            await asyncio.sleep(0.05)
        while await here.query(f"{left} UNION ALL {open_}"):
            await asyncio.sleep(0.05)
    [(count,)] = await here.query(f"SELECT count(*) FROM message WHERE destination = '{name}'")
    return count


async def told_all(here, name: str) -> None:
    """Send a new destination all reports that were signed before."""
    await here.planned()
    assert (await here.feed("apply", name))[0] == 0
    await made(here, name)


async def left_behind(here) -> int:
    """Compose messages for `ehr` without sending them, then remove its table; return their number."""
    await here.feed("pause", "ehr", "--reason", "r")
    await here.sync()
    count = await made(here, "ehr", sent=False)
    here.settings(destination(here.receiver.port, "his"))
    return count


async def test_the_certificate_of_all_is_open_while_something_is_left_behind_and_certified_once_it_is_retired(site):
    async with site() as here:
        count = await left_behind(here)
        await told_all(here, "his")
        file = here.folder / "certificate.json"
        code, lines, _ = await here.feed("certificate", "--all", "--out", str(file))
        assert (code, lines[-1]) == (1, "open")
        assert lines[-2].startswith(f"ehr: not in the settings, and open: queued {count}")
        [one] = json.loads(file.read_text())["notInSettings"]
        assert (one["name"], one["open"], one["counts"]) == ("ehr", count, {"queued": count})
        assert (await here.feed("certificate", "his"))[0] == 0
        code, lines, _ = await here.feed("retire", "ehr", "--reason", "replaced")
        assert (code, lines) == (0, [f"ehr is retired: 0 reports not made, {count} messages not sent"])
        assert (await here.feed("certificate", "--all"))[1][-1] == "certified"
        assert await here.query("SELECT argument, reason FROM audit WHERE verb = 'feed-retire'") == [
            ("ehr", "replaced")
        ]
        assert (await here.feed("retire", "ehr", "--reason", "again"))[0] == 0


async def test_what_is_signed_after_a_destination_was_retired_is_not_queued_for_it(site):
    async with site() as here:
        await left_behind(here)
        await here.feed("retire", "ehr", "--reason", "replaced")
        assert [json.loads(one)["enabled"] for (one,) in await here.query("SELECT settings FROM in_force")][-1] is False
        before = await here.query("SELECT count(*) FROM outbox WHERE destination = 'ehr'")
        here.here.account.sign_new()
        here.here.account.version += 1
        await here.sync()
        assert await here.query("SELECT count(*) FROM outbox WHERE destination = 'ehr'") == before


async def test_what_may_have_arrived_is_said_to_have_perhaps_after_it_was_retired(site):
    async with site() as here:
        await left_behind(here)
        with closing(sqlite3.connect(here.here.database)) as database, database:
            database.execute("UPDATE message SET state = 'indeterminate', doubts = 1, sent = 5 WHERE number = 1")
            database.execute("UPDATE message SET state = 'sending', sent = 5 WHERE number = 2")
            database.execute("UPDATE message SET state = 'held', reason = 'lane' WHERE number = 3")
            database.execute("INSERT INTO lane VALUES (1, 1, 'ehr', 'stu_1', 'refused')")
        _, lines, _ = await here.feed("retire", "ehr", "--reason", "replaced")
        assert lines[1] == "2 messages may have arrived there; the ledger goes on saying so"
        ended = "SELECT state, reason, doubts, sent FROM message WHERE number < 4 ORDER BY number"
        assert await here.query(ended) == [
            ("dead_letter", "retired-in-doubt", 1, 5),
            ("dead_letter", "retired-in-doubt", 0, 5),
            ("dead_letter", "retired", 0, None),
        ]
        assert await here.query("SELECT count(*) FROM lane") == [(0,)]


async def test_rows_of_which_nothing_was_made_are_open_too_though_nobody_ever_served_the_destination(site):
    async with site() as here:
        await here.sync()
        assert await here.query("SELECT name FROM destination") == []
        here.settings()
        code, lines, _ = await here.feed("certificate", "--all")
        assert (code, lines[-1]) == (1, "open")
        assert lines[-3] == "no destination is enabled: there is none that reports are sent to"
        assert "waiting" in lines[-2]
        assert any(
            line.startswith("ehr: served by nobody, not in the settings") for line in (await here.feed("status"))[1]
        )
        code, lines, _ = await here.feed("retire", "ehr", "--reason", "never used")
        assert (code, "0 messages not sent" in lines[0]) == (0, True)
        assert {one for (one,) in await here.query("SELECT DISTINCT state FROM outbox")} == {"nothing"}
        code, lines, _ = await here.feed("certificate", "--all")
        assert (code, lines[-2:]) == (
            0,
            ["no destination is enabled: there is none that reports are sent to", "certified"],
        )


async def test_dead_letters_of_a_destination_that_is_gone_are_open_until_it_is_retired(site):
    async with site() as here:
        await here.sync()
        await here.served()
        with closing(sqlite3.connect(here.here.database)) as database, database:
            database.execute("UPDATE message SET state = 'dead_letter', reason = 'AE-101' WHERE number = 1")
        here.settings(destination(here.receiver.port, "his"))
        await told_all(here, "his")
        assert (await here.feed("certificate", "--all"))[0] == 1
        await here.feed("retire", "ehr", "--reason", "r")
        assert await here.query("SELECT reason FROM message WHERE number = 1") == [("AE-101",)]
        assert (await here.feed("certificate", "--all"))[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ehr", "--reason", "r"), "ehr: this destination is in the settings"),
        (("his", "--reason", "r"), "his: the database knows no destination of this name. It knows ehr."),
        (("his", "--reason", " "), "--reason: empty"),
    ],
)
async def test_what_cannot_be_retired_is_said_with_why(site, arguments, said):
    async with site() as here:
        await here.sync()
        code, out, err = await here.feed("retire", *arguments)
        assert (code, out) == (2, [])
        assert said in err


async def test_a_name_that_was_given_up_is_not_retired_and_the_new_one_is_said(site):
    async with site() as here:
        await here.sync()
        here.settings(destination(here.receiver.port, "his", formerly='"ehr"'))
        code, _, err = await here.feed("retire", "ehr", "--reason", "r")
        assert (code, "ehr: this destination is called his since. Write that name." in err) == (2, True)


async def test_a_destination_that_another_gateway_serves_is_not_retired(site):
    async with site() as here:
        await left_behind(here)
        async with here.here.store() as engine:
            await Leases(engine, "another", 60.0).take("ehr")
        code, lines, _ = await here.feed("retire", "ehr", "--reason", "r")
        assert (code, lines[0].startswith("ehr is served by a gateway with other settings")) == (1, True)
        assert await here.query("SELECT count(*) FROM audit WHERE verb = 'feed-retire'") == [(0,)]


async def test_a_destination_that_is_not_enabled_any_more_is_open_and_can_be_retired(site):
    async with site() as here:
        await here.sync()
        here.settings(destination(here.receiver.port, enabled="false"))
        assert (await here.feed("certificate", "--all"))[0] == 1
        assert (await here.feed("retire", "ehr", "--reason", "r"))[0] == 0


async def test_check_config_names_what_is_open_elsewhere_and_changes_nothing(site):
    async with site() as here:
        code, _, err = await here.here.run("check-config")
        assert (code, "not in the settings" in err, here.here.database.exists()) == (0, False, False)
        count = await left_behind(here)
        code, _, err = await here.here.run("check-config")
        assert code == 0
        assert f"note: destination ehr: not in the settings, and open: queued {count}" in err
        here.settings(destination(here.receiver.port, "his", formerly='"ehr"'))
        code, _, err = await here.here.run("check-config")
        assert (code, "not in the settings" in err) == (0, False)
        assert "note: destination his: takes over what stands under ehr when the gateway starts" in err
        assert await here.query("SELECT DISTINCT destination FROM message") == [("ehr",)]
        await here.sync()
        here.settings(destination(here.receiver.port))
        code, _, err = await here.here.run("check-config")
        assert (code, "destination[0].name: this destination is called his since" in err) == (1, True)


async def test_a_database_that_cannot_be_read_is_noted_by_check_config(site):
    async with site() as here:
        here.here.database.write_text("no database at all, but as long as one: " + "x" * 4096)
        code, _, err = await here.here.run("check-config")
        assert (code, "note: the database cannot be asked" in err) == (0, True)
