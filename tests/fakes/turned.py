"""Other values of each setting, and functions that show their effect on the configuration (tests/gateway/settings)."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from gateway.feed.alerts.conditions import alerts
from gateway.feed.alerts.mail import MailHook
from gateway.feed.alerts.webhook import heartbeats, hooks
from gateway.feed.deliver.delivery_results import RefusalCount
from gateway.feed.deliver.outcome import ruling_on
from gateway.feed.deliver.sender import Pacing
from gateway.feed.payload import Acknowledgement
from gateway.feed.plan.counts import PlanCounts
from gateway.ingest.assembly import engine_of, pipeline_of
from gateway.ingest.orders.sources import sources_of
from gateway.routing import Http, routes_of
from gateway.settings import Configuration
from gateway.store.database.engine import micros
from gateway.store.feed.alerts import FeedFacts
from gateway.upstream.client import UpstreamClient
from mappings import decode, to_fhir
from mappings.hl7v2.oru_r01 import messages_of_all, to_oru
from mappings.model import Cause, Facts
from mappings.profile import receiver
from mappings.trace.sample import document

AT = datetime(2026, 1, 5, 18, 0, tzinfo=UTC)
FACILITY = (
    '[{ name = "City Medical Center", time_zone = "America/New_York", name_order = "given_family",'
    ' mrn_system = "urn:oid:1.2.3", mrn_namespace = "CITY" }]'
)
GIVEN: dict[str, dict[str, str | None]] = {
    "upstream": {"api_key": '"key"'},
    "mapping": {"site_key": f'"{"5a" * 32}"', "facilities": FACILITY},
    "destination": {
        "name": '"ehr"',
        "kind": '"mllp"',
        "host": '"engine.example"',
        "port": "2575",
        "receiver": '"generic"',
        "start": "2026-01-01T00:00:00Z",
        "facilities": '["*"]',
    },
    "ignore": {"name": '"phantoms"', "reason": '"tests"', "modalities": '["OT"]'},
    "source": {
        "name": '"his"',
        "listen": '"127.0.0.1:2601"',
        "may": '["orders"]',
        "facility": '"City Medical Center"',
    },
}
HTTP = {"kind": '"http"', "url": '"https://engine.example/hl7"', "host": None, "port": None}


@dataclass(frozen=True)
class Turned:
    """A value, its effect, and settings (`section.name`) required beside it, before and after."""

    value: str | None
    shows: Callable[[Configuration], Any] | str
    beside: dict[str, str | None] | None = None


# Effects


def held(path: str) -> Callable[[Configuration], Any]:
    """Return a function that shows what the client of AutoScribe holds at that attribute path."""

    def shows(read: Configuration) -> Any:
        value: Any = UpstreamClient(read.settings.upstream, read.settings.pdf)
        for name in path.split("."):
            value = getattr(value, name)
        return str(value)

    return shows


def sources(read: Configuration) -> str:
    """Return the sources of the settings."""
    return repr(sources_of(read))


def authorities(read: Configuration) -> Any:
    client = UpstreamClient(read.settings.upstream, read.settings.pdf)
    return client._api._tls.cert_store_stats()


def proxies(read: Configuration) -> bool:
    return UpstreamClient(read.settings.upstream, read.settings.pdf)._api._proxy is None


def base(read: Configuration) -> str:
    return read.settings.server.fhir_base


def engine(read: Configuration) -> Any:
    made = engine_of(read)
    return type(made).__name__, {
        name: str(value) for name, value in vars(made).items() if isinstance(value, str | int | Path)
    }


def wants_pdf(read: Configuration) -> bool:
    return pipeline_of(read, engine_of(read)).settings.wants_pdf


def has_words(read: Configuration) -> bool:
    return pipeline_of(read, engine_of(read)).settings.has_words


def hooked(read: Configuration) -> Any:
    return [(one.name, one.after, one._url, one._keys) for one in hooks(read.settings.feed)]


def mailed(read: Configuration) -> Any:
    return [vars(one._settings) for one in hooks(read.settings.feed) if isinstance(one, MailHook)]


def beaten(read: Configuration) -> Any:
    return [(one._hook._url, one._seconds) for one in heartbeats(read.settings.feed, bool)]


def unasked(read: Configuration) -> list[bool]:
    """List the plans that are applied without asking: with more messages, older ones, with critical results."""
    now = micros(AT)
    plans = [
        PlanCounts(adds=size, critical=critical, oldest=micros(AT - timedelta(hours=hours)))
        for size, hours, critical in product((1, 10), (1, 10), (0, 1))
    ]
    return [plan.is_small(0, read.settings.feed, now) for plan in plans]


def old(read: Configuration) -> list[str]:
    limit = read.settings.feed.queue_age_alert_minutes * 60
    return [one.code for one in alerts("ehr", FeedFacts(oldest=1_000.0), limit)]


def breaker_limits(read: Configuration) -> Any:
    made = RefusalCount(read.settings.feed)
    return made._limits


def routes(read: Configuration) -> str:
    """Show the parts of the feed; the last test checks that the code reads each of them."""
    found = routes_of(read)
    secrets = [one.transport.auth for one in found.destinations if isinstance(one.transport, Http)]
    said = [(type(one).__name__, getattr(one, "password", ""), getattr(one, "token", "")) for one in secrets]
    return f"{found}{said}"


def key_password(read: Configuration) -> Any:
    tls = routes_of(read).destinations[0].transport.tls
    return tls.key_password if tls else None


def ends(read: Configuration) -> Any:
    return routes_of(read).destinations[0].transport.endpoint


def meanings(read: Configuration) -> list[str]:
    [one] = routes_of(read).destinations
    return [ruling_on(Acknowledgement(code, "1"), one).meaning for code in ("AA", "AE", "AR", "CE", "CR")]


def pace(read: Configuration) -> list[float]:
    [one] = routes_of(read).destinations
    made = Pacing(one)
    made.used(AT)
    return [made.wait(AT + timedelta(hours=hour)) for hour in range(24)] + [made.wait(AT)]


def ignored(read: Configuration) -> str:
    return str(routes_of(read).ignores)


@cache
def studies() -> list[Any]:
    """Return the sample in states that show a site's settings: signed, unsigned, cancelled, of others, of orders."""
    sample = document()
    changed: list[dict[str, Any]] = [{}, {"isCancelled": True}, {"expressCustomer": None}]
    made = [{**deepcopy(sample), **one} for one in changed]
    several = {"metadata": {"accession": "A1/A2", "order": "P1/P2", "exam": "E-1/E-2", "case": "C1/C2"}}
    other = json.loads(json.dumps(sample).replace("City Medical Center", "Elsewhere"))
    ssn = json.loads(json.dumps(sample).replace("00412345", "219-09-9998"))
    draft = deepcopy(sample)
    for report in draft["reports"]:
        report |= {"status": "in_progress", "signedAt": None}
    uncoded = json.loads(json.dumps(sample))
    for report in uncoded["reports"]:
        report["snapshotMetadata"]["procedure"] = "HOUSE EXAM 7"
    return [
        decode(one, one["reports"], one["users"])
        for one in (*made, {**deepcopy(sample), **several}, other, ssn, draft, uncoded)
    ]


def mapped(read: Configuration) -> list[Any]:
    """Map the studies to FHIR and HL7 v2, for receivers that ask for every setting of a site."""
    outputs: list[Any] = []
    for name, more in (("generic", {"accession_field": "20"}), ("vista-2.3", {}), ("vista-2.4", {})):
        profile = replace(receiver(name), **{"send_drafts": "on", **more})
        for study in studies():
            for cause in messages_of_all(study, [Cause(study.reports[0].report_id)], read.site, profile, Facts()):
                made = to_oru(study, cause, read.site, profile, Facts(), control_id="TURNED", at=AT)
                outputs += [made.output, [issue.code for issue in made.issues]]
    return [*outputs, *(json.dumps(to_fhir(study, read.site, Facts()).output, sort_keys=True) for study in studies())]
