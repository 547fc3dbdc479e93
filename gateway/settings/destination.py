"""The `[[destination]]` and `[[ignore]]` settings: receivers of HL7 v2 messages, and reports that no receiver needs.

HL7 v2.5.1 §2.9.2 (acknowledgements) and §2.15.9.15 (MSH-15), RFC 7617 and RFC 6750 (credentials of `http`); decisions
D14, D16, D28, D31, D32, D34. This module checks each key by itself. gateway/routing/routes_from_settings.py checks
the keys together with each other and the receiver profile; `check-config` checks the files that the keys name.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from gateway.settings.group import Expert, SettingsGroup
from gateway.settings.values import host, is_header_value, listen_address, network, parts_of, table_name, time_zone
from mappings.profile import Table, read_receiver
from mappings.values.dates import parse_instant

Kind = Literal["mllp", "file", "http"]
Status = Literal["final", "addendum", "corrected", "draft"]
Critical = Literal["all", "only", "none"]

EVERY: Final = "*"
SECRETS: Final = ("password", "token", "client_key_password")
"""Keys that the environment may set, as `GATEWAY_DESTINATION__<NAME>__<KEY>`."""
OVERRIDES: Final = (
    *("ack_mode", "ack_table", "retry", "rate_limit", "window", "keepalive", "idle_close"),
    *("accession", "pdf", "pdf_max"),
)
"""Keys that override a switch of the receiver profile; a key that is not set keeps the profile's value."""
ONLY_OF: Final[dict[str, tuple[Kind, ...]]] = {
    **dict.fromkeys(("host", "port", "tls", "server_name", "keepalive", "idle_close", "close_after_each"), ("mllp",)),
    **dict.fromkeys(("ack_listen", "ack_peers"), ("mllp",)),
    **dict.fromkeys(("directory", "file_mode"), ("file",)),
    **dict.fromkeys(("url", "style", "user", "password", "token"), ("http",)),
    **dict.fromkeys(("ca_file", "client_cert", "client_key", "client_key_password"), ("mllp", "http")),
    **dict.fromkeys(("ack_timeout", "window"), ("mllp", "http")),
    **dict.fromkeys(("ack_mode", "ack_table", "inverted_acks", "indeterminate_resends"), ("mllp", "http")),
}
"""Keys that only some kinds of destination accept."""

_MODE: Final = re.compile(r"0?6[046][04]")
_QUIET: Final = re.compile(r"((?:[01][0-9]|2[0-3]):[0-5][0-9])-((?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)")


def _instant(value: object) -> object:
    """Parse a TOML date-time or a text; require a UTC offset, since the moment is unknown without one."""
    moment = parse_instant(value) if isinstance(value, str) else value if isinstance(value, datetime) else None
    if moment is None or moment.tzinfo is None:
        raise ValueError("not a date and time with its offset from UTC")
    try:
        moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("not a date and time that a calendar has") from None
    return moment


def _url(value: str) -> str:
    """Check an absolute http(s) URL; secrets belong in `user`, `password` and `token`, which are never shown."""
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
    """Check the table with the reader of receiver profiles."""
    table = Table({"name": "destination", "ack_table": value}, "", [])
    read_receiver(table)
    for fault in table.faults:
        raise ValueError(f"{fault.key.removeprefix('.ack_table.')} is {fault.problem}. {fault.remedy.rstrip('.')}")
    return value


def _check_quiet_hours(value: str) -> str:
    match = _QUIET.fullmatch(value)
    if match is None or match[1] == match[2]:
        raise ValueError("not from one time of day to another, such as 22:00-06:00")
    return value


def _file_mode(value: str) -> str:
    """Check the permissions of files: the owner reads and writes, nobody runs them, and not everybody changes them."""
    if not _MODE.fullmatch(value):
        raise ValueError("not permissions such as 0600, 0640, 0660 or 0644")
    return value


def _check_not_empty(value: tuple[Status, ...]) -> tuple[Status, ...]:
    if not value:
        raise ValueError("an empty list matches nothing")
    return value


