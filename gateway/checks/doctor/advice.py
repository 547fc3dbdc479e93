"""Suggest settings from AutoScribe's data: notes with counts, and TOML text to paste.

https://toml.io/en/v1.0.0#string (quoting); decisions D9, D11, D14, D18, D23. Similar names are only hints for a person:
the text to paste never gives a facility the MRN authority of another, or a procedure a code. What would give a study
more order groups, two studies one number, or two people one record, stands in it as a comment with the reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from gateway.checks.doctor.seen import Seen
from gateway.settings import Configuration, DestinationSettings, IgnoreSettings
from gateway.settings.destination import EVERY
from mappings.codes import DICOM_MODALITY
from mappings.profile import Site, exact
from mappings.values.procedures import dicom_modality, modality_parts

MOST: Final = 12
"""Most items of a kind that are listed one by one; the rest are counted."""
_LONGEST: Final = 80
_ALIKE: Final = 0.8
# A procedure text in a single report may identify its patient, so it is not shown
_OFTEN: Final = 2
# `[mapping]` setting -> pattern of metadata keys that usually hold such numbers
_NUMBERS: Final = {
    "accession_keys": re.compile(r"accession|(?<![a-z])acc(?![a-z])", re.IGNORECASE),
    "placer_keys": re.compile(r"placer|order.?(?:no|num|number|id|identifier)(?![a-z])|^order$", re.IGNORECASE),
}
_NO_NUMBERS: Final = re.compile(r"date|time|status|type|note|site|location", re.IGNORECASE)
_NOT_KNOWN: Final = {
    "time_zone": "not known, so only dates are sent. Write its IANA name, such as America/New_York",
    "mrn_namespace": "not known whose its patient numbers are: no patient is linked, and reports may be held. Write\n"
    "#   mrn_system, too. Not those of another facility that has numbers of its own: equal ones would be one person",
}
_ALIAS: Final = """\
# Or, if it is {known} in another spelling, in the table of that: aliases = [{name}]
#   Not if both give out patient numbers of their own: equal numbers would become one person
"""


@dataclass(frozen=True, slots=True)
class Advice:
    """Notes, and TOML to paste: `keys` replace those under `[mapping]`, `tables` go to the end of the file."""

    notes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()

    @property
    def paste(self) -> str:
        """The keys and tables as one text; empty if there are none."""
        keys = ("# under [mapping], in place of the same keys\n" + "\n".join(self.keys) + "\n",) if self.keys else ()
        tables = ("# at the end of the settings file\n" + "\n".join(self.tables),) if self.tables else ()
        return "\n".join((*keys, *tables))


def advice(seen: Seen, configuration: Configuration) -> Advice:
    """Return notes and suggested settings for the data seen."""
    site = configuration.site
    if not seen.studies:
        return Advice()
    notes = [*_facilities(seen, site), *_unsplit(seen, site), *_metadata(seen, site)]
    notes += [*_modalities(seen), *_filters(seen, configuration), *_procedures(seen, site)]
    return Advice(tuple(notes), tuple(_keys(seen, site)), tuple(_tables(seen, site)))


def quoted(text: str) -> str:
    """Quote a text for TOML: unprintable characters are escaped, lone surrogates become `?`."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if "\ud800" <= character <= "\udfff":
        return "?"
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _shown(text: str) -> str:
    return quoted(text if len(text) <= _LONGEST else text[:_LONGEST] + "…")


def _like(text: str, known: Iterable[str]) -> str:
    """Return the known text most similar to this one, or an empty text; both are normalized by `exact`."""
    by_key = {exact(one): one for one in known}
    found = get_close_matches(exact(text), by_key, n=1, cutoff=_ALIKE)
    return by_key[found[0]] if found else ""


def _meant(text: str, known: Iterable[str]) -> str:
    like = _like(text, known)
    return f"; did you mean {_shown(like)}?" if like else ""


def _written(spellings: Counter[str]) -> str:
    """Return the most frequent spelling; of equally frequent ones, the first in order."""
    return min(spellings, key=lambda one: (-spellings[one], one))


def strangers(seen: Seen, site: Site) -> list[tuple[str, int]]:
    """List the facilities that no table names, with their counts, most frequent first."""
    unknown = {key: names for key, names in seen.facilities.items() if key and key not in site.facilities}
    found = [(_written(names), names.total()) for names in unknown.values()]
    return sorted(found, key=lambda one: (-one[1], one[0]))


def _names(site: Site) -> list[str]:
    known = dict.fromkeys(site.facilities.values())
    return [name for one in known for name in (one.name, *one.aliases)]


def _facilities(seen: Seen, site: Site) -> Iterator[str]:
    unknown = strangers(seen, site)
    for name, count in unknown[:MOST]:
        meant = _meant(name, _names(site))
        yield f"facility {_shown(name)} is in no [[mapping.facilities]], and named {_times(count)}{meant}"
    yield from _more(len(unknown), "facilities are in no [[mapping.facilities]]")
    if "" in seen.facilities and site.default_facility is None:
        yield f"no facility is named {_times(seen.facilities[''].total())}, and there is no default_facility"


def _unsplit(seen: Seen, site: Site) -> Iterator[str]:
    for key, count in seen.unsplit.most_common():
        known = site.facilities.get(key)
        name = f"facility {_shown(known.name if known else _written(seen.facilities[key]))}" if key else "no facility"
        why = "no name_order says how they are written"
        if known and known.name_order:
            why = f"name_order is {known.name_order}"
        if count:
            yield f"{name}: {count} of {seen.names[key]} patient names are not split; {why}"


