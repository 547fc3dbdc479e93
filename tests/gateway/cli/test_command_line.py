"""Imports of a command, its version, and shell completion."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import typer.main
from fakes.gateway_process import environment, site_file

from gateway.cli.main import app
from gateway.runtime.command_words import MANNERS
from gateway.sandbox import manners

# Prints what was imported once the command is done
RUN = """
import atexit, sys
atexit.register(lambda: print("imported:", *sys.modules, file=sys.stderr))
from gateway.cli.main import main
main()
"""
# Modules that take longer to import than all that `--help` needs
HEAVY = {
    *(
        "alembic",
        "asyncio",
        "asyncpg",
        "cryptography",
        "fastapi",
        "fhir",
        "hl7apy",
        "httpx",
        "lxml",
        "prometheus_client",
    ),
    *("pydantic", "rich", "sqlalchemy", "starlette", "structlog", "uvicorn"),
    *("gateway.app", "gateway.ingest", "gateway.settings", "gateway.store.database.engine"),
    *("mappings.study.autoscribe", "mappings.fhir", "mappings.hl7v2", "mappings.sections"),
}
# ... and these, than all that a look at the database needs
SERVING = {
    *("alembic", "asyncpg", "cryptography", "fastapi", "fhir", "hl7apy", "httpx", "lxml", "starlette", "uvicorn"),
    *("gateway.app", "gateway.ingest.pipeline", "mappings.study.autoscribe", "mappings.fhir"),
}
DESTINATIONS = """
[[destination]]
name = "city"
[[destination]]
name = "county"
[[destination]]
name = "ris"
"""


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUN, *arguments]
    env = {key: value for key, value in os.environ.items() if not key.startswith(("AVARA_", "GATEWAY_"))} | more
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def imported(done: subprocess.CompletedProcess[str]) -> set[str]:
    return set(done.stderr.rpartition("imported: ")[2].split())


@pytest.mark.parametrize(
    "arguments",
    ["version", "--version", "--help", "feed --help", "feed replay --help", "sandbox --help"],
)
def test_what_only_talks_of_the_program_imports_nothing_of_what_does_its_work(arguments):
    done = run(*arguments.split())
    assert done.returncode == 0, done.stderr
    assert "gateway.cli.main" in imported(done)
    assert sorted(HEAVY & imported(done)) == []


def test_a_look_at_the_feed_imports_nothing_that_serves_maps_or_migrates(tmp_path):
    env = environment("http://127.0.0.1:9", f"sqlite:///{tmp_path / 'gateway.db'}", site_file(tmp_path))
    assert run("migrate", **env).returncode == 0
    done = run("feed", "status", **env)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "no destination is set up")
    assert "gateway.feed.operator.status" in imported(done)
    assert sorted(SERVING & imported(done)) == []


@pytest.mark.parametrize("arguments", [("version",), ("--version",)])
def test_both_ways_to_ask_for_the_version_say_the_same(arguments):
    assert run(*arguments).stdout == f"{version('autoscribe-gateway')}\n"


def test_the_help_says_all_of_what_each_command_does():
    said = " ".join(run("--help", COLUMNS="80").stdout.split())
    assert "machine; a report is signed every few seconds." in said and "..." not in said.replace("[ARGS]...", "")


def test_the_names_that_the_command_line_shows_are_those_of_the_table():
    assert tuple(manners.MANNERS) == MANNERS


def completed(line: str, shell: str, **more: str) -> list[str]:
    """Return the completions that a shell gets after a line; each shell has its own protocol."""
    words = line.split(" ")
    asked = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }
    variable = {"_AUTOSCRIBE_GATEWAY_COMPLETE": f"complete_{shell}"}
    command = [str(Path(sys.executable).parent / "autoscribe-gateway")]
    env = {key: value for key, value in os.environ.items() if not key.startswith(("AVARA_", "GATEWAY_"))}
    env |= asked[shell] | variable | more
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    names = ("status", "pause", "resume", "city", "county", "ris")
    return [name for name in names if name in done.stdout.replace('"', " ").replace("'", " ").split()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_the_names_of_destinations(shell, tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text(DESTINATIONS)
    config = {"GATEWAY_CONFIG": str(file)}
    assert completed("autoscribe-gateway feed p", shell) == ["pause"]
    assert completed("autoscribe-gateway feed pause ", shell, **config) == ["city", "county", "ris"]
    assert completed("autoscribe-gateway feed pause c", shell, **config) == ["city", "county"]
    assert completed(f"autoscribe-gateway feed pause --config {file} r", shell) == ["ris"]


@pytest.mark.parametrize(
    "text",
    ["[[destination", 'destination = "city"', "[destination]\nname = 1", "[[destination]]\nname = 1", "", "\xff"],
)
def test_settings_with_a_fault_complete_nothing_and_say_nothing(text, tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_bytes(text.encode("latin-1"))
    assert completed("autoscribe-gateway feed pause ", "bash", GATEWAY_CONFIG=str(file)) == []
    assert completed("autoscribe-gateway feed pause ", "bash", GATEWAY_CONFIG=str(tmp_path)) == []
    assert completed("autoscribe-gateway feed pause ", "bash") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_each_shell_can_be_shown(shell):
    done = run("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert (done.returncode, "complete_" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    "name",
    [
        *(f"feed {one}" for one in ("ack", "apply", "backload", "pause", "replay", "resume", "retire")),
        *("identity link", "identity separate"),
    ],
)
def test_whatever_changes_something_by_hand_takes_a_reason(name):
    group, _, command = name.partition(" ")
    parameters = typer.main.get_command(app).commands[group].commands[command].params
    assert "--reason" in {option for one in parameters for option in one.opts}