def _names(value: tuple[str, ...]) -> tuple[str, ...]:
    """Strip the names; refuse a list that matches nothing, or that has names beside `*`."""
    names = tuple(name.strip() for name in value)
    if not names or not all(names):
        raise ValueError('an empty list or name matches nothing: write ["*"] for all')
    if EVERY in names and len(names) > 1:
        raise ValueError("`*` is all of them, and others stand beside it")
    return names


_Name = Annotated[str, AfterValidator(table_name)]
_Names = Annotated[tuple[str, ...], AfterValidator(_names)]
_Statuses = Annotated[tuple[Status, ...], AfterValidator(_check_not_empty)]
_Instant = Annotated[datetime, BeforeValidator(_instant)]
_Host = Annotated[str, AfterValidator(host)]
_Listen = Annotated[str, AfterValidator(listen_address)]
_Peer = Annotated[str, AfterValidator(network)]
_Url = Annotated[str, AfterValidator(_url)]
_User = Annotated[str, AfterValidator(_user)]
_Token = Annotated[SecretStr, AfterValidator(_token)]
_AckTable = Annotated[dict[str, str], AfterValidator(_ack_table)]
_Hours = Annotated[str, AfterValidator(_check_quiet_hours)]
_FileMode = Annotated[str, AfterValidator(_file_mode)]
_Zone = Annotated[str, AfterValidator(time_zone)]


class IgnoreSettings(SettingsGroup):
    """An `[[ignore]]` table: reports that no destination needs; a report that matches all its lists is ignored."""

    name: _Name = Field(description="Name of the rule in the ledger: small letters, digits and hyphens.")
    reason: str = Field(min_length=1, description="Why nobody needs these reports, as a note for later readers.")
    facilities: _Names | None = Field(None, description='Names of facilities; ["*"] for all.')
    express_customers: _Names | None = Field(None, description='Ids of express customers; ["*"] for all.')
    modalities: _Names | None = Field(None, description='Modalities, such as "CT" or "MR".')


