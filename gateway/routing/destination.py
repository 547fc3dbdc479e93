"""A destination of the HL7 v2 feed with everything decided: profile and switches, transport, filter, times.

HL7 v2.5.1 §2.9.2 (acknowledgements); decisions D16, D18, D28, D31, D32, D34. All times in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from gateway.routing.filter import Filter, facility_keys
from gateway.routing.owed import Terms
from gateway.routing.schedule import QuietHours
from gateway.routing.transport import Transport
from mappings.profile import Facility, Receiver, Site
from mappings.profile.site import MrnAuthority, OnConflict

_EVERYTHING: Final = Filter()
_NO_HOURS: Final = QuietHours()


@dataclass(frozen=True, slots=True)
class Retry:
    """When a message is tried again: after `first`, doubled each time up to `cap`, more or less by the share `jitter`.

    `max_attempts` counts answers that say to try again (0 is without end), `indeterminate_resends` what was written and
    got no usable answer; after so many the lane is held. What was never written counts for neither.
    """

    first: float = 5.0
    cap: float = 300.0
    jitter: float = 0.2
    max_attempts: int = 0
    indeterminate_resends: int = 5


@dataclass(frozen=True, slots=True)
class Destination:
    """One `[[destination]]` table as it is in force; `place` is where it stands there (`destination[0]`).

    `formerly` is the name that it had before, `first_name` the first of all (empty: its own). `receiver` is the profile
    with the destination's own switches in it: window, rate_limit, keepalive, idle_close, ack_mode, ack_table, pdf,
    accession are there. `shares_address` where another one has the same address and that is meant. `start` bounds what
    is sent (D31), `gap` is the least time from an answer to the next message. `mrn_authority` says whose numbers MRNs
    are there. With `inverted_acks` AE and CE mean to try again and AR and CR do not, unless `ack_table` says otherwise.
    `accession_wait` is until a message held for its number is an alert, `input_wait` for signer and PDF (none where it
    is critical), `critical_alert` from the signature of a critical result to its acknowledgement.
    """

    name: str
    place: str
    transport: Transport
    receiver: Receiver
    start: datetime
    filter: Filter = _EVERYTHING
    quiet: QuietHours = _NO_HOURS
    retry: Retry = Retry()
    gap: float = 0.0
    inverted_acks: bool = False
    on_conflict: OnConflict = "hold"
    mrn_authority: MrnAuthority = "facility"
    accession_wait: float = 3600.0
    input_wait: float = 60.0
    critical_alert: float = 900.0
    dry_run: bool = False
    is_enabled: bool = True
    formerly: str = ""
    first_name: str = ""
    shares_address: bool = False

    @property
    def control_name(self) -> str:
        """The name that MSH-10 is made of: another one would make what was told look new."""
        return self.first_name or self.name

    def site(self, site: Site) -> Site:
        """The site as messages to this destination see it: with its `on_conflict` and its rule for MRNs."""
        bare = None
        if self.needs_one_namespace:
            found = self.mrn_namespaces(site)
            bare = found[0] if len(found) == 1 else ""
        return replace(site, on_conflict=self.on_conflict, mrn_authority=self.mrn_authority, bare_namespace=bare)

    @property
    def terms(self) -> Terms:
        """The settings that decide what it is owed."""
        drafts, restates = self.receiver.send_drafts == "on", self.receiver.addendum == "replace"
        return Terms(self.name, self.start, self.filter, drafts, restates, self.is_enabled)

    @property
    def needs_one_namespace(self) -> bool:
        """True where MRNs leave without their authority, and are not all the receiver's own (D11)."""
        return self.receiver.pid3_plain == "on" and self.mrn_authority == "facility"

    def facilities(self, site: Site) -> list[Facility]:
        """The facilities of the site whose reports go there; `default_facility` is one of the site's."""
        wanted = self.filter.scope.facilities
        known = dict.fromkeys(site.facilities.values())
        return [one for one in known if wanted is None or not wanted.isdisjoint(facility_keys([one.name], site))]

    def mrn_namespaces(self, site: Site) -> list[str]:
        """The namespaces of the MRNs of those facilities, in order."""
        return sorted({one.mrn.namespace for one in self.facilities(site) if one.mrn})
