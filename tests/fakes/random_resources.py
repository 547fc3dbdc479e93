"""Random resources of every type with everything that R4 allows and the mappings seldom make, and random searches.

https://hl7.org/fhir/R4/search.html. Elements without code, reference or value are among them, and names in many parts.
"""

from __future__ import annotations

import re
from base64 import b64encode
from random import Random
from typing import Any

from fakes.naive_search import BASE, CODE_SYSTEMS, ELEMENTS, EVERY, LOINC, STUDIES, TRUTHS, Json

from gateway.index.parameter_lookup import PARAMETERS, parameter
from gateway.index.sorting import sort_keys_of
from mappings.codes import CANONICAL

COUNTS = {
    "Organization": 4,
    "Practitioner": 5,
    "PractitionerRole": 5,
    "Patient": 10,
    "ServiceRequest": 8,
    "Encounter": 8,
    "ImagingStudy": 8,
    "Observation": 18,
    "DiagnosticReport": 24,
    "DocumentReference": 10,
    "Provenance": 10,
}
V2 = "http://terminology.hl7.org/CodeSystem/v2-0074"
CODINGS = (
    (LOINC, "LP29684-5"),
    (LOINC, "lp29684-5"),
    (LOINC, "18748-4"),
    (V2, "RAD"),
    (V2, "rad"),
    ("", "RAD"),
    ("urn:s", "a|b,c"),
)
WORDS = ("no", "Deep", "vein", "DEEP-VEIN", "1.5", "Größe", "naïve", "the")
TEXTS = ("CT Chest", "chest", "Über Thorax", "MRI  Brain", "a,b|c")
NUMBERS = (
    ("urn:mrn", "0042"),
    ("urn:mrn", "42"),
    ("urn:acc", "A1"),
    ("urn:acc", "a1"),
    ("", "0042"),
    ("urn:acc", "P|1,2"),
)
FAMILIES = ("Doe", "van der Berg", "Müller", "O'Neil", "doering", "佐藤", "Ødegaard")
GIVEN = ("Jane", "Zoé", "Mary Jane", "J", "jan")
DAYS = ("2024-02-29", "2024-03-15", "2024-03-16", "2024-12-31")
INSTANTS = ("2024-03-15T14:30:00-04:00", "2024-03-15T23:59:59Z", "2024-03-16T00:00:00+02:00", "2024-12-31T23:00:00Z")
ASKED_DATES = ("2024", "2024-03", "2024-03-15", "2024-03-16", "2024-03-15T18:30:00Z", "2024-03-15T18:30Z", "1985-07")
PREFIXES = ("", "eq", "ne", "gt", "ge", "lt", "le", "sa", "eb")
STATUSES = {
    "DiagnosticReport": ("registered", "final", "appended"),
    "Observation": ("final", "amended"),
    "DocumentReference": ("current", "superseded"),
    "ServiceRequest": ("active", "completed"),
    "Patient": ("male", "female", "unknown"),
    "ImagingStudy": ("cancelled", "unknown"),
    "Encounter": ("finished", "unknown"),
}
URIS = ("http://hl7.org/p", "http://hl7.org/p2", "urn:x:a,b", "urn:x:a|1")
EXTENSIONS = (f"{CANONICAL}/StructureDefinition/", "urn:autoscribe-gateway:extension:")
TARGETS = {(row.resource_type, row.name): row.targets for row in PARAMETERS if row.targets}
UNSERVED = "Location"
LISTS = {"category", "performer", "basedOn", "resultsInterpreter", "result", "identifier", "name", "target", "author"}
LISTS |= {"specialty", "conclusionCode", "related", "address", "alias", "given", "line", "imagingStudy"}
LISTS |= {"interpretation", "modality", "location", "telecom"}


