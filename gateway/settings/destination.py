"""The `[[destination]]` and `[[ignore]]` tables: where reports go in HL7 v2, and which go nowhere.

HL7 v2.5.1 §2.9.2 (acknowledgements) and §2.15.9.15 (MSH-15), RFC 7617 and RFC 6750 (credentials of `http`); decisions
D14, D16, D28, D31, D32, D34. Each key is checked here by itself; what the keys of a table, the receiver profile and
other tables say together, is for gateway/routing/from_settings.py, and files are for `check-config`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from gateway.settings.group import SettingsGroup
from gateway.settings.values import host_and_port, is_header_value, parts_of, time_zone
from mappings.dates import parse_instant
from mappings.profile import read_receiver
from mappings.profile.table import Table

Kind = Literal["mllp", "file", "http"]
Status = Literal["final", "addendum", "corrected", "draft"]
Critical = Literal["all", "only", "none"]

EVERY: Final = "*"
SECRETS: Final = ("password", "token", "client_key_password")
"""The keys that may come from the environment instead, as `GATEWAY_DESTINATION__<NAME>__<KEY>`."""
OVERRIDES: Final = (
    *("ack_mode", "ack_table", "retry", "rate_limit", "window", "keepalive", "idle_close"),
    *("accession", "pdf", "pdf_max"),
)
"""The keys that are switches of the receiver profile: what is not written is as there."""
ONLY_OF: Final[dict[str, tuple[Kind, ...]]] = {
    **dict.fromkeys(("host", "port", "tls", "server_name", "keepalive", "idle_close", "close_after_each"), ("mllp",)),
    **dict.fromkeys(("ack_listen", "ack_peers"), ("mllp",)),
    "directory": ("file",),
    **dict.fromkeys(("url", "style", "user", "password", "token"), ("http",)),
    **dict.fromkeys(("ca_file", "client_cert", "client_key", "client_key_password"), ("mllp", "http")),
    **dict.fromkeys(("connect_timeout", "ack_timeout", "window"), ("mllp", "http")),
    **dict.fromkeys(("ack_mode", "ack_table", "inverted_acks", "indeterminate_resends"), ("mllp", "http")),
}
"""The keys that mean something to some kinds of destination alone."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?|(?=.*:)[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?")
_QUIET: Final = re.compile(r"((?:[01][0-9]|2[0-3]):[0-5][0-9])-((?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)")


def _instant(value: object) -> object:
    """A date-time of TOML or a text, with its offset: without one it is not known which moment is meant."""
    moment = parse_instant(value) if isinstance(value, str) else value if isinstance(value, datetime) else None
    if moment is None or moment.tzinfo is None:
        raise ValueError("not a date and time with its offset from UTC")
    try:
        moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("not a date and time that a calendar has") from None
    return moment


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("not 1 to 40 small letters, digits and hyphens")
    return value