def _used(site: Site) -> dict[str, tuple[str, ...]]:
    """Return the settings that name metadata keys, with their keys."""
    vista = {"vista_exam_keys": site.vista.exam_keys, "vista_case_keys": site.vista.case_keys}
    return {"accession_keys": site.accession_keys, "placer_keys": site.placer_keys, **vista}


def _free(seen: Seen, site: Site) -> list[str]:
    """List the metadata keys that no setting names, most frequent first."""
    used = {key for keys in _used(site).values() for key in keys}
    return [key for key, _ in sorted(seen.metadata_keys.items(), key=lambda one: (-one[1], one[0])) if key not in used]


def _metadata(seen: Seen, site: Site) -> Iterator[str]:
    free = _free(seen, site)
    for setting, keys in _used(site).items():
        for key in keys:
            if key not in seen.metadata_keys:
                yield f"{setting}: no study has the metadata key {_shown(key)}{_meant(key, free)}"
    if free:
        counted = ", ".join(f"{_shown(key)} ({seen.metadata_keys[key]})" for key in free[:MOST])
        yield f"metadata keys that no setting names, with how many studies have each: {counted}"
        yield from _more(len(free), "metadata keys are named by no setting")


def _keys(seen: Seen, site: Site) -> Iterator[str]:
    """Yield corrected settings of metadata keys; a key that could multiply or merge orders only as a comment."""
    free, told = _free(seen, site), _used(site)
    for setting, is_one in _NUMBERS.items():
        live = list(told[setting])
        meant = {like: key for key in live if key not in seen.metadata_keys and (like := _like(key, free))}
        new = [key for key in free if is_one.search(key) and not _NO_NUMBERS.search(key)]
        wanted = [key for key in dict.fromkeys((*meant, *new)) if is_writable(key)]
        free = [key for key in free if key not in wanted]
        for key in wanted:
            if reason := _danger(key, [one for one in live if one != meant.get(key)], seen):
                yield f"# {setting}: {quoted(key)} is not pasted: {reason}"
            else:
                live = [key]
        if live != list(told[setting]):
            yield f"{setting} = [{', '.join(map(quoted, live))}]"


def _danger(key: str, beside: list[str], seen: Seen) -> str:
    """Return the reason not to paste a key beside others; empty if each study keeps one order group of its own."""
    if key in seen.shared:
        return "two studies have one value there, and their results would have one order number"
    if key in seen.several:
        return "a value holds number_separator, and each of its numbers would make an order group"
    return "a study with a number under it and another key would have two order groups" if beside else ""


def _modalities(seen: Seen) -> Iterator[str]:
    for modality, count in seen.modalities.most_common():
        if not modality:
            yield f"{_studies(count)} without a modality: sent as RAD"
        elif not all(map(dicom_modality, modality_parts(modality))):
            meant = _meant(modality, DICOM_MODALITY)
            yield f"modality {_shown(modality)} of {_studies(count)} is not known, and sent as RAD{meant}"


def _filters(seen: Seen, configuration: Configuration) -> Iterator[str]:
    """Note filter modalities that no study has and DICOM does not know."""
    settings = configuration.settings
    tables: tuple[DestinationSettings | IgnoreSettings, ...] = (*settings.destination, *settings.ignore)
    for table in tables:
        for index, modality in enumerate(table.modalities or ()):
            is_had = exact(modality) in map(exact, seen.modalities)
            if modality != EVERY and not is_had and not all(map(dicom_modality, modality_parts(modality))):
                meant = _meant(modality, (*DICOM_MODALITY, *filter(None, seen.modalities)))
                yield f"{table.name}: modalities[{index}] is none that a study has{meant}"


def _procedures(seen: Seen, site: Site) -> Iterator[str]:
    often = [(text, count) for text, count in seen.uncoded.most_common() if count >= _OFTEN]
    for text, count in often[:MOST]:
        like = _like(text, site.procedures)
        known = f"; the dictionary has {_shown(like)}" if like and like != exact(text) else ""
        yield f"procedure {_shown(text)} of {count} reports has no code{known}"
    rest = len(seen.uncoded) - len(often[:MOST])
    if rest:
        yield f"procedure texts without a code{', beside these' if often else ', each of one report'}: {rest}"


def _tables(seen: Seen, site: Site) -> Iterator[str]:
    if site.default_facility is not None:
        return  # a table without an MRN authority would override that of the default facility (D11)
    for name, _ in strangers(seen, site)[:MOST]:
        if is_writable(name):
            yield facility_table(name) + alias_hint(name, _names(site))


def facility_table(name: str, lines: Sequence[str] = (), said: Container[str] = ()) -> str:
    """Return a `[[mapping.facilities]]` table: `lines` with the keys `said`, and comments on what is not known."""
    order = 'name_order = "marked_only"   # or given_family, given_two_families, family_given: names without a comma'
    head = ["[[mapping.facilities]]", f"name = {quoted(name)}", *([] if "name_order" in said else [order]), *lines]
    return "\n".join([*head, *(f"# {key}: {why}" for key, why in _NOT_KNOWN.items() if key not in said)]) + "\n"


def alias_hint(name: str, known: Iterable[str]) -> str:
    """Return a comment on a known facility with a similar name; empty if there is none."""
    like = _like(name, known)
    return _ALIAS.format(known=quoted(like), name=quoted(name)) if like else ""


def is_writable(name: str) -> bool:
    """True if the settings can hold the name: not empty, no outer white space, no lone surrogate."""
    return bool(name) and name == name.strip() and not any("\ud800" <= one <= "\udfff" for one in name)


def _more(count: int, what: str) -> Iterator[str]:
    if count > MOST:
        yield f"{count - MOST} more {what}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _studies(count: int) -> str:
    return "1 study" if count == 1 else f"{count} studies"
