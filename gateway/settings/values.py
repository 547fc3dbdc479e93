"""Parse and check single settings (URLs, hosts, secrets); errors never show the value, which may be a secret.

RFC 3986 (URLs), RFC 4648 §4 (base64); loopback addresses are those of RFC 1122 §3.2.1.3 and RFC 4291 §2.5.3.
Proved by tests/gateway/test_settings.py and tests/gateway/settings/test_every_setting_acts.py.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

from pydantic import SecretStr

_HOST_AND_PORT: Final = re.compile(r"(?:\[(?P<address>[^\[\]]*:[^\[\]]*)\]|(?P<name>[^:\[\]]+)):(?P<port>[0-9]{1,5})")
_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?|(?=.*:)[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?")
_TABLE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_CANONICAL: Final = re.compile(r"[A-Za-z0-9:/._~%-]+")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e]+")


def is_loopback(host: str) -> bool:
    """True for 127.0.0.0/8, ::1 and `localhost`, without a DNS lookup."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return address in ipaddress.ip_network("127.0.0.0/8") if address.version == 4 else str(address) == "::1"


def parts_of(value: str) -> SplitResult:
    """Split an absolute http(s) URL; raise an error without the URL, unlike the library's."""
    try:
        parts = urlsplit(value)
        is_url = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or re.search(r"[\s\\\x00-\x1f\x7f]", value):
        raise ValueError("not an absolute http or https URL")
    return parts


def host_and_port(value: str) -> tuple[str, int]:
    """Split `HOST:PORT`; an IPv6 address is in brackets."""
    match = _HOST_AND_PORT.fullmatch(value)
    if match is None or not 0 < int(match["port"]) < 65_536:
        raise ValueError("not HOST:PORT, such as 127.0.0.1:2576")
    return match["address"] or match["name"], int(match["port"])


def table_name(value: str) -> str:
    """Check the name of one table of a list, such as a destination's."""
    if not _TABLE_NAME.fullmatch(value):
        raise ValueError("not 1 to 40 small letters, digits and hyphens")
    return value


def host(value: str) -> str:
    """Check a host name or address."""
    if not _HOST.fullmatch(value):
        raise ValueError("not just a host name or address, without scheme, brackets and port")
    return value


def listen_address(value: str) -> str:
    """Check `HOST:PORT` of this machine."""
    host(host_and_port(value)[0])
    return value


def absolute_url(value: str) -> str:
    """Check an absolute http(s) URL without user, query and fragment; strip trailing slashes."""
    parts = parts_of(value)
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("a URL with a user, a query or a fragment")
    return value.rstrip("/")


def canonical_base(value: str) -> str:
    """Check the base of canonical URLs: an absolute http(s) URL of plain characters; strip trailing slashes.

    https://hl7.org/fhir/R4/references.html#canonical: `|` begins a version, and search values have commas between.
    """
    if not _CANONICAL.fullmatch(base := absolute_url(value)):
        raise ValueError("a URL with other characters than letters, digits and : / . - _ ~ %")
    return base


def network(value: str) -> str:
    """Check an address or network; a host name is refused, since it may resolve differently later."""
    try:
        prefix = ipaddress.ip_network(value).prefixlen
    except ValueError:
        raise ValueError("not an address or a network, such as 10.1.2.3 or 10.1.2.0/24") from None
    if prefix == 0:
        raise ValueError("a network of every address: write those of the machines that are meant")
    return value


def is_header_value(value: str) -> bool:
    """True for a value that a header can carry as one word (RFC 9110 §5.5, without white space)."""
    return _HEADER_VALUE.fullmatch(value) is not None


def time_zone(value: str) -> str:
    """Check the IANA name of a time zone; an empty text is allowed."""
    if value:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("not the name of a time zone, such as America/New_York") from None
    return value


def split(value: object) -> object:
    """Split a text at white space and commas; return any other value unchanged."""
    return [part for part in re.split(r"[,\s]+", value) if part] if isinstance(value, str) else value


def split_at_commas(value: object) -> object:
    """Split a text at commas; return any other value unchanged."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        raise ValueError("a list in brackets: write it only with commas, such as accession,order")
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def secrets_in(value: SecretStr | None) -> tuple[bytes, ...]:
    """Decode the secrets in a setting (base64, `whsec_` and padding optional); b"" for a secret that is not base64."""
    written = re.split(r"[,\s]+", value.get_secret_value()) if value else []
    return tuple(_decoded(one.removeprefix("whsec_").rstrip("=")) for one in written if one)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return b""
