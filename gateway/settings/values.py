"""Values of settings, read and checked one by one. What is wrong is said without the value, which may be a secret.

RFC 3986 (URLs), RFC 4648 §4 (base64); loopback addresses are those of RFC 1122 §3.2.1.3 and RFC 4291 §2.5.3.
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
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e]+")


def is_loopback(host: str) -> bool:
    """True for 127.0.0.0/8, ::1 and `localhost`: nothing beyond this machine. No name is ever looked up."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return address in ipaddress.ip_network("127.0.0.0/8") if address.version == 4 else str(address) == "::1"


def parts_of(value: str) -> SplitResult:
    """An absolute http(s) URL taken apart; what the library says of a bad one would show it."""
    try:
        parts = urlsplit(value)
        is_url = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or re.search(r"[\s\\\x00-\x1f\x7f]", value):
        raise ValueError("not an absolute http or https URL")
    return parts


def host_and_port(value: str) -> tuple[str, int]:
    """`HOST:PORT` taken apart; an address of IPv6 stands in brackets."""
    found = _HOST_AND_PORT.fullmatch(value)
    if found is None or not 0 < int(found["port"]) < 65_536:
        raise ValueError("not HOST:PORT, such as 127.0.0.1:2576")
    return found["address"] or found["name"], int(found["port"])


def absolute_url(value: str) -> str:
    """An absolute http(s) URL without user, query and fragment; a slash at the end is taken off."""
    parts = parts_of(value)
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("a URL with a user, a query or a fragment")
    return value.rstrip("/")


def is_header_value(value: str) -> bool:
    """True for what can stand in a header as one word (RFC 9110 §5.5, without white space)."""
    return _HEADER_VALUE.fullmatch(value) is not None


def time_zone(value: str) -> str:
    """The IANA name of a zone, or nothing."""
    if value:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("not the name of a time zone, such as America/New_York") from None
    return value


def split(value: object) -> object:
    """A text as its words: white space and commas part them; anything else as it is."""
    return [part for part in re.split(r"[,\s]+", value) if part] if isinstance(value, str) else value


def split_at_commas(value: object) -> object:
    """A text as what stands between its commas; anything else as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        raise ValueError("a list in brackets: write it with commas alone, such as accession,order")
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def secrets_in(value: SecretStr | None) -> tuple[bytes, ...]:
    """The keys in a setting, each base64 with or without `whsec_` and padding; an empty one for what is not base64."""
    written = re.split(r"[,\s]+", value.get_secret_value()) if value else []
    return tuple(_decoded(one.removeprefix("whsec_").rstrip("=")) for one in written if one)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return b""
