"""`log.level = "debug"` logs each step by ids and states; `info` does not (D9, D39)."""

from __future__ import annotations

import io
import json
import logging
import re

import pytest
import structlog

from gateway.runtime import log

DEBUG = {"GATEWAY_LOG__LEVEL": "debug"}
OF_DEBUG = {
    *("upstream-asked", "study-ingested", "study-unchanged", "report-owed"),
    *("message-made", "cause-settled", "making-waits", "message-sending", "message-sent", "webhook-taken"),
}


def lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def words(here):
    """Yield the words that only a patient's chart holds."""
    for report in (one for listed in here.here.account.reports.values() for one in listed):
        said = report.get("snapshotMetadata") or {}
        yield from re.findall(r"[^\W\d_]{4,}", str(said.get("patientName") or ""))
        yield from re.findall(r"\w{4,}", str(said.get("mrn") or ""))


async def served(here, level):
    """Compose and send all messages; return the feed's log at that level."""
    stream = io.StringIO()
    log.configure(level, stream=stream)
    await here.served()
    return stream.getvalue()


async def test_a_study_can_be_followed_from_autoscribe_to_its_receiver(site):
    async with site() as here:
        await here.in_force()
        code, _, err = await here.here.run("sync", **DEBUG)
        logged = lines(err)
        assert code == 0
        asked = [one for one in logged if one["event"] == "upstream-asked"]
        assert {(one["method"], one["route"], one["status"]) for one in asked} >= {
            ("GET", "/studies", 200),
            ("GET", "/reports", 200),
        }
        assert all(one["ms"] >= 0 and one["level"] == "debug" and "dropped" not in one for one in asked)
        owed = next(one for one in logged if one["event"] == "report-owed" and one.get("state") == "waiting")
        assert (owed["destination"], owed["operation"], owed["code"]) == ("ehr", "signed", None)
        study_id = owed["study_id"]
        [ingested] = [one for one in logged if one["event"] == "study-ingested" and one["study_id"] == study_id]
        assert ingested["count"] > 0
        sent = await served(here, "debug")
        of_study = [one for one in lines(sent) if one.get("study_id") == study_id and one["level"] == "debug"]
        events = [one["event"] for one in of_study]
        first, last = events.index("message-made"), events.index("message-sent")
        assert first < events.index("message-sending") < last
        made, done = of_study[first], of_study[last]
        assert (made["state"], made["control_id"]) == ("queued", done["control_id"])
        assert (done["state"], done["attempt"]) == ("delivered", 1)
        assert done["report_id"] in {one.get("report_id") for one in logged if one.get("study_id") == study_id}
        assert done["ms"] > 0
        known = set(words(here))
        assert [word for word in known if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", err + sent)] == []
        assert "dropped" not in err + sent
        assert "http" not in re.sub(r'"fhir_base": "[^"]*"', "", sent)


@pytest.mark.parametrize("level", ["info", "warning"])
async def test_no_other_level_says_them(site, level):
    async with site() as here:
        await here.in_force()
        _, _, err = await here.here.run("sync", GATEWAY_LOG__LEVEL=level)
        found = {one["event"] for one in lines(err + await served(here, level))}
        assert not found & OF_DEBUG
        assert ("messages-made" in found) is (level == "info")


async def test_what_is_refused_is_said_with_its_state_and_why(site):
    async with site("ae:1") as here:
        await here.sync()
        refused = [one for one in lines(await served(here, "debug")) if one["event"] == "message-sent"]
        assert {(one["state"], one["code"]) for one in refused} == {("delivered", None), ("held", "AE-101")}


@pytest.mark.parametrize("level", ["info", "debug"])
async def test_check_config_says_them_on_stderr_where_they_are_wanted(site, level):
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET))
    async with site() as here:
        await here.sync()
        _, out, err = await here.here.run("check-config", "--online", GATEWAY_LOG__LEVEL=level)
        assert "upstream-asked" not in out
        assert ("upstream-asked" in err) is (level == "debug")
