"""The `[[source]]` settings: systems of hospitals that send orders, visits and merges over MLLP.

HL7 v2.5.1 §2.15.9 (MSH), §2.A.36 (HD), table 0211; HL7 Transport Specification: MLLP, Release 1; decision D48. This
module checks each key by itself. gateway/ingest/orders/sources.py checks the keys together and with the facilities.
Proved by tests/gateway/ingest/orders/test_sources.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from gateway.settings.group import Expert, SettingsGroup
from gateway.settings.values import listen_address, network, table_name, time_zone

May = Literal["orders", "visits", "merges"]
_AUTHORITY_KEYS: Final = {"namespace", "system"}
_SENDER_PARTS: Final = 2


def _may(value: tuple[May, ...]) -> tuple[May, ...]:
    if not value:
        raise ValueError("an empty list takes nothing")
    return value


def _words(value: tuple[str, ...]) -> tuple[str, ...]:
    words = tuple(word.strip() for word in value)
    if not all(words):
        raise ValueError("an empty text matches nothing")
    return words


def _some(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError("an empty list takes nothing")
    return _words(value)


def _sender(value: str) -> str:
    if len(value.split("|")) != _SENDER_PARTS or value.strip() == "|":
        raise ValueError("not MSH-3 and MSH-4 with a bar between, such as EPIC|MERCY")
    return value


def _authority(value: dict[str, str]) -> dict[str, str]:
    if not value.keys() <= _AUTHORITY_KEYS or not value.get("namespace", "").strip():
        raise ValueError("a table without namespace, or with other keys than namespace and system")
    if value.get("system") and ":" not in value["system"]:
        raise ValueError("a system that is no URI, such as urn:oid:1.2.3")
    return value


def _facilities(value: dict[str, str]) -> dict[str, str]:
    if not all(part.strip() for pair in value.items() for part in pair):
        raise ValueError("an empty value, or an empty name of a facility")
    return value


_Name = Annotated[str, AfterValidator(table_name)]
_Listen = Annotated[str, AfterValidator(listen_address)]
_Peer = Annotated[str, AfterValidator(network)]
_Zone = Annotated[str, AfterValidator(time_zone)]
_Sender = Annotated[str, AfterValidator(_sender)]
_Authority = Annotated[dict[str, str], AfterValidator(_authority)]
_Facilities = Annotated[dict[str, str], AfterValidator(_facilities)]
_Mays = Annotated[tuple[May, ...], AfterValidator(_may)]
_Words = Annotated[tuple[str, ...], AfterValidator(_words)]
_Some = Annotated[tuple[str, ...], AfterValidator(_some)]


class SourceSettings(SettingsGroup):
    """A `[[source]]` table: one interface of a hospital that sends orders, visits or merges to the gateway."""

    name: _Name = Field(description="Name in commands, metrics and the log: small letters, digits and hyphens.")
    formerly: Expert[_Name | None] = Field(
        None,
        description="Previous name of this source. When the gateway starts, its messages, orders and positions go over "
        "to the new name.",
    )
    listen: _Listen = Field(
        description="HOST:PORT of this machine to listen on. Beyond loopback, set tls_certificate, and tls_client_ca "
        "or peers."
    )
    may: _Mays = Field(description="What the source may send; anything else is not stored.")
    tls_certificate: Path | None = Field(
        None,
        description="PEM file of the certificate with its chain, to listen over TLS 1.2 or later. Not set: no TLS.",
    )
    tls_key: Path | None = Field(
        None, description="PEM file of the certificate's key, without a password, if tls_certificate does not hold it."
    )
    tls_client_ca: Path | None = Field(
        None, description="PEM file of authorities: a client must show a certificate of one (mTLS)."
    )
    peers: tuple[_Peer, ...] = Field(
        (), description='Addresses and networks that may connect, such as "10.1.2.3" or "10.1.2.0/24". Empty: any.'
    )
    connections: Expert[int] = Field(
        8,
        ge=1,
        le=256,
        description="Most connections of one address at a time; for a further one the one idle longest is closed.",
    )
    facility: str | None = Field(
        None,
        min_length=1,
        description="Facility whose numbers are those that name no authority, by a name or alias of "
        "`[[mapping.facilities]]`. Not set: the source sends for several, and a number without authority matches "
        "nothing, unless `sending_facilities` or `location_facilities` names its facility.",
    )
    sending_facilities: _Facilities = Field(
        {},
        description="Facility, by a name or alias, for each exact value of MSH-4 (HD.1, else HD.2) of a source that "
        "sends for several: numbers without authority are those of the message's facility.",
    )
    location_facilities: _Facilities = Field(
        {},
        description="Likewise for each exact value of PV1-3.4 (HD.1), for visit numbers only. Where MSH-4 names another"
        " facility, the visit number has none.",
    )
    authorities: tuple[_Authority, ...] = Field(
        (),
        description="Authorities that the source speaks for: tables with namespace (HD.1) and system (a URI, or empty;"
        " not needed if a facility has one beside this namespace), also those of visit and account numbers. A number of"
        " any other authority is not read. Empty: those of its facility.",
    )
    charset: str = Field(
        "", description="Character set (HL7 table 0211) of messages whose MSH-18 is empty. Empty: ASCII, as HL7 has it."
    )
    time_zone: _Zone = Field(
        "", description="Time zone of times without an offset (IANA name). Empty: that of its facility."
    )
    message_types: Expert[tuple[str, ...]] = Field(
        (), description='Types that are listed, such as "ORM^O01". Empty: every type that `may` allows.'
    )
    sections: _Words = Field(
        (), description="OBR-24 of radiology, such as RAD and CT: orders of other sections are not stored. Empty: all."
    )
    receiving_applications: Expert[_Words] = Field(
        (), description="MSH-5 of messages about radiology; others are not stored. Empty: all."
    )
    receiving_facilities: Expert[_Words] = Field(
        (), description="MSH-6 of messages about radiology; others are not stored. Empty: all."
    )
    senders: tuple[_Sender, ...] = Field(
        (),
        description='MSH-3 and MSH-4 of senders with a bar between, such as "EPIC|MERCY"; others get AR. Empty: all.',
    )
    processing_ids: Expert[_Some] = Field(("P",), description="MSH-11 of messages that are taken; others get AR.")
    accession_field: (
        Literal["IPC-1", "OBR-2", "OBR-3", "OBR-18", "OBR-19", "OBR-20", "OBR-21", "ORC-2", "ORC-3", "ORC-4"] | None
    ) = Field(None, description="Field with the accession number. Not set: IPC-1 if there is an IPC, else OBR-18.")
    study_uid: Expert[Literal["key", "ignore"]] = Field(
        "ignore", description="key: the study UID of an order (ZDS-1, IPC-3) also finds its study."
    )
    unlisted: Expert[Literal["accept", "reject"]] = Field(
        "accept", description="Answer to a message of a type that is not listed: AA, or AR. It is not stored."
    )
    order_days: Expert[int] = Field(
        400,
        ge=1,
        le=36_500,
        description="Days between an order and a study from which on they do not belong together, although their "
        "numbers are equal.",
    )
