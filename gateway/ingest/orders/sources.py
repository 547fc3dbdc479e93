"""Build the hospital sources from the `[[source]]` tables, and report faulty tables.

HL7 v2.5.1 §2.A.36 (HD), RFC 8446 (TLS 1.3); decisions D10 and D48. Beyond loopback a source proves who it is, by a
certificate or by its address, and nobody reads on the way. Certificates are not opened here: `check_files` does it.
Proved by tests/gateway/ingest/orders/test_sources.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Final, cast
from zoneinfo import ZoneInfo

from gateway.mllp.listener import MOST_OF_A_PEER
from gateway.runtime.errors import ConfigError
from gateway.runtime.tls import TlsSettings, server_context
from gateway.settings import Configuration, SourceSettings, is_loopback
from gateway.settings.source import May
from gateway.settings.values import host_and_port
from mappings.codes import INBOUND_CHARSETS
from mappings.hl7v2.inbound import MERGE_TYPES, ORDER_TYPES, VISIT_TYPES, FacilityNumbers, KeyKind, SourceRules
from mappings.hospital.authorities import ORDER_NUMBER_KINDS, OrderSource
from mappings.hospital.events import Authority
from mappings.hospital.known_order import ORDER_DAYS
from mappings.profile import AssigningAuthority, Facility, Site

TYPES: Final[dict[May, frozenset[str]]] = {"orders": ORDER_TYPES, "visits": VISIT_TYPES, "merges": MERGE_TYPES}
_EVERY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 (compared, not bound)
# Beginning of a system -> HD.3, and whether HD.2 is what follows
_UNIVERSAL: Final = {"urn:oid:": "ISO", "urn:uuid:": "UUID"}
_Refuse = Callable[[str, str, str], None]


@dataclass(frozen=True, slots=True)
class HospitalSource:
    """Hospital source: a `[[source]]` table with its listener and the rules to read its messages.

    `place` is its table in the settings, and `formerly` its previous name. The store and the matching know it by the
    first name that it ever had, that of `order_source`. `present_name` is the one of the settings, if it differs. An
    accession number that comes again after more than `order_days` is that of another order.
    """

    place: str
    host: str
    port: int
    peers: tuple[IPv4Network | IPv6Network, ...]
    tls: TlsSettings | None
    order_source: OrderSource
    rules: SourceRules
    rejects_unlisted: bool
    formerly: str = ""
    present_name: str = ""
    order_days: int = ORDER_DAYS
    connections: int = MOST_OF_A_PEER

    @property
    def name(self) -> str:
        """Name in commands, metrics and the log."""
        return self.present_name or self.order_source.name

    @property
    def stored_name(self) -> str:
        """Name in the store and in matching: the source's first one."""
        return self.order_source.name

    def as_stored(self, names: Mapping[str, str]) -> HospitalSource:
        """Return the source under its first name; `names` has the first names of renamed sources."""
        first = names.get(self.name, self.name)
        return replace(self, order_source=replace(self.order_source, name=first), present_name=self.name)

    def __str__(self) -> str:
        where = f"[{self.host}]" if ":" in self.host else self.host
        return f"mllp {where}:{self.port}{' over TLS' if self.tls else ''}"


def sources_of(configuration: Configuration) -> tuple[HospitalSource, ...]:
    """Return the hospital sources of the settings.

    Raises:
        ConfigError: the first faulty key, such as `source[0].peers`; `survey_sources` returns all.
    """
    sources, faults = survey_sources(configuration)
    if faults:
        raise faults[0]
    return sources


def survey_sources(configuration: Configuration) -> tuple[tuple[HospitalSource, ...], list[ConfigError]]:
    """Return the sources that can be built, and all faults of the others."""
    faults: list[ConfigError] = []
    made: list[HospitalSource] = []
    tables = configuration.settings.source
    for index, table in enumerate(tables):
        place, before = f"source[{index}]", len(faults)

        def refuse(key: str, problem: str, remedy: str, place: str = place) -> None:
            faults.append(ConfigError(configuration.source, f"{place}.{key}", problem, remedy))

        _refuse_second(table, tables[:index], configuration, refuse)
        _refuse_formerly(table, index, tables, refuse)
        _refuse_strangers(table, refuse)
        _refuse_types(table, refuse)
        source = _source(table, place, configuration, refuse)
        if source is not None and len(faults) == before:
            made.append(source)
    return tuple(made), faults


