"""Each command prints the answer of its function and nothing else: a page can show the same answer (D49)."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, dataclass, field
from datetime import UTC, datetime

import pytest
from fakes.gateway_process import SITE_KEY
from fakes.printed_answers import answer_of

from gateway.cli import check_config as checking
from gateway.feed.operator.arguments import LEFT_OUT, CommandAnswer, RefusedCommand, json_of, printed
from gateway.feed.operator.plan_and_apply import Plans

_FEED, _CLI = "feed.operator", "cli"


@dataclass(frozen=True, slots=True)
class _Sample(CommandAnswer):
    first_at: datetime
    data: bytes = field(metadata={"key": "bytes"})
    absent: str | None = field(default=None, metadata=LEFT_OUT)


async def test_reading_commands_print_the_answer_of_their_function(site):
    async with site(faults=()) as here:
        await here.sync()
        await here.served()
        [(control_id, report_id, study_id, *_), *_] = await here.query(
            "SELECT control_id, report_id, study_id FROM message WHERE state = 'delivered' ORDER BY number"
        )
        for function, *command in (
            (f"{_FEED}.status.status", "feed", "status"),
            (f"{_FEED}.plan_and_apply.plan", "feed", "plan", "--reports"),
            (f"{_FEED}.status.dead_letters", "feed", "dead-letters"),
            (f"{_FEED}.show.show", "feed", "show", control_id),
            (f"{_FEED}.show.show", "feed", "show", study_id),
            (f"{_FEED}.show.show", "feed", "show", "rep_" + "0" * 32),
            (f"{_FEED}.explain.explain", "explain", report_id),
            (f"{_FEED}.explain.explain", "explain", report_id, "OBX-3", "--sent"),
            (f"{_FEED}.explain.explain", "explain", "rep_" + "0" * 32),
            (f"{_FEED}.study_decisions.list_orders", "orders", "list"),
            (f"{_CLI}.order_show.show", "orders", "show", study_id),
            (f"{_CLI}.order_messages.list_messages", "orders", "messages"),
            (f"{_CLI}.order_messages.show_message", "orders", "message", "1"),
        ):
            await answer_of(here.here, function, *command)
            await answer_of(here.here, function, *command, "--json")
        certificate = await answer_of(here.here, f"{_FEED}.certificate.certificate", "feed", "certificate", "--all")
        assert certificate.exit_code == 0
        await answer_of(here.here, f"{_FEED}.study_decisions.list_identities", "identity", "list")
        await answer_of(here.here, f"{_CLI}.check_config.check_config", "check-config")


async def test_check_config_prints_the_settings_before_it_asks_the_database_and_loads_them_once(monkeypatch):
    happened = []

    async def noted(step, answer):
        happened.append(step)
        return answer

    monkeypatch.setenv("AVARA_API_KEY", "a-real-key")
    monkeypatch.setenv("GATEWAY_AUTH__MODE", "builtin")
    monkeypatch.setenv("GATEWAY_MAPPING__SITE_KEY", SITE_KEY)
    configuration = checking.load(None)
    monkeypatch.setattr(checking, "load", lambda _: happened.append("load") or configuration)
    monkeypatch.setattr(checking, "check_database", lambda _: noted("database", checking.CheckedDatabase((), ())))
    monkeypatch.setattr(checking, "check_online", lambda _: noted("online", RefusedCommand(())))
    said = lambda _: happened.append("said")  # noqa: E731
    await checking.say_check(None, said, lambda _: None, is_online=True)
    assert list(dict.fromkeys(happened)) == ["load", "said", "database", "online"]
    assert happened.count("load") == 1


async def test_acting_commands_print_the_answer_of_their_function(site):
    async with site("ar:1") as here:
        await here.sync()
        await here.served()
        sent = await here.query("SELECT study_id, patient_id FROM message WHERE state = 'delivered' ORDER BY number")
        (study_id, patient_id), reason = sent[0], ("--reason", "seen")
        for function, *command in (
            ("pausing.pause", "pause", "ehr", *reason),
            ("pausing.pause", "pause", "ehr", *reason),
            ("pausing.resume", "resume", "ehr", "--yes"),
            ("pausing.release", "resume", "ehr", "--study", study_id, "--yes"),
            ("pausing.release", "resume", "ehr", "--held", "refused", "--yes"),
            ("pausing.leave", "resume", "ehr", "--leave", "--held", "may-have-been-sent", *reason),
            ("replay.replay", "replay", "ehr", "--study", study_id, "--yes"),
            ("replay.replay_as_sent", "replay", "ehr", "--study", study_id, "--as-sent", "--yes"),
            ("replay.backload", "backload", "ehr", "--from", "2019-01-01", "--to", "2020-01-01", "--yes"),
            ("plan_and_apply.apply", "apply", "ehr", *reason),
        ):
            await answer_of(here.here, f"{_FEED}.{function}", "feed", *command)
        await answer_of(here.here, f"{_FEED}.study_decisions.release", "orders", "release", study_id, *reason)
        for verdict in ("separate", "link"):
            command = "identity", verdict, patient_id, study_id, *reason
            await answer_of(here.here, f"{_FEED}.study_decisions.decide", *command)


async def test_a_dry_run_only_prints_what_would_be_sent(site):
    async with site() as here:
        await here.sync()
        code, lines, _ = await here.feed("replay", "ehr", "--dead-letters", "--dry-run")
        assert (code, lines) == (0, ["ehr would be sent nothing", "nothing is sent: --dry-run"])


def test_an_answer_becomes_json_by_its_fields():
    answer = _Sample(datetime(2026, 1, 5, tzinfo=UTC), b"a")
    [line] = printed(answer, as_json=True)
    assert json.loads(line) == {"firstAt": "2026-01-05T00:00:00.000000Z", "bytes": "YQ=="}
    assert json_of(_Sample(answer.first_at, b"", "x"))["absent"] == "x"
    with pytest.raises(FrozenInstanceError):
        answer.data = b""


def test_a_refusal_is_said_in_sentences_also_where_json_was_asked_for():
    refusal = RefusedCommand(("no such report is stored",))
    assert list(printed(refusal, as_json=True)) == list(printed(refusal)) == ["no such report is stored"]
    assert refusal.exit_code == 1


def test_a_plan_that_is_not_shown_says_why():
    assert Plans(refused="because").exit_code == 1
    assert list(Plans(refused="because").lines()) == ["because"]
