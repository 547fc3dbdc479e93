"""Dictionaries of the database's rows: released ones never change, and a damaged file stops the start."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from fakes.databases import at_once, copied

from gateway.runtime.errors import ConfigError, RowUnreadable
from gateway.store.compression import dictionaries
from gateway.store.compression.dictionaries import DICTIONARIES, MOST, check_dictionaries, dictionary, number_for
from gateway.store.database.sqlite import Sqlite

FOLDER = Path(dictionaries.__file__).parent
# Released dictionaries: rows of hospitals can be read with these bytes alone. Rows are only added here
RELEASED = {
    "1-DiagnosticReport.bin": "a80d57c184c5861221fd1a6a5e09db5d04e04e769d809a865368402197de5d32",
    "2-DocumentReference.bin": "524c8fe6b45e918537bda36a259a2d289846e014d93131ca4b7601948ef53368",
    "3-ImagingStudy.bin": "08ccae1807e26f38c60cc13da2167abac1a8b90c9e36d56a1c49272e06d8b98b",
    "4-Observation.bin": "e8938c281062d63f78ffa9f1fb23ca4fd0dac0aa21d55177155b309778b6c9e5",
    "5-Patient.bin": "756842e1d44ebd065c9ed8b7e8aeaa712141b733350f035b46e52b1fea7cd29f",
    "6-Provenance.bin": "8ab3fa492618005f92459b8fa5ef867986a87bbebc27ba45ebd64f4908d32818",
    "7-ServiceRequest.bin": "cd8d7fc00a884f5ac9c73941e06d8ca07075cb2f3153cfbd30a94f2c675e4ea1",
    "8-kept.bin": "e2a9de4962dffe43653e0e4b0108446e079e5ddfbd0c143ab1d45d96347074e3",
    "9-received.bin": "840d2f41ca6e10ae1b5cb994a58bb4f9f97d89db8da3d3f2b11c0ae2d61c72a3",
}


@pytest.fixture
def unread():
    """Let each dictionary be read anew."""
    dictionary.cache_clear()
    yield
    dictionary.cache_clear()


def test_no_released_dictionary_is_changed_or_removed():
    present = {one.file: one.sha256 for one in DICTIONARIES}
    assert present == RELEASED
    assert {name: hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() for name in RELEASED} == RELEASED


def test_a_number_is_given_once_and_is_not_how_plain_json_begins():
    numbers = [one.number for one in DICTIONARIES]
    assert len(set(numbers)) == len(numbers)
    assert all(0 < number <= MOST < ord("{") for number in numbers)


def test_new_rows_have_the_last_dictionary_of_their_kind(monkeypatch):
    assert number_for("Observation") == next(one.number for one in DICTIONARIES if one.kind == "Observation")
    assert number_for("Basic") == dictionaries.NONE
    assert dictionary(dictionaries.NONE) == b""


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_the_store_does_not_open_without_each_dictionary_and_says_what_to_do(
    damage, unread, migrated_sqlite, tmp_path, monkeypatch
):
    for one in DICTIONARIES:
        (tmp_path / one.file).write_bytes((FOLDER / one.file).read_bytes())
    broken = tmp_path / DICTIONARIES[3].file
    data = broken.read_bytes()
    broken.unlink() if damage == "missing" else broken.write_bytes(data[:-1] + bytes((data[-1] ^ 1,)))
    monkeypatch.setattr(dictionaries, "files", lambda _: tmp_path)

    async def opened():
        async with Sqlite(copied(migrated_sqlite, tmp_path)).opened():
            pass

    with pytest.raises(ConfigError, match=rf"{broken.name}: the file is {damage}. Install this release") as found:
        at_once(opened())
    assert found.value.cure.startswith("Install")


def test_all_dictionaries_of_this_release_are_as_they_should_be(unread):
    check_dictionaries()


def test_a_dictionary_of_a_newer_release_is_named():
    with pytest.raises(RowUnreadable, match="dictionary 119"):
        dictionary(119)
