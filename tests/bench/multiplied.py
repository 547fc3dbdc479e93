"""Make a store of whole studies several times as large in SQL: each study again, under ids and numbers of its own.

That takes a tenth of the time in which each study is written as the gateway writes it. The further studies of a patient
are those of one further patient. Radiologists and facilities stay the same few. The bodies of further resources still
have the first ids, and the outbox has no rows of further studies: no search reads either.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, DropIndex

from gateway.index.keys import key
from gateway.index.parameter_lookup import PARAMETERS
from gateway.store.database.engine import Dialect
from gateway.store.database.schema import INDEXES, METADATA

_HEX, _DIGITS = "0123456789abcdef", "0123456789"
_BASE62 = f"{_DIGITS}ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SHARED = "SELECT number FROM {from}resource WHERE type IN ('Practitioner', 'PractitionerRole', 'Organization')"

# Copies are some hours apart, but for birth dates: no more studies have one date than among those that were written
_HOURS = 9_360_000_000
_LATER = f"CASE key WHEN {key('Patient', 'birthdate')} THEN 0 ELSE copy * {_HOURS} END"


def _keys(*names: str) -> str:
    """Return the keys of identifiers, for SQL."""
    rows = [one for one in PARAMETERS if f"{one.resource_type}.{one.name}" in names]
    return ", ".join(str(each) for one in rows for each in (one.key, one.key_with("of-type")))


def _turned(text: str, place: str, digits: str = _HEX) -> str:
    """Return SQL for a text with one digit moved on by the number of the copy."""
    digit = f"substr('{digits * 2}', {{find}}('{digits}', substr({text}, {place}, 1)) + copy, 1)"
    return f"substr({text}, 1, {place} - 1) || {digit} || substr({text}, {place} + 1)"


# Table -> the columns that change, and the rows that have a copy
_TABLES = {
    "resource": (
        {
            "number": "number + copy * {most}",
            "updated": "updated + copy * {most}",
            "address": _turned("address", "{find}(address, '/') + 5"),
            "owner": f"CASE owner WHEN '' THEN '' ELSE {_turned('owner', '5')} END",
        },
        f"number NOT IN ({_SHARED})",
    ),
    "version": (
        {"resource": "resource + copy * {most}", "updated": "updated + copy * {most}"},
        f"resource NOT IN ({_SHARED})",
    ),
    "term": (
        {
            "resource": "resource + copy * {most}",
            "value": f"""CASE
                WHEN substr(value, {{find}}(value, '/') + 1, 4) IN ('rep-', 'stu-', 'pat-', 'rep_', 'stu_')
                THEN {_turned("value", "{find}(value, '/') + 5")}
                WHEN key IN ({_keys("Patient.identifier")}) THEN {_turned("value", "{find}(value, '-') + 5", _DIGITS)}
                WHEN key IN ({_keys("ImagingStudy.identifier")})
                THEN {_turned("value", "{find}(value, '2.25.') + 6", _DIGITS)}
                WHEN key IN ({_keys("DiagnosticReport.identifier")}) THEN {_turned("value", "2", _BASE62)}
                ELSE value END""",
        },
        f"resource > 0 AND resource NOT IN ({_SHARED})",
    ),
    "moment": (
        {"resource": "resource + copy * {most}", "low": f"low + {_LATER}", "high": f"high + {_LATER}"},
        "1 = 1",
    ),
    "study": (
        {
            "study_id": _turned("study_id", "5"),
            "study_instance_uid": _turned("study_instance_uid", "{find}(study_instance_uid, '2.25.') + 6", _DIGITS),
        },
        "1 = 1",
    ),
    "report": ({"report_id": _turned("report_id", "5"), "study_id": _turned("study_id", "5")}, "1 = 1"),
    "claim": ({"patient_id": _turned("patient_id", "5"), "study_id": _turned("study_id", "5")}, "1 = 1"),
    "issue": ({"study_id": _turned("study_id", "5")}, "1 = 1"),
}


def copying(dialect: Dialect, times: int, most: int, source: str = "") -> Iterator[str]:
    """Yield the SQL that adds `times` - 1 copies of what is stored; up to ten times, since an id has ten other digits.

    `most` is the largest number of a resource. With a `source`, a schema, they are copies of what is stored there.
    """
    find = {"sqlite": "instr", "postgresql": "strpos"}[dialect]
    copies = ", ".join(f"({one})" for one in range(1, times))
    given: dict[str, Any] = {"find": find, "most": most, "from": source}
    for name, (changed, chosen) in _TABLES.items():
        columns = [one.name for one in METADATA.tables[name].columns]
        values = ", ".join(changed.get(one, f'"{one}"') for one in columns).format(**given)
        listed = ", ".join(f'"{one}"' for one in columns)
        yield (
            f"INSERT INTO {name} ({listed}) SELECT {values} FROM (SELECT column1 AS copy FROM (VALUES {copies}) c) c"
            f" CROSS JOIN {source}{name} WHERE {chosen.format(**given)}"
        )
    yield f"UPDATE tick SET last = last + {(times - 1) * most}, resource = resource * {times}"


def multiply_sqlite(path: Path, source: Path, times: int) -> None:
    """Make a copy of a filled SQLite file so many times as large."""
    indexes = [one for one in INDEXES if one.info.get("dialect", "sqlite") == "sqlite" and one.table.name in _TABLES]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000", "temp_store = MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        for index in indexes:
            connection.execute(str(DropIndex(index).compile(dialect=sqlite.dialect())))
        connection.execute("ATTACH ? AS source", (str(source),))
        [(most,)] = connection.execute("SELECT resource FROM tick").fetchall()
        for sql in copying("sqlite", times, most, "source."):
            connection.execute(sql)
        connection.execute("DETACH source")
        for index in indexes:
            connection.execute(str(CreateIndex(index).compile(dialect=sqlite.dialect())))
        connection.execute("PRAGMA journal_mode = WAL")