class RandomResources:
    """Resources of a seed, by address, and searches of them; `sorts` are the keys of a search."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.world: dict[str, Json] = {}
        self.ids = {kind: [f"{kind.lower()}-{number}" for number in range(most)] for kind, most in COUNTS.items()}
        self.ids["ImagingStudy"] = [f"stu-{number:032x}" for number in range(COUNTS["ImagingStudy"])]
        self.ids[UNSERVED] = ["location-0", "location-1"]
        for kind in COUNTS:
            for one in self.ids[kind]:
                resource = self._resource(kind, one)
                self.world[f"{kind}/{one}"] = resource

    def search(self) -> tuple[str, list[tuple[str, str]], list[str]]:
        """Return a type, criteria of which one narrows, and sort keys."""
        kind = self.dice.choice([*COUNTS, "DiagnosticReport", "Patient"])
        criteria = [self._narrowing(kind)]
        criteria += [self._criterion(kind) for _ in range(self.dice.choice((0, 1, 1, 2)))]
        keys = [one for one in sort_keys_of(kind) if one != "_lastUpdated"]  # which all have alike
        wanted = self.dice.sample(keys, min(len(keys), self.dice.choice((0, 0, 1, 2))))
        self.dice.shuffle(criteria)
        return kind, criteria, [f"{self.dice.choice(('', '-'))}{one}" for one in wanted]

    def _narrowing(self, kind: str) -> tuple[str, str]:
        names = [
            row.name for row in PARAMETERS if row.resource_type == kind and row.narrows and row.name in ELEMENTS[kind]
        ]
        if self.dice.random() < 0.6 or not names:
            return "_lastUpdated", "ge2000"
        name = self.dice.choice(names)
        return name, self._value(kind, name).removeprefix("ne")

    def _criterion(self, kind: str, depth: int = 2) -> tuple[str, str]:
        dice = self.dice
        names = [one for one in ELEMENTS[kind] if one != "_content"]
        names += [one for one in EVERY if one != "_lastUpdated"] if depth == 2 else ["_id"]
        if depth == 2 and kind == "DiagnosticReport":  # words are not offered in a chain
            names += ["_content"] * 8
        name = dice.choice(names)
        targets = [one for one in TARGETS.get((kind, name), ()) if one != UNSERVED]
        if depth == 2 and dice.random() < 0.2:
            return self._has(kind) or self._criterion(kind, 0)
        if targets and depth and dice.random() < 0.5:
            target = dice.choice(targets)
            inner, value = self._criterion(target, depth - 1)
            return f"{name}:{target}.{inner}", value
        return self._plain(kind, name, depth)

    def _plain(self, kind: str, name: str, depth: int) -> tuple[str, str]:
        dice = self.dice
        if name == "_content":
            return name, ",".join(self._value(kind, name) for _ in range(dice.choice((1, 1, 2))))
        row = parameter(kind, name)
        offered = ["", "", *row.modifiers, *row.targets]
        if row.type == "reference":
            offered = [one for one in offered if one != "identifier"]
        modifier = dice.choice([one for one in offered if depth == 2 or one not in {"not", "missing"}])
        if modifier == "missing":
            return f"{name}:missing", dice.choice(("true", "false"))
        values = [self._value(kind, name, modifier) for _ in range(dice.choice((1, 1, 1, 2)))]
        return f"{name}{':' if modifier else ''}{modifier}", ",".join(values)

    def _has(self, kind: str) -> tuple[str, str] | None:
        rows = [one for one, targets in TARGETS.items() if kind in targets]
        if not rows:
            return None
        source, reference = self.dice.choice(rows)
        inner, value = self._criterion(source, self.dice.choice((0, 0, 1)))
        return f"_has:{source}:{reference}:{inner}", value

    def _value(self, kind: str, name: str, modifier: str = "") -> str:
        """Return a value that a parameter may be asked for."""
        dice = self.dice
        kind_of = (EVERY.get(name) or ELEMENTS[kind][name])[0]
        if kind_of == "id":
            return dice.choice([*self.ids[kind], "nobody"])
        if kind_of == "date":
            return dice.choice(PREFIXES) + dice.choice(ASKED_DATES)
        if kind_of == "code":
            code = dice.choice(STATUSES[kind])
            return dice.choice(
                (code, f"|{code}", f"{CODE_SYSTEMS[kind]}|{code}", f"{CODE_SYSTEMS[kind]}|", f"urn:x|{code}")
            )
        if kind_of == "words":
            words = " ".join(dice.choices(WORDS, k=dice.choice((1, 1, 2, 3))))
            return dice.choice((words, f'"{words}"'))
        if kind_of == "uri":
            return _escaped(dice.choice(URIS))
        if kind_of == "truth":
            code = dice.choice(parameter(kind, name).values)
            return dice.choice((code, f"{TRUTHS}|{code}", f"{TRUTHS}|", f"urn:x|{code}"))
        if kind_of == "study":
            one = dice.choice(self.ids["ImagingStudy"])
            theirs = one.replace("-", "_")
            return dice.choice((one, theirs, f"ImagingStudy/{one}", f"{STUDIES}|{theirs}", f"{STUDIES}|"))
        if kind_of == "string":
            text = dice.choice((*FAMILIES, *GIVEN, *TEXTS))
            return _escaped(dice.choice((text, text.upper(), text[:2], text.split()[-1])))
        if kind_of == "reference":
            target = modifier or dice.choice(TARGETS[kind, name])
            one = dice.choice(self.ids[target])
            return dice.choice((one, f"{target}/{one}", f"{BASE}/{target}/{one}"))
        return self._token_value(name, modifier)

    def _token_value(self, name: str, modifier: str) -> str:
        dice = self.dice
        if modifier == "text":
            return _escaped(dice.choice(TEXTS)[: dice.choice((3, 20))])
        system, code = map(_escaped, dice.choice(NUMBERS if name in {"identifier", "telecom"} else CODINGS))
        if modifier == "of-type":
            return f"urn:t|MR|{code}"
        cased = dice.choice((code, code, code.swapcase()))
        return dice.choice((cased, f"{system}|{cased}", f"|{cased}", f"{system}|" if system else cased))

    # --- resources

    def _resource(self, kind: str, resource_id: str) -> Json:
        made: Json = {"resourceType": kind, "id": resource_id, "meta": self._meta()}
        for name, (kind_of, paths) in ELEMENTS[kind].items():
            for path in paths.split():
                first, _, rest = path.partition(".")
                if self.dice.random() < 0.75 and name not in {"family", "given"} and not (first in made and not rest):
                    self._put(made, path, self._element(kind, name, kind_of, path))
        if "effectiveDateTime" in made:
            made.pop("effectivePeriod", None)
        if "occurrenceDateTime" in made:
            made.pop("occurrencePeriod", None)
        return made

    def _meta(self) -> Json:
        dice = self.dice
        made: Json = {"tag": self._some(self._coding)}
        made |= {"profile": dice.sample(URIS, dice.choice((1, 2)))} if dice.random() < 0.5 else {}
        made |= {"security": self._some(self._coding)} if dice.random() < 0.5 else {}
        return made | ({"source": dice.choice(URIS)} if dice.random() < 0.5 else {})

    def _put(self, made: Json, path: str, value: Any) -> None:
        first, _, rest = path.partition(".")
        if path in {"isCritical", "isAddendum"}:
            extension = {"url": self.dice.choice(EXTENSIONS) + path, "valueBoolean": value}
            made.setdefault("extension", []).append(extension)
        elif rest and first in LISTS:
            made[first] = [{rest: one} for one in value]
        elif rest:
            made.setdefault(first, {})[rest] = value
        else:
            made[first] = value

    def _element(self, kind: str, name: str, kind_of: str, path: str) -> Any:
        last = path.rpartition(".")[2]
        makers = {
            "token": self._identifier if path.lower().endswith(("identifier", "telecom")) else self._concept,
            "reference": lambda: self._reference(kind, name),
            "study": lambda: self._reference(kind, name),
            "truth": lambda: self.dice.choice((True, False)),
            "string": self._name if (name, kind) != ("name", "Organization") else lambda: self.dice.choice(TEXTS),
        }
        if kind_of == "code":
            return self.dice.choice(STATUSES[kind])
        if kind_of == "date":
            return self._date(path)
        if kind_of == "words":
            return [_text(" ".join(self.dice.choices(WORDS, k=self.dice.randint(0, 9)))) for _ in range(2)]
        make = self._address if name == "address" else makers[kind_of]
        make = self._coding_alone if name in {"class", "modality"} else make
        return self._some(make) if last in LISTS and not (kind == "Organization" and last == "name") else make()

    def _some(self, make: Any) -> list[Any]:
        return [make() for _ in range(self.dice.choice((1, 1, 2)))]

    def _coding(self) -> Json:
        system, code = self.dice.choice(CODINGS)
        return {**({"system": system} if system else {}), "code": code}

    def _coding_alone(self) -> Json:
        display = {"display": self.dice.choice(TEXTS)}
        return self.dice.choice((self._coding(), {**self._coding(), **display}, display))

    def _concept(self) -> Json:
        dice = self.dice
        codings = [{**self._coding(), **({"display": dice.choice(TEXTS)} if dice.random() < 0.4 else {})}]
        codings += [{"display": dice.choice(TEXTS)}] if dice.random() < 0.3 else []
        text = {"text": dice.choice(TEXTS)}
        return dice.choice(({"coding": codings}, {"coding": codings, **text}, text))

    def _identifier(self) -> Json:
        dice = self.dice
        system, value = dice.choice(NUMBERS)
        made: Json = {**({"system": system} if system else {}), "value": value}
        if dice.random() < 0.5:
            made["type"] = {"coding": [{"system": "urn:t", "code": dice.choice(("MR", "PI"))}]}
        return made if dice.random() < 0.8 else {"system": "urn:mrn"}

    def _reference(self, kind: str, name: str) -> Json:
        target = self.dice.choice(TARGETS[kind, name])
        if self.dice.random() < 0.2:
            return {"display": "somebody"}
        return {"reference": f"{target}/{self.dice.choice(self.ids[target])}"}

    def _name(self) -> Json:
        dice = self.dice
        family, given = dice.choice(FAMILIES), dice.sample(GIVEN, dice.choice((1, 2)))
        parts: Json = {"family": family, "given": given}
        text = {"text": f"{' '.join(given)} {family}"}
        return dice.choice((parts, {**parts, **text}, text, {"family": family, "prefix": ["Dr."]}))

    def _address(self) -> Json:
        return {"line": ["1 Main St"], "city": self.dice.choice(FAMILIES), "state": "NY"}

    def _date(self, path: str) -> Any:
        dice = self.dice
        if "eriod" in path:
            return {
                "start": "2024-03-15T14:00:00Z",
                "end": dice.choice(("2024-03-15T18:30:00Z", "2024-03-16T02:00:00Z")),
            }
        if path == "birthDate":
            return dice.choice(("1985", "1985-07", "1985-07-20", "1950-01-01", "2024-03-15"))
        if path in {"issued", "recorded", "date", "_signed"}:
            return dice.choice(INSTANTS)
        return dice.choice((*DAYS, *INSTANTS))


def _text(text: str) -> Json:
    return {"contentType": "text/plain", "data": b64encode(text.encode()).decode()}


def _escaped(text: str) -> str:
    return re.sub(r"([\\,|$])", r"\\\1", text)
