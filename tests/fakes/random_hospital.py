"""Random hospitals of two facilities with equal numbers: messages, merges, studies, and the truth about each study.

The code of an order's procedure is the order's name in the truth. Matching never reads it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from fakes.hospital import AUTHORITIES, CITY, MERCY, NOW, event, number, report, snapshot, study

from mappings.hospital.authorities import OrderSource
from mappings.hospital.events import CodedText, HospitalMessage, HospitalPatient, NumberChange, OrderEvent
from mappings.hospital.groups import Merges, ResolvedChange, indexed, merged, resolve_change
from mappings.hospital.known_order import KnownOrder, applied
from mappings.hospital.match import KnownHospital, Match, match, order_search
from mappings.model import Facts, Study
from mappings.patient.subjects import subjects

FAMILIES = ("Doe", "Roe", "Garcia", "Nguyen", "Smith", "Miller", "Okafor", "Rossi", "Haddad", "Kowalski")
WOMEN = ("Jane", "Maria", "Linh", "Amara", "Giulia", "Noor", "Zofia", "Grace", "Helen", "Ruth")
MEN = ("John", "Carlos", "Minh", "Chidi", "Marco", "Omar", "Jan", "Peter", "Frank", "Walter")


@dataclass(frozen=True)
class Somebody:
    """A patient of one facility."""

    source: OrderSource
    mrn: str
    family: str
    given: str
    born: str
    sex: str

    def as_pid(self, mrn: str | None = None, **changes: str) -> HospitalPatient:
        numbers = (number(mrn or self.mrn, type_code="MR"),)
        sex = "F" if self.sex == "female" else "M"
        told = {
            "family": self.family.upper(),
            "given": self.given.upper(),
            "born": self.born.replace("-", ""),
            "sex": sex,
        }
        return HospitalPatient(numbers=numbers, **told | changes)  # type: ignore[arg-type]


@dataclass
class Told:
    """A message about one order, named by `code`."""

    code: str
    source: OrderSource
    event: OrderEvent
    message: HospitalMessage


@dataclass
class Workflow:
    """One study, with the codes of the orders that it answers, or the reason for which it answers none."""

    kind: str
    study: Study
    truth: frozenset[str] = frozenset()
    reason: str = ""


@dataclass
class RandomHospital:
    """A hospital that `workflow` fills with messages; `matched` asks the code about a study."""

    seed: int
    told: list[Told] = field(default_factory=list)
    merges: list[ResolvedChange] = field(default_factory=list)
    last_number: dict[str, int] = field(default_factory=lambda: {"City": 1000, "Mercy": 1000})
    last_mrn: dict[str, int] = field(default_factory=lambda: {"City": 50200, "Mercy": 50200})
    orders: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    # Making

    def somebody(self, source: OrderSource | None = None) -> Somebody:
        source = source or self.random.choice((CITY, MERCY))
        sex = self.random.choice(("female", "male"))
        born = (
            f"{self.random.randrange(1930, 2020)}-{self.random.randrange(1, 13):02}-{self.random.randrange(1, 29):02}"
        )
        given = self.random.choice(WOMEN if sex == "female" else MEN)
        return Somebody(source, self.new_mrn(source), self.random.choice(FAMILIES), given, born, sex)

    def new_mrn(self, source: OrderSource) -> str:
        self.last_mrn[source.facility] += 1
        return f"{self.last_mrn[source.facility]:06}"

    def twin_of(self, one: Somebody) -> Somebody:
        names = [name for name in (WOMEN if one.sex == "female" else MEN) if name != one.given]
        return replace(one, mrn=self.new_mrn(one.source), given=self.random.choice(names))

    def new_number(self, source: OrderSource) -> str:
        self.last_number[source.facility] += 1
        return str(self.last_number[source.facility])

    def day(self) -> datetime:
        return datetime(2026, 1, 1, 8, tzinfo=UTC) + timedelta(days=self.random.randrange(120))

    def order(
        self, one: Somebody, accession: str, day: datetime, about: HospitalPatient | None = None, **changes: Any
    ) -> str:
        """Send a new order of somebody, with some of the messages that follow one; return its code."""
        self.orders += 1
        code = f"O{self.orders}"
        source = changes.pop("source", one.source)
        base = {
            "placer": f"P{self.orders}",
            "filler": f"F{self.orders}",
            "accession": accession,
            "procedure": CodedText(code),
        }
        full = {**base, **changes}
        about = about or one.as_pid()
        begun = day - timedelta(hours=self.random.randrange(1, 72))
        self.tell(code, source, begun, about, "open", **full)
        for later in range(self.random.randrange(3)):
            self.tell(code, source, begun + timedelta(minutes=10 + later), about, "change", **full)
        if self.random.random() < 0.2:
            self.told.append(self.random.choice(self.told))
        return code

    def tell(
        self, code: str, source: OrderSource, at: datetime, about: HospitalPatient, effect: str, **numbers: Any
    ) -> None:
        one = event(effect, **numbers)
        sender = (source.name, source.facility)
        message = HospitalMessage(
            "ORM^O01", "O01", str(len(self.told)), sender, (at,), ("MSH-7",), patient=about, orders=(one,)
        )
        self.told.append(Told(code, source, one, message))

    def cancel(self, code: str, at: datetime) -> None:
        first = next(one for one in self.told if one.code == code)
        numbers = {"placer": first.event.placer, "filler": first.event.filler, "accession": None}
        self.tell(code, first.source, at, first.message.patient, "cancel", procedure=CodedText(code), **numbers)

    def merge(self, source: OrderSource, old: str, new: str) -> None:
        change = NumberChange("patient", number(new, type_code="MR"), number(old))
        self.merges.append(resolve_change(change, AUTHORITIES, source))

    def study(self, one: Somebody, day: datetime, accession: str = "", placer: str = "", **changes: Any) -> Study:
        family, first = one.family, one.given
        spelled = self.random.choice(
            (f"{first} {family}", f"{family}, {first}".upper(), f"{family}^{first}^Q", f"{first} Q. {family}")
        )
        given = {"patient_name": spelled, "mrn": one.mrn, "date_of_birth": one.born, "sex": one.sex}
        given |= {"facility_name": one.source.facility, "study_date": day.date().isoformat(), **changes}
        if self.random.random() < 0.2 and given["mrn"]:
            given["mrn"] = given["mrn"].lstrip("0")
        own = f"{self.random.getrandbits(128):032x}"
        given.setdefault("study_instance_uid", f"1.2.{int(own[:12], 16)}")
        return study(accession, placer, study_id=f"stu_{own}", **given)

    # Asking

    def known(self) -> KnownHospital:
        """Apply all messages: each order's are late at random, the hospital's are mixed."""
        orders: dict[tuple[str, str], KnownOrder] = {}
        mixed = sorted(self.told, key=lambda _: self.random.random())
        for minute, one in enumerate(mixed):
            place = (one.code, one.source.name)
            arrived = NOW + timedelta(minutes=minute)
            now = applied(orders.get(place), one.event, one.message, one.source, arrived).order
            if now:
                orders[place] = now
        return KnownHospital(indexed(orders.values(), AUTHORITIES), AUTHORITIES, self.all_merges())

    def all_merges(self) -> Merges:
        return merged(self.merges)


def answer(one: Study, known: KnownHospital) -> Match:
    """Match a study of the hospital."""
    own = next(iter(subjects(one, one.reports, AUTHORITIES.site, Facts()).values()))
    return match(order_search(one, own, AUTHORITIES, Facts()), known, NOW)


Make = Callable[[RandomHospital], Workflow]


def plain(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    accession = here.new_number(one.source)
    codes = [here.order(one, accession, day) for _ in range(here.random.choice((1, 1, 2, 3)))]
    placer = f"P{codes[0][1:]}"
    given = here.random.choice(((accession, ""), (accession, placer), ("", placer)))
    return Workflow("plain", here.study(one, day, *given), frozenset(codes))


def two_accessions(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    numbers = [here.new_number(one.source) for _ in range(2)]
    codes = [here.order(one, accession, day) for accession in numbers]
    return Workflow("two accessions", here.study(one, day, ",".join(numbers)), frozenset(codes))


def placer_late(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    accession = here.new_number(one.source)
    code = here.order(one, accession, day, placer=None)
    here.tell(
        code, one.source, day, one.as_pid(), "number", placer=f"P{code[1:]}", filler=f"F{code[1:]}", accession=None
    )
    return Workflow("placer late", here.study(one, day, "", f"P{code[1:]}"), frozenset([code]))


def one_cancelled(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    accession = here.new_number(one.source)
    codes = [here.order(one, accession, day) for _ in range(2)]
    here.cancel(codes[0], day)
    return Workflow("one of a group cancelled", here.study(one, day, accession), frozenset(codes[1:]))


def entered_again(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    accession = here.new_number(one.source)
    here.cancel(here.order(here.somebody(one.source), accession, day), day)
    code = here.order(one, accession, day)
    return Workflow("cancelled for another and entered again", here.study(one, day, accession), frozenset([code]))


def replaced(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    accession = here.new_number(one.source)
    old = here.order(one, accession, day)
    new = here.order(one, here.new_number(one.source), day)
    end = event("replaced", placer=f"P{old[1:]}", filler=f"F{old[1:]}", accession=None, procedure=CodedText(old))
    heir = event("open", placer=f"P{new[1:]}", filler=f"F{new[1:]}", parent_placer=number(f"P{old[1:]}"))
    sender = (one.source.name, one.source.facility)
    message = HospitalMessage(
        "ORM^O01", "O01", "R", sender, (day,), ("MSH-7",), patient=one.as_pid(), orders=(end, heir)
    )
    here.told.append(Told(old, one.source, end, message))
    return Workflow("replaced", here.study(one, day, accession), frozenset([new]))


def merged_number(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    accession = here.new_number(one.source)
    between, new = here.new_mrn(one.source), here.new_mrn(one.source)
    pairs = [(one.mrn, between), (between, new)]
    here.random.shuffle(pairs)
    for pair in pairs:
        here.merge(one.source, *pair)
    told, said = here.random.sample((one.mrn, between, new), 2)
    code = here.order(one, accession, day, one.as_pid(told))
    return Workflow("merged", here.study(one, day, accession, mrn=said), frozenset([code]))


def other_uid(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    accession = here.new_number(one.source)
    code = here.order(one, accession, day, study_uids=("1.9.9",))
    return Workflow("another study UID", here.study(one, day, accession), frozenset([code]))


def reused_long_ago(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    accession = here.new_number(one.source)
    before = here.random.choice((one, here.somebody(one.source)))
    here.order(before, accession, day - timedelta(days=here.random.randrange(410, 2000)))
    code = here.order(one, accession, day)
    return Workflow("reused after years", here.study(one, day, accession), frozenset([code]))


def reused_soon(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    accession = here.new_number(one.source)
    here.order(here.random.choice((here.twin_of(one), here.somebody(one.source))), accession, day - timedelta(days=90))
    code = here.order(one, accession, day)
    return Workflow("reused for another within days", here.study(one, day, accession), frozenset([code]))


def two_senders(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    accession = here.new_number(one.source)
    code = here.order(one, accession, day)
    ris = replace(one.source, name=f"{one.source.name}-ris")
    numbers = {"placer": f"P{code[1:]}", "filler": f"F{code[1:]}", "accession": accession}
    here.tell(code, ris, day, one.as_pid(), "open", procedure=CodedText(code), **numbers)
    return Workflow("two senders", here.study(one, day, accession), frozenset([code]))


def married(here: RandomHospital) -> Workflow:
    one, day = replace(here.somebody(), family="Doe"), here.day()
    accession = here.new_number(one.source)
    code = here.order(one, accession, day)
    return Workflow("married", here.study(replace(one, family="Roe"), day, accession), frozenset([code]))


def other_patient(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    accession = here.new_number(one.source)
    here.order(here.random.choice((here.twin_of(one), here.somebody(one.source))), accession, day)
    return Workflow("another's number", here.study(one, day, accession), reason="patient-number-differs")


def twin_without_number(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    accession = here.new_number(one.source)
    here.order(here.twin_of(one), accession, day)
    return Workflow("a twin's number", here.study(one, day, accession, mrn=None), reason="patient-conflict")


def cancelled(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    accession = here.new_number(one.source)
    here.cancel(here.order(one, accession, day), day)
    return Workflow("cancelled", here.study(one, day, accession), reason="order-cancelled")


def two_orders_mixed(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    accession = here.new_number(one.source)
    here.order(one, accession, day)
    other = here.order(one, here.new_number(one.source), day)
    return Workflow("numbers of two orders", here.study(one, day, accession, f"P{other[1:]}"), reason="keys-disagree")


def nowhere(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    accession = here.new_number(one.source)
    here.order(one, accession, day)
    return Workflow("unknown facility", here.study(one, day, accession, facility_name="X"), reason="facility-unknown")


def without_order(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    here.order(one, here.new_number(one.source), day)
    if here.random.random() < 0.5:
        return Workflow("no number", here.study(one, day), reason="no-number")
    return Workflow("no order", here.study(one, day, here.new_number(one.source)), reason="no-order")


def only_old(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    accession = here.new_number(one.source)
    here.order(one, accession, day - timedelta(days=here.random.randrange(410, 2000)))
    return Workflow("only an old order", here.study(one, day, accession), reason="accession-reused")


def swapped(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    accession = here.new_number(one.source)
    here.order(one, accession, day)
    other = here.new_mrn(one.source)
    here.merge(one.source, one.mrn, other)
    here.merge(one.source, other, one.mrn)
    return Workflow("swapped", here.study(one, day, accession), reason="merge-held")


def reused_unsaid(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    accession = here.new_number(one.source)
    here.order(here.somebody(one.source), accession, day - timedelta(days=90))
    here.order(one, accession, day)
    return Workflow("reused, without MRN", here.study(one, day, accession, mrn=None), reason="several-groups")


def contradictory(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    accession = here.new_number(one.source)
    here.order(one, accession, day)
    here.order(one, accession, day, one.as_pid(sex="M" if one.sex == "female" else "F"))
    return Workflow("contradictory group", here.study(one, day, accession), reason="group-contradictory")


def disputed(here: RandomHospital) -> Workflow:
    one, day = here.somebody(), here.day()
    accession = here.new_number(one.source)
    here.order(one, accession, day)
    made = here.study(one, day, accession)
    other = snapshot(mrn="999888", patient_name="Someone Else", facility_name=one.source.facility)
    made = replace(made, reports=(*made.reports, report("4", made.study_id, snapshot=other)))
    return Workflow("disputed", made, reason="identity-conflict")


CLEAN: tuple[Make, ...] = (
    *(plain, plain, plain, two_accessions, placer_late, one_cancelled, entered_again, replaced, merged_number),
    *(other_uid, reused_long_ago, reused_soon, two_senders, married),
)
DIRTY: tuple[Make, ...] = (
    *(other_patient, twin_without_number, cancelled, two_orders_mixed, nowhere, without_order, only_old, swapped),
    *(reused_unsaid, contradictory, disputed),
)


def workflows(seed: int, count: int) -> tuple[RandomHospital, list[Workflow]]:
    """Make a hospital with `count` studies, two thirds of them without a contradiction."""
    here = RandomHospital(seed)
    made = [here.random.choice(CLEAN if here.random.random() < 2 / 3 else DIRTY)(here) for _ in range(count)]
    return here, made
