"""SQL that writes versions of resources with their instants, numbers and rows of the search index.

https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING; decision D29.
Proved by tests/contract/test_versions.py.
"""

from __future__ import annotations

from typing import Final

from gateway.store.database.statements import Bulk, PerDialect, Statement, inserting, unless_raced

# The last instant of those given to `count` versions
_GIVE_INSTANTS: Final = (
    "UPDATE tick SET last = CASE WHEN last < :now THEN :now ELSE last + 1 END + :count - 1 WHERE one = 1 RETURNING last"
)
# Runs of numbers that nobody else gets: the first of each, and its length
NUMBERS: Final = PerDialect(
    {
        "sqlite": Statement(
            "UPDATE tick SET resource = resource + :count WHERE one = 1 RETURNING resource - :count + 1, :count"
        ),
        "postgresql": Statement(
            "SELECT nextval('resource_number'), 1 FROM generate_series(1, CAST(:count AS INTEGER))"
        ),
    }
)
_OF_RESOURCE: Final = "number, address, type, owner, version, updated, as_of, is_suppressed, term_set"
_ANEW: Final = (
    "DO UPDATE SET owner = excluded.owner, version = excluded.version, updated = excluded.updated,"
    " as_of = excluded.as_of, is_suppressed = excluded.is_suppressed, term_set = excluded.term_set"
    " WHERE resource.number = excluded.number AND resource.version = excluded.version - 1"
    " AND resource.as_of <= excluded.as_of"
)
_LATER: Final = "as_of = CASE WHEN resource.as_of < {0} THEN {0} ELSE resource.as_of END"
# On PostgreSQL all of a commit in one statement: instants, versions, and what was confirmed. All parts read `tick`, so
# that its row is locked before theirs. An `as_of` that is missing is the version's own instant. Nothing is written over
# a version that another process wrote since `STANDING` was read
_ALL_DONE: Final = (
    "(SELECT count(*) FROM ticked) = 1 AND (SELECT count(*) FROM added) = :count"
    " AND (SELECT count(*) FROM confirmed) = cardinality(CAST(:same_number AS BIGINT[]))"
)
AT_COMMIT: Final = PerDialect(
    {
        "postgresql": Statement(
            f"WITH ticked AS ({_GIVE_INSTANTS}), given AS (SELECT row.number, row.address, row.type, row.owner,"  # noqa: S608 (constants)
            " row.version, ticked.last - :count + row.place AS updated,"
            " coalesce(row.as_of, ticked.last - :count + row.place) AS as_of, row.is_suppressed, row.term_set,"
            " row.faults, row.body"
            " FROM ticked, unnest(CAST(:number AS BIGINT[]), CAST(:address AS TEXT[]), CAST(:type AS TEXT[]),"
            " CAST(:owner AS TEXT[]), CAST(:version AS BIGINT[]), CAST(:as_of AS BIGINT[]),"
            " CAST(:is_suppressed AS BIGINT[]), CAST(:term_set AS BIGINT[]), CAST(:faults AS TEXT[]),"
            " CAST(:body AS BYTEA[])) WITH ORDINALITY"
            " AS row (number, address, type, owner, version, as_of, is_suppressed, term_set, faults, body, place)),"
            f" put AS (INSERT INTO resource ({_OF_RESOURCE}) SELECT {_OF_RESOURCE} FROM given"
            f" ON CONFLICT (address) {_ANEW} RETURNING number), added AS (INSERT INTO version"
            " (resource, version, updated, faults, body) SELECT g.number, g.version, g.updated, g.faults, g.body"
            " FROM given g JOIN put ON put.number = g.number RETURNING 1), confirmed AS (UPDATE resource"
            f" SET {_LATER.format('row.as_of')} FROM ticked, unnest(CAST(:same_number AS BIGINT[]),"
            " CAST(:same_version AS BIGINT[]), CAST(:same_as_of AS BIGINT[])) AS row (number, version, as_of)"
            " WHERE resource.number = row.number AND resource.version = row.version RETURNING 1)"
            f" SELECT {unless_raced('(SELECT count(*) FROM added)', _ALL_DONE)}"
        )
    }
)
# The same on SQLite, whose one writer races with nobody
TICK: Final = Statement(_GIVE_INSTANTS)
PUT_RESOURCE: Final = Statement(
    f"INSERT INTO resource ({_OF_RESOURCE}) VALUES (:{_OF_RESOURCE.replace(', ', ', :')})"  # noqa: S608 (constants)
    f" ON CONFLICT (number) {_ANEW}"
)
ADD_VERSION: Final = Statement(
    "INSERT INTO version (resource, version, updated, faults, body)"
    " VALUES (:number, :version, :updated, :faults, :body)"
)
CONFIRM: Final = Statement(
    f"UPDATE resource SET {_LATER.format(':as_of')} WHERE number = :number AND version = :version"  # noqa: S608 (constants)
)
# The same bytes in a shorter form, which another release may have written longer
SHORTEN: Final = Bulk(
    "number BIGINT, version BIGINT, body BYTEA",
    "UPDATE version SET body = row.body FROM {rows} WHERE version.resource = row.number"
    " AND version.version = row.version",
    ("UPDATE version SET body = :body WHERE resource = :number AND version = :version",),
)
DROP_TERMS: Final = Bulk(
    "number BIGINT",
    "DELETE FROM term USING {rows} WHERE term.resource = row.number",
    ("DELETE FROM term WHERE resource = :number",),
)
DROP_MOMENTS: Final = Bulk(
    "number BIGINT",
    "DELETE FROM moment USING {rows} WHERE moment.resource = row.number",
    ("DELETE FROM moment WHERE resource = :number",),
)
# A set that is there stays as it is. Two processes may add one at the same time in PostgreSQL: then its rows are there
# twice, which changes no answer
ADD_SHARED: Final = Bulk(
    "resource BIGINT, terms TEXT",
    "INSERT INTO term (resource, key, value) SELECT row.resource, CAST(one ->> 0 AS BIGINT), one ->> 1 FROM {rows},"
    " json_array_elements(CAST(row.terms AS json)) AS one"
    " WHERE NOT EXISTS (SELECT 1 FROM term t WHERE t.resource = row.resource)",
    (
        "INSERT INTO term (resource, key, value)"
        " SELECT :resource, json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:terms)"
        " WHERE NOT EXISTS (SELECT 1 FROM term t WHERE t.resource = :resource)",
    ),
)
# For a resource whose version stays
SHARE: Final = Bulk(
    "number BIGINT, version BIGINT, term_set BIGINT",
    "UPDATE resource SET term_set = row.term_set FROM {rows} WHERE resource.number = row.number"
    " AND resource.version = row.version",
    ("UPDATE resource SET term_set = :term_set WHERE number = :number AND version = :version",),
)
ADD_TERM: Final = inserting("term", "resource BIGINT, key BIGINT, value TEXT")
ADD_MOMENT: Final = inserting("moment", "resource BIGINT, key BIGINT, low BIGINT, high BIGINT")