def check_files(configuration: Configuration) -> Iterator[ConfigError]:
    """Yield a fault for each source whose certificate files cannot be used."""
    for source in survey_sources(configuration)[0]:
        if source.tls is not None:
            try:
                server_context(source.tls, configuration.source)
            except ConfigError as error:
                key = "tls_client_ca" if error.key == "tls.ca_file" else "tls_certificate"
                yield ConfigError(configuration.source, f"{source.place}.{key}", error.problem, _REMEDIES[key])


_REMEDIES: Final = {
    "tls_client_ca": "Name a readable PEM file of the authorities of the clients' certificates.",
    "tls_certificate": "Name a readable PEM certificate, and in tls_key its own key, without a password.",
}


def authority_of(namespace: str, system: str) -> Authority:
    """Return an authority in the settings in the form in which messages name it (HD)."""
    for start, kind in _UNIVERSAL.items():
        if system.startswith(start):
            return Authority(namespace, system.removeprefix(start), kind)
    return Authority(namespace, system, "URI" if system else "")


def _source(table: SourceSettings, place: str, configuration: Configuration, refuse: _Refuse) -> HospitalSource | None:
    facility = configuration.site.facility(table.facility)
    if table.facility is not None and facility is None:
        remedy = "Write the name or an alias of one of these tables."
        refuse("facility", "no [[mapping.facilities]] has this name or alias", remedy)
        return None
    host, port = host_and_port(table.listen)
    folder = Path(configuration.source).parent
    files = [None if one is None else folder / one for one in (table.tls_client_ca, table.tls_certificate)]
    key = None if table.tls_key is None else folder / table.tls_key
    _refuse_facilities(table, configuration.site, refuse)
    named = _named(table, configuration.site, refuse)
    rules = _rules(table, facility, named, configuration.site)
    if not rules.authorities:
        remedy = "Write authorities with namespace and system, or a facility whose numbers have both."
        refuse("authorities", "none: no number of the source would be read", remedy)
    return HospitalSource(
        place=place,
        host=host,
        port=port,
        peers=tuple(map(ip_network, table.peers)),
        tls=TlsSettings(files[0], files[1], key) if files[1] is not None else None,
        order_source=OrderSource(table.name, table.facility or "", table.study_uid == "key"),
        rules=rules,
        rejects_unlisted=table.unlisted == "reject",
        formerly=table.formerly or "",
        order_days=table.order_days,
        connections=table.connections,
    )


def _named(table: SourceSettings, site: Site, refuse: _Refuse) -> list[Authority]:
    """Return the authorities of the table, each with its system or with the one that the site has for its namespace."""
    issuers = [one for facility in site.facilities.values() for one in facility.authorities]
    issuers += [*site.express_customers.values(), *filter(None, (site.accession_authority, site.placer_authority))]
    known = {one.namespace: one.system for one in issuers}
    for one in table.authorities:
        if "system" not in one and one["namespace"] not in known:
            problem = f"no system, and no facility has one beside the namespace {one['namespace']}"
            refuse("authorities", problem, 'Write the system, or system = "" if messages name only the namespace.')
    return [
        authority_of(one["namespace"], one.get("system", known.get(one["namespace"], ""))) for one in table.authorities
    ]


def _rules(table: SourceSettings, facility: Facility | None, named: list[Authority], site: Site) -> SourceRules:
    sending, located = [_facilities(one, site) for one in (table.sending_facilities, table.location_facilities)]
    several = [site.facility(one.facility) for one in (*sending.values(), *located.values())]
    every = [issuer for one in (facility, *several) for issuer in _issuers(one, site).values()]
    zone = ZoneInfo(table.time_zone) if table.time_zone else facility.time_zone if facility else None
    allowed = frozenset().union(*[TYPES[one] for one in table.may])
    return SourceRules(
        zone=zone,
        charset=table.charset,
        accession_field=table.accession_field or "",
        message_types=allowed & frozenset(table.message_types) if table.message_types else allowed,
        authorities=tuple(dict.fromkeys(named or every)),
        bare=_bare(facility, site),
        sending_facilities=sending,
        location_facilities=located,
        senders=frozenset(_sender(one) for one in table.senders),
        processing_ids=frozenset(table.processing_ids),
        sections=frozenset(table.sections),
        receiving_applications=frozenset(table.receiving_applications),
        receiving_facilities=frozenset(table.receiving_facilities),
    )


def _facilities(given: Mapping[str, str], site: Site) -> dict[str, FacilityNumbers]:
    """Return the facilities of the settings by the values that name them in messages."""
    known = {value: site.facility(name) for value, name in given.items()}
    return {value: FacilityNumbers(one.name, _bare(one, site)) for value, one in known.items() if one}


