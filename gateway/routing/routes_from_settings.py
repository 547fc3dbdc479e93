"""Build destinations from the `[[destination]]` tables, and report faulty tables; mappings/profile loads the profiles.

Carries out no clause of a standard; decisions D31, D32, D34. A faulty table is refused with its key and the remedy.
Files and directories are not opened here: `check-config` and the start of the service check them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from gateway.routing.destination import RETRY_CAP, Destination, Ehr, Retry
from gateway.routing.filter import Filter, Ignore, Scope, facility_keys, modality_key
from gateway.routing.routing import Routes
from gateway.routing.schedule import QuietHours
from gateway.routing.transport_from_settings import read_transport, refuse_for_receiver
from gateway.runtime.errors import ConfigError
from gateway.settings import Configuration, DestinationSettings, IgnoreSettings, is_loopback
from gateway.settings.destination import EVERY, ONLY_OF, OVERRIDES
from gateway.settings.values import host_and_port, parts_of
from mappings.issues import SiteError
from mappings.profile import Receiver, Site, conflicts

_Table = DestinationSettings | IgnoreSettings
_USUAL_HOLD: Final = 10.0
_EHR_KEYS: Final = ("ehr_url", "ehr_token_url", "ehr_client_id", "ehr_key_file")
_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 (compared, not bound)


@dataclass(frozen=True, slots=True)
class Tables:
    """Position of a table and the faults found so far; `found` grows. `folder` is the base of its paths."""

    source: str
    place: str
    found: list[ConfigError]

    @property
    def folder(self) -> Path:
        """Directory of the settings file."""
        return Path(self.source).parent

    def refuse(self, key: str, problem: str, remedy: str) -> None:
        """Record a fault of a key."""
        self.found.append(ConfigError(self.source, f"{self.place}.{key}", problem, remedy))


def routes_of(configuration: Configuration) -> Routes:
    """Return all destinations and ignore rules of the settings.

    Raises:
        ConfigError: the first faulty key, such as `destination[0].receiver`; `survey_routes` returns all.
    """
    routes, faults = survey_routes(configuration)
    if faults:
        raise faults[0]
    return routes


def survey_routes(configuration: Configuration) -> tuple[Routes, list[ConfigError]]:
    """Return the destinations and ignore rules that can be built, and all faults of the others."""
    settings, faults = configuration.settings, list[ConfigError]()
    made: list[Destination] = []
    rules: list[Ignore] = []
    for index, table in enumerate(settings.destination):
        at = Tables(configuration.source, f"destination[{index}]", faults)
        before = len(faults)
        _refuse_second(at, table, settings.destination[:index])
        _refuse_second_listener(at, table, settings.destination[:index])
        _refuse_formerly(at, table, index, settings.destination)
        destination = _destination(at, table, configuration)
        if destination is not None:
            _refuse_second_address(at, destination, made)
            if len(faults) == before:
                made.append(destination)
    for index, rule in enumerate(settings.ignore):
        at = Tables(configuration.source, f"ignore[{index}]", faults)
        _refuse_second(at, rule, settings.ignore[:index])
        if rule.facilities is rule.express_customers is rule.modalities is None:
            at.refuse(
                "facilities", "no list says what is ignored", "Write facilities, express_customers or modalities."
            )
        else:
            rules.append(Ignore(rule.name, rule.reason, _scope(rule, configuration.site)))
    return Routes(tuple(made), tuple(rules), settings.feed.draft_wait_minutes * 60), faults


def _destination(at: Tables, table: DestinationSettings, configuration: Configuration) -> Destination | None:
    _refuse_of_other_kinds(at, table)
    _refuse_filters(at, table)
    receiver = _receiver(at, table, configuration)
    transport = read_transport(table, at.folder, at.refuse)
    quiet = _quiet(at, table, configuration.site)
    if receiver is None or transport is None or quiet is None:
        return None
    refuse_for_receiver(table, receiver, at.refuse)
    return Destination(
        name=table.name,
        place=at.place,
        transport=transport,
        receiver=receiver,
        start=table.start,
        filter=Filter(_scope(table, configuration.site), frozenset(table.statuses), table.critical),
        quiet=quiet,
        retry=_retry(table, receiver),
        gap=table.gap,
        inverted_acks=table.inverted_acks,
        on_conflict=table.on_conflict or configuration.site.on_conflict,
        mrn_authority=table.mrn_authority,
        accession_wait=table.accession_wait_minutes * 60,
        hold_until_matched=_hold_until_matched(table, has_sources=bool(configuration.settings.source)) * 60,
        late_match=table.late_match,
        merge=table.merge,
        input_wait=table.input_wait,
        critical_alert=table.critical_alert_minutes * 60,
        dry_run=table.dry_run,
        is_enabled=table.enabled,
        formerly=table.formerly or "",
        shares_address=table.shares_address,
        ehr=_ehr(at, table),
    )


def _ehr(at: Tables, table: DestinationSettings) -> Ehr | None:
    """Return where reports are read back; None if nowhere. Its keys belong together, and its requests go over TLS."""
    given = {key: getattr(table, key) for key in _EHR_KEYS if getattr(table, key) is not None}
    for key in [one for one in _EHR_KEYS if one not in given] if given else ():
        at.refuse(
            key,
            f"missing beside {next(iter(given))}",
            "Write all of ehr_url, ehr_token_url, ehr_client_id, ehr_key_file.",
        )
    for key in ("ehr_url", "ehr_token_url"):
        if (url := given.get(key)) and url.startswith("http:") and not is_loopback(parts_of(url).hostname or ""):
            at.refuse(key, "http to another machine: charts and tokens could be read on the way", "Write an https URL.")
    if len(given) < len(_EHR_KEYS):
        return None
    url, token_url, client_id, key_file = given.values()
    paced = table.ehr_requests_per_hour, table.ehr_sampling
    return Ehr(url.rstrip("/"), token_url, client_id, at.folder / key_file, *paced)


def _hold_until_matched(table: DestinationSettings, *, has_sources: bool) -> float:
    """Return the minutes that a first message waits for its order; 0 without sources of orders."""
    if table.hold_until_matched is not None:
        return table.hold_until_matched
    return _USUAL_HOLD if has_sources else 0.0


def _refuse_second(at: Tables, table: _Table, before: Iterable[_Table]) -> None:
    if any(one.name == table.name for one in before):
        at.refuse("name", "another table has this name", "Give each a name of its own.")


def _refuse_second_listener(at: Tables, table: DestinationSettings, before: Iterable[DestinationSettings]) -> None:
    """Refuse a shared listening address: the address tells whose acknowledgements arrive there."""
    taken = [one.ack_listen for one in before if one.ack_listen and one.enabled]
    if table.ack_listen and table.enabled and any(_is_shared(table.ack_listen, one) for one in taken):
        at.refuse("ack_listen", "another destination listens there", "Give each a port of its own.")


def _is_shared(one: str, other: str) -> bool:
    """True if only one of two addresses can be listened on: the same port, and the same or an unspecified host."""
    (host, port), (other_host, other_port) = host_and_port(one), host_and_port(other)
    return port == other_port and (host == other_host or not {host, other_host}.isdisjoint(_EVERY_ADDRESS))


def _refuse_second_address(at: Tables, destination: Destination, before: Iterable[Destination]) -> None:
    """Refuse two destinations with one address, most often a mistake: a report would be filed there twice."""
    place = destination.transport.address
    for other in before:
        is_meant = destination.shares_address and other.shares_address
        if destination.is_enabled and other.is_enabled and not is_meant and other.transport.address == place:
            problem = f"destination {other.name} has the same address: what both accept would be sent there twice"
            at.refuse(
                destination.transport.key,
                problem,
                "Give each an address of its own, or write shares_address = true in both if that is meant.",
            )
            return


def _refuse_formerly(at: Tables, table: DestinationSettings, index: int, tables: Sequence[DestinationSettings]) -> None:
    """Refuse a former name that another table has or claims: a ledger belongs to one destination only."""
    if table.formerly is None:
        return
    if any(one.name == table.formerly for one in tables):
        remedy = "Take that table out, or take formerly out: a ledger goes over to one destination alone."
        at.refuse("formerly", "a [[destination]] table has this name still", remedy)
    elif any(one.formerly == table.formerly for one in tables[:index]):
        at.refuse("formerly", "another table has the same", "Write it in the table that goes on with its queue.")


def _refuse_of_other_kinds(at: Tables, table: DestinationSettings) -> None:
    """Refuse keys of another transport: without effect there, they are a mistake."""
    for key in sorted(table.model_fields_set & ONLY_OF.keys()):
        if table.kind not in ONLY_OF[key] and getattr(table, key) is not None:
            problem = f"has no effect for a destination of kind {table.kind}"
            at.refuse(key, problem, f"Remove it: it is for {' and '.join(ONLY_OF[key])}.")


def _refuse_filters(at: Tables, table: DestinationSettings) -> None:
    if table.facilities is None and table.express_customers is None:
        remedy = 'Write the facilities whose reports go there, or ["*"] for all; or express_customers.'
        at.refuse("facilities", "missing", remedy)
    if "draft" in table.statuses and "final" not in table.statuses:
        at.refuse("statuses", "drafts that nothing final would follow", 'Write "final" beside "draft", or no "draft".')
    if table.critical == "only" and set(table.statuses) <= {"draft"}:
        at.refuse("critical", "matches nothing: a draft is never critical", 'Write "all", or other statuses.')


def _receiver(at: Tables, table: DestinationSettings, configuration: Configuration) -> Receiver | None:
    """Return the receiver profile with the destination's own switches; None if it is faulty."""
    try:
        profile = configuration.site.receiver(table.receiver)
    except SiteError as error:
        # A faulty profile of the site is reported where it is defined
        if table.receiver not in {row.get("name") for row in configuration.settings.mapping.receivers}:
            at.refuse("receiver", error.problem, error.remedy)
        return None
    own: dict[str, Any] = {key: value for key in OVERRIDES if (value := getattr(table, key)) is not None}
    if table.ack_table is not None:
        own["ack_table"] = tuple(table.ack_table.items())
    made = replace(profile, **own)
    new = [one for one in conflicts(made) if one not in conflicts(profile)]
    for conflict in new:
        key = conflict.key if conflict.key in own else next(iter(own))
        at.refuse(key, f"{conflict.problem} (profile {table.receiver})", conflict.remedy)
    return made


