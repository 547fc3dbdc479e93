"""Run `make mutants`: change the code at random places, one at a time, and see if the proof of the module fails.

The proof of a module is the test file with its path, and the files that its docstring names after `Proved by`. The
checkout stays as it is: each worker changes a copy of its own. A mutant that runs far longer than the proof counts as
killed. PostgreSQL is left out: it shares its code with SQLite.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from itertools import count, cycle, islice
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from fakes.proofs import ROOT, proofs
from mutants.equivalents import EQUIVALENTS
from mutants.mutate import Mutant, mutants

AREAS: dict[str, tuple[str, ...]] = {
    "routing": ("gateway/routing/*.py",),
    "compose": ("gateway/feed/compose/*.py",),
    "deliver": ("gateway/feed/deliver/*.py",),
    "identity": ("mappings/patient/*.py",),
    "sections": ("mappings/sections/*.py",),
    "search": ("gateway/fhir_api/search/*.py", "gateway/index/*.py", "gateway/store/studies/search*.py"),
}
LEAST_KILLED = 0.95
WORKERS = 2
COPIED = ("gateway", "mappings", "tests", "docs", "pyproject.toml", "README.md", "Makefile", "CHANGELOG.md")
PYTEST = (
    *("-m", "pytest", "-x", "-n", "0", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:schemathesis"),
    "--hypothesis-seed=0",
)
_INSTANTS = count(1_000_000_000)


class Drawn(NamedTuple):
    """A mutant of a module, drawn for its area."""

    area: str
    path: Path
    proofs: tuple[Path, ...]
    mutant: Mutant


class Tree:
    """A copy of the project that mutants are written into."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "project"
        self._scratch = folder / "scratch"
        self._root.mkdir()
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, self._root / name)
        if (ROOT.parent / "shared").exists():
            (folder / "shared").symlink_to(ROOT.parent / "shared")

    def kills(self, drawn: Drawn, limit: float) -> bool:
        """Return if the proof of a module fails, or takes longer than the limit in seconds, with a mutant in it."""
        path = self._root / drawn.path
        text = path.read_text("utf-8")
        self._write(path, drawn.mutant.applied(text))
        killed = not self.passes(drawn.proofs, limit)
        self._write(path, text)
        return killed

    def passes(self, files: Iterable[Path], limit: float) -> bool:
        """Return if the tests of the files pass within the limit in seconds."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir()
        more = {"PYTHONPATH": str(self._root), "TMPDIR": str(self._scratch), "EXAMPLES": "few", "CI": ""}
        process = subprocess.Popen(
            [sys.executable, *PYTEST, "-k", "not postgresql", *map(str, files)],
            cwd=self._root,
            env=os.environ | more,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return process.wait(limit) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _write(self, path: Path, text: str) -> None:
        """Write a file with an instant of its own, so that no compiled file is taken for that of another text."""
        path.write_text(text, "utf-8")
        instant = next(_INSTANTS)
        os.utime(path, (instant, instant))


class Prover:
    """Runs proofs, each in a tree that no other uses meanwhile."""

    def __init__(self, trees: Iterable[Tree]) -> None:
        self._free: SimpleQueue[Tree] = SimpleQueue()
        for tree in trees:
            self._free.put(tree)
        self._seconds: dict[tuple[Path, ...], float] = {}

    def passes(self, files: tuple[Path, ...]) -> bool:
        """Run a proof on the code as it is, and note its time."""
        with self._tree() as tree:
            began = time.monotonic()
            passed = tree.passes(files, 600)
            self._seconds[files] = time.monotonic() - began
        return passed

    def result(self, drawn: Drawn) -> str:
        """Return `killed`, `survived` or `equivalent`."""
        if (str(drawn.path), drawn.mutant.row) in EQUIVALENTS:
            return "equivalent"
        with self._tree() as tree:
            killed = tree.kills(drawn, 15 + 3 * self._seconds[drawn.proofs])
        return "killed" if killed else "survived"

    @contextmanager
    def _tree(self) -> Iterator[Tree]:
        tree = self._free.get()
        try:
            yield tree
        finally:
            self._free.put(tree)


def draw(area: str, number: int, seed: int) -> list[Drawn]:
    """Draw mutants of an area: from all its modules that have a proof in turn, and from all kinds alike."""
    chance = random.Random(f"{seed} {area}")
    paths = [path.relative_to(ROOT) for pattern in AREAS[area] for path in sorted(ROOT.glob(pattern))]
    turns = [_shuffled(area, path, chance) for path in paths if proofs(path)]
    chance.shuffle(turns)
    drawn: list[Drawn] = []
    while turns and len(drawn) < number:
        turns = [turn for turn in turns if (one := next(turn, None)) is not None and drawn.append(one) is None]
    return drawn[:number]


def _shuffled(area: str, path: Path, chance: random.Random) -> Iterator[Drawn]:
    """Yield all mutants of a module in a random order: a kind first, then one of it."""
    kinds: dict[str, list[Mutant]] = {}
    for mutant in mutants((ROOT / path).read_text("utf-8")):
        kinds.setdefault(mutant.kind, []).append(mutant)
    while kinds:
        kind = chance.choice(sorted(kinds))
        yield Drawn(area, path, tuple(proofs(path)), kinds[kind].pop(chance.randrange(len(kinds[kind]))))
        kinds = {name: left for name, left in kinds.items() if left}


def report(results: Iterable[tuple[Drawn, str]]) -> bool:
    """Print each survivor as it is known, then the rate of each area; return if enough were killed."""
    counts: Counter[tuple[str, str]] = Counter()
    for drawn, result in results:
        counts.update([(drawn.area, result), ("all", result)])
        if result == "survived":
            sys.stdout.write(f"survived: {drawn.path}:{drawn.mutant.line}: {drawn.mutant.row}\n")
            sys.stdout.flush()
    rate = 0.0
    for area in [*AREAS, "all"]:
        killed, tried = counts[area, "killed"], counts[area, "killed"] + counts[area, "survived"]
        if tried:
            rate = killed / tried
            sys.stdout.write(
                f"{area}: {killed} of {tried} killed ({rate:.1%}), {counts[area, 'equivalent']} equivalent\n"
            )
    return rate >= LEAST_KILLED


def main() -> int:
    """Draw the mutants, see that their proofs pass without them, and run these with each of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="number of mutants")
    parser.add_argument("--seed", type=int, default=1, help="number of the choice of mutants")
    parser.add_argument("--area", action="append", choices=AREAS, help="an area; all without it")
    options = parser.parse_args()
    shares = Counter(islice(cycle(options.area or AREAS), options.count))
    drawn = [one for area, share in shares.items() for one in draw(area, share, options.seed)]
    with ExitStack() as stack, ThreadPoolExecutor(WORKERS) as pool:
        folders = [stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(WORKERS)]
        prover = Prover(Tree(Path(folder)) for folder in folders)
        needed = list({one.proofs for one in drawn})
        red = [files for files, passed in zip(needed, pool.map(prover.passes, needed), strict=True) if not passed]
        if red:
            sys.stdout.write(f"these fail without a mutant: {red}\n")
            return 1
        return 0 if report(zip(drawn, pool.map(prover.result, drawn), strict=True)) else 1


if __name__ == "__main__":
    sys.exit(main())
