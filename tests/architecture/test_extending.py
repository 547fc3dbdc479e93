"""docs/extending.md: each file of a recipe that is forgotten is named by a test, with the cure.

Each check is run on the project, and on tables with a gap: a check that finds nothing there could not fail.
"""

from __future__ import annotations

import dataclasses
import inspect
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
from fakes import inbox, recipes
from fakes.inbox import NOW, REPORT, STUDY, Memory
from generators.mapping_documents import SEGMENTS

from gateway.feed.deliver import channel
from gateway.fhir_api.served import BY_TYPE
from gateway.index.parameter_lookup import TYPES, parameters_of
from gateway.routing import Transport
from gateway.routing.transport_from_settings import READERS, TLS_KEYS
from gateway.runtime.metrics import Metrics
from gateway.settings.destination import ONLY_OF, DestinationSettings, Kind
from gateway.settings.model import Settings
from gateway.webhooks import event
from gateway.webhooks.endpoint import HANDLERS, WebhookInbox
from gateway.webhooks.event import Event, Verifier, WebhookDelivery
from gateway.webhooks.worker import NEEDED
from mappings.fhir import to_fhir
from mappings.fhir.judge import class_of
from mappings.fhir.resource_types import CODES, ENDS, RESOURCE_TYPES, ResourceType
from mappings.hl7v2.judge import field_facts
from mappings.hl7v2.lengths import LENGTHS
from mappings.hl7v2.receiver_rules import occasions, written
from mappings.hl7v2.versions import VERSIONS, has
from mappings.model import Facts
from mappings.profile import Receiver, switches
from mappings.study.autoscribe import decode
from mappings.trace.outputs import outputs
from mappings.trace.sample import document, everything, facts, site

# Data of each event that is kept, as AutoScribe sends them
SAMPLES = {
    "report.delivered": {"reportId": REPORT, "studyId": STUDY},
    "patient_study.enrichment_requested": {"studyInstanceUid": "1.2.3", "accessionNumber": "A1"},
}
SEARCHED = {name: parameters_of(name) for name in TYPES}
SERVED = {name for name, row in BY_TYPE.items() if not row.is_binary}
TRANSPORTS = get_args(Transport)
DOCUMENT = recipes.ROOT / "docs" / "extending.md"


@cache
def made():
    """Make the resources of the sample study."""
    given = document()
    head = {key: value for key, value in given.items() if key not in ("reports", "users")}
    return to_fhir(decode(head, given["reports"], given["users"]), site(), facts()).output


MADE = {one["resourceType"] for one in made()}
MEETING = ResourceType("Meeting", "referred", "status name")
WITH_MEETING = {**RESOURCE_TYPES, "Meeting": MEETING}


# A FHIR resource type


def test_a_resource_type_is_in_every_table():
    assert recipes.missing_types(MADE, RESOURCE_TYPES, SERVED, SEARCHED) == []


@pytest.mark.parametrize(
    ("left_out", "file"),
    [
        ("types", "mappings/fhir/resource_types.py"),
        ("made", "mappings/fhir/__init__.py"),
        ("served", "gateway/fhir_api/served.py"),
        ("searched", "gateway/index/parameter_table.py"),
    ],
)
def test_the_table_that_lacks_a_resource_type_is_named(left_out, file):
    tables = {
        "made": {*MADE, "Meeting"},
        "types": WITH_MEETING,
        "served": {*SERVED, "Meeting"},
        "searched": {**SEARCHED, "Meeting": ()},
    }
    now = {"made": MADE, "types": RESOURCE_TYPES, "served": SERVED, "searched": SEARCHED}
    gaps = recipes.missing_types(**{**tables, left_out: now[left_out]})
    [gap] = [one for one in gaps if one.startswith("Meeting ")]
    assert file in gap


def test_a_resource_type_is_where_its_search_parameters_place_it():
    assert list(recipes.misplaced_types(RESOURCE_TYPES, SEARCHED)) == []


@pytest.mark.parametrize(
    ("row", "searched", "words"),
    [
        (ResourceType("Meeting", "member", "name"), (), "no parameter patient in gateway/index/parameter_table.py"),
        (ResourceType("Meeting", "about", "name"), (), "no parameter target in gateway/index/parameter_table.py"),
        (MEETING, (SimpleNamespace(name="patient", targets=()),), "its place in mappings/fhir/resource_types.py"),
    ],
)
def test_a_wrong_place_of_a_resource_type_is_named(row, searched, words):
    gaps = recipes.misplaced_types({"Meeting": row}, {"Meeting": searched})
    assert any(words in gap for gap in gaps)


def test_a_type_that_a_patient_s_resources_refer_to_is_served_with_them():
    apart = {**RESOURCE_TYPES, "Practitioner": dataclasses.replace(RESOURCE_TYPES["Practitioner"], place="apart")}
    gaps = " ".join(recipes.misplaced_types(apart, SEARCHED))
    assert "Practitioner is referred to by DiagnosticReport.performer" in gaps