def _quiet(at: Tables, table: DestinationSettings, site: Site) -> QuietHours | None:
    zone = ZoneInfo(table.time_zone) if table.time_zone else _shared_zone(table, site) if table.quiet_hours else None
    if table.quiet_hours and zone is None:
        problem = "missing, and there are quiet_hours, and its facilities share no time zone"
        at.refuse("time_zone", problem, "Write a name such as America/New_York.")
        return None
    try:
        return QuietHours.read(table.quiet_hours, zone)
    except ValueError:
        at.refuse("quiet_hours", "24 hours a day: nothing would be sent", "Leave hours free, or write enabled = false.")
        return None


def _shared_zone(table: DestinationSettings, site: Site) -> ZoneInfo | None:
    """Return the time zone of the facilities that the destination takes; None if they do not share one."""
    names = _listed(table.facilities)
    taken = site.facilities.values() if names is None else map(site.facility, names)
    zones = {one.time_zone if one else None for one in taken}
    return zones.pop() if len(zones) == 1 else None


def _retry(table: DestinationSettings, receiver: Receiver) -> Retry:
    return Retry(
        first=receiver.retry,
        cap=max(RETRY_CAP, receiver.retry),
        max_attempts=table.max_attempts,
        indeterminate_resends=table.indeterminate_resends,
    )


def _scope(table: _Table, site: Site) -> Scope:
    facilities, customers, modalities = map(_listed, (table.facilities, table.express_customers, table.modalities))
    return Scope(
        facilities=None if facilities is None else facility_keys(facilities, site),
        express_customers=None if customers is None else frozenset(customers),
        modalities=None if modalities is None else frozenset(map(modality_key, modalities)),
    )


def _listed(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return the names in a list of the settings; None if it allows everything."""
    return None if names is None or EVERY in names else names
