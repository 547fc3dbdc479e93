"""Folders and files that other users of the machine can get at are named, and those behind a closed folder are not."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest

from gateway.checks.folders import open_folders
from gateway.settings import survey

TABLE = """
[database]
url = "sqlite:///{folder}/db/gateway.db"

[[destination]]
name = "files"
kind = "file"
directory = "{folder}/out"
receiver = "generic"
start = 2026-03-01T00:00:00Z
facilities = ["*"]

[[destination]]
name = "engine"
kind = "http"
url = "https://engine.example/"
client_cert = "client.pem"
receiver = "generic"
start = 2026-03-01T00:00:00Z
facilities = ["*"]
"""


@pytest.fixture
def folder():
    """A folder that every user can reach."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        for above in path.parents:
            if not above.stat().st_mode & stat.S_IXOTH:
                pytest.skip(f"needs a folder for temporary files that others can enter, not {above}")
        path.chmod(0o755)
        for one in ("db", "out"):
            (path / one).mkdir(0o700)
        for file in ("db/gateway.db", "client.pem"):
            (path / file).touch(0o600)
        yield path


@pytest.fixture
def said(folder):
    def said():
        path = folder / "gateway.toml"
        path.write_text(TABLE.format(folder=folder))
        configuration, _ = survey(path)
        return [line.rpartition(": ")[0] for line in open_folders(configuration)]

    return said


def test_where_others_cannot_get_at_anything_nothing_is_said(said):
    assert said() == []


@pytest.mark.parametrize(
    ("mode", "problem"), [(0o750, None), (0o755, "enter it"), (0o751, "enter it"), (0o703, "change what is in it")]
)
def test_a_directory_of_files_that_others_can_enter_or_change_is_named(said, folder, mode, problem):
    (folder / "out").chmod(mode)
    wanted = f"destination files: directory: other users of this machine can {problem}"
    assert said() == ([wanted] if problem else [])


def test_the_folder_of_the_database_may_be_entered_and_not_changed(said, folder):
    (folder / "db").chmod(0o755)
    assert said() == []
    (folder / "db").chmod(0o777)
    assert said() == ["feed.state_dir: other users of this machine can change what is in it"]


def test_a_folder_above_that_others_can_change_is_named_unless_it_is_sticky(said, folder):
    folder.chmod(0o777)
    assert said()[0] == "destination files: directory: other users of this machine can rename a folder above it"
    folder.chmod(0o1777)
    assert said() == []


def test_behind_a_closed_folder_nothing_is_open(said, folder):
    (folder / "out").chmod(0o777)
    folder.chmod(0o700)
    assert said() == []


def test_a_database_and_a_key_that_others_can_read_are_named(said, folder):
    (folder / "db").chmod(0o755)
    for file in ("db/gateway.db", "client.pem"):
        (folder / file).chmod(0o644)
    assert said() == [
        "database.url: the file: other users of this machine can read it",
        "destination engine: the file of its client key: other users of this machine can read it",
    ]


def test_a_folder_that_is_not_there_is_not_open(said, folder):
    (folder / "out").rmdir()
    assert said() == []


def test_the_audit_that_others_can_change_and_its_key_that_they_can_read_are_named(said, folder, monkeypatch):
    monkeypatch.setenv("GATEWAY_AUDIT__DIR", str(folder / "audit"))
    monkeypatch.setenv("GATEWAY_AUDIT__SEAL_KEY", str(folder / "seal.pem"))
    (folder / "audit").mkdir(0o700)
    (folder / "seal.pem").touch(0o600)
    assert said() == []
    (folder / "audit").chmod(0o703)
    (folder / "seal.pem").chmod(0o644)
    assert said() == [
        "audit.dir: other users of this machine can change what is in it",
        "audit.seal_key: other users of this machine can read it",
    ]
