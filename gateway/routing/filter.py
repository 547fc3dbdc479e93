"""Which reports a destination is for: by facility, express customer, modality, kind of news, and whether critical.

AutoScribe REST API: `snapshotMetadata.facilityName`, `Study.expressCustomer`, `Study.modality`, `Report.isCritical`;
decision D31. Nothing said is no name: only a filter that is not there lets through what has no facility.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.settings.destination import EVERY, Critical, Status
from mappings.model import Report, Study
from mappings.procedures import dicom_modality, modality_parts
from mappings.profile import Site, exact
from mappings.subjects import subject_snapshot

_TOGETHER: Final = "\\"


class About(NamedTuple):
    """What filters look at, in the spelling in which it is compared; empty where it is not said."""

    facility: str
    express_customer: str
    modality: str


@dataclass(frozen=True, slots=True)
class Scope:
    """Reports by where they come from; None is no filter. Facilities and modalities are in their compared spelling."""

    facilities: frozenset[str] | None = None
    express_customers: frozenset[str] | None = None
    modalities: frozenset[str] | None = None

    def leaves_out(self, about: About) -> str:
        """The name of the first filter that a report does not pass, or nothing."""
        if self.facilities is not None and about.facility not in self.facilities:
            return "facilities"
        if self.express_customers is not None and about.express_customer not in self.express_customers:
            return "express_customers"
        if self.modalities is not None and self.modalities.isdisjoint((about.modality, *_each(about))):
            return "modalities"
        return ""


@dataclass(frozen=True, slots=True)
class Filter:
    """What a destination accepts: of a scope, these kinds of news, critical reports `only`, all but them, or `all`."""

    scope: Scope = Scope()
    statuses: frozenset[Status] = frozenset({"final", "addendum", "corrected", "draft"})
    critical: Critical = "all"

    def leaves_out(self, about: About, *, is_critical: bool) -> str:
        """The name of the first filter that a report does not pass, or nothing; `statuses` is not asked here."""
        if reason := self.scope.leaves_out(about):
            return reason
        return "critical" if self.critical != "all" and (self.critical == "only") is not is_critical else ""


@dataclass(frozen=True, slots=True)
class Ignore:
    """A rule for reports that no destination needs, and why."""

    name: str
    reason: str
    scope: Scope

    def covers(self, about: About) -> bool:
        """True for a report of the scope; of several modalities each must be of it, for one may be needed."""
        named = self.scope.modalities
        is_whole = named is None or about.modality in named or named.issuperset(_each(about))
        return is_whole and not self.scope.leaves_out(about)


def about(study: Study, report: Report | None) -> About:
    """What filters see of a report; one that names no facility is of that of the study's patient, then of the study."""
    places = (report.snapshot if report else None, subject_snapshot(study, study.reports)[0], study.metadata_snapshot)
    named = (exact(place.facility_name) for place in places if place)
    customer = study.express_customer
    return About(
        next(filter(None, named), ""),
        customer.express_customer_id.strip() if customer else "",
        modality_key(study.modality),
    )


def modality_key(modality: str | None) -> str:
    """The DICOM code of a modality as people write it, or what is written in upper case; of several all, in one order.

    A filter for `PET/CT` takes what is both, and not every CT.
    """
    return _TOGETHER.join(sorted({dicom_modality(part) or part.upper() for part in modality_parts(modality)}))


def _each(about: About) -> list[str]:
    return about.modality.split(_TOGETHER)


def facility_keys(names: Iterable[str], site: Site) -> frozenset[str]:
    """The compared spelling of facilities, under all the names that the site gives each."""
    wanted = {exact(name) for name in names}
    known = {facility for name, facility in site.facilities.items() if exact(name) in wanted}
    return frozenset(wanted | {exact(name) for one in known for name in (one.name, *one.aliases)})


def unknown_facilities(names: Iterable[str], site: Site) -> list[str]:
    """Those names that no facility of the site has."""
    known: AbstractSet[str] = {exact(name) for name in site.facilities}
    return [name for name in names if name != EVERY and exact(name) not in known]
