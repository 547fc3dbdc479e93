"""Commands of the documents as an operator types them: every placeholder replaced by what a site has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fakes.shown_commands import LONG_RUNNING, ROOT, command_of

GOLDEN = ROOT / "tests" / "golden" / "final-ct" / "wire.json"
REGISTERED = f"client-{'c' * 32}"
# Placeholders and made-up names of the documents -> names of `OperatedSite.names`, or the words themselves
PLACEHOLDERS: Mapping[str, str] = {
    "NAME": "city-epic",
    "DESTINATION": "city-epic",
    "REPORT": "{report}",
    "PATIENT": "{patient}",
    "STUDY": "{shared}",
    "ORDER": "1",
    "MSH-10": "{control_id}",
    "ACCESSION": "{accession}",
    "ACC-4711": "{accession}",
    "rJ6TgVJ1abOlqw5cF2db": "{control_id}",
    "CLIENT": REGISTERED,
    "CODE": "critical-overdue",
    "ehr": "city-epic",
    "INSTANT": "2026-01-01",
    "N": "5",
    "SAMPLE…": "sample.hl7",
    "study.json": str(GOLDEN),
    "rehearsal.toml": "gateway.toml",
    "rep_…": "{new_report}",
    "stu_…": "{new_study}",
}
MADE_UP = (
    (re.compile(r"\brep[-_]1234567890abcdef1234567890abcdef"), "{report}"),
    (re.compile(r"\bpat-1234567890abcdef1234567890abcdef"), "{patient}"),
    (re.compile(r"\bstu_1234567890abcdef1234567890abcdef"), "{study}"),
)
# Option -> its value where a document leaves it open
VALUES: Mapping[str, str] = {
    "--reason": "checked",
    "--from": "2020-01-01",
    "--to": "2040-01-01",
    "--restored-from": "2026-01-01",
    "--study": "{study}",
    "--report": "{report}",
    "--journal": "{folder}/feed-journal-1.log",
    "--out": "{folder}/certificate.json",
    "--config": "{folder}/gateway.toml",
    "--to convert": "hl7v2",
    "--receiver": "generic",
    "--scope": "system/Patient.r",
    "--facility": "City Hospital",
    "--jwks": "city-ehr.json",
    "--role": "operator",
    "--jwks-url": "https://ehr.example/jwks.json",
}
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "feed ack": ("CODE",),
    "orders try": ("order.hl7",),
    "receivers compare": ("sample.hl7",),
    "feed show": ("REPORT",),
    "feed withdraw": ("REPORT",),
    "feed leave": ("REPORT",),
    "feed certificate": ("NAME",),
    "feed resume": ("NAME",),
    "explain": ("REPORT",),
    "convert": (str(GOLDEN),),
    "clients disable": ("CLIENT",),
    "clients enable": ("CLIENT",),
    "clients rotate": ("CLIENT",),
    "operators add": ("r.shah",),
    "operators password": ("k.miller",),
    "operators remove": ("k.miller",),
    "operators sign-out": ("local:k.miller",),
    "identity link": ("PATIENT", "STUDY"),
    "identity separate": ("PATIENT", "STUDY"),
    "orders show": ("STUDY",),
    "orders match": ("STUDY", "ORDER"),
    "orders release": ("STUDY",),
    "orders message": ("1",),
    "orders retry": ("1",),
    "orders set-aside": ("2",),
    "sandbox addend": ("rep_…",),
    "sandbox correct": ("rep_…", "FINDINGS: none."),
    "sandbox cancel": ("stu_…",),
    "sandbox uncancel": ("stu_…",),
}
# Command -> options of which it needs one, and the one that is written where a document names none
CHOICES: Mapping[str, tuple[frozenset[str], tuple[str, ...]]] = {
    "feed replay": (
        frozenset({"--study", "--report", "--from", "--to", "--dead-letters", "--missing"}),
        ("--study", "ID"),
    ),
    "clients add": (frozenset({"--jwks", "--jwks-url", "--external"}), ("--jwks", "FILE")),
    "clients rotate": (frozenset({"--jwks", "--jwks-url", "--finish"}), ("--jwks", "FILE")),
    "feed resume --leave": (frozenset({"--study", "--held"}), ("--study", "ID")),
}
PORTS = ("--port", "--sandbox-port", "--mllp-port", "--orders-port")


def typed(words: Sequence[str], names: Mapping[str, str], folder: Path, free_port: Callable[[], int]) -> list[str]:
    """Write a command with the ids and files of a site in place of placeholders, and with what it needs besides."""
    path, command = command_of(list(words))
    name = " ".join(path)
    given = list(words[len(path) : words.index("<")] if "<" in words else words[len(path) :])
    complete = list(_completed(name, command, given))
    filled = [_value(name, complete, at).format(**names, folder=folder) for at in range(len(complete))]
    return [*path, *_with_ports(path, filled, names["port"], free_port)]


def _completed(name: str, command: Any, given: Sequence[str]) -> Iterator[str]:
    """Yield the words of a command, then the arguments and options that it needs and that are not written."""
    words = [*given, *["…"] * _takes_value(command, given[-1:])]
    if words and words[0] == "…":  # stands for all that the command needs
        words[:1] = ARGUMENTS.get(name, ("NAME",))
    positional = _positional(command, words)
    required = [one for one in command.params if one.param_type_name == "argument"]
    usual = ARGUMENTS.get(name, tuple("NAME" for one in required if one.required))
    is_chosen = {"--all", "--restored", "--patient"} & set(words) or (name == "feed certificate" and positional)
    yield from words
    if not is_chosen:
        yield from usual[len(positional) :]
    for option in command.params:
        if option.param_type_name == "option" and option.required and option.opts[0] not in words:
            yield from (option.opts[0], "…")
    for key, (choices, choice) in CHOICES.items():
        if set(key.split()) <= {*name.split(), *words} and not choices & set(words):
            yield from choice


def _takes_value(command: Any, last: Sequence[str]) -> bool:
    return any(one.param_type_name == "option" and not one.is_flag and {*last} & {*one.opts} for one in command.params)


def _positional(command: Any, words: Sequence[str]) -> list[str]:
    """Return the words that are no option and no value of one."""
    return [
        word
        for at, word in enumerate(words)
        if not word.startswith("--") and not (at and _takes_value(command, [words[at - 1]]))
    ]


def _value(name: str, words: Sequence[str], at: int) -> str:
    """Return a word with its placeholder replaced by the name of what stands for it."""
    word, option = words[at], words[at - 1] if at else ""
    if (word in {"…", "ID", "FILE"} or word.startswith("$(")) and option.startswith("--"):
        return VALUES.get(f"{option} {name}") or VALUES[option]
    if word == "NAME" and option == "--receiver":
        return VALUES[option]
    if name.startswith("identity ") and word.startswith("stu_"):
        return "{shared}"
    if name == "feed retire" and word in {"NAME", "city-epic"}:
        return "city-old"
    for made_up, real in MADE_UP:
        word = made_up.sub(real, word)
    return PLACEHOLDERS.get(word, word)


def _with_ports(path: Sequence[str], words: Sequence[str], sandbox: str, free_port: Callable[[], int]) -> list[str]:
    """Give every server of a long-running command a port of its own, and a command to the sandbox its port."""
    if path[0] == "sandbox" and len(path) > 1:
        return [*words, "--port", sandbox]
    if path[-1] not in LONG_RUNNING or "--once" in words:
        return list(words)
    kept = [word for at, word in enumerate(words) if word not in PORTS and not (at and words[at - 1] in PORTS)]
    options = PORTS if path[-1] == "demo" else PORTS[:1]
    return [*kept, *(word for option in options for word in (option, str(free_port())))]
