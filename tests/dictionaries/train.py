"""Make the dictionaries that compress rows of the database, from the sandbox's invented studies.

Carries out no clause of a standard. A dictionary is made of the pieces that most rows of its kind repeat; the most
repeated come last, since DEFLATE names near text with fewer bits. `make dictionaries` runs it:

    PYTHONPATH=tests python tests/dictionaries/train.py

It writes new files under new numbers, and prints their rows for gateway/store/compression/dictionaries.py. Files that
were released stay as they are.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

from fakes.seeded import documents

from gateway.demo.stage import demo_site
from gateway.ingest import Fetched, Pipeline
from gateway.sandbox.seed import generate
from gateway.store.compression import dictionaries
from gateway.store.database.kept import decompressed
from gateway.store.database.migrate import migrate
from gateway.store.database.sqlite import Sqlite

FOLDER = Path(dictionaries.__file__).parent
SEED, STUDIES = 20_261_128, 1_500
SIZE = 32_000  # DEFLATE looks back 32,768 bytes
PIECE, WORD = 160, 8  # lengths of a piece, and of the texts that are counted
ROWS, FEWEST = 400, 100
_ID = re.compile(rb"[0-9a-f]{32}")  # no row of a hospital has an id of the sandbox
READ = (
    "SELECT r.type, v.body FROM resource r JOIN version v ON v.resource = r.number",
    "SELECT 'received', received FROM study",
    "SELECT 'kept', kept FROM study",
)


async def rows_by_kind() -> dict[str, list[bytes]]:
    """Ingest studies into a store that is then thrown away, and return its rows as they are before compression."""
    found, dice = defaultdict(list), random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        engine = Sqlite(Path(folder) / "gateway.db", "NORMAL")
        await migrate(engine)
        async with engine.opened():
            pipeline = Pipeline(engine, demo_site(), ZoneInfo("UTC"))
            for study, listed, users in documents(generate(studies=STUDIES, seed=SEED)):
                fetched = Fetched(study, listed, users, 1, {one["userId"]: 1 for one in users})
                await pipeline.ingest(study["studyId"], lambda fetched=fetched: _given(fetched))
            for sql in READ:
                for kind, row in await engine.query(sql, ()):
                    found[kind].append(_ID.sub(lambda _: b"%032x" % dice.getrandbits(128), decompressed(row)))
    return found


async def _given(fetched: Fetched) -> Fetched:
    return fetched


def trained(rows: Sequence[bytes]) -> bytes:
    """Return the dictionary of these rows: from each stretch of them, the piece whose words most rows have."""
    chosen = random.Random(SEED).sample(rows, min(ROWS, len(rows)))
    common = Counter(word for row in chosen for word in {row[i : i + WORD] for i in range(len(row) - WORD + 1)})
    text = b"".join(chosen)
    stretch = max(PIECE, len(text) * PIECE // SIZE)
    pieces = []
    for start in range(0, len(text) - PIECE, stretch):
        worth, piece = _best(text[start : start + stretch + PIECE], common)
        pieces.append((worth, piece))
        for i in range(PIECE - WORD + 1):
            common[piece[i : i + WORD]] = 1
    return b"".join(piece for worth, piece in sorted(pieces) if worth)[-SIZE:]


def _best(text: bytes, common: Counter[bytes]) -> tuple[int, bytes]:
    """Return the piece of a text whose words are in the most rows, and the sum of them."""
    worths = [common[text[i : i + WORD]] - 1 for i in range(len(text) - WORD + 1)]
    words = PIECE - WORD + 1
    sums = [sum(worths[:words])]
    for i in range(words, len(worths)):
        sums.append(sums[-1] + worths[i] - worths[i - words])
    best = max(range(len(sums)), key=sums.__getitem__)
    return sums[best], text[best : best + PIECE]


def main() -> None:
    """Write the files, and print their rows."""
    number = max((one.number for one in dictionaries.DICTIONARIES), default=0)
    for kind, rows in sorted(asyncio.run(rows_by_kind()).items()):
        if len(rows) < FEWEST:
            continue
        number += 1
        data = trained(rows)
        digest = hashlib.sha256(data).hexdigest()
        row = dictionaries.Dictionary(number, kind, digest)
        (FOLDER / row.file).write_bytes(data)
        print(f'    Dictionary({number}, "{kind}", "{digest}"),')  # noqa: T201 (to be pasted)


if __name__ == "__main__":
    main()
