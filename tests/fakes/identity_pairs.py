"""Pairs of snapshots of two patients or one, each with the label of a careful keeper of health records.

The pairs are made by rule. `different` includes pairs that nobody would join without asking: number and name alone do
not settle them. The labels were written before the rules of `mappings.patient.people` and do not depend on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

Json = dict[str, Any]
Label = Literal["same", "different"]
CITY, LAKE, NO_ORDER = "City Medical Center", "Lakeside Imaging", "Harbor Clinic"


@dataclass(frozen=True)
class Pair:
    """Two snapshots: `within` one study (an original and its addendum), or of two studies."""

    kind: str
    label: Label
    first: Json
    second: Json
    within: bool = False


class Known(NamedTuple):
    """A person in the first report."""

    given: str
    family: str
    born: str
    sex: str
    mrn: str

    def said(self, style: str = "plain", facility: str = CITY, **changes: Any) -> Json:
        """Make the person's snapshot; `given` and `family` may be changed like its own fields."""
        given, family = changes.pop("given", self.given), changes.pop("family", self.family)
        own = {"mrn": self.mrn, "dateOfBirth": self.born, "sex": self.sex, "facilityName": facility}
        return {"patientName": STYLES[style](given, family), **own, **changes}


STYLES = {
    "plain": lambda given, family: f"{given} {family}",
    "caret": lambda given, family: f"{family}^{given}".upper(),
    "comma": lambda given, family: f"{family}, {given}",
    "capitals": lambda given, family: f"{given} {family}".upper(),
}
PEOPLE = (
    Known("Jane", "Doe", "1985-07-20", "female", "MRN-001234"),
    Known("Robert", "Miller", "1950-03-09", "male", "00412345"),
    Known("Maria", "Gonzalez", "1971-02-14", "female", "4711-88"),
    Known("William", "Okafor", "1962-11-05", "male", "A55012"),
    Known("Elizabeth", "Nguyen", "1990-06-08", "female", "7700321"),
    Known("Michael", "Kowalski", "1978-01-10", "male", "K-20931"),
    Known("Katherine", "Brown", "1945-09-12", "female", "830 221 904"),
    Known("Jennifer", "Rossi", "2001-04-03", "female", "00099817"),
    Known("Charles", "Washington", "1938-12-07", "male", "W0031"),
    Known("Patricia", "Silva", "1969-08-11", "female", "55810-2"),
    Known("Thomas", "Andersson", "1984-05-06", "male", "m4410"),
    Known("Susan", "Fitzgerald", "1957-10-02", "female", "91827364"),
)
# Typical names of twins, with the sex of both, or none if absent
TWINS = (
    *(("Mia", "Mila", "female"), ("Jaden", "Kaden", "male"), ("Ella", "Emma", "female"), ("Jayden", "Jaylen", "male")),
    *(("Aiden", "Jaiden", "male"), ("Brandon", "Brendon", "male"), ("Landon", "London", "male")),
    *(("Hailey", "Harley", "female"), ("Julia", "Juliana", "female"), ("Maria", "Mariana", "female")),
    *(("Maria", "Marie", "female"), ("Ana", "Amy", "female"), ("Ann", "Ian", None), ("Jon", "Ron", "male")),
    *(("Mia", "Eva", "female"), ("Eric", "Erica", None), ("Daniel", "Daniela", None), ("Martina", "Marina", "female")),
    *(("Christian", "Christina", None), ("Lauren", "Laura", "female"), ("Sara", "Zara", "female")),
    *(("Jacob", "Joshua", "male"), ("Olivia", "Sophia", "female"), ("Liam", "Noah", "male"), ("Erin", "Eric", None)),
    *(("Jason", "Jaxon", "male"), ("Kayla", "Kyla", "female"), ("Kelsie", "Kellie", "female")),
    *(("Madison", "Morgan", "female"), ("Marco", "Mario", "male"), ("Joan", "Joanna", "female")),
    *(("Maria Jose", "Maria Fernanda", "female"), ("Juan Carlos", "Juan Pablo", "male")),
    *(("James A", "James B", "male"), ("John A", "Adam", "male"), ("Darren", "Darrell", "male")),
    *(("Alexander", "Alexandra", None), ("Paul", "Paula", None), ("Michael", "Michelle", None)),
    *(("Gabriel", "Gabrielle", None), ("Antonio", "Antonia", None), ("Zaniyah", "Zariyah", "female")),
)
UNNAMED_TWINS = (
    *(("TWIN A SMITH", "TWIN B SMITH"), ("SMITH^BABY BOY A", "SMITH^BABY BOY B"), ("SMITH, TWIN 1", "SMITH, TWIN 2")),
    *(("SMITH^BABY BOY", "SMITH^BABY GIRL"), ("SMITH, BB", "SMITH, BG"), ("B/G A SMITH", "B/G B SMITH")),
    *(("Smith, Babyboy", "Smith, Babygirl"), ("SMITH^GIRL A", "SMITH^GIRL B")),
    *(("Infant of Jane Smith", "Infant of Mary Smith"), ("NEWBORN A SMITH", "NEWBORN B SMITH")),
    *(("SMITH^TWIN I", "SMITH^TWIN II"), ("SMITH^BABY GIRL I", "SMITH^BABY GIRL II"), ("SMITH^TWIN A", "SMITH^TWIN")),
    *(("SMITH^BABY GIRL", "SMITH^BABY GIRL B"), ("Smith, Baby Boy", "Smith, Baby Boy III")),
)
# A newborn's name, the name given later, and the sex
NAMED_NEWBORNS = (
    *(("SMITH^BABY BOY", "SMITH^LIAM", "male"), ("SMITH^BABY GIRL", "SMITH^OLIVIA", "female")),
    *(("Smith, Baby Boy", "Noah Smith", "male"), ("BABY GIRL SMITH", "Smith, Emma", "female")),
    *(
        ("SMITH, B/G", "SMITH^AVA", "female"),
        ("SMITH, BB", "Lucas Smith", "male"),
        ("SMITH^NEWBORN", "SMITH^IVY", None),
    ),
    *(("INFANT OF JANE SMITH", "SMITH^HENRY", "male"), ("NB SMITH", "Theo Smith", "male")),
    *(("TWIN A SMITH", "Zoe Smith", "female"), ("SMITH^BABY BOY A", "SMITH^LEO", "male")),
    *(("SMITH^BG", "Mila Smith", "female"), ("Babyboy Smith", "Smith, Owen", "male")),
    *(("SMITH^TWIN II", "SMITH^LEO", "male"), ("SMITH^BABY GIRL I", "BABY GIRL A SMITH", "female")),
    *(("SMITH^BABY BOY JANE", "SMITH^JACK", "male"), ("BABY BOY SMITH", "SMITH^BABY BOY", "male")),
)
MOTHERS = (
    "INFANT OF KAREN SMITH",
    "SMITH^BABY BOY",
    "BABY GIRL SMITH",
    "SMITH^NEWBORN",
    "SMITH^BABY BOY KAREN",
    "B/O KAREN SMITH",
)
SHORT_FORMS = (
    *(("Robert", "Bob"), ("Robert", "Rob"), ("Bobby", "Robert"), ("William", "Bill"), ("Elizabeth", "Liz")),
    *(("Elizabeth", "Beth"), ("Katherine", "Kathy"), ("Catherine", "Kate"), ("Margaret", "Peggy")),
    *(("Richard", "Dick"), ("Michael", "Mike"), ("James", "Jim"), ("John", "Jack"), ("Charles", "Chuck")),
    *(("Thomas", "Tom"), ("Patricia", "Pat"), ("Susan", "Sue"), ("Jennifer", "Jenny"), ("Deborah", "Debbie")),
    *(("Edward", "Ted"), ("Anthony", "Tony"), ("Daniel", "Dan"), ("Joseph", "Joe"), ("Christopher", "Chris")),
    *(("Francisco", "Paco"), ("Jose", "Pepe"), ("Guadalupe", "Lupita"), ("Jesus", "Chuy"), ("Ignacio", "Nacho")),
    *(("Roberto", "Beto"), ("Manuel", "Manolo"), ("Maria Teresa", "Tere"), ("Mary Elizabeth", "Liz")),
    *(("Steven", "Stephen"), ("Sara", "Sarah"), ("Jon", "John"), ("Eric", "Erik"), ("Geoffrey", "Jeffrey")),
)
TYPED = (
    *("Jennifer", "Michael", "Katherine", "William", "Elizabeth", "Christopher", "Margaret", "Alejandro", "Patricia"),
    *("Benjamin", "Stephanie", "Charlotte", "Guillermo", "Frederick", "Samantha", "Dorothy", "Thaddeus"),
)
# Numbers that may be anyone's, or no one's
DOUBTFUL = ("12345678", "SEE ORDER", "TRAUMA 3", "PENDING 1", "123-45-6789", "1", None)
_NEAR_KEYS = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wertyuioopsdfghjklaxcvbnmm", strict=True))
SURNAMES = (
    *(("GARCIA LOPEZ^MARIA", "GARCIA^MARIA"), ("Garcia-Lopez, Maria", "Garcia Lopez, Maria")),
    *(("Maria Garcia Lopez", "GARCIA LOPEZ^MARIA"), ("De la Cruz, Ana", "DELACRUZ^ANA")),
    *(("O'Brien, Sean", "OBRIEN^SEAN"), ("Ryan O\u2019Neil", "ONEIL^RYAN"), ("St. John, Eve", "SAINT JOHN^EVE")),
    *(
        ("M\u00fcller, Anna", "MULLER^ANNA"),
        ("MUELLER^ANNA", "M\u00fcller, Anna"),
        ("Van Der Berg, Tom", "vander berg, tom"),
    ),
    *(("Smith-Jones, Amy", "SMITH^AMY"), ("Maryann Hill", "HILL^MARY ANN"), ("Mary-Ann Hill", "HILL^MARYANN")),
    *(("NU\u00d1EZ^JOS\u00c9", "Jose Nunez"), ("Garc\u00eda P\u00e9rez, Jos\u00e9 Luis", "GARCIA^JOSE L")),
    *(("Dr. Jane Doe", "DOE^JANE"), ("Jane Doe Jr.", "DOE^JANE"), ("MacDonald, Ian", "MACDONALD^IAN")),
)
CHANGED_FAMILY = (
    *(("Jane Marie Doe", "Jane Doe Smith"), ("DOE^JANE", "SMITH^JANE"), ("Doe, Jane", "DOE-SMITH^JANE")),
    *(("DOE^JANE^M", "SMITH^JANE^M"), ("Jane Doe", "SMITH^JANE"), ("JONES^JANE", "Jane Smith")),
    *(("GARCIA LOPEZ^JANE", "GARCIA PEREZ^JANE"), ("Doe, Jane Anne", "Smith, Jane A")),
)