def test_every_required_binding_of_what_is_made_is_checked():
    assert sorted(set(recipes.unchecked_codes(made(), CODES, class_of))) == []
    without = {key: codes for key, codes in CODES.items() if key != ("Patient", "gender")}
    gap = "Patient.gender has a required binding: add its codes to CODES of mappings/fhir/resource_types.py"
    assert gap in recipes.unchecked_codes(made(), without, class_of)


def test_every_type_of_one_study_says_how_it_ends():
    assert recipes.unsaid_ends(RESOURCE_TYPES, ENDS) == []
    [gap] = recipes.unsaid_ends({"Media": ResourceType("Media", "member", "status")}, ENDS)
    assert gap.startswith("Media has no row in ENDS of mappings/fhir/resource_types.py")


def test_every_profile_that_is_claimed_is_named_by_the_facade():
    profiles = {name: row.profiles for name, row in BY_TYPE.items()}
    assert list(recipes.unnamed_profiles(made(), profiles)) == []
    gaps = recipes.unnamed_profiles(made(), {**profiles, "Organization": ()})
    assert any(gap.startswith("Organization claims http") for gap in gaps)


# A segment of HL7 v2


@cache
def sent():
    """Names of the segments that the sample's messages have, and those of the specimen of a receiver of PDFs."""
    targets = outputs(document(), site(), everything(), Facts()).hl7v2_targets()
    pdf = dataclasses.replace(everything(), pdf="ed")
    more = (
        line[:3].decode() for one in occasions() for body in written(one, pdf) for line in body.split(b"\r") if line
    )
    return {target[:3] for target in targets} | set(more)


def is_known(segment, version):
    return bool(field_facts(segment, version))


FIELDS = {one.name: one.fields for one in SEGMENTS}


def test_a_segment_is_in_every_table():
    assert list(recipes.missing_segments(FIELDS, sent(), LENGTHS, has, is_known, VERSIONS)) == []
    listed = {(one.module.__name__.rpartition(".")[2], one.variable or one.name) for one in SEGMENTS}
    assert list(recipes.unlisted_tables(recipes.ROOT / "mappings" / "hl7v2", listed)) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tables": FIELDS}, "UAC is sent, and has no row in SEGMENTS of docs/generators/mapping_documents.py"),
        ({"sent": {"MSH"}}, "write it in `_segments` of mappings/hl7v2/oru_r01.py"),
        ({"lengths": LENGTHS}, "UAC has no length of field 1 in LENGTHS of mappings/hl7v2/lengths.py"),
        ({}, "UAC is not in HL7 v2.3: add a row to MISSING of mappings/hl7v2/versions.py"),
    ],
)
def test_the_table_that_lacks_a_segment_is_named(changes, words):
    tables = {"tables": {**FIELDS, "UAC": {1: "x"}}, "sent": {*sent(), "UAC"}, "lengths": {**LENGTHS, "UAC": {1: 9}}}
    gaps = recipes.missing_segments(**{**tables, **changes}, has=has, is_known=is_known, versions=VERSIONS)
    assert any(words in gap for gap in gaps)


def test_a_field_table_that_no_document_lists_is_named(tmp_path: Path):
    (tmp_path / "uac.py").write_text("UAC: Final[Table[Result]] = {}\n")
    assert len(list(recipes.unlisted_tables(tmp_path, {("uac", "OTHER")}))) == 1


# A switch of a receiver profile


def test_every_switch_that_is_read_is_declared_and_the_other_way_round():
    names = {one.name for one in dataclasses.fields(Receiver)} | {"takes_pdf"}
    read = list(recipes.attributes_of("receiver", recipes.sources("mappings/hl7v2", "mappings/life")))
    assert len(read) > 50
    assert list(recipes.undeclared_switches(names, read)) == []
    everywhere = recipes.sources("mappings/hl7v2", "mappings/life", "gateway")
    found = {name for owner in ("receiver", "_receiver") for _, name in recipes.attributes_of(owner, everywhere)}
    in_conflicts_alone = {"zsegments"}  # it writes nothing, and refuses a profile that does
    assert recipes.unread_switches(switches().keys() - in_conflicts_alone, found) == []


def test_a_switch_that_is_read_or_declared_alone_is_named():
    [gap] = recipes.undeclared_switches({"text"}, [("mappings/hl7v2/obx.py", "text"), ("mappings/hl7v2/obx.py", "hue")])
    assert (
        gap
        == "mappings/hl7v2/obx.py reads receiver.hue: declare the switch in Receiver of mappings/profile/receiver.py"
    )
    [gap] = recipes.unread_switches({"text", "hue"}, {"text"})
    assert gap.startswith("hue of mappings/profile/receiver.py is read nowhere")


# A kind of destination

KINDS = get_args(Kind)
NO_KIND = type("NoKind", (), {"kind": "pigeon", "key": "pigeon"})


def test_a_kind_of_destination_is_in_every_table():
    assert list(recipes.missing_kinds(KINDS, TRANSPORTS, READERS, TLS_KEYS, ONLY_OF)) == []
    assert recipes.missing_channels(TRANSPORTS, inspect.getsource(channel)) == []
    said = {name: one.description or "" for name, one in DestinationSettings.model_fields.items()}
    assert recipes.unread_keys(said, KINDS, ONLY_OF.keys()) == []


