"""docs/runbooks.md: one runbook for each alert, with all its parts (decisions D37 and D38)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from generators.documents import runbooks
from jinja2 import Environment

from gateway.feed.alerts import conditions
from gateway.feed.alerts.conditions import ROWS, RUNBOOK, AlertRow

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / RUNBOOK).read_text("utf-8")
RUNBOOKS = dict(re.findall(r"^## ([\w-]+)\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE))
PARTS = ("**At risk.**", "**Look.**", "**Do.**", "**It is over**")
COMMAND = re.compile(
    r"`(?:autoscribe-gateway|feed|orders|identity|check-config|curl|systemctl|journalctl|df|install) [^`]+`"
)


def parts(code: str) -> dict[str, str]:
    """Return the parts of a runbook by their titles, in the order of the page."""
    split = re.split(r"^- (\*\*[A-Z][^*]*\*\*)", RUNBOOKS[code], flags=re.MULTILINE)
    return dict(zip(split[1::2], split[2::2], strict=True))


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    raised = {one.code for one in vars(conditions).values() if isinstance(one, AlertRow)}
    assert raised <= ROWS.keys()
    assert RUNBOOKS.keys() == ROWS.keys()


@pytest.mark.parametrize("code", ROWS)
def test_a_runbook_has_its_parts_in_order_and_says_something_in_each(code: str) -> None:
    found = parts(code)
    assert tuple(found) == PARTS
    assert [title for title, text in found.items() if len(text.split()) < 5] == []
    assert ROWS[code].meaning in RUNBOOKS[code].partition("- **")[0]


@pytest.mark.parametrize("code", ROWS)
def test_a_runbook_shows_a_command_to_look_with_and_a_command_to_act_with(code: str) -> None:
    found = parts(code)
    assert [title for title in ("**Look.**", "**Do.**") if not COMMAND.search(found[title])] == []


def test_the_console_has_each_runbook_as_it_stands_here() -> None:
    template = (ROOT / "gateway/console/templates/runbooks.html").read_text("utf-8")
    assert runbooks(TEXT) in template, "make docs writes it anew"
    shown = Environment(autoescape=True).from_string(template).module
    for code in ROWS:
        text = str(shown.runbook(code, "ehr"))
        assert re.findall("<dt>(.*?)</dt>", text) == ["At risk", "Look", "Do", "It is over"], code
        assert not re.search(r"NAME|\*\*|\]\(|`", text), code