def across(kind: str, label: Label, first: Json, second: Json) -> Pair:
    return Pair(kind, label, first, second)


def typing_errors(name: str) -> Iterator[str]:
    """Yield the name with two letters swapped, one left out, one doubled, and one replaced by a neighboring key."""
    place = len(name) // 2
    before, letter, after = name[:place], name[place], name[place + 1 :]
    yield before + after[0] + letter + after[1:]
    yield before + after
    yield before + letter * 2 + after
    yield before + _NEAR_KEYS[letter] + after


def _same_across() -> Iterator[Pair]:
    for one in PEOPLE:
        first = one.said()
        for style in STYLES:
            yield across("name format", "same", first, one.said(style))
            yield across("name format", "same", one.said("caret"), one.said(style, facility="city  medical CENTER"))
        yield across("leading zeros", "same", first, one.said(mrn=f"00{one.mrn}"))
        for changed in (one.mrn.lower(), one.mrn.replace("-", "").replace(" ", ""), f"{one.mrn[:3]}-{one.mrn[3:]}"):
            yield across("MRN spelling", "same", first, one.said("comma", mrn=changed))
        yield across("initial", "same", first, one.said("caret", given=one.given[0]))
        yield across("initial", "same", one.said("comma", given=f"{one.given} Lee"), one.said(given=f"{one.given} L."))
        yield across("beginning", "same", first, one.said("caret", given=one.given[:4]))
        yield across("married name", "same", first, one.said("caret", family=f"{one.family}-Jones"))
        yield across("married name", "same", one.said("comma"), one.said("caret", family="Jones"))
        yield across("default birth date", "same", first, one.said("comma", dateOfBirth="1900-01-01"))
        yield across("default birth date", "same", one.said(dateOfBirth="1901-01-01"), one.said("caret"))
        yield across("partial birth date", "same", first, one.said("caret", dateOfBirth=one.born[:4]))
        yield across("not said", "same", first, one.said("caret", sex=None))
        yield across("not said", "same", first, one.said("comma", dateOfBirth=None))
        typed = next(iter(typing_errors(one.family)))
        yield across("typing error", "same", one.said("caret"), one.said("comma", family=typed))
    known = PEOPLE[0]
    for given in TYPED:
        for wrong in typing_errors(given):
            yield across("typing error", "same", known.said(given=given), known.said("caret", given=wrong))
    for one, other in SHORT_FORMS:
        yield across("short form", "same", known.said("comma", given=one), known.said("caret", given=other))
        yield across("short form", "same", known.said(given=other), known.said(given=one, facility=CITY))
    for first_name, second_name in (*SURNAMES, *CHANGED_FAMILY):
        yield across("surname", "same", known.said(patientName=first_name), known.said(patientName=second_name))
    for before, after, sex in NAMED_NEWBORNS:
        born = known.said(sex=sex, dateOfBirth="2026-01-04")
        yield across("newborn", "same", {**born, "patientName": before}, {**born, "patientName": after})
    for one in PEOPLE[:2]:
        yield across(
            "order not known", "same", one.said(facility=NO_ORDER), one.said(facility=NO_ORDER, family="Jones")
        )


