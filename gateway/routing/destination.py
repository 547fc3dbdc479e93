"""Destination of HL7 v2 messages, with all its settings resolved: receiver profile, transport, filter, times.

HL7 v2.5.1 §2.9.2 (acknowledgements); decisions D16, D18, D28, D31, D32, D34. All times in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from gateway.routing.filter import Filter, facility_keys
from gateway.routing.owed import Terms
from gateway.routing.schedule import QuietHours
from gateway.routing.transport import Transport
from mappings.profile import Facility, MrnAuthority, OnConflict, Receiver, Site

LateMatch = Literal["note", "restate", "withdraw_restate"]
Merge = Literal["follow", "move"]
_EVERYTHING: Final = Filter()
_NO_HOURS: Final = QuietHours()


RETRY_CAP: Final = 300.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Schedule of retries: the first after `first`, doubled each time up to `cap`, varied by the share `jitter`.

    `max_attempts` bounds the answers that ask for a retry (0: no bound), `indeterminate_resends` the sendings without a
    usable answer; beyond either, the lane is held. A message that was never sent counts for neither. `in_flight` is how
    long the last bytes of a connection that was reset may be on their way: what had no answer is not sent again before,
    so that no old copy of it arrives after a newer message.
    """

    first: float = 5.0
    cap: float = RETRY_CAP
    jitter: float = 0.2
    max_attempts: int = 0
    indeterminate_resends: int = 5
    in_flight: float = 1.0


@dataclass(frozen=True, slots=True)
class Ehr:
    """FHIR API of the EHR behind a destination, in which reports are read back; `key_file` is a private key in PEM.

    `sampling` is the share of reports that are read back although nothing demands it.
    """

    url: str
    token_url: str
    client_id: str
    key_file: Path
    requests_per_hour: int = 600
    sampling: float = 0.0


@dataclass(frozen=True, slots=True)
class Destination:
    """Destination of a `[[destination]]` table; `place` is the table's position (`destination[0]`).

    `formerly` is its previous name, `first_name` the first one of all (empty: its own). `receiver` is the profile with
    the destination's own switches: window, rate_limit, keepalive, idle_close, ack_mode, ack_table, pdf, accession.
    `shares_address` means that another destination has the same address on purpose. `start` bounds what is sent (D31).
    `gap` is the least time from an answer to the next message. `mrn_authority` tells whose numbers MRNs are there. With
    `inverted_acks`, AE and CE ask for a retry and AR and CR do not, unless `ack_table` differs. `accession_wait` is how
    long a message may be held for its number before an alert. `hold_until_matched` is how long the first message about
    a study waits for its order; `late_match` says what follows if the order comes later, `merge` what follows if the
    hospital merges patient numbers. `input_wait` is the wait for signer and PDF (none if critical). `critical_alert` is
    the time from a critical result's signature to its acknowledgement. `ehr` is where reports are read back, if
    anywhere.
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
    hold_until_matched: float = 0.0
    late_match: LateMatch = "note"
    merge: Merge = "follow"
    input_wait: float = 60.0
    critical_alert: float = 900.0
    dry_run: bool = False
    is_enabled: bool = True
    formerly: str = ""
    first_name: str = ""
    shares_address: bool = False
    ehr: Ehr | None = None

    @property
    def control_name(self) -> str:
        """Name from which MSH-10 is made; under another name, repeated messages would look new."""
        return self.first_name or self.name

    def site(self, site: Site) -> Site:
        """Return the site adapted to this destination: its `on_conflict`, and its rule for MRNs."""
        bare = None
        if self.needs_one_namespace:
            namespaces = self.mrn_namespaces(site)
            bare = namespaces[0] if len(namespaces) == 1 else ""
        return replace(site, on_conflict=self.on_conflict, mrn_authority=self.mrn_authority, bare_namespace=bare)

    @property
    def terms(self) -> Terms:
        """Settings that decide which reports the destination is owed."""
        drafts, restates = self.receiver.send_drafts == "on", self.receiver.addendum == "replace"
        moves = self.merge == "move"
        return Terms(self.name, self.start, self.filter, drafts, restates, self.is_enabled, moves)

    @property
    def needs_one_namespace(self) -> bool:
        """True if MRNs are sent without an authority, though they come from several (D11)."""
        return self.receiver.pid3_plain == "on" and self.mrn_authority == "facility"

    def facilities(self, site: Site) -> list[Facility]:
        """Return the site's facilities whose reports this destination gets."""
        wanted = self.filter.scope.facilities
        known = dict.fromkeys(site.facilities.values())
        return [one for one in known if wanted is None or not wanted.isdisjoint(facility_keys([one.name], site))]

    def mrn_namespaces(self, site: Site) -> list[str]:
        """Return the MRN namespaces of this destination's facilities, in order."""
        return sorted({one.mrn.namespace for one in self.facilities(site) if one.mrn})
