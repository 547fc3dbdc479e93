"""Studies for third-party parsers: the golden cases, a seeded account, and texts made to break parsers.

Each is one `convert` document; its messages and resources are what `gateway.cli.convert` makes of it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

from fakes.scale import IS_WHOLE, examples
from fakes.seeded import documents

from gateway.cli.convert import Request, convert, read
from gateway.sandbox import people
from gateway.sandbox.seed import generate
from mappings import to_fhir, to_oru
from mappings.codes import CHARSETS
from mappings.hl7v2.oru_r01 import messages_of_all
from mappings.life.changes import Change, changes
from mappings.model import Facts, Study
from mappings.patient.identifiers import message_control_id
from mappings.profile import RECEIVERS, Receiver, Site, parse_site, receiver, switches

Json = dict[str, Any]
GOLDEN = Path(__file__).parents[1] / "golden"
AT = datetime(2026, 1, 5, 20, 30, 14, tzinfo=UTC)
BASE_URL = "http://127.0.0.1:8800/fhir"
SEEDED = examples(1_700)  # at fewer than 160 an accepted difference may not occur

# Where a parser that splits, trims, unescapes or decodes too early goes wrong
NASTY: dict[str, str] = {
    "delimiters": "|^~\\&\n|||\n^^^ and ~~~\n&\n\\\nMSH|^~\\&|A|B\nOBX|1|TX|a^b^c",
    "escapes that are text": r"\F\ \S\ \T\ \R\ \E\ \X0D\ \X\ \.br\ \.sp 3\ \H\bold\N\ \Z1\ \C2842\ " + "\\",
    "escapes in pieces": "\\E\\F\\E\\ \\\\F\\\\ \\\\\\ C:\\temp\\report\\final \\.br \\ .br\\",
    "null": '""\n"" \n"""" and ""\nFINDINGS:\n""',
    "blanks": "  two before, two behind  \n\n\n    indented\n \n   \nlast ",
    "tabs and controls": "a\tb\x00c\x07d\x1be\x7ff\x0bg\x0ch\x1ci\x85j\u2028k\u2029l\rm\r\nn",
    "scripts": "肺野清晰 ללא ממצאים رئة טקסט \U0001fac1 e\u0301 \u202eRTL\u202c \ufeff ß ﬁ Å",
    "one long line": "FINDINGS: " + "No abnormality is seen here; a|b^c~d\\e&f. " * 400,
    "one long word": "x" * 12_000,
    "markup": "<b>IMPRESSION:</b> &amp; &lt; &#10; %0D %s {0} ${x} `y` 'z' \"w\"",
    "many lines": "\n".join(f"IMPRESSION: line {number} of many" for number in range(300)),
    "headings": "IMPRESSION: a\nFINDINGS: b\nADDENDUM (x): c\nIMPRESSION:\n\nFINDINGS: d",
}  # fmt: skip
SENT_BEFORE = ("final-ct", "addendum", "critical", "two-patients", "no-headings", "delimiters", "no-text", "no-mrn")
_SANDBOX = """
[mapping]
sending_facility = "SANDBOX"
receiving_application = "EHR"
accession_keys = ["accession"]
placer_keys = ["order"]
"""
# The nastiest text also stands where a value of one line goes
_ONE_LINE = 'a|b^c~d\\e&f \\.br\\ \\T\\ "" 肺 e\u0301'


@dataclass(frozen=True, slots=True)
class Case:
    """One study: `document` as `convert` takes it, its site, and as it was when it was sent before."""

    name: str
    document: bytes
    site: Site
    before: bytes | None = None

    def study(self) -> Study:
        """The study, decoded."""
        return _decoded(self.document)

    def change(self) -> Change:
        """Change since the previous version of the case was sent."""
        return changes(_decoded(self.before) if self.before else None, self.study(), self.site)

    def messages(self, to: Receiver) -> list[str]:
        """Its HL7 v2 messages to a receiver."""
        made = self._later_messages(to) if self.before else self._converted("hl7v2", to)
        return ["MSH" + part for part in ("\r" + made.decode(CHARSETS[to.charset])).split("\rMSH")[1:]]

    def resources(self) -> list[Json]:
        """Its FHIR resources."""
        if self.before:
            found = self.change()
            return list(to_fhir(found.study, self.site, Facts(corrected=found.corrected)).output)
        made = self._converted("fhir", receiver("generic"))
        return [entry["resource"] for entry in json.loads(made).get("entry", ())]

    def _converted(self, to: Literal["fhir", "hl7v2"], receiver: Receiver) -> bytes:
        return convert(self.document, Request(to, self.site, BASE_URL, receiver, AT)).output

    def _later_messages(self, to: Receiver) -> bytes:
        found = self.change()
        facts = Facts(corrected=found.corrected)
        sent = [replace(cause, sent_before=True) for cause in found.causes]
        asked = messages_of_all(found.study, sent, self.site, to, facts)
        made = [
            to_oru(found.study, cause, self.site, to, facts, control_id=message_control_id(cause, "later"), at=AT)
            for cause in asked
        ]
        return b"".join(one.output for one in made if one.output)