def _different_across() -> Iterator[Pair]:
    known = PEOPLE[0]
    for one, other, sex in TWINS:
        for first, second in (("plain", "plain"), ("caret", "comma"), ("plain", "caret")):
            twin = {"dateOfBirth": "2015-05-06", "sex": sex}
            yield across(
                "twins", "different", known.said(first, given=one, **twin), known.said(second, given=other, **twin)
            )
        unsaid = {"dateOfBirth": "1900-01-01", "sex": sex, "facility": NO_ORDER}
        yield across("twins", "different", known.said(given=one, **unsaid), known.said(given=other, **unsaid))
    for first_name, second_name in UNNAMED_TWINS:
        for born in ("2026-01-04", "1900-01-01"):
            said = known.said(dateOfBirth=born, sex=None)
            yield across(
                "unnamed twins", "different", {**said, "patientName": first_name}, {**said, "patientName": second_name}
            )
    for name in MOTHERS:
        child = known.said(patientName=name, dateOfBirth="2026-01-04", sex=None)
        for born in ("1991-02-03", None, "1900-01-01"):
            mother = known.said("caret", given="Karen", family="Smith", dateOfBirth=born)
            yield across("newborn and mother", "different", mother, child)
    for one, other in zip(PEOPLE, (*PEOPLE[1:], PEOPLE[0]), strict=True):
        first = one.said()
        yield across("MRN used again", "different", first, other.said("caret", mrn=one.mrn))
        yield across("MRN used again", "different", first, other.said("comma", mrn=one.mrn, dateOfBirth=None))
        yield across("MRN used again", "different", first, other.said(mrn=one.mrn, dateOfBirth=one.born, sex=one.sex))
        yield across("MRN used again", "different", first, one.said(dateOfBirth="1999-12-31"))
        yield across("MRN used again", "different", first, one.said(given=other.given, dateOfBirth=None, sex=None))
        yield across("MRN used again", "different", first, one.said("caret", family=other.family, dateOfBirth=None))
        year, month, day = one.born.split("-")
        if int(day) <= 12:  # else it is no date
            swapped = one.said("caret", dateOfBirth=f"{year}-{day}-{month}")
            yield across("day and month swapped", "different", first, swapped)
        yield across("another sex", "different", first, one.said("comma", sex={"male": "female"}.get(one.sex, "male")))
        yield across("two clinics", "different", first, other.said(facility=LAKE, mrn=one.mrn))
        yield across("two clinics", "different", first, one.said(facility=LAKE, given=other.given, sex=None))
        unsaid = {"mrn": "UNKNOWN", "dateOfBirth": None, "sex": None}
        yield across("no number", "different", one.said(**unsaid), other.said("caret", **unsaid))
        yield across("no number", "different", one.said(**unsaid | {"mrn": "12345678"}), one.said(mrn="12345678"))
    for father, son in (("Robert Miller Sr.", "Robert Miller Jr."), ("MILLER^ROBERT^^SR", "MILLER^ROBERT^^JR")):
        said = PEOPLE[1].said(dateOfBirth=None)
        yield across("father and son", "different", {**said, "patientName": father}, {**said, "patientName": son})


