"""An audit entry says who saw what, in one canonical line, and no text of a patient."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit import audit_entry
from gateway.audit.audit_entry import (
    MOST_BYTES,
    UNKNOWN_NAME,
    AuditEntry,
    EntryUnreadableError,
    parsed,
    printed,
    printed_access,
    printed_parts,
    sealed_parameters,
    values_key,
)

KEY = values_key(b"site")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
TEXTS = st.lists(TEXT, max_size=4).map(tuple)
NUMBER = st.integers(0, 2**53)
ENTRIES = st.builds(
    AuditEntry,
    at=NUMBER,
    kind=st.sampled_from(["read", "search", "act", "refusal"]),
    client=TEXT,
    user=TEXT,
    host=TEXT,
    address=TEXT,
    request=TEXT,
    route=TEXT,
    status=NUMBER,
    code=TEXT,
    shown=TEXTS,
    shown_count=NUMBER,
    patients=TEXTS,
    patient_count=NUMBER,
    parameters=st.lists(st.tuples(TEXT, TEXT), max_size=4).map(tuple),
    why=TEXT,
    part=NUMBER,
    is_cut=st.booleans(),
)


@given(ENTRIES)
def test_what_was_printed_is_read_back_and_takes_one_line(entry):
    text = printed(entry).encode("ascii")
    assert parsed(text) == entry
    assert b"\n" not in text


@pytest.mark.full
@given(ENTRIES, st.data())
@settings(max_examples=200)
def test_a_text_that_is_read_is_the_only_spelling_of_its_entry(entry, data):
    text = printed(entry).encode("ascii")
    at = data.draw(st.integers(0, len(text) - 1))
    other = text[:at] + bytes([data.draw(st.integers(0, 255))]) + text[at + 1 :]
    try:
        read = parsed(other)
    except EntryUnreadableError:
        return
    assert printed(read).encode("ascii") == other


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        printed(AuditEntry(1, "read")).replace("read", "reed").encode(),
        b'{"at":true}',
    ],
)
def test_what_is_no_entry_is_refused_and_not_repeated(text):
    with pytest.raises(EntryUnreadableError, match=r"^no audit entry of this version$"):
        parsed(text)


@given(ENTRIES, st.sampled_from([1, 3_000]))
def test_an_access_is_printed_as_its_entry_is(entry, times):
    entry = entry._replace(shown=entry.shown * times, why="", part=0, is_cut=False)
    assert printed_access(entry[:10], entry[10:14], entry.parameters) == printed_parts(entry)


def test_many_users_of_several_routes_share_what_is_printed_once():
    def print_each():
        for user in range(250):
            for route in range(5):
                printed(AuditEntry(1, "read", user=f"user-{user}", route=f"GET /{route}"))

    print_each()
    caches = (audit_entry._who, audit_entry._outcome)
    before = [one.cache_info().misses for one in caches]
    print_each()
    assert [one.cache_info().misses for one in caches] == before


def test_a_page_of_500_reports_of_500_patients_is_one_entry():
    ids = [f"{number:040}" for number in range(500)]
    entry = AuditEntry(1, "search", shown=tuple(f"DiagnosticReport/{one}" for one in ids), patients=tuple(ids))
    assert len(printed(entry)) <= MOST_BYTES


@given(st.integers(0, 3_000), st.integers(0, 3_000), st.sampled_from(["x", "\0", "\U0001f600"]))
@settings(max_examples=30)
def test_an_entry_of_any_size_fits_in_parts_without_loss_of_an_id(shown, patients, letter):
    entry = AuditEntry(
        1,
        "search",
        client=letter * 9_000,
        shown=tuple(f"Patient/{one}{letter * 9}" for one in range(shown)),
        shown_count=shown,
        patients=tuple(f"{one}{letter * 9}" for one in range(patients)),
        patient_count=patients,
        parameters=((letter * 9_000, letter * 9_000),) * 90,
    )
    texts = printed_parts(entry)
    assert max(map(len, texts)) <= MOST_BYTES
    read = [parsed(one.encode("ascii")) for one in texts]
    assert {(one.is_cut, one.shown_count, one.patient_count) for one in read} == {(True, shown, patients)}
    assert tuple(one for each in read for one in each.shown) == entry.shown
    assert tuple(one for each in read for one in each.patients) == entry.patients


def test_an_address_that_no_resource_can_have_is_shortened():
    [text] = printed_parts(AuditEntry(1, "search", shown=("x" * 100_000,)))
    assert parsed(text.encode("ascii")).shown == ("x" * 200,)


def test_values_of_a_query_are_digests_that_tell_equal_from_other():
    sealed = sealed_parameters([("name", "Canary"), ("name", "Canary"), ("name", "Other")], {"name"}, KEY)
    assert [name for name, _ in sealed] == ["name"] * 3
    assert sealed[0] == sealed[1] != sealed[2]
    assert "Canary" not in str(sealed)
    assert sealed != sealed_parameters([("name", "Canary")] * 2 + [("name", "Other")], {"name"}, values_key(b"other"))


@pytest.mark.parametrize("name", ["Canary", "name:Canary", "subject.Canary", "", "name:"])
def test_a_patients_name_in_the_place_of_a_parameters_name_is_not_in_clear(name):
    ((said, digest),) = sealed_parameters([(name, "1")], {"name", "subject", "exact"}, KEY)
    assert said == UNKNOWN_NAME
    assert digest != sealed_parameters([(name + "2", "1")], {"name"}, KEY)[0][1]


def test_modifiers_and_chains_of_known_words_stay_in_clear():
    known = {"subject", "Patient", "name", "exact"}
    ((said, _),) = sealed_parameters([("subject:Patient.name:exact", "x")], known, KEY)
    assert said == "subject:Patient.name:exact"


def test_a_change_of_any_field_is_a_change_of_the_text():
    entry = AuditEntry(1, "read")
    assert printed(entry._replace(why="x")) != printed(entry)
