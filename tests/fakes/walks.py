"""Walks: blocks of the documents that are run in order, in one shell, with the servers that they start."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE

from fakes.shown_commands import DOCUMENTS, LONG_RUNNING, ROOT, Shown, shown, words_of

# Server -> the port that it listens on where its command names none
USUAL: Mapping[str, str] = {"serve": "8800", "sandbox": "8801", "listen": "2575"}
PORTS = (*USUAL.values(), "2576")
PRELUDE = """
set -e -o pipefail
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
curl() {  # a search of the documents finds something
  command curl --fail --max-time 90 "$@" | tee answer; ! grep -q '"total":0[,}]' answer
}
answers() {
  for _ in $(seq 600); do (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0; sleep 0.1; done
  echo "nothing answers at port $1"; return 1
}
step() { echo "== $1"; }
"""


@dataclass(frozen=True)
class Walk:
    """Blocks under these headings of these documents, run in order.

    `before` and `after` are commands around them. `instead` is what a reader is told to replace, and what stands in its
    place here. `settings` writes the settings files of the documents into the folder of the walk.
    """

    name: str
    parts: tuple[tuple[str, str], ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    instead: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def commands(self) -> Iterator[Shown]:
        """Yield the commands of the walk's blocks, in order."""
        for document, heading in self.parts:
            for command in shown(ROOT / document):
                if command.is_in_block and command.heading == heading:
                    yield command

    def script(self) -> Iterator[str]:
        """Yield the lines of the script, each command after a line that names its place."""
        yield PRELUDE
        placed = [(f"{self.name}, before", one) for one in self.before]
        placed += [(one.place, one.text) for one in self.commands()]
        for place, text in [*placed, *((f"{self.name}, after", one) for one in self.after)]:
            yield f"step '{place}'"
            yield from self._run(text)

    def _run(self, text: str) -> Iterator[str]:
        for written, instead in self.instead.items():
            text = text.replace(written, instead)
        words = words_of(Shown("", 0, text, "", is_in_block=True))
        line = re.sub(r"\s#\s.*$", "", text).rstrip()
        if words and words[0] == "sandbox" and len(words) > 1 and not words[1].startswith("--"):
            yield f"{line} --port 8801 | tee said"
            if words[1] == "sign":
                yield "STUDY=$(grep -o 'stu_[0-9a-f]*' said) REPORT=$(grep -o 'rep_[0-9a-f]*' said)"
        elif words and words[0] in LONG_RUNNING and "--once" not in words:
            port = words[words.index("--port") + 1] if "--port" in words else USUAL[words[0]]
            ports = "" if "--port" in words else f" --port {port}"
            yield f"{line.removesuffix('&').rstrip()}{ports} >{words[0]}-{port}.log 2>&1 &"
            yield f"answers {port}"
        else:
            yield line


def walked(walk: Walk, folder: Path, ports: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a walk in a folder, with free ports in place of the usual ones."""

    def ported(text: str) -> str:
        return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda port: ports[port[0]], text)

    (folder / "docs").mkdir()
    (folder / "tests").symlink_to(ROOT / "tests")
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "docs" / "sandbox.toml").write_text(ported((ROOT / "docs" / "sandbox.toml").read_text("utf-8")))
    for name, sources in walk.settings.items():
        text = "".join(_toml(ROOT / source) for source in sources)
        for written, instead in walk.instead.items():
            text = text.replace(written, instead)
        (folder / name).write_text(ported(text))
    script = folder / "walk.sh"
    script.write_text(ported("\n".join(walk.script())))
    env = {"PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(folder)}
    with subprocess.Popen(
        ["bash", str(script)], cwd=folder, env=env, stdout=PIPE, stderr=PIPE, text=True, start_new_session=True
    ) as shell:
        try:
            out, err = shell.communicate(timeout=500)
        finally:
            with suppress(ProcessLookupError):  # no server outlives its walk
                os.killpg(shell.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(shell.args, shell.returncode, out, err)


def _toml(path: Path) -> str:
    """Return a settings file, or the settings that a document shows."""
    text = path.read_text("utf-8")
    return (
        text if path.suffix == ".toml" else "".join(re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    )


def questions() -> Iterator[str]:
    """Yield each call of curl that stands in no walk: all are asked of the gateway of the walk `sandbox`."""
    for path in DOCUMENTS:
        for command in shown(path):
            if command.text.startswith("curl ") and (command.document, command.heading) not in WALKED:
                yield command.text


CERTIFIED = "autoscribe-gateway feed certificate ehr --config first.toml | grep '1 AA'"
INGESTED = "command curl -s http://127.0.0.1:8800/metrics | grep 'webhook_work_total{outcome=\"done\"} 1'"
METADATA = "curl -s 'http://127.0.0.1:8800/fhir/metadata'"
WALKED = frozenset(
    {
        ("README.md", "First result, in five minutes"),
        ("README.md", "First real site, in fifteen minutes"),
        ("docs/sandbox.md", "With the gateway"),
        ("docs/sandbox.md", "A first destination"),
        ("docs/sandbox.md", "Webhooks"),
        ("docs/facade.md", "By example"),
        ("docs/runbooks.md", "Start the rehearsal"),
        ("docs/runbooks.md", "Sign, cancel, take the cancellation back"),
    }
)
WALKS = (
    Walk(
        "readme",
        (("README.md", "First result, in five minutes"), ("README.md", "First real site, in fifteen minutes")),
        before=(
            "export AVARA_BASE_URL=http://127.0.0.1:8801",
            "autoscribe-gateway sandbox --switch accession=metadata",
            "autoscribe-gateway listen",
        ),
        instead={
            'facilities = ["City Medical Center"]': 'facilities = ["*"]',  # the sandbox has more
            "City Medical Center": "Sandbox General Hospital",
            "AVARA_API_KEY=...": "AVARA_API_KEY=sandbox-key",
            "00412345": "SBXLAKE-27000033",
            "make install": ":",
            METADATA: ":",  # asked of the demo; the walk asks the gateway that it starts later
        },
        after=(METADATA,),
        settings={"gateway.toml": ("README.md",)},
    ),
    Walk(
        "sandbox",
        (("docs/sandbox.md", "With the gateway"), ("docs/facade.md", "By example")),
        after=tuple(questions()),
        instead={"rep-1234567890abcdef1234567890abcdef": "$R", "rep-…": "$R", "'http": '"http', "$trace'": '\\$trace"'},
    ),
    Walk(
        "destination",
        (("docs/sandbox.md", "A first destination"),),
        before=("autoscribe-gateway sandbox", "export GATEWAY_MAPPING__SITE_KEY=$(autoscribe-gateway keys site)"),
        instead={"sleep 10": f"until {CERTIFIED}; do sleep 1; done"},
        settings={"first.toml": ("docs/sandbox.toml", "docs/sandbox.md")},
    ),
    Walk(
        "webhooks",
        (("docs/sandbox.md", "Webhooks"),),
        before=(
            "autoscribe-gateway keys site > site.key",
            "export GATEWAY_MAPPING__SITE_KEY=$(cat site.key) GATEWAY_CONFIG=docs/sandbox.toml",
            "B=http://127.0.0.1:8800/fhir",
        ),
        instead={"sleep 10;": "", "sleep 1;": f"until {INGESTED}; do sleep 0.2; done;"},
    ),
    Walk(
        "withdrawal",
        (
            ("docs/runbooks.md", "Start the rehearsal"),
            ("docs/runbooks.md", "Sign, cancel, take the cancellation back"),
        ),
        instead={"stu_…": "$STUDY"},
        settings={"rehearsal.toml": ("docs/sandbox.toml", "docs/runbooks.md")},
    ),
)
assert {part for walk in WALKS for part in walk.parts} == WALKED
