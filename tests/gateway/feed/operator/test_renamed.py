"""A renamed destination (`formerly`), as the commands and the service see it (D31)."""

from __future__ import annotations

import json
import re

import pytest
from fakes.feed_site import destination

from gateway.ingest.assembly import opened_store
from gateway.runtime.errors import ConfigError
from gateway.settings import load
from gateway.store.database.engine import Statement, ask

LEDGER = "SELECT destination, count(*) FROM outbox GROUP BY destination"


def renamed(here, name: str = "his", formerly: str = "ehr") -> None:
    here.settings(destination(here.receiver.port, name, formerly=f'"{formerly}"'))


async def ledgers(here) -> list[dict[str, int]]:
    """Return the row counts by state that `feed status` shows for each destination."""
    return [one["outbox"] for one in json.loads("\n".join((await here.feed("status", "--json"))[1]))["destinations"]]


async def test_a_renamed_destination_is_sent_nothing_again_and_stays_paused(site):
    async with site() as here:
        await here.sync()
        await here.served()
        await here.feed("pause", "ehr", "--reason", "maintenance")
        count, ledger = len(here.receiver.messages), await here.query(LEDGER)
        renamed(here)
        await here.sync()
        await here.served()
        _, lines, _ = await here.feed("status")
        assert lines[0].startswith("his: ")
        assert lines[1].startswith("  paused    maintenance, since 20")
        assert (await here.feed("certificate", "--all"))[0] == 0
        assert await here.query(LEDGER) == [("his", ledger[0][1])]
        await here.feed("resume", "his")
        await here.served()
        assert len(here.receiver.messages) == count
        assert await here.query("SELECT argument FROM audit WHERE verb = 'feed-rename'") == [("ehr his",)]


async def test_a_command_that_only_reads_renames_nothing(site):
    async with site() as here:
        await here.sync()
        await here.served()
        renamed(here)
        for command in (("status",), ("dead-letters",), ("certificate", "--all")):
            await here.feed(*command)
            assert [name for name, _ in await here.query(LEDGER)] == ["ehr"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("feed", "plan"), 0),
        (("feed", "show", "nothing-there"), 1),
        (("feed", "retire", "nobody", "--reason", "x"), 2),
        (("feed", "retire", "ehr", "--reason", "x"), 2),
        (("explain", "REPORT"), 0),
    ],
)
async def test_a_first_look_and_what_is_refused_rename_nothing(site, command, code):
    async with site() as here:
        await here.sync()
        await here.served()
        renamed(here)
        [(report_id,)] = await here.query("SELECT min(report_id) FROM outbox")
        found = await here.here.run(*(report_id if one == "REPORT" else one for one in command))
        assert found[0] == code, found
        assert [name for name, _ in await here.query(LEDGER)] == ["ehr"]
        assert await here.query("SELECT became FROM destination WHERE name = 'ehr'") == [("",)]


async def test_before_it_is_renamed_a_destination_is_looked_at_under_its_former_name(site):
    async with site() as here:
        await here.sync()
        await here.served()
        renamed(here)
        assert (await here.feed("plan"))[1] == ["his: adds 0; stops 0; resends 0"]
        [(control_id,)] = await here.query("SELECT min(control_id) FROM message")
        assert (await here.feed("show", control_id, "--at", "his"))[1][-1] == "1 message"


async def test_before_it_is_renamed_its_status_and_its_certificate_are_those_of_the_former_name(site):
    async with site("ae:1") as here:
        await here.sync()
        await here.served()
        async with here.here.store() as engine:
            await engine.do(lambda: ask(Statement("UPDATE message SET state = 'dead_letter' WHERE state = 'held'")))
        await here.feed("pause", "ehr", "--reason", "maintenance")
        status, certificate = (await here.feed("status"))[1], (await here.feed("certificate", "--all"))[1]
        letters = (await here.feed("dead-letters"))[1]
        renamed(here)
        _, lines, _ = await here.feed("status")
        assert lines[:2] == ["his: served by nobody", "  name      ehr until the gateway starts with these settings"]
        assert lines[2:] == [re.sub(r"(next: .*) ehr\b", r"\1 his", one) for one in status[1:]]
        assert (await here.feed("certificate", "--all"))[1][2:] == [
            line.replace("ehr: ", "his: ") for line in certificate[2:]
        ]
        assert (await here.feed("certificate", "his"))[1][2].startswith("his: ")
        assert (await here.feed("dead-letters"))[1] == [line.replace("ehr", "his") for line in letters]
        [one] = json.loads("\n".join((await here.feed("status", "--json"))[1]))["destinations"]
        assert (one["name"], one["knownAs"]) == ("his", "ehr")


