"""docs/guide.md: an upgrade copies the database alone, and the way back sends nothing unasked (decision D38)."""

from __future__ import annotations

import re
import shlex
from datetime import UTC
from pathlib import Path

import pytest
from typer.main import get_command

from gateway.cli.main import app
from gateway.feed.operator.arguments import typed_instant

TEXT = (Path(__file__).parents[2] / "docs" / "guide.md").read_text("utf-8")
UPGRADE, WAY_BACK = re.findall(r"```sh\n(systemctl stop .*?)```", TEXT, re.DOTALL)
STATE = "/var/lib/autoscribe-gateway"


def commands(block: str) -> list[list[str]]:
    return [shlex.split(line, comments=True) for line in block.splitlines()]


@pytest.mark.parametrize("block", [UPGRADE, WAY_BACK])
def test_no_command_takes_the_feed_journal_along(block: str) -> None:
    copied = [one for one in commands(block) if one[0] in {"cp", "mv", "rm", "rsync", "tar", "install", "sqlite3"}]
    assert copied
    for words in copied:
        assert STATE not in [word.rstrip("/") for word in words]
        assert not any("journal" in word or "*" in word for word in words)


def test_the_way_back_holds_the_feed_before_the_service_starts_and_names_the_instant_of_the_copy() -> None:
    found = commands(WAY_BACK)
    serves, starts = found.index(next(one for one in found if one[:2] == ["asg", "serve"])), len(found) - 1
    assert found[starts] == ["systemctl", "start", "autoscribe-gateway"] and serves < starts
    options = {name for one in get_command(app).commands["serve"].params for name in one.opts}
    assert {"--hold-feed", "--restored-from"} == {word for word in found[serves] if word.startswith("--")} <= options
    (instant,) = [one[-1] for one in commands(UPGRADE) if one[0] == "date"]
    assert f"$(cat {instant})" in found[serves]
    assert typed_instant("--restored-from", "2026-03-02T14:05:11-05:00", UTC)  # as `date --iso-8601=seconds` writes it
    copy = next(one[-1].removeprefix(".backup ") for one in commands(UPGRADE) if one[0] == "sqlite3")
    assert copy in next(one for one in found if one[0] == "install")