@dataclass(frozen=True, slots=True)
class Message:
    """One message, as text, of a case to a receiver."""

    case: str
    receiver: str
    text: str


def receivers() -> dict[str, Receiver]:
    """Every receiver profile, and one for each other form that text can take."""
    plain = receiver("generic")
    forms = {f"text={form}": replace(plain, text=form) for form in switches()["text"].metadata["values"]}
    return {**{name: _told(receiver(name)) for name in RECEIVERS}, **forms}


def _told(to: Receiver) -> Receiver:
    """The profile of a VistA without the numbers that a study's metadata rarely say: the exam, and its accession."""
    if to.vista_patient == "off":
        return to
    return replace(to, vista_exam="off", accession="optional")


@cache
def messages() -> tuple[Message, ...]:
    """Every message of every case to every receiver profile, and of all but the seeded to every form of text.

    Unless the run is whole, a seeded case goes to the generic profile and to one more, each in turn.
    """
    return tuple(
        Message(case.name, name, text)
        for name, to in receivers().items()
        for case in cases()
        if not case.name.startswith("seed/") or _takes_seeded(name, int(case.name.partition("/")[2]))
        for text in case.messages(to)
    )


def _takes_seeded(name: str, number: int) -> bool:
    return name in RECEIVERS and (IS_WHOLE or name in ("generic", list(RECEIVERS)[number % len(RECEIVERS)]))


@cache
def cases() -> tuple[Case, ...]:
    """Every study, the golden cases first."""
    return (*_golden(), *_seeded(), *_nasty(), *_later(), *_drafts())


def sandbox_site() -> Site:
    """Build a site with settings for all known facilities of the sandbox."""
    known = [place for place in people.FACILITIES if place.is_known]
    tables = [
        f"[[mapping.facilities]]\nname = {json.dumps(place.name)}\ntime_zone = {json.dumps(place.time_zone)}\n"
        f"name_order = {json.dumps(place.name_order)}\nmrn_system = {json.dumps(place.mrn_system)}\n"
        f"mrn_namespace = {json.dumps(place.mrn_namespace)}\n"
        for place in known
    ]
    return parse_site(_SANDBOX + "\n".join(tables))


def golden_site() -> Site:
    """The site of the golden cases."""
    return parse_site((GOLDEN / "site.toml").read_text())


def _golden() -> Iterator[Case]:
    site = golden_site()
    for path in sorted(GOLDEN.glob("*/wire.json")):
        yield Case(f"golden/{path.parent.name}", path.read_bytes(), site)


def _seeded() -> Iterator[Case]:
    site = sandbox_site()
    for number, (study, response, users) in enumerate(documents(generate(seed=23, studies=SEEDED))):
        orders = {"accession": f"ACC-{number:05}", "order": f"ORD-{number:05}"} if number % 2 else {}
        metadata = {**study.get("metadata", {}), **orders}
        document = {**study, "metadata": metadata, "reports": response["reports"], "users": users}
        yield Case(f"seed/{number}", json.dumps(document).encode(), site)


def _later() -> Iterator[Case]:
    """Golden studies that were sent before: with another text, with another critical flag, cancelled and withdrawn."""
    site = golden_site()
    for name in SENT_BEFORE:
        before = (GOLDEN / name / "wire.json").read_bytes()
        for index, report in enumerate(json.loads(before)["reports"]):
            if report["status"] != "completed":
                continue
            changed = {"reportPlainText": f"{report.get('reportPlainText') or ''}\nCorrected: left, not right."}
            flagged = {"isCritical": not report.get("isCritical")}
            for kind, values in (("corrected", changed), ("flagged", flagged)):
                document = json.loads(before)
                document["reports"][index].update(values)
                yield Case(f"later/{name} {index} {kind}", json.dumps(document).encode(), site, before)
        cancelled = {**json.loads(before), "isCancelled": True}
        withdrawing = replace(site, on_cancelled_after_sign="withdraw")
        yield Case(f"later/{name} withdrawn", json.dumps(cancelled).encode(), withdrawing, before)


def _drafts() -> Iterator[Case]:
    """Golden studies with a draft, for a site that lets drafts out."""
    site = replace(golden_site(), send_drafts=True)
    for name in ("draft", "addendum-open"):
        yield Case(f"draft/{name}", (GOLDEN / name / "wire.json").read_bytes(), site)


def _decoded(document: bytes) -> Study:
    return read(document)[0][0]


def _nasty() -> Iterator[Case]:
    """A golden study with each nasty text as its report, and the nastiest line in every short text of it."""
    site = golden_site()
    plain = json.loads((GOLDEN / "final-ct" / "wire.json").read_bytes())
    for name, text in NASTY.items():
        document = copy.deepcopy(plain)
        document["reports"][0]["reportPlainText"] = text
        yield Case(f"nasty/{name}", json.dumps(document).encode(), site)
    for key in ("patientName", "procedure", "referringPhysicianName", "mrn"):
        document = copy.deepcopy(plain)
        document["reports"][0]["snapshotMetadata"][key] = _ONE_LINE
        yield Case(f"nasty/{key}", json.dumps(document).encode(), site)
