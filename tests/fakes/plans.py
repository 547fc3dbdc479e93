"""A database with rows in every table and every index, and what a plan of it reads whole.

https://sqlite.org/eqp.html, https://www.postgresql.org/docs/current/using-explain.html.
"""

from __future__ import annotations

import re
from random import Random

from fakes.store import made, write
from sqlalchemy import LargeBinary, Text

from gateway.index.keys import SEPARATOR
from gateway.index.parameter_lookup import TYPES, parameters_of
from gateway.store.database.engine import Statement, ask_each, ask_rows
from gateway.store.database.schema import METADATA
from gateway.store.studies.shared_terms import KEYS, set_of
from gateway.store.studies.write_versions import _PUT

COUNT = 3000
WORDS = 30_000  # so many that a plan which reads all of them is dear
DAY = 24 * 3600 * 1_000_000


def filling():
    """Yield resources of every type with index rows of every parameter; every other one shares some in a set."""
    dice = Random(11)
    ids = {kind: [f"{kind}/{kind.lower()}-{number}" for number in range(COUNT // len(TYPES))] for kind in TYPES}
    for number in range(COUNT // len(TYPES)):
        for kind in TYPES:
            terms, moments = set(), set()
            for row in parameters_of(kind):
                if row.type == "date":
                    low = (number % 1500) * DAY
                    moments.add((row.key, low, low + DAY))
                elif row.type == "reference" and (targets := [one for one in row.targets if one in ids]):
                    terms.add((row.key, dice.choice(ids[dice.choice(targets)])))
                elif row.type != "reference":
                    several = 6 if row.name in {"status", "category", "code", "gender"} else 2000
                    terms.add((row.key, f"v{dice.randrange(several)}{SEPARATOR}urn:s{dice.randrange(3)}"))
            faults = "[]" if dice.random() < 0.02 else None
            shared = frozenset(one for one in terms if number % 2 and one[0] in KEYS)
            more = {"term_set": set_of(shared)} if shared else {}
            yield made(
                ids[kind][number], terms=terms - shared, moments=moments, faults=faults, owner=f"stu_{number}", **more
            )


def value_of(column, number):
    """Return a value for a column of the row with that number."""
    if isinstance(column.type, LargeBinary):
        return b"x"
    if not isinstance(column.type, Text):
        return number % 2 if column.name.startswith(("is_", "has_")) else number
    is_key = list(column.table.primary_key) == [column]
    if not is_key and column.name in {"state", "verb", "severity", "kind", "destination"}:
        return f"{column.name}{number % 3}"
    return f"stu_{number}" if column.name == "study_id" else f"{column.name}{number}"


def others():
    """Yield rows for every other table."""
    for table in METADATA.tables.values():
        if table.name not in {"resource", "version", "term", "moment", "tick"}:
            names = [column.name for column in table.columns]
            quoted = ", ".join(f'"{name}"' for name in names)  # "user" is a keyword of PostgreSQL
            insert = Statement(f"INSERT INTO {table} ({quoted}) VALUES (:{', :'.join(names)})")
            rows = [{one.name: value_of(one, number) for one in table.columns} for number in range(COUNT)]
            yield from ask_each(insert, rows)
    words = [{"number": each, "words": f"some{each % 50} with few{each % 600} only{each}"} for each in range(WORDS)]
    yield from ask_rows(_PUT, words)


async def fill(engine):
    async with engine.opened():
        await write(engine, *filling())
        await engine.do(others)


TABLES = {*METADATA.tables, "report_words"}
_ALIAS = re.compile(rf"\b(?:{'|'.join(TABLES)})\s+(?:AS\s+)?(\w+)")
# A virtual table names after the colon what it was asked for; nothing, if it is read whole
_SCAN = re.compile(r"SCAN (\w+)(?! VIRTUAL TABLE INDEX \d+:\S)")


def real_names(sql):
    """Return the tables of the schema, and their aliases in a statement."""
    return {*_ALIAS.findall(sql), *TABLES}


def sqlite_scans(connection, sql, values):
    """Return the steps of the plan that read a whole table, or a whole index."""
    plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
    steps = [step for *_, step in plan]
    names = real_names(sql)
    return [step for step in steps if (scan := _SCAN.match(step)) and scan[1] in names]


def postgres_scans(plan):
    """Return the nodes that read a whole table, or a whole index."""
    scans = []
    kind, relation = plan["Node Type"], plan.get("Relation Name") or plan.get("Index Name", "")
    is_index = kind in {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}
    if kind == "Seq Scan" or (is_index and "Index Cond" not in plan):
        scans.append(f"{kind} {relation}")
    for inner in plan.get("Plans", ()):
        scans += postgres_scans(inner)
    return scans


def sample(name, kind, lists):
    """Return a value for a parameter of a statement."""
    if name in lists:
        return '["a", "b"]'
    one = {"int8": 20, "int4": 20, "numeric": 20, "bytea": b"x"}.get(kind.removesuffix("[]"), "a")
    return [one] if kind.endswith("[]") else one