async def test_where_the_former_name_was_forgotten_at_first_what_was_told_is_not_planned_any_more(site):
    async with site() as here:
        await here.sync()
        await here.served()
        count = len(here.receiver.messages)
        here.settings(destination(here.receiver.port, "his"))
        await here.planned()
        assert (await here.feed("plan"))[1][0].startswith("his: adds ")
        renamed(here)
        await here.sync()
        await here.served()
        assert (await here.feed("plan"))[1] == ["his: adds 0; stops 0; resends 0"]
        assert (await here.feed("certificate", "--all"))[1][-1] == "certified"
        assert len(here.receiver.messages) == count


async def test_where_the_former_name_was_forgotten_at_first_what_was_left_stays_left_and_counts_once(site):
    async with site(modalities='["CT"]') as here:
        await here.sync()
        await here.served()
        here.settings(destination(here.receiver.port))
        await here.planned()
        assert (await here.feed("apply", "ehr", "--leave", "--reason", "on paper"))[0] == 0
        count, [was] = len(here.receiver.messages), await ledgers(here)
        assert was["left"] > 0
        here.settings(destination(here.receiver.port, "his"))
        await here.planned()
        assert (await here.feed("plan"))[1][0].startswith("his: adds ")
        renamed(here)
        assert await ledgers(here) == [was], "before the gateway starts"
        await here.sync()
        assert await ledgers(here) == [was]
        await here.served()
        assert await ledgers(here) == [was]
        assert (await here.feed("plan"))[1] == ["his: adds 0; stops 0; resends 0"]
        _, lines, _ = await here.feed("certificate", "--all")
        assert (lines[-1], f"{was['left']} left" in lines[2]) == ("certified", True)
        assert len(here.receiver.messages) == count


async def test_settings_with_a_name_that_is_another_by_now_are_refused(site):
    async with site() as here:
        await here.sync()
        renamed(here)
        await here.sync()
        here.settings(destination(here.receiver.port))
        code, _, err = await here.here.run("sync")
        assert code == 2
        assert "destination[0].name: this destination is called his since. Write that name, or one that is new." in err
        here.settings(destination(here.receiver.port, "kis", formerly='"ehr"'))
        code, _, err = await here.here.run("sync")
        assert code == 2
        assert 'destination[0].formerly: one of the two names is that of his since. Write formerly = "his"' in err
        renamed(here, "ehr", "his")
        await here.sync()
        assert [name for name, _ in await here.query(LEDGER)] == ["ehr"]


async def test_where_both_names_have_messages_the_settings_are_refused(site):
    async with site() as here:
        await here.sync()
        await here.served()
        here.settings(destination(here.receiver.port, "his"))
        await here.planned()
        await here.feed("apply", "his")
        await here.served()
        assert await here.query("SELECT 1 FROM message WHERE destination = 'his' LIMIT 1")
        renamed(here)
        code, _, err = await here.here.run("sync")
        assert code == 2
        assert "destination[0].formerly: there are messages under both names" in err
        assert "`feed retire`" in err


async def test_the_service_does_not_start_with_a_name_that_is_another_by_now(site, monkeypatch):
    async with site() as here:
        await here.sync()
        renamed(here)
        for name, value in here.here.env.items():
            monkeypatch.setenv(name, value)
        async with opened_store(load(None), serves=True):
            pass
        here.settings(destination(here.receiver.port))
        with pytest.raises(ConfigError, match="called his since"):
            async with opened_store(load(None), serves=True):
                pass


async def test_of_two_that_rename_at_once_the_second_is_told_that_it_is_another_by_now(site, monkeypatch):
    async def finds_nothing(*_):  # as if the other process had committed after this one checked
        return []

    async with site() as here:
        await here.sync()
        renamed(here)
        await here.sync()
        here.settings(destination(here.receiver.port, "kis", formerly='"ehr"'))
        monkeypatch.setattr("gateway.ingest.assembly.name_faults", finds_nothing)
        code, _, err = await here.here.run("sync")
        assert code == 2
        assert "destination[0].formerly: one of the two names is that of his since" in err
