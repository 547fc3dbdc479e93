"""Page of the certificate: the last run for each destination, a new run with its progress, and its reports as CSV.

https://www.rfc-editor.org/rfc/rfc4180 (CSV); decisions D26, D49, D53. A run is the answer of `feed certificate`. The
last one of each destination is stored: every process shows it, also after a restart, until a study in it is erased.
Proved by tests/gateway/console/test_certificates.py.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final
from zoneinfo import ZoneInfo

from starlette.responses import RedirectResponse, Response

from gateway.console.frame import ConsoleVisit, address, day_of, gate_of, instant_of, microseconds, not_there
from gateway.console.lookup import FATE_WORDS
from gateway.feed.operator.arguments import EVER, TimeSpan
from gateway.feed.operator.certificate import CertificateDesk
from gateway.runtime import clock

_EVERY: Final = 2  # seconds between two renewals while a run goes on
_MOST_LISTED: Final = 200
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would compute a cell that begins so
_COLUMNS: Final = ("report", "study", "fate", "detail", "since", "open", "critical", "remarks", "order")
_KINDS: Final = {"certified": "good", "open": "bad", "incomplete": "wait"}


class Certificates:
    """Certificate page of one application."""

    def __init__(self) -> None:
        self._desk = CertificateDesk()

    async def page(self, visit: ConsoleVisit, fault: str = "") -> Response:
        """Answer with the last certificate of each destination, and the run that goes on."""
        names = [one.name for one in visit.serving.destinations if one.is_enabled]
        last, run = await self._desk.last(visit.serving.engine, names), await self._desk.run(visit.serving.engine)
        goes_on = run is not None and run.goes_on(microseconds(clock.now()))
        usual = max((one.made["listing"]["signedReports"] for one in last.values()), default=0)
        values = {
            "names": names,
            "last": last,
            "run": run,
            "goes_on": goes_on,
            "usual": usual,
            "fault": fault,
            "kinds": _KINDS,
            "fate_words": FATE_WORDS,
        }
        every, status = _EVERY if goes_on else 0, HTTPStatus.BAD_REQUEST if fault else HTTPStatus.OK
        return visit.render(
            "certificate.html",
            {"here": "certificate", "every": every, "most": _MOST_LISTED, "fault": fault, **values},
            status,
        )

    async def begin(self, visit: ConsoleVisit) -> Response:
        """Begin a run, unless one goes on, and show the page again."""
        form = await visit.form()
        name = form.get("at", "")
        if name and name not in {one.name for one in visit.serving.destinations if one.is_enabled}:
            return await not_there(visit)
        span = _span(form.get("since", ""), form.get("until", ""), visit.configuration.zone)
        if span is None:
            return await self.page(visit, "The last day is before the first.")
        await self._desk.begin(visit.serving.engine, visit.configuration, name, span, visit.person.subject)
        return RedirectResponse(address("certificate"), HTTPStatus.SEE_OTHER, gate_of(visit.request).headers())

    async def as_csv(self, visit: ConsoleVisit) -> Response:
        """Answer with the reports of a destination's last certificate that are open or have remarks, as CSV."""
        name = visit.request.path_params["at"]
        if (last := (await self._desk.last(visit.serving.engine, [name])).get(name)) is None:
            return await not_there(visit)
        reports = last.account["reports"]
        visit.shows([f"DiagnosticReport/{one['reportId'].replace('_', '-')}" for one in reports], ())
        text = io.StringIO()
        csv.writer(text).writerows(_rows(reports))
        day = f"{instant_of(last.made['listing']['started']).astimezone(visit.configuration.zone):%Y-%m-%d}"
        named = {"Content-Disposition": f'attachment; filename="certificate-{name}-{day}.csv"'}
        return Response(text.getvalue(), headers={**gate_of(visit.request).headers(), **named}, media_type="text/csv")


def _rows(reports: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Yield the head and a row for each report."""
    yield _COLUMNS
    for one in reports:
        marks = ("yes" if one["isOpen"] else "no", "yes" if one["isCritical"] else "no", " ".join(one["remarks"]))
        order = f"{one['order']['verdict']} ({one['order']['reason']})" if "order" in one else ""
        row = (one["reportId"], one["studyId"], one["fate"], one["detail"], one["since"] or "", *marks, order)
        yield tuple(f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in row)


def _span(since: str, until: str, zone: ZoneInfo) -> TimeSpan | None:
    """Return the span of these days of the site, None if it is empty; a day that is none is no bound."""
    first, last = day_of(since, zone), day_of(until, zone)
    start = EVER.since if first is None else microseconds(first)
    end = EVER.until if last is None else microseconds(last + timedelta(days=1))
    return TimeSpan(start, end) if start < end else None
