"""Filters that limit a destination to some reports: by facility, customer, modality, status, or criticality.

AutoScribe REST API: `snapshotMetadata.facilityName`, `Study.expressCustomer`, `Study.modality`, `Report.isCritical`;
decision D31. An absent value matches no name: without a facility, a report passes only where no filter is set.
Proved by tests/gateway/routing/test_routing.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.settings.destination import EVERY, Critical, Status
from mappings.model import Report, Study
from mappings.patient.subjects import subject_snapshot
from mappings.profile import Site, exact
from mappings.values.procedures import dicom_modality, modality_parts

_TOGETHER: Final = "\\"


class FilterValues(NamedTuple):
    """Values of a report that filters compare, spelled for comparison; empty if absent."""

    facility: str
    express_customer: str
    modality: str


@dataclass(frozen=True, slots=True)
class Scope:
    """Selection of reports by origin; None means any. Facilities and modalities are spelled for comparison."""

    facilities: frozenset[str] | None = None
    express_customers: frozenset[str] | None = None
    modalities: frozenset[str] | None = None

    def leaves_out(self, about: FilterValues) -> str:
        """Return the name of the first filter that excludes a report, or an empty text."""
        if self.facilities is not None and about.facility not in self.facilities:
            return "facilities"
        if self.express_customers is not None and about.express_customer not in self.express_customers:
            return "express_customers"
        if self.modalities is not None and self.modalities.isdisjoint((about.modality, *_each(about))):
            return "modalities"
        return ""


@dataclass(frozen=True, slots=True)
class Filter:
    """Filter of a destination: a scope, statuses, and critical reports (`only`, none, or `all`)."""

    scope: Scope = Scope()
    statuses: frozenset[Status] = frozenset({"final", "addendum", "corrected", "draft"})
    critical: Critical = "all"

    def leaves_out(self, about: FilterValues, *, is_critical: bool) -> str:
        """Return the name of the first filter that excludes a report, or an empty text; ignores `statuses`."""
        if reason := self.scope.leaves_out(about):
            return reason
        return "critical" if self.critical != "all" and (self.critical == "only") is not is_critical else ""


@dataclass(frozen=True, slots=True)
class Ignore:
    """Ignore rule: reports that no destination needs, with the reason."""

    name: str
    reason: str
    scope: Scope

    def covers(self, about: FilterValues) -> bool:
        """True for a report in the rule's scope; of several modalities each must match, since one may be needed."""
        named = self.scope.modalities
        is_whole = named is None or about.modality in named or named.issuperset(_each(about))
        return is_whole and not self.scope.leaves_out(about)


def about(study: Study, report: Report | None) -> FilterValues:
    """Return the filter values of a report; its facility defaults to that of the study's patient, then the study's."""
    places = (report.snapshot if report else None, subject_snapshot(study, study.reports)[0], study.metadata_snapshot)
    named = (exact(place.facility_name) for place in places if place)
    customer = study.express_customer
    return FilterValues(
        next(filter(None, named), ""),
        customer.express_customer_id.strip() if customer else "",
        modality_key(study.modality),
    )


def modality_key(modality: str | None) -> str:
    """Return the DICOM code of a written modality, else its upper case; several codes are joined in one order.

    A filter for `PET/CT` matches a study that is both, and not every CT.
    """
    return _TOGETHER.join(sorted({dicom_modality(part) or part.upper() for part in modality_parts(modality)}))


def _each(about: FilterValues) -> list[str]:
    return about.modality.split(_TOGETHER)


def facility_keys(names: Iterable[str], site: Site) -> frozenset[str]:
    """Return facility names spelled for comparison, with all other names that the site gives them."""
    wanted = {exact(name) for name in names}
    known = {facility for name, facility in site.facilities.items() if exact(name) in wanted}
    return frozenset(wanted | {exact(name) for one in known for name in (one.name, *one.aliases)})


def unknown_facilities(names: Iterable[str], site: Site) -> list[str]:
    """Return those names that no facility of the site has."""
    known: AbstractSet[str] = {exact(name) for name in site.facilities}
    return [name for name in names if name != EVERY and exact(name) not in known]
