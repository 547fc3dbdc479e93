"""Hospitals with one gateway through a morning of troubles, in virtual time: `make simulate` in small.

A failure names its seed; `SIMULATION_SEED=n` runs that one.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fakes.hospitals.account import Signed
from fakes.hospitals.load import CURVE, HOUR, PEAK, shares, signatures
from fakes.hospitals.plots import Line, Plot
from fakes.hospitals.receivers import Receivers
from fakes.hospitals.run import measured, outcome_of, plots
from fakes.hospitals.week import LawBroken, Troubles, Week
from fakes.simulation.loops import Scheduler

from gateway.feed.alerts.monitor import AlertMonitor
from gateway.feed.deliver.feed_journal import FeedJournal

SEED = int(os.environ.get("SIMULATION_SEED", "1"))
BEGINS, HOURS = 7 * HOUR, 3.5


def morning(migrated: Path, folder: Path) -> Week:
    """Make a morning of two hospitals with every trouble of the week."""

    def at(hours: float) -> float:
        return BEGINS + hours * HOUR

    troubles = Troubles((at(1.6), at(2.1)), (at(2.2), at(2.3)), (at(2.4), at(2.5)), at(2.55), (at(2.8), at(2.9)))
    return Week(SEED, migrated, folder, 2, 200_000, BEGINS, at(HOURS), troubles, critical=0.3)


@pytest.fixture(scope="module")
def ran(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Week:
    return morning(migrated_sqlite, tmp_path_factory.mktemp("week")).run()


def test_every_report_is_acknowledged_once_and_every_critical_one_in_time_or_told(ran):
    assert len(ran.account.signed) > 40
    assert all(one.acknowledged for one in ran.account.signed.values())
    assert 0 < ran.receivers.messages - ran.receivers.repeated <= len(ran.account.signed)


def test_every_trouble_of_the_morning_is_met(ran):
    raised = {data["alert"] for _, _, data in ran.alerts}
    assert {"connection-down", "critical-overdue", "store-lost", "database-restored"} <= raised
    assert any(data["change"] == "escalates" for _, _, data in ran.alerts)
    assert ran.said[-1] == "feed resume --restored ended with 0"
    assert ran.log["round-failed upstream-unreachable"] > 0


@pytest.mark.soak
def test_a_database_restored_without_a_look_at_the_journal_is_found_out(migrated_sqlite, tmp_path, monkeypatch):
    async def unseen(journal: FeedJournal) -> None:
        await journal._open() if journal._file is None else None

    monkeypatch.setattr(FeedJournal, "_compare", unseen)
    with pytest.raises(LawBroken, match=rf"seed {SEED}: .*(other bytes|says again|sent again)"):
        morning(migrated_sqlite, tmp_path).run()


@pytest.mark.soak
def test_a_monitor_that_tells_nobody_is_found_out(migrated_sqlite, tmp_path, monkeypatch):
    async def blind(_: AlertMonitor) -> list[Any]:
        return []

    monkeypatch.setattr(AlertMonitor, "once", blind)
    with pytest.raises(LawBroken, match=rf"seed {SEED}: .*neither acknowledged nor told"):
        morning(migrated_sqlite, tmp_path).run()


def test_a_week_is_drawn_with_its_troubles_and_measured(ran):
    outcome = outcome_of(ran, 0.0)
    figures = measured(SEED, [outcome])
    assert figures["reports"] == len(ran.account.signed)
    assert figures["most_owed"] == max(one.owed for one in ran.samples)
    assert {name: plot.svg().count("<path") for name, plot in plots([outcome]).items()} == {
        "load.svg": 2,
        "queues.svg": 6,
        "lags.svg": 6,
    }


def test_a_plot_puts_a_value_where_its_axis_says():
    plot = Plot("A", [Line("a", [(0, 0), (168, 200)])])
    assert '<path class="c0" d="M64.0 270.0 L888.0 44.0"/>' in plot.svg()
    assert "prefers-color-scheme: dark" in plot.svg()
    logarithmic = Plot("A", [Line("a", [(0, 0.1), (84, 1), (168, 10)])], is_log=True)
    assert '<path class="c0" d="M64.0 270.0 L476.0 157.0 L888.0 44.0"/>' in logarithmic.svg()


def message(control_id: str, mrn: str, *reports: int, said: str = "") -> bytes:
    marks = "".join(f"[0:{number}]" for number in reports)
    order = "|" * 24
    return f"MSH|^~\\&|||||||ORU|{control_id}|P\rPID|||{mrn}^^^SIM\rOBR|{order}F\rOBX|{said}{marks}\r".encode()


FIRST = message("1", "A", 1)
UNLAWFUL = {
    "under a wrong patient": (0, [message("1", "B", 1)]),
    "at a wrong hospital": (1, [FIRST]),
    "after a newer one": (0, [message("2", "A", 2), FIRST]),
    "with other bytes": (0, [FIRST, message("1", "A", 1, said="x")]),
    "after its acknowledgement": (0, [FIRST, FIRST]),
    "says again": (0, [FIRST, message("2", "A", 1)]),
    "speaks of": (0, [message("1", "A", 9)]),
}


@pytest.mark.parametrize("law", UNLAWFUL)
def test_a_receiver_notices_an_unlawful_message(law):
    broken: list[str] = []
    signed = {(0, number): Signed(0, "A", 0.0, is_critical=False) for number in (1, 2)}
    receivers = Receivers(Scheduler(Random(1)), 0, Random(1), signed, broken.append)
    hospital, messages = UNLAWFUL[law]
    for one in messages:
        receivers._answered.add(receivers._checked(one, hospital))
    assert law in broken[0]


def test_a_message_may_come_again_while_its_sender_has_no_answer():
    broken: list[str] = []
    signed = {(0, 1): Signed(0, "A", 0.0, is_critical=False)}
    receivers = Receivers(Scheduler(Random(1)), 0, Random(1), signed, broken.append)
    receivers._checked(FIRST, 0)
    receivers._checked(FIRST, 0)
    assert (broken, receivers.repeated) == ([], 1)


def test_the_load_has_the_peak_and_the_sum_that_it_names():
    assert max(CURVE) == pytest.approx(PEAK)
    assert sum(CURVE) / len(CURVE) == pytest.approx(1)
    assert min(CURVE) > 0
    assert sum(shares(50)) == pytest.approx(1)
    assert len(list(signatures(Random(1), 100_000, 0.0, 168 * HOUR))) == pytest.approx(100_000 * 7 / 365, rel=0.1)
