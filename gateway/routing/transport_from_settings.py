"""Check a destination's address, TLS, login and ACK settings; return them as Mllp, Folder or Http values.

RFC 7617 §4 and RFC 6750 §5.3 (credentials go over TLS); decisions D31, D33.
Proved by tests/gateway/routing/test_routes_from_settings.py.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from gateway.routing.transport import Basic, Bearer, Folder, Http, Mllp, Transport
from gateway.runtime.tls import TlsSettings
from gateway.settings import DestinationSettings, is_loopback
from gateway.settings.destination import Kind
from gateway.settings.values import host_and_port
from mappings.profile import Receiver

Refuse = Callable[[str, str, str], None]
_TLS_FILES: Final = ("ca_file", "client_cert", "client_key", "client_key_password", "server_name")
_STRANGERS: Final = "missing: any machine that reaches ack_listen could acknowledge messages, or refuse them"
_NO_STRANGERS: Final = (
    'Write the receiver\'s addresses or networks, such as ack_peers = ["10.1.2.3"]; or tls = true with client_cert and'
    " ca_file, so that whoever connects must show a certificate of these authorities."
)


def read_transport(table: DestinationSettings, folder: Path, refuse: Refuse) -> Transport | None:
    """Return the transport, None if its address is missing. Paths are relative to `folder`; `refuse` takes faults."""
    return READERS[table.kind](table, folder, refuse)


def _folder(table: DestinationSettings, folder: Path, refuse: Refuse) -> Folder | None:
    if table.directory is None:
        refuse("directory", "missing", "Write the directory that the messages are put into.")
        return None
    return Folder(folder / table.directory, int(table.file_mode, 8))


def _mllp(table: DestinationSettings, folder: Path, refuse: Refuse) -> Mllp | None:
    if table.host is None:
        refuse("host", "missing", "Write the host name or address of the receiver.")
    if table.port is None:
        refuse("port", "missing", "Write the TCP port of the receiver; 2575 is registered for HL7.")
    tls = _tls(table, folder, refuse, is_on=table.tls, remedy="Write tls = true, or remove it.")
    if table.host is None or table.port is None:
        return None
    made = Mllp(
        host=table.host,
        port=table.port,
        tls=tls,
        ack_timeout=table.ack_timeout,
        close_after_each=table.close_after_each,
        ack_listen=None if table.ack_listen is None else host_and_port(table.ack_listen),
        ack_peers=tuple(map(ip_network, table.ack_peers)),
    )
    if table.ack_peers and table.ack_listen is None:
        refuse("ack_peers", "has no effect without ack_listen", "Write ack_listen, or remove it.")
    if made.is_open_to_strangers:
        refuse("ack_peers", _STRANGERS, _NO_STRANGERS)
    return made


def _http(table: DestinationSettings, folder: Path, refuse: Refuse) -> Http | None:
    if table.url is None:
        refuse("url", "missing", "Write where the messages are posted to, such as https://engine.example/hl7.")
        return None
    is_on = table.url.startswith("https:")
    tls = _tls(table, folder, refuse, is_on=is_on, remedy="Write an https URL, or remove it.")
    made = Http(table.url, table.style, _auth(table, refuse), tls, ack_timeout=table.ack_timeout)
    if made.auth is not None and tls is None and not is_loopback(made.host):
        refuse("url", "http to another machine: the credentials could be read on the way", "Write an https URL.")
    return made


READERS: Final[dict[Kind, Callable[[DestinationSettings, Path, Refuse], Transport | None]]] = {
    "mllp": _mllp,
    "file": _folder,
    "http": _http,
}


# Kind -> key that decides about TLS, what is wrong without it, and what to write; None: no message leaves this machine
TLS_KEYS: Final[dict[Kind, tuple[str, str, str] | None]] = {
    "mllp": ("tls", "this is off", "tls = true"),
    "http": ("url", "this is http", "an https URL"),
    "file": None,
}


def refuse_for_receiver(table: DestinationSettings, receiver: Receiver, refuse: Refuse) -> None:
    """Refuse settings that contradict the receiver profile's demands on the transport."""
    demand = TLS_KEYS[table.kind]
    if receiver.tls == "required" and demand is not None and not _is_over_tls(table):
        key, problem, remedy = demand
        what = f"the receiver must be reached over TLS, and {problem}"
        refuse(key, what, f"Write {remedy}: the profile {table.receiver} asks for it.")
    if receiver.ack_mode == "two_phase" and table.kind == "http":
        problem = "two_phase: an application acknowledgement that comes later has no way here over HTTP"
        refuse("ack_mode", problem, 'Write "original" or "commit".')
    if table.ack_listen is not None and table.kind == "mllp" and receiver.ack_mode != "two_phase":
        remedy = 'Write ack_mode = "two_phase" if the receiver answers in two phases, or remove it.'
        refuse("ack_listen", f"has no effect if ack_mode is {receiver.ack_mode}: no second answer comes", remedy)


def _is_over_tls(table: DestinationSettings) -> bool:
    return table.tls if table.kind == "mllp" else (table.url or "").startswith("https:")


def _auth(table: DestinationSettings, refuse: Refuse) -> Basic | Bearer | None:
    password, token = _secret(table.password), _secret(table.token)
    if token is not None and (table.user is not None or password is not None):
        refuse("token", "beside a user or a password", "Write the one or the other.")
    if (table.user is None) is not (password is None):
        key = "user" if table.user is None else "password"
        other = "password" if table.user is None else "user"
        refuse(key, f"missing, and there is a {other}", "Write both, or neither.")
    if token is not None:
        return Bearer(token)
    return Basic(table.user, password) if table.user is not None and password is not None else None


def _tls(table: DestinationSettings, folder: Path, refuse: Refuse, *, is_on: bool, remedy: str) -> TlsSettings | None:
    if not is_on:
        for key in _TLS_FILES:
            if getattr(table, key) is not None:
                refuse(key, "has no effect without TLS", remedy)
        return None
    if table.client_cert is None:
        for key in ("client_key", "client_key_password"):
            if getattr(table, key) is not None:
                refuse("client_cert", f"missing, and there is a {key}", "Write the file of the certificate.")
                break
    ca_file, client_cert, client_key = (
        None if path is None else folder / path for path in (table.ca_file, table.client_cert, table.client_key)
    )
    return TlsSettings(ca_file, client_cert, client_key, _secret(table.client_key_password), table.server_name)


def _secret(value: SecretStr | None) -> str | None:
    """Return the text of a secret; an empty one counts as none."""
    return (value.get_secret_value() or None) if value is not None else None
