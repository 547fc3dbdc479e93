"""Two spellings of one place are one address (RFC 3986 §6.2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.routing import Folder, Http, Mllp
from gateway.routing.transport import host_key
from gateway.runtime.tls import TlsSettings


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Mllp("engine.example", 2575), Mllp("Engine.Example.", 2575)),
        (Mllp("localhost", 2575), Mllp("127.0.0.1", 2575)),
        (Mllp("localhost", 2575), Mllp("::1", 2575)),
        (Mllp("127.1", 2575), Mllp("127.0.0.1", 2575)),
        (Mllp("10.0.0.7", 2575), Mllp("::ffff:10.0.0.7", 2575)),
        (Mllp("fe80::1", 2575), Mllp("FE80:0:0::1", 2575)),
        (Http("http://engine.example/hl7"), Http("HTTP://Engine.Example:80/hl7/")),
        (Http("http://engine.example"), Http("http://engine.example/")),
        (Http("http://engine.example/a/../hl%37"), Http("http://engine.example/hl7")),
    ],
    ids=str,
)
def test_spellings_of_one_place_are_equal(one, other):
    assert one.address == other.address


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Mllp("engine.example", 2575), Mllp("engine.example", 2576)),
        (Mllp("127.0.0.1", 2575), Mllp("127.0.0.2", 2575)),
        (Mllp("engine.example", 80), Http("http://engine.example")),
        (Http("http://engine.example/a"), Http("http://engine.example/A")),
        (Http("http://engine.example"), Http("https://engine.example", tls=TlsSettings())),
    ],
    ids=str,
)
def test_other_places_are_not(one, other):
    assert one.address != other.address


def test_a_directory_is_one_by_whichever_way_it_is_named(tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    ways = (tmp_path / "out", tmp_path / "link", tmp_path / "." / "x" / ".." / "out")
    assert len({Folder(way).address for way in ways}) == 1
    assert Folder(tmp_path / "out").address != Folder(tmp_path / "in").address


def test_a_name_that_is_no_address_stays_a_name():
    assert host_key("ENGINE") == "engine"