def _host(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise ValueError("not a host name or address alone, without scheme, brackets and port")
    return value


def _listen(value: str) -> str:
    _host(host_and_port(value)[0])
    return value


def _peer(value: str) -> str:
    """An address or a network that can be a receiver's; a name is none, since who answers for it may change."""
    try:
        network = ip_network(value)
    except ValueError:
        raise ValueError("not an address or a network, such as 10.1.2.3 or 10.1.2.0/24") from None
    if network.prefixlen == 0:
        raise ValueError("a network of every address: write those of the receiver")
    return value


def _url(value: str) -> str:
    """An absolute http(s) URL; what is secret belongs into `user`, `password` and `token`, which are never shown."""
    parts = parts_of(value)
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("a URL with a user, a query or a fragment")
    return value


def _user(value: str) -> str:
    if not value or ":" in value:
        raise ValueError("empty, or with a colon, which ends the name in basic authentication (RFC 7617 §2)")
    return value


def _token(value: SecretStr) -> SecretStr:
    token = value.get_secret_value().strip()
    if not is_header_value(token):
        raise ValueError("empty, or with white space or characters that a header cannot carry")
    return SecretStr(token)


def _ack_table(value: dict[str, str]) -> dict[str, str]:
    """A table that a receiver profile could have, by the profile's own reader."""
    table = Table({"name": "destination", "ack_table": value}, "", [])
    read_receiver(table)
    for fault in table.faults:
        raise ValueError(f"{fault.key.removeprefix('.ack_table.')} is {fault.problem}. {fault.remedy.rstrip('.')}")
    return value


def _quiet(value: str) -> str:
    found = _QUIET.fullmatch(value)
    if found is None or found[1] == found[2]:
        raise ValueError("not from one time of day to another, such as 22:00-06:00")
    return value


def _some(value: tuple[Status, ...]) -> tuple[Status, ...]:
    if not value:
        raise ValueError("an empty list matches nothing")
    return value


def _names(value: tuple[str, ...]) -> tuple[str, ...]:
    """Names without outer white space; a list that matches nothing, or more than it says, is a mistake."""
    names = tuple(name.strip() for name in value)
    if not names or not all(names):
        raise ValueError('an empty list or name matches nothing: write ["*"] for all')
    if EVERY in names and len(names) > 1:
        raise ValueError("`*` is all of them, and others stand beside it")
    return names


_Name = Annotated[str, AfterValidator(_name)]
_Names = Annotated[tuple[str, ...], AfterValidator(_names)]
_Statuses = Annotated[tuple[Status, ...], AfterValidator(_some)]
_Instant = Annotated[datetime, BeforeValidator(_instant)]
_Host = Annotated[str, AfterValidator(_host)]
_Listen = Annotated[str, AfterValidator(_listen)]
_Peer = Annotated[str, AfterValidator(_peer)]
_Url = Annotated[str, AfterValidator(_url)]
_User = Annotated[str, AfterValidator(_user)]
_Token = Annotated[SecretStr, AfterValidator(_token)]
_AckTable = Annotated[dict[str, str], AfterValidator(_ack_table)]
_Hours = Annotated[str, AfterValidator(_quiet)]
_Zone = Annotated[str, AfterValidator(time_zone)]


class IgnoreSettings(SettingsGroup):
    """An `[[ignore]]` table: reports that no destination needs; what matches all of its lists is ignored."""

    name: _Name = Field(description="Name of the rule, as the ledger shows it: small letters, digits and hyphens.")
    reason: str = Field(min_length=1, description="Why nobody needs these reports, for those who come after.")
    facilities: _Names | None = Field(None, description='Names of facilities, or ["*"].')
    express_customers: _Names | None = Field(None, description='Ids of express customers, or ["*"].')
    modalities: _Names | None = Field(None, description='Modalities, such as "CT" or "MR".')


class DestinationSettings(SettingsGroup):
    """A `[[destination]]` table. Times in seconds where the name does not say otherwise."""

    name: _Name = Field(description="Name in commands, metrics and the ledger: small letters, digits and hyphens.")
    kind: Kind = Field(description="How messages get there: over MLLP, as files in a directory, or by HTTP POST.")
    receiver: str = Field(description="Receiver profile: one of the gateway's, or of `[[mapping.receivers]]`.")
    start: _Instant = Field(
        description="Instant from which on reports are sent, with its offset, such as 2026-03-01T00:00:00-05:00. What "
        "was first signed before it goes only with a later addendum, or by `feed backload`. There is no default: usual "
        "is the day of going live."
    )
    enabled: bool = Field(
        True, description="false: as though the table was not there, so nothing is queued; `feed pause` keeps queueing."
    )
    formerly: _Name | None = Field(
        None,
        description="Its name before this one, under which the database knows it: ledger, queue and pause go over to "
        "the new name when the gateway starts, and nothing is sent again.",
    )
    shares_address: bool = Field(
        False,
        description="Another destination has the same address, and that is meant: both must say it. What both accept "
        "is sent there twice.",
    )
    facilities: _Names | None = Field(
        None,
        description='Facilities whose reports go there, by a name or alias of `[[mapping.facilities]]`; ["*"] for all. '
        "This or express_customers must be written; where both are, both must match.",
    )
    express_customers: _Names | None = Field(
        None, description='Express customers whose reports go there, by id (cus_…); ["*"] for all.'
    )
    modalities: _Names | None = Field(
        None,
        description='Modalities whose reports go there, such as "CT", "MR", "PET/CT"; not written: all, and of none.',
    )
    statuses: _Statuses = Field(
        ("final", "addendum", "corrected", "draft"),
        description="What is told of a report: its signature, addenda, corrections, and drafts if the receiver "
        "profile sends them. What is taken back is told in any case.",
    )
    critical: Critical = Field("all", description="Critical reports alone, or all others; or all.")
    host: _Host | None = Field(None, description="mllp: host name or address.")
    port: int | None = Field(None, ge=1, le=65_535, description="mllp: TCP port.")
    directory: Path | None = Field(None, description="file: directory; each message becomes a file in one step.")
    url: _Url | None = Field(None, description="http: where messages are posted to.")
    style: Literal["hoh", "plain"] = Field(
        "hoh", description="http: HL7 over HTTP, answered by an acknowledgement; or plain, where 2xx is one."
    )
    user: _User | None = Field(None, description="http: user name of basic authentication.")
    password: SecretStr | None = Field(None, description="http: its password.")
    token: _Token | None = Field(None, description="http: bearer token, in place of user and password.")
    tls: bool = Field(False, description="mllp: over TLS, 1.2 at least; http: an https URL says it.")
    ca_file: Path | None = Field(None, description="PEM file of the authorities to trust, in place of the system's.")
    client_cert: Path | None = Field(None, description="PEM file of the certificate shown to the receiver (mTLS).")
    client_key: Path | None = Field(None, description="PEM file of its key, where that is not in the same file.")
    client_key_password: SecretStr | None = Field(None, description="Password of that key.")
    server_name: str | None = Field(
        None, min_length=1, description="mllp: name that the receiver's certificate must hold, if not that of host."
    )
    connect_timeout: float = Field(10, gt=0, le=300, description="Seconds to wait for a connection.")
    ack_timeout: float = Field(30, gt=0, le=3600, description="Seconds to write a message and wait for its answer.")
    ack_mode: Literal["original", "commit", "two_phase"] | None = Field(
        None, description="MSH-15 and -16, in place of the profile's."
    )
    ack_listen: _Listen | None = Field(
        None,
        description="mllp, two_phase: HOST:PORT of this machine where the receiver may bring the acknowledgements of "
        "its application over connections of its own.",
    )
    ack_peers: tuple[_Peer, ...] = Field(
        (),
        description="mllp: addresses and networks from which acknowledgements are taken at ack_listen, such as "
        '"10.1.2.3" or "10.1.2.0/24". Where ack_listen is no address of this machine alone, these must be written, or '
        "tls, client_cert and ca_file, by which whoever connects must show a certificate.",
    )
    ack_table: _AckTable | None = Field(
        None, description="What acknowledgements mean, in place of the profile's; see docs/receivers.md."
    )
    inverted_acks: bool = Field(
        False, description="AE and CE are passing, AR and CR for good, where ack_table does not say otherwise."
    )
    retry: int | None = Field(None, ge=1, le=3600, description="Seconds before a message is tried again, doubled then.")
    retry_cap: float = Field(300, ge=1, le=86_400, description="Longest such wait, in seconds.")
    retry_jitter: float = Field(0.2, ge=0, le=1, description="Share of a wait that chance adds or takes.")
    max_attempts: int = Field(
        0,
        ge=0,
        le=100_000,
        description="How often a message that is answered with a passing error is sent before its lane is held, as "
        "refused-for-now where that is AR or CR; 0 is without end. No connection counts for nothing.",
    )
    indeterminate_resends: int = Field(
        5,
        ge=0,
        le=100,
        description="How often what got no usable answer is sent again before its lane is held; while nothing at all "
        "is answered, no further lane is.",
    )
    window: int | None = Field(None, ge=1, le=64, description="Connections at one time; a study keeps to one.")
    gap: float = Field(0, ge=0, le=3600, description="Least seconds from an answer to the next message.")
    rate_limit: int | None = Field(None, ge=0, le=10_000, description="Most messages a second; 0 is no limit.")
    keepalive: int | None = Field(None, ge=0, le=7200, description="Seconds between TCP keep-alives; 0 is none.")
    idle_close: int | None = Field(
        None, ge=0, le=86_400, description="Seconds without a message until the connection is closed; 0 is never."
    )
    close_after_each: bool = Field(False, description="A connection of its own for each message.")
    quiet_hours: tuple[_Hours, ...] = Field(
        (), description='Hours in which nothing is sent, critical results neither, such as "22:00-06:00".'
    )
    time_zone: _Zone = Field("", description="Zone of quiet_hours (IANA name).")
    pdf: Literal["none", "ed", "rp", "separate_message"] | None = Field(
        None, description="The PDF in messages, in place of the profile's."
    )
    pdf_max: int | None = Field(None, ge=1024, le=2**30, description="Largest PDF that is sent, in bytes.")
    accession: Literal["optional", "required"] | None = Field(
        None, description="Whether a message is held until an accession number is known, in place of the profile's."
    )
    accession_wait_minutes: float = Field(
        60,
        gt=0,
        le=10_080,
        description="Minutes for which a message waits for its accession number before that is an alert (a critical"
        " result is one at once); it goes when the number is there.",
    )
    input_wait: float = Field(
        60, ge=0, le=3600, description="Longest wait for signer and PDF, in seconds; none where it is critical."
    )
    on_conflict: Literal["send", "hold"] | None = Field(
        None, description="A report whose patient contradicts an earlier one, in place of mapping.on_conflict."
    )
    mrn_authority: Literal["facility", "receiver"] = Field(
        "facility",
        description="Whose numbers MRNs are there: their facility's, by `mrn_namespace`, and what has none is held as "
        "authority-unknown; or all are the receiver's own, PID-3 is `MRN^^^^MR`, and nothing is held for that.",
    )
    critical_alert_minutes: float = Field(
        15, gt=0, le=1440, description="Minutes from signature to acknowledgement of a critical result until an alert."
    )
    dry_run: bool = Field(False, description="Messages are made and kept, and none is sent.")
