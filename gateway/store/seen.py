"""What was seen, in memory and bounded: nothing is stored yet, and a restart forgets it all.

https://hl7.org/fhir/R4/resource.html#Meta: versionId is made from the content, lastUpdated is the instant the gateway
first saw that content, strictly increasing (D29). What was forgotten is read through again: the same content has the
same versionId then, with a later lastUpdated.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from gateway import clock
from mappings.dates import fhir_instant
from mappings.fhir.rendering import json_bytes

Key = tuple[str, str]
Json = Mapping[str, Any]
_VERSION_ID_LENGTH: Final = 32
_TICK: Final = timedelta(microseconds=1)


Rank = tuple[str, float]
OLDEST: Final[Rank] = ("", 0.0)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a resource, as the bytes that are served; `last_updated` is in UTC."""

    resource_type: str
    resource_id: str
    version_id: str
    last_updated: datetime
    body: bytes

    @property
    def key(self) -> Key:
        """Type and id."""
        return self.resource_type, self.resource_id

    @property
    def resource(self) -> dict[str, Any]:
        """The resource as JSON, a fresh copy."""
        made: dict[str, Any] = json.loads(self.body)
        return made


@dataclass(frozen=True, slots=True)
class _Holding:
    """A version as one owner holds it; the greatest `order` is the current one."""

    order: tuple[Rank, int]
    version: Version


class Seen:
    """Resources by type and id, each held for the owners (study or user ids) it was made from; counts owners.

    The owner not used for longest goes first. A Patient that several studies speak of is that of the newest study
    (D12): `rank` says which is newer.
    """

    def __init__(self, max_owners: int) -> None:
        self._max_owners = max_owners
        self._owners: OrderedDict[str, tuple[Key, ...]] = OrderedDict()
        self._holdings: dict[Key, dict[str, _Holding]] = {}
        self._puts = 0
        self._last = datetime.min.replace(tzinfo=clock.now().tzinfo)

    def __len__(self) -> int:
        return len(self._owners)

    def put(self, owner: str, resources: Mapping[Key, Json], rank: Rank = OLDEST) -> dict[Key, Version]:
        """Take in all resources of an owner in place of those it had, and return their versions."""
        self._puts += 1
        now = self._tick()
        versions = {key: self._version(key, resource, now) for key, resource in resources.items()}
        self._forget(owner)
        self._owners[owner] = tuple(versions)
        for key, version in versions.items():
            order = (rank if key[0] == "Patient" else OLDEST, self._puts)
            self._holdings.setdefault(key, {})[owner] = _Holding(order, version)
        while len(self._owners) > self._max_owners:
            self._forget(next(iter(self._owners)))
        return versions

    def get(self, resource_type: str, resource_id: str) -> Version | None:
        """The current version of a resource, or None if it was never seen or is forgotten."""
        found = self._holdings.get((resource_type, resource_id))
        if not found:
            return None
        owner, holding = max(found.items(), key=lambda item: item[1].order)
        self._owners.move_to_end(owner)
        return holding.version

    def of_others(self, owner: str, resource_type: str, resource_id: str) -> list[dict[str, Any]]:
        """The resource as every other owner has it."""
        holders = self._holdings.get((resource_type, resource_id), {})
        return [holding.version.resource for other, holding in holders.items() if other != owner]

    def owner_of(self, resource_type: str, resource_id: str) -> str | None:
        """The study or user id that a resource was last made from."""
        found = self._holdings.get((resource_type, resource_id))
        return max(found, key=lambda owner: found[owner].order) if found else None

    def _version(self, key: Key, resource: Json, now: datetime) -> Version:
        version_id = hashlib.sha256(json_bytes(dict(resource))).hexdigest()[:_VERSION_ID_LENGTH]
        for holding in self._holdings.get(key, {}).values():
            if holding.version.version_id == version_id:
                return holding.version
        meta = {"versionId": version_id, "lastUpdated": fhir_instant(now), **resource.get("meta", {})}
        head = {"resourceType": key[0], "id": key[1], "meta": meta}
        return Version(*key, version_id, now, json_bytes({**head, **resource, "meta": meta}))

    def _forget(self, owner: str) -> None:
        for key in self._owners.pop(owner, ()):
            holders = self._holdings[key]
            del holders[owner]
            if not holders:
                del self._holdings[key]

    def _tick(self) -> datetime:
        self._last = max(clock.now(), self._last + _TICK)
        return self._last
