"""Count the facility names, metadata keys, modalities and procedure texts in AutoScribe's studies, for advice.py.

AutoScribe REST API: `snapshotMetadata.facilityName`, `.mrn`, `.patientName`, `.procedure`, `Study.modality`,
`Study.metadata`, `Study.externalPatientId`; decisions D9, D14, D23. Patients are only counted, and only the keys of
metadata are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from mappings import decode
from mappings.issues import WireError
from mappings.model import Snapshot, Study
from mappings.profile import Site, exact
from mappings.values.names import parse_name
from mappings.values.procedures import examination

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """Counts over the studies seen; a study counts once for each signed report, or once if it has none.

    `facilities`, `names` and `unsplit` are keyed by the normalized facility name, empty if a snapshot names none.
    `facilities` counts the spellings of each name, `numbers` the snapshots with an MRN. `outside` counts the studies
    with an external patient id, by express customer (empty if there is none). `uncoded` counts procedure texts without
    a code. `metadata_keys` and `modalities` count studies. `shared` are metadata keys of which two studies have one
    value, `several` those of which a value holds the site's `number_separator`.
    """

    studies: list[str] = field(default_factory=list)
    facilities: dict[str, Counter[str]] = field(default_factory=dict)
    names: Counter[str] = field(default_factory=Counter)
    unsplit: Counter[str] = field(default_factory=Counter)
    metadata_keys: Counter[str] = field(default_factory=Counter)
    modalities: Counter[str] = field(default_factory=Counter)
    uncoded: Counter[str] = field(default_factory=Counter)
    numbers: Counter[str] = field(default_factory=Counter)
    outside: Counter[str] = field(default_factory=Counter)
    shared: set[str] = field(default_factory=set)
    several: set[str] = field(default_factory=set)
    _hashes: set[int] = field(default_factory=set, repr=False)

    def look_at(self, study: Json, reports: Any, site: Site) -> None:
        """Count a study with its reports, as AutoScribe sent them; skip a study that cannot be decoded."""
        with suppress(WireError):
            self._count(decode(study, reports), site)

    def _count(self, study: Study, site: Site) -> None:
        self.studies.append(study.study_id)
        self.metadata_keys.update(study.metadata.keys())
        for key, value in study.metadata.items():
            self._count_value(key, value.strip(), site)
        if study.external_patient_id:
            customer = study.express_customer
            self.outside[customer.express_customer_id if customer else ""] += 1
        self.modalities[(study.modality or "").strip()] += 1
        for snapshot in _snapshots(study):
            self._count_snapshot(snapshot, site)
        for report in study.completed:
            performed = examination(study, report, site, _clean)
            if performed.text and performed.code is None:
                self.uncoded[performed.text] += 1

    def _count_value(self, key: str, value: str, site: Site) -> None:
        """Note if another study has this value under this key, by a hash that no other process can make."""
        if value and (digest := hash((key, value))) in self._hashes:
            self.shared.add(key)
        elif value:
            self._hashes.add(digest)
        if site.number_separator and site.number_separator in value:
            self.several.add(key)

    def _count_snapshot(self, snapshot: Snapshot, site: Site) -> None:
        name = " ".join((snapshot.facility_name or "").split())
        key = exact(name)
        self.facilities.setdefault(key, Counter())[name] += 1
        self.numbers[key] += bool((snapshot.mrn or "").strip())
        known = site.facilities.get(key)
        patient = parse_name(snapshot.patient_name, known.name_order if known else None)
        if patient is not None:
            self.names[key] += 1
            self.unsplit[key] += patient.doubt == "name-not-split"


def _snapshots(study: Study) -> Sequence[Snapshot]:
    """Return the patient snapshot of each signed report; if none is signed, the snapshot of the study."""
    signed = [report.snapshot for report in study.completed]
    return signed or [one for one in (study.metadata_snapshot,) if one]


def _clean(text: str | None) -> str | None:
    return " ".join((text or "").split()) or None