def _within() -> Iterator[Pair]:
    for one, other in zip(PEOPLE, (*PEOPLE[1:], PEOPLE[0]), strict=True):
        year, month, day = one.born.split("-")
        corrected: list[tuple[str, Json]] = [
            ("corrected birth date", one.said(dateOfBirth="1986-07-20")),
            ("day and month swapped", one.said("caret", dateOfBirth=f"{year}-{day}-{month}")),
            ("corrected sex", one.said("comma", sex={"male": "female"}.get(one.sex, "male"))),
            ("corrected given name", one.said("caret", given=other.given)),
            ("corrected family name", one.said("caret", family="Jones")),
            ("leading zeros", one.said(mrn=f"000{one.mrn}")),
            ("MRN spelling", one.said(mrn=f"{one.mrn[:2]}-{one.mrn[2:]}".lower())),
            ("MRN spelling", one.said(mrn=f"{one.mrn[:3]} {one.mrn[3:]}", dateOfBirth="1986-07-20")),
            ("no number", one.said(mrn="UNKNOWN")),
            *(("doubtful number", one.said("caret", mrn=mrn)) for mrn in DOUBTFUL),
            ("equal number elsewhere", one.said("comma", facility=LAKE)),
            ("sex not known", one.said("caret", sex="U")),
            ("sex not known", one.said(sex="unknown", dateOfBirth="1986-07-20")),
            ("not said", {}),
            ("not said", {"patientName": one.said("caret")["patientName"], "facilityName": CITY}),
            ("default birth date", one.said("comma", dateOfBirth="1900-01-01")),
        ]
        yield from (Pair(kind, "same", one.said(), said, within=True) for kind, said in corrected)
        others: list[tuple[str, Json]] = [
            ("another person", other.said(mrn=one.mrn)),
            ("another person", one.said(dateOfBirth="1986-07-20", sex={"male": "female"}.get(one.sex, "male"))),
            ("another person", one.said("caret", given=other.given, dateOfBirth="1986-07-20")),
            ("another person", one.said("comma", family="Jones", dateOfBirth="1986-07-20")),
            ("another number", one.said(mrn="X-777")),
            ("another number", one.said("caret", mrn="12345678", dateOfBirth="1986-07-20")),
            ("another number", one.said(mrn="SEE ORDER", family="Jones")),
            ("another number", one.said(mrn="TRAUMA 3", given=other.given)),
            ("equal number elsewhere", one.said(facility=LAKE, dateOfBirth="1986-07-20")),
            ("equal number elsewhere", other.said(facility=LAKE, mrn=one.mrn)),
        ]
        yield from (Pair(kind, "different", one.said(), said, within=True) for kind, said in others)


def pairs() -> tuple[Pair, ...]:
    """All pairs, each once and in both orders; an original without patient data makes no pair."""
    made = (*_same_across(), *_different_across(), *_within())
    turned = (
        replace(one, first=one.second, second=one.first) for one in made if one.second.get("mrn") or not one.within
    )
    return (*made, *turned)
