"""Time for which a commit keeps all other writers of versions waiting: the row of `tick` is locked last.

Run by `make bench`: two processes ingest sandbox studies into one PostgreSQL, without fsync, so that the time is the
gateway's and the server's own. The first figure ends with the server's commit, when the next writer goes on. The second
ends when the process hears of it.
"""

from __future__ import annotations

import statistics

import pytest
from bench.ticking import ingest
from fakes.databases import server

PROCESSES = 2
STUDIES = 400


@pytest.mark.timeout(600)
def test_how_long_a_commit_holds_the_clock(say) -> None:
    with server("fsync=off", "track_commit_timestamp=on") as found:
        if found is None:
            pytest.skip("needs PostgreSQL's server programs: apt-get install -y postgresql")
        with found.database() as url:
            ran = ingest(url, PROCESSES, STUDIES)
    commits = len(ran.held)
    say(
        f"clock of the store held, {PROCESSES} processes, postgresql without fsync:"
        f" {_said([one.on_server for one in ran.held])} a commit (to reach: 1.5 ms)"
    )
    say(
        f"  until the process hears of the commit: {_said([one.until_heard for one in ran.held])};"
        f" {ran.studies / commits:.1f} studies and {ran.versions / commits:.0f} versions a commit,"
        f" {ran.studies / ran.seconds:.0f} studies/s"
    )


def _said(seconds: list[float]) -> str:
    at = statistics.quantiles(seconds, n=100)
    return ", ".join(f"p{one} {at[one - 1] * 1e3:.2f} ms" for one in (10, 50, 90, 99))