def _bare(facility: Facility | None, site: Site) -> dict[KeyKind, Authority]:
    """Return the authorities for numbers of a facility that come without one."""
    issuers = _issuers(facility, site)
    return cast("dict[KeyKind, Authority]", {kind: one for kind, one in issuers.items() if kind != "external"})


def _issuers(facility: Facility | None, site: Site) -> dict[str, Authority]:
    """Return the authorities of a facility's numbers; `external` is that of its patients' other number."""
    if facility is None:
        return {}
    issuers: dict[str, AssigningAuthority | None] = {
        "patient": facility.mrn,
        **{kind: site.order_authority(kind, facility) for kind in ORDER_NUMBER_KINDS},
        "visit": facility.visit,
        "account": facility.account,
        "external": facility.external_patient_id,
    }
    return {kind: authority_of(one.namespace, one.system) for kind, one in issuers.items() if one is not None}


def _sender(text: str) -> tuple[str, str]:
    application, _, facility = text.partition("|")
    return application.strip(), facility.strip()


def _refuse_second(
    table: SourceSettings, before: Iterable[SourceSettings], configuration: Configuration, refuse: _Refuse
) -> None:
    others = tuple(before)
    if any(one.name == table.name for one in others):
        refuse("name", "another table has this name", "Give each a name of its own.")
    taken = [one.listen for one in others]
    taken += [one.ack_listen for one in configuration.settings.destination if one.ack_listen and one.enabled]
    if any(_is_shared(table.listen, one) for one in taken):
        refuse("listen", "another source or destination listens there", "Give each a port of its own.")


def _refuse_formerly(table: SourceSettings, index: int, tables: Sequence[SourceSettings], refuse: _Refuse) -> None:
    """Refuse a former name that another table has, now or formerly."""
    if table.formerly is None:
        return
    if any(one.name == table.formerly for one in tables):
        remedy = "Take that table out, or take formerly out: orders go over to one source alone."
        refuse("formerly", "a [[source]] table has this name still", remedy)
    elif any(one.formerly == table.formerly for one in tables[:index]):
        refuse("formerly", "another table has the same", "Write it in the table that goes on with its orders.")


def _is_shared(one: str, other: str) -> bool:
    """True if only one can listen: the same port, and the same address or one that stands for every address."""
    (host, port), (other_host, other_port) = host_and_port(one), host_and_port(other)
    return port == other_port and (host == other_host or not {host, other_host}.isdisjoint(_EVERY_ADDRESS))


def _refuse_strangers(table: SourceSettings, refuse: _Refuse) -> None:
    for key in ("tls_key", "tls_client_ca"):
        if table.tls_certificate is None and getattr(table, key) is not None:
            refuse(key, "has no effect without tls_certificate", "Write tls_certificate, or remove it.")
    if is_loopback(host_and_port(table.listen)[0]):
        return
    if table.tls_certificate is None:
        remedy = "Set tls_certificate, or listen on 127.0.0.1."
        refuse("tls_certificate", "missing: orders could be read and changed on the way", remedy)
    if table.tls_client_ca is None and not table.peers:
        remedy = (
            "Write the sender's addresses or networks, or tls_client_ca, so that whoever connects must show a"
            " certificate of these authorities."
        )
        refuse("peers", "missing: any machine that reaches the address could send orders", remedy)


def _refuse_facilities(table: SourceSettings, site: Site, refuse: _Refuse) -> None:
    """Refuse values of MSH-4 and PV1-3.4 that name an unknown facility, or that contradict the source's only one."""
    for key in ("sending_facilities", "location_facilities"):
        given: dict[str, str] = getattr(table, key)
        if given and table.facility is not None:
            refuse(key, "has no effect beside facility", "Remove one of both.")
        if any(site.facility(name) is None for name in given.values()):
            remedy = "Write the name or an alias of one of these tables."
            refuse(key, "no [[mapping.facilities]] has one of these names or aliases", remedy)


def _refuse_types(table: SourceSettings, refuse: _Refuse) -> None:
    if table.charset and table.charset not in INBOUND_CHARSETS:
        remedy = f"Write one of {', '.join(INBOUND_CHARSETS)}."
        refuse("charset", "not a name of HL7 table 0211 that can be read", remedy)
    allowed = frozenset().union(*[TYPES[one] for one in table.may])
    if not allowed.issuperset(table.message_types):
        remedy = f"Write some of {', '.join(sorted(allowed))}."
        refuse("message_types", "a type that `may` does not allow, or that cannot be read", remedy)
