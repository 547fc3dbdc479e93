"""`orders messages | message | retry | set-aside`: an operator settles held and failed messages, each use audited."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.commanded import Open, Site, sites
from fakes.hospital_source import Hospital, merging
from structlog.testing import capture_logs

from gateway.store.database.engine import Statement, ask

SWAP = merging("5000", "4711", control_id="2")
WITHOUT_BYTES = Statement("UPDATE inbound SET body = NULL WHERE number = :number")
AUDITED = "SELECT verb, argument, reason FROM audit ORDER BY number"
STATE = "SELECT state, code FROM inbound WHERE number = 2"


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Open]:
    with sites(tmp_path, capsys) as opened:
        yield opened


async def held(here: Site, *, keeps_bytes: bool = True) -> None:
    """Take in a merge and its inverse, which is held."""
    await here.run("migrate")
    async with here.store() as engine:
        with capture_logs():
            await Hospital(engine).sends(merging(), SWAP)
        if not keeps_bytes:
            await engine.do(lambda: ask(WITHOUT_BYTES, number=2))


async def test_held_messages_are_listed_without_patient_data(site: Open) -> None:
    async with site() as here:
        await held(here)
        code, out, _ = await here.run("orders", "messages")
        assert code == 0
        line, count = out.splitlines()
        assert line.startswith("message 2  held (merge-swap)  ADT^A40 of city-his, 20")
        assert (line.endswith(", MSH-10 2"), count) == (True, "1 message")
        assert "4711" not in out
        [row] = json.loads((await here.run("orders", "messages", "--json"))[1])
        assert (row["number"], row["state"], row["code"], row["hasBytes"]) == (2, "held", "merge-swap", True)
        assert [verb for verb, *_ in await here.query(AUDITED)] == ["orders-messages"] * 2


async def test_a_message_is_shown_with_its_segments_and_the_audit_has_its_number_alone(site: Open) -> None:
    async with site() as here:
        await held(here)
        code, out, _ = await here.run("orders", "message", "2", "--reason", "asked")
        assert (code, "MRG|5000^^^CITY^MR" in out) == (0, True)
        assert await here.query(AUDITED) == [("orders-message", "message 2", "asked")]
        said = json.loads((await here.run("orders", "message", "2", "--json"))[1])
        assert said["segments"][-1].startswith("MRG|")
        assert (await here.run("orders", "message", "1"))[:2] == (1, "no message of this number was held or failed\n")


async def test_a_message_without_bytes_is_shown_as_such_and_not_tried_again(site: Open) -> None:
    async with site() as here:
        await held(here, keeps_bytes=False)
        assert (await here.run("orders", "message", "2"))[1].splitlines()[1] == "  its bytes are deleted"
        code, out, _ = await here.run("orders", "retry", "2", "--reason", "r")
        assert (code, out.startswith("refused: its bytes are deleted.")) == (1, True)


async def test_a_message_is_tried_again_or_set_aside_by_the_running_service(site: Open) -> None:
    async with site() as here:
        await held(here)
        code, out, _ = await here.run("orders", "retry", "2", "--reason", "authority added")
        assert (code, out) == (0, "message 2 is tried again: the running service applies it\n")
        async with here.store() as engine:
            with capture_logs():
                await Hospital(engine).applying.turn()
        code, out, _ = await here.run("orders", "set-aside", "2", "--reason", "a mistake")
        assert (code, out) == (0, "message 2 is set aside: it changes nothing\n")
        assert await here.query(STATE) == [("nothing", "set-aside")]
        assert [row[0] for row in await here.query(AUDITED)] == ["orders-retry", "orders-set-aside"]


@pytest.mark.parametrize("command", ["retry", "set-aside"])
async def test_a_command_needs_a_reason_and_a_message_that_was_held_or_failed(site: Open, command: str) -> None:
    async with site() as here:
        await held(here)
        assert (await here.run("orders", command, "2", "--reason", " "))[0] == 2
        code, _, err = await here.run("orders", command, "1", "--reason", "r")
        assert (code, "no message of this number is held or failed" in err) == (2, True)
        assert await here.query(AUDITED) == []


NAMED = """
[[source]]
name = "{name}"
formerly = "{formerly}"
listen = "127.0.0.1:2601"
may = ["merges"]
authorities = [{{namespace = "CITY", system = "urn:oid:1.2.1"}}]
"""


async def test_a_renamed_source_is_shown_by_its_present_name_and_a_name_given_up_is_refused(site: Open) -> None:
    async with site() as here:
        await held(here)
        settings = here.folder / "gateway.toml"
        before = settings.read_text()
        settings.write_text(before + NAMED.format(name="city-ehr", formerly="city-his"))
        assert (
            " of city-his, " in (await here.run("orders", "messages"))[1]
        )  # a command that only reads renames nothing
        assert (await here.run("orders", "retry", "2", "--reason", "r"))[0] == 0
        assert await here.query("SELECT verb, argument FROM audit WHERE verb = 'orders-rename'") == [
            ("orders-rename", "city-his city-ehr")
        ]
        async with here.store() as engine:
            with capture_logs():
                await Hospital(engine).applying.turn()
        assert " of city-ehr, " in (await here.run("orders", "messages"))[1]
        settings.write_text(before + NAMED.format(name="city-his", formerly="nobody"))
        code, _, err = await here.run("orders", "retry", "2", "--reason", "r")
        assert (code, "source[0].name: this source is called city-ehr since" in err) == (2, True)
        assert "source[0].name: this source is called city-ehr since" in "".join((await here.run("check-config"))[1:])
