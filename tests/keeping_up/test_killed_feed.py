"""Decisions D32, D33, D37: a gateway that crawls and feeds, killed again and again, loses nothing and plans nothing.

https://man7.org/linux/man-pages/man7/signal.7.html
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from random import Random

import pytest
from fakes.feed_site import destination
from fakes.gateway_process import FAST, environment, ran, site_file, started
from fakes.scale import EITHER_STORE, SERVICE_KILLS
from fakes.store import rows

from gateway.runtime.serving import listening_socket, running
from gateway.sandbox.receiver import MllpReceiver
from gateway.sandbox.upstream import SandboxOptions, open_sandbox
from gateway.store.database.sqlite import Sqlite

SERVE = ["serve", "--port", "0", "--roles", "sync,feed"]  # one process, so that the kill hits what works
SIGNED = "SELECT DISTINCT report_id FROM outbox WHERE destination = 'ehr' AND state IN ('rendered', 'merged')"
BEGUN = "SELECT 1 FROM fact WHERE name = 'first-start:ehr'"
PLANS = "SELECT study_id FROM outbox WHERE state IN ('planned', 'to_stop')"
LANES = "SELECT study_id FROM lane WHERE destination = 'ehr'"
OPEN = "SELECT 1 FROM message WHERE state IN ('queued', 'sending', 'indeterminate')"


def tables(receiver):
    """Return the settings of a destination that begins now."""
    start = datetime.now(UTC).isoformat(timespec="seconds")
    more = {"mrn_authority": '"receiver"', "on_conflict": '"send"'}
    return destination(receiver.port, start=start, **more) + "[feed]\nlease = 1\n"


async def until_rows(engine, sql):
    """Wait until a query finds something."""
    async with asyncio.timeout(120):
        while not await rows(engine, sql):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("engines", EITHER_STORE, indirect=True)
@pytest.mark.parametrize("kills", SERVICE_KILLS.both())
async def test_a_gateway_killed_since_its_first_start_sends_all_that_is_signed_and_plans_none(
    engine, kills, tmp_path, say
):
    dice, signed, planned = Random(15), set(), 0
    with listening_socket("127.0.0.1", 0) as listener:
        options = SandboxOptions(port=listener.getsockname()[1], studies=6)
        sandbox, account = open_sandbox(options, follows_clock=True)
        async with running(sandbox, listener), MllpReceiver(port=0) as receiver:
            config = site_file(tmp_path)
            config.write_text(config.read_text() + tables(receiver))
            url = f"sqlite:///{engine.path}" if isinstance(engine, Sqlite) else engine._url
            env = {**environment(options.base_url, url, config), **FAST}
            for number in range(kills):
                with started(SERVE, env, tmp_path / "log") as gateway:
                    if not number:  # it has begun, and put no settings in force
                        await until_rows(engine, BEGUN)
                    elif dice.random() < 0.7:
                        await gateway.address()
                    for is_critical in (False, True):
                        await asyncio.sleep(dice.uniform(0, 1.0) if number else 0)
                        signed.add(account.sign_new(critical=is_critical).report_id)
                    await asyncio.sleep(dice.uniform(0, 1.5) if number else 0)
                    gateway.kill()
                planned += len(await rows(engine, PLANS))
            with started(SERVE, env, tmp_path / "log"):
                async with asyncio.timeout(120):
                    while not (signed <= {str(one) for (one,) in await rows(engine, SIGNED)}) or await rows(
                        engine, OPEN
                    ):
                        assert not await rows(engine, PLANS)
                        for (study_id,) in await rows(engine, LANES):  # in hand at several kills: a person lets it go
                            await ran(["feed", "resume", "ehr", "--study", str(study_id), "--yes"], env)
                        await asyncio.sleep(0.2)
                code = 1
                async with asyncio.timeout(120):
                    while code:  # what was in hand at a kill may still arrive, for as long as a receiver may take
                        code, out, err = await ran(["feed", "certificate", "ehr"], env)
                        assert not code or "old-copy" in out, out + err
            assert planned == 0
            assert len({one.control_id for one in receiver.messages}) == len(signed)
            say(f"{kills} kills on {engine.dialect}: {len(signed)} signed, {len(receiver.messages)} came")