class DestinationSettings(SettingsGroup):
    """A `[[destination]]` table. Times are in seconds unless the name says otherwise."""

    name: _Name = Field(description="Name in commands, metrics and the ledger: small letters, digits and hyphens.")
    kind: Kind = Field(description="Transport of messages: MLLP, files in a directory, or HTTP POST.")
    receiver: str = Field(description="Receiver profile: a built-in one, or one of `[[mapping.receivers]]`.")
    start: _Instant = Field(
        description="Send reports signed from this instant on; write the UTC offset: 2026-03-01T00:00:00-05:00. A "
        "report first signed earlier is sent only with a later addendum, or by `feed backload`. There is no default; "
        "use the day of going live."
    )
    enabled: bool = Field(
        True,
        description="false: ignore this table and queue nothing; `feed pause` only stops sending, and keeps queueing.",
    )
    formerly: Expert[_Name | None] = Field(
        None,
        description="Previous name of this destination. When the gateway starts, ledger, queue and pause move from the "
        "previous name to the new one, and nothing is sent again.",
    )
    shares_address: Expert[bool] = Field(
        False,
        description="true: another destination has the same address on purpose; set it in both. A report that both "
        "accept is sent there twice.",
    )
    facilities: _Names | None = Field(
        None,
        description='Facilities whose reports are sent, by a name or alias of `[[mapping.facilities]]`; ["*"] for all. '
        "Set this or express_customers; if both are set, both must match.",
    )
    express_customers: _Names | None = Field(
        None, description='Express customers whose reports are sent, by id (cus_…); ["*"] for all.'
    )
    modalities: _Names | None = Field(
        None,
        description='Modalities whose reports are sent, such as "CT", "MR", "PET/CT". Not set: all reports, even '
        "without a modality.",
    )
    statuses: Expert[_Statuses] = Field(
        ("final", "addendum", "corrected", "draft"),
        description="Causes of a message: signed reports, addenda, corrections, and drafts if the receiver profile "
        "sends them. Withdrawals are always sent.",
    )
    critical: Critical = Field("all", description="only: critical reports only; none: all others; all: both.")
    host: _Host | None = Field(None, description="mllp: host name or address.")
    port: int | None = Field(None, ge=1, le=65_535, description="mllp: TCP port.")
    directory: Path | None = Field(
        None, description="file: directory; each message appears there as one complete file."
    )
    file_mode: Expert[_FileMode] = Field(
        "0600", description="file: permissions of the files in octal; write 0640 if a reader has only their group."
    )
    url: _Url | None = Field(None, description="http: URL that messages are posted to.")
    style: Expert[Literal["hoh", "plain"]] = Field(
        "hoh", description="http: hoh (HL7 over HTTP): the answer is an acknowledgement; plain: a status of 2xx is one."
    )
    user: _User | None = Field(None, description="http: user name of basic authentication.")
    password: SecretStr | None = Field(None, description="http: password of basic authentication.")
    token: _Token | None = Field(None, description="http: bearer token, in place of user and password.")
    tls: bool = Field(False, description="mllp: use TLS 1.2 or later. For http, write an https URL instead.")
    ca_file: Path | None = Field(
        None, description="PEM file of the certificate authorities to trust, in place of the system's."
    )
    client_cert: Path | None = Field(None, description="PEM file of the client certificate for the receiver (mTLS).")
    client_key: Path | None = Field(
        None, description="PEM file of the client certificate's key, if client_cert does not hold it."
    )
    client_key_password: SecretStr | None = Field(None, description="Password of client_key.")
    server_name: Expert[str | None] = Field(
        None, min_length=1, description="mllp: name that the receiver's certificate must hold, if it is not host."
    )
    ack_timeout: Expert[float] = Field(
        30, gt=0, le=3600, description="Seconds to write a message and wait for its acknowledgement."
    )
    ack_mode: Expert[Literal["original", "commit", "two_phase"] | None] = Field(
        None, description="Acknowledgement mode (MSH-15 and MSH-16), in place of the profile's."
    )
    ack_listen: Expert[_Listen | None] = Field(
        None,
        description="mllp with two_phase: HOST:PORT of this machine to listen on, if the receiver opens connections of "
        "its own for application acknowledgements.",
    )
    ack_peers: Expert[tuple[_Peer, ...]] = Field(
        (),
        description="mllp: addresses and networks that may connect to ack_listen, such as "
        '"10.1.2.3" or "10.1.2.0/24". Unless ack_listen is a loopback address, set these, or set '
        "tls, client_cert and ca_file, so that a client must show a certificate.",
    )
    ack_table: Expert[_AckTable | None] = Field(
        None,
        description="Meaning of acknowledgement codes, in place of the profile's; see docs/reference/receivers.md.",
    )
    inverted_acks: Expert[bool] = Field(
        False, description="AE and CE are temporary errors, AR and CR permanent, unless ack_table says otherwise."
    )
    retry: Expert[int | None] = Field(
        None, ge=1, le=3600, description="Seconds before the first retry of a message; doubled for each further one."
    )
    max_attempts: Expert[int] = Field(
        0,
        ge=0,
        le=100_000,
        description="Attempts for a message that gets temporary errors, before its lane is held (as refused-for-now "
        "after AR or CR); 0: no limit. A failed connection does not count.",
    )
    indeterminate_resends: Expert[int] = Field(
        5,
        ge=0,
        le=100,
        description="How often a message without a usable answer is sent again before its lane is held. While the "
        "receiver answers nothing at all, no further lane is held.",
    )
    window: Expert[int | None] = Field(
        None, ge=1, le=64, description="Most connections at one time; a study uses only one."
    )
    gap: Expert[float] = Field(
        0, ge=0, le=3600, description="Least seconds from an acknowledgement to the next message."
    )
    rate_limit: Expert[int | None] = Field(None, ge=0, le=10_000, description="Most messages a second; 0: no limit.")
    keepalive: Expert[int | None] = Field(None, ge=0, le=7200, description="Seconds between TCP keep-alives; 0: none.")
    idle_close: Expert[int | None] = Field(
        None, ge=0, le=86_400, description="Seconds without a message after which the connection is closed; 0: never."
    )
    close_after_each: Expert[bool] = Field(False, description="Open a new connection for each message.")
    quiet_hours: tuple[_Hours, ...] = Field(
        (), description='Hours in which nothing is sent, not even critical results, such as "22:00-06:00".'
    )
    time_zone: _Zone = Field(
        "", description="Time zone of quiet_hours (IANA name). Empty: that of its facilities if they share one."
    )
    pdf: Expert[Literal["none", "ed", "rp", "separate_message"] | None] = Field(
        None, description="Form of the PDF in messages, in place of the profile's."
    )
    pdf_max: Expert[int | None] = Field(None, ge=1024, le=2**30, description="Largest PDF to send, in bytes.")
    accession: Expert[Literal["optional", "required"] | None] = Field(
        None,
        description="required: hold a message until its accession number is known. In place of the profile's value.",
    )
    accession_wait_minutes: Expert[float] = Field(
        60,
        gt=0,
        le=10_080,
        description="Minutes that a message may wait for its accession number before an alert (at once for a critical"
        " result). The message is sent as soon as the number arrives.",
    )
    hold_until_matched: float | None = Field(
        None,
        ge=0,
        le=10_080,
        description="Minutes that the first message about a study waits for the study's order, if the hospital sends"
        " orders and none is known; then it is sent without. Default: 10 with a `[[source]]`, 0 without. A critical"
        " result does not wait.",
    )
    late_match: Literal["note", "restate", "withdraw_restate"] = Field(
        "note",
        description="What follows if the order comes after the report was sent without it. note: an alert. restate:"
        " the report is sent once more, with the order's numbers. withdraw_restate: it is withdrawn first, as it was"
        " sent.",
    )
    merge: Literal["follow", "move"] = Field(
        "follow",
        description="What follows if the hospital merges the number of a patient whose reports were sent. follow:"
        " nothing is sent, later messages have the surviving number. move, for a receiver that does not follow merges"
        " itself: each report is withdrawn under the old number and sent under the surviving one. None moves before an"
        " operator says so if one merge would move more than 5 reports.",
    )
    input_wait: Expert[float] = Field(
        60, ge=0, le=3600, description="Longest wait for signer and PDF, in seconds; a critical result does not wait."
    )
    on_conflict: Expert[Literal["send", "hold"] | None] = Field(
        None, description="Policy for a report with an identity conflict, in place of mapping.on_conflict."
    )
    mrn_authority: Literal["facility", "receiver"] = Field(
        "facility",
        description="Assigning authority of MRNs. facility: the facility's `mrn_namespace`; a report without one is "
        "held as authority-unknown. receiver: all MRNs are the receiver's own, PID-3 is `MRN^^^^MR`, and none is held.",
    )
    critical_alert_minutes: Expert[float] = Field(
        15,
        gt=0,
        le=1440,
        description="Minutes after the signature of a critical result when a missing acknowledgement is an alert.",
    )
    dry_run: bool = Field(False, description="Compose and store messages, but send none.")
    ehr_url: _Url | None = Field(
        None,
        description="Base of the EHR's FHIR R4 API, in which critical results, corrections, moves and withdrawals are"
        " read back after AA. Not set: nothing is read back.",
    )
    ehr_token_url: _Url | None = Field(None, description="Token endpoint of the EHR (SMART Backend Services).")
    ehr_client_id: str | None = Field(None, min_length=1, description="Client id that the EHR gave the gateway.")
    ehr_key_file: Path | None = Field(None, description="Private key of that client, which `keys ehr` makes.")
    ehr_requests_per_hour: int = Field(
        600, ge=10, le=100_000, description="Most requests an hour to the EHR, spread evenly."
    )
    ehr_sampling: float = Field(
        0, ge=0, le=1, description="Share of all other reports that are read back too: 0.01 is one of a hundred."
    )