@pytest.mark.parametrize(
    ("left_out", "words"),
    [
        ("kinds", "add it to Kind of gateway/settings/destination.py"),
        ("transports", "add one with kind = 'pigeon' to gateway/routing/transport.py"),
        ("readers", "add one to READERS of gateway/routing/transport_from_settings.py"),
        ("tls", "TLS_KEYS of gateway/routing/transport_from_settings.py"),
        ("only_of", "say so in ONLY_OF of gateway/settings/destination.py"),
    ],
)
def test_the_table_that_lacks_a_kind_of_destination_is_named(left_out, words):
    now = {"kinds": KINDS, "transports": TRANSPORTS, "readers": READERS, "tls": TLS_KEYS, "only_of": ONLY_OF}
    tables = {
        "kinds": (*KINDS, "pigeon"),
        "transports": (*TRANSPORTS, NO_KIND),
        "readers": {**READERS, "pigeon": None},
        "tls": {**TLS_KEYS, "pigeon": None},
        "only_of": {**ONLY_OF, "pigeon": ("pigeon",)},
    }
    assert [gap for gap in recipes.missing_kinds(**tables) if gap.startswith("pigeon")] == []
    [gap] = [gap for gap in recipes.missing_kinds(**{**tables, left_out: now[left_out]}) if gap.startswith("pigeon")]
    assert words in gap


def test_a_transport_without_a_channel_and_a_key_without_a_kind_are_named():
    [gap] = recipes.missing_channels([NO_KIND], inspect.getsource(channel))
    assert gap.endswith("add one, and a branch of `channel` in gateway/feed/deliver/channel.py")
    [gap] = recipes.unread_keys({"pigeon": "pigeon: file that grows."}, ["pigeon"], {"host"})
    assert gap == "pigeon is described as of one kind: say so in ONLY_OF of gateway/settings/destination.py"


# A webhook event


def test_every_event_that_has_a_name_has_a_handler():
    kinds = recipes.event_kinds(vars(event))
    assert recipes.unhandled_events(kinds, HANDLERS.keys()) == []
    assert set(kinds) == set(HANDLERS)
    gap = recipes.unhandled_events(["report.invented"], HANDLERS.keys())[0]
    assert gap.startswith("report.invented has no handler: add one to HANDLERS of gateway/webhooks/endpoint.py")


@pytest.mark.parametrize("kind", HANDLERS)
async def test_an_event_that_is_recorded_has_what_the_worker_needs(kind):
    assert kind in SAMPLES, f"{kind} has no data in SAMPLES of tests/architecture/test_extending.py"
    memory = Memory()
    at_hand = WebhookInbox(Verifier([inbox.KEY]), memory, memory, Metrics(), lambda: None)
    await HANDLERS[kind](at_hand, WebhookDelivery("msg_1", NOW, ""), Event("whe_1", kind, SAMPLES[kind]))
    bodies = [row.body for row in memory.rows.values()]
    assert bodies or memory.kept
    assert recipes.unworkable_events(kind, bodies, NEEDED) == []


def test_an_event_that_the_worker_would_give_up_is_named():
    [gap] = recipes.unworkable_events("report.withdrawn", [{"reportId": REPORT}], NEEDED)
    assert gap.endswith("is recorded without studyId, and given up: see NEEDED of gateway/webhooks/worker.py")


# A setting


def groups():
    """Names that the class of each section has: its settings, and what it derives from them."""
    classes = {name: one.annotation for name, one in Settings.model_fields.items()}
    return {section: {*dir(one), *one.model_fields} for section, one in classes.items() if hasattr(one, "model_fields")}


def test_every_setting_that_is_read_is_declared(tmp_path: Path):
    assert len(groups()) > 5
    assert list(recipes.undeclared_settings(groups(), recipes.sources("gateway"))) == []
    (tmp_path / "crawl.py").write_text("wait = self.settings.sync.colour\n")
    [gap] = recipes.undeclared_settings(groups(), [tmp_path / "crawl.py"])
    assert gap == "crawl.py reads settings.sync.colour: declare it in gateway/settings/, in the class of [sync]"


# The document


def test_each_recipe_has_at_most_five_files_and_each_file_and_name_is_there():
    text = DOCUMENT.read_text("utf-8")
    assert text.count("\n## ") == 7
    assert list(recipes.recipe_faults(text)) == []


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ("1. `mappings/fhir/meeting.py`: add it.", "mappings/fhir/meeting.py is no file"),
        (
            "1. `mappings/fhir/resource_types.py`: add it\n   to `ENDINGS`.",
            "mappings/fhir/resource_types.py has no ENDINGS",
        ),
        ("1. `mappings/fhir/resource_types.py`: call `ended()`.", "mappings/fhir/resource_types.py has no ended()"),
        ("\n".join(f"{n}. `LICENSE`: add it." for n in range(1, 7)), "6 files"),
    ],
)
def test_a_recipe_that_names_what_is_not_there_is_refused(step, fault):
    assert f"A thing: {fault}" in list(recipes.recipe_faults(f"# T\n\n## A thing\n\n{step}\n"))
