"""Table of database error codes, each with an explanation and a remedy in plain words.

https://www.postgresql.org/docs/current/errcodes-appendix.html (SQLSTATE), https://sqlite.org/rescode.html. A database's
own text is never passed on: it may hold values of a row.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from gateway.runtime.errors import StoreError, StoreUnavailable, StoreValueRefused


class DatabasePlace(NamedTuple):
    """Location of a database: user, `host:port` and name of PostgreSQL, or the file of SQLite; never a password."""

    user: str = ""
    address: str = ""
    name: str = ""
    file: str = ""


class TroubleRow(NamedTuple):
    """Explanation of an error code, and the remedy. `of` is the part of the location that follows the explanation."""

    words: str
    of: Literal["user", "address", "name", "file", ""]
    remedy: str


_UNREACHABLE: Final = "Check host and port in database.url, that PostgreSQL runs, and what the firewall lets through."
_AGAIN: Final = "It is asked again by itself; if it stays so, see the server's log."
_ROOM: Final = "Make room on that disk: the gateway goes on by itself."
_SERVER: Final = "See the log of the PostgreSQL server."
_RIGHTS: Final = "Let the user of this process read and write the file and the folder that it is in."
_OURS: Final = "Report this with the version of the gateway."

TROUBLES: Final[dict[str, TroubleRow]] = {
    # PostgreSQL: SQLSTATE, with the server's function if one code has two meanings; two characters are a class
    "28P01": TroubleRow(
        "the database refused the password",
        "user",
        "Check user and password in database.url (@ : / ? # % in them percent-encoded); a user that the server does "
        "not know is refused the same way.",
    ),
    "28000/InitializeSessionUserId": TroubleRow(
        "the database has no login", "user", "Check the user in database.url, or create it there."
    ),
    "28000/ClientAuthentication": TroubleRow(
        "the database takes no such connection from this machine",
        "user",
        "See pg_hba.conf of the server: it may want TLS (?sslmode=require in database.url), or has no line for us.",
    ),
    "28": TroubleRow(
        "the database refused the login", "user", "Check user and password in database.url, and pg_hba.conf."
    ),
    "3D000": TroubleRow("there is no such database", "name", "Check the name in database.url, or create the database."),
    "42501": TroubleRow(
        "a privilege is missing in the database",
        "user",
        "Let it own the database, or grant it CONNECT, and CREATE and USAGE on its schema and all on its tables.",
    ),
    "53300": TroubleRow(
        "the database has too many connections",
        "address",
        "Lower database.connections, or raise max_connections of the server (a process takes database.connections, a "
        "quarter more, and two).",
    ),
    "53100": TroubleRow("the disk of the database is full", "address", _ROOM),
    "53200": TroubleRow("the database is out of memory", "address", _SERVER),
    "53": TroubleRow("the database lacks a resource", "address", _SERVER),
    "25006": TroubleRow(
        "the database takes no writes: it is read-only",
        "address",
        "Name the primary server in database.url, not a standby; see default_transaction_read_only.",
    ),
    "42P01": TroubleRow("a table is missing in the database", "name", "Run `autoscribe-gateway migrate`."),
    "42703": TroubleRow("a column is missing in the database", "name", "Run `autoscribe-gateway migrate`."),
    "3F000": TroubleRow("the database has no schema to work in", "name", "See search_path of the user."),
    "42": TroubleRow("the database does not know what it was asked for", "name", _OURS),
    "57P03": TroubleRow("the database is starting or stopping", "address", _AGAIN),
    "57014": TroubleRow(
        "the database cut a statement short", "address", "See statement_timeout of the server and the user."
    ),
    "57": TroubleRow("the database closed the connection", "address", _AGAIN),
    "55P03": TroubleRow("the database is locked by another process", "address", _AGAIN),
    "08": TroubleRow("the connection to the database broke", "address", _AGAIN),
    "58": TroubleRow("the database cannot read or write its files", "address", _SERVER),
    "XX": TroubleRow("the database reports a fault of its own, or damaged data", "address", _SERVER),
    "22": TroubleRow("the database cannot hold a value", "", _OURS),
    "23": TroubleRow("the database refused a row", "", _OURS),
    "54": TroubleRow("a value is over a limit of the database", "", _OURS),
    # Connecting to PostgreSQL
    "gaierror": TroubleRow(
        "the host of the database is not known", "address", "Check the host in database.url, and the resolver."
    ),
    "ECONNREFUSED": TroubleRow("nothing listens where the database should be", "address", _UNREACHABLE),
    "EHOSTUNREACH": TroubleRow("the database cannot be reached", "address", _UNREACHABLE),
    "ENETUNREACH": TroubleRow("the database cannot be reached", "address", _UNREACHABLE),
    "ETIMEDOUT": TroubleRow("the database does not answer", "address", _UNREACHABLE),
    "TimeoutError": TroubleRow("the database does not answer in time", "address", _UNREACHABLE),
    "ECONNRESET": TroubleRow("the connection to the database broke", "address", _AGAIN),
    "EPIPE": TroubleRow("the connection to the database broke", "address", _AGAIN),
    "ConnectionError": TroubleRow(
        "the database closed the connection before it was ready, or speaks no TLS",
        "address",
        "Check sslmode in database.url: `prefer` does without TLS where the server has none.",
    ),
    "SSLCertVerificationError": TroubleRow(
        "the certificate of the database is not trusted",
        "address",
        "Name its authority with ?sslrootcert=FILE in database.url, and the host as the certificate does.",
    ),
    "SSLError": TroubleRow(
        "the TLS handshake with the database failed", "address", "Check sslmode and the certificates in database.url."
    ),
    "InterfaceError": TroubleRow("the connection to the database is closed", "address", _AGAIN),
    "InternalClientError": TroubleRow("the connection to the database broke", "address", _AGAIN),
    # SQLite; a longer code without a row falls back to a shorter one
    "SQLITE_BUSY": TroubleRow(
        "the database file is locked by another process",
        "file",
        "Stop what else writes to it.",
    ),
    "SQLITE_LOCKED": TroubleRow("the database file is locked", "file", _AGAIN),
    "SQLITE_READONLY": TroubleRow("the database file may only be read", "file", _RIGHTS),
    "SQLITE_READONLY_DBMOVED": TroubleRow(
        "the database file was moved or removed", "file", "Put it back, and restart the gateway."
    ),
    "SQLITE_CANTOPEN": TroubleRow("the database file cannot be opened", "file", _RIGHTS),
    "SQLITE_NOTADB": TroubleRow(
        "the file is no SQLite database", "file", "Check database.url; a file that is damaged is put back from a copy."
    ),
    "SQLITE_CORRUPT": TroubleRow(
        "the database file is damaged", "file", "Put it back from a copy: docs/runbooks.md#restore-a-database."
    ),
    "SQLITE_FULL": TroubleRow("the disk of the database is full", "file", _ROOM),
    "SQLITE_IOERR": TroubleRow("the disk of the database fails", "file", "See the log of the machine."),
    "SQLITE_PERM": TroubleRow("the database file may not be used", "file", _RIGHTS),
    "SQLITE_NOMEM": TroubleRow("there is no memory left for the database", "", "See what else runs on the machine."),
    "SQLITE_INTERRUPT": TroubleRow("the database was closed while it was asked", "", "Ask again."),
    "SQLITE_CONSTRAINT": TroubleRow("the database refused a row", "", _OURS),
    "SQLITE_TOOBIG": TroubleRow("a value is over a limit of the database", "", _OURS),
    "SQLITE_ERROR": TroubleRow(
        "the database lacks what it was asked for",
        "file",
        "Run `autoscribe-gateway migrate`.",
    ),
    "ENOENT": TroubleRow("there is no such folder or file", "file", "Check the folder in database.url, and make it."),
    "ENOTDIR": TroubleRow("what should be a folder is a file", "file", "Check database.url."),
    "EISDIR": TroubleRow("what should be the database file is a folder", "file", "Name a file in database.url."),
    "EACCES": TroubleRow("the database file may not be used by this user", "file", _RIGHTS),
    "EPERM": TroubleRow("the database file may not be used by this user", "file", _RIGHTS),
    "EROFS": TroubleRow("the disk of the database takes no writes", "file", "Mount it for writing, or choose another."),
    "ENOSPC": TroubleRow("the disk of the database is full", "file", _ROOM),
    "EDQUOT": TroubleRow("the disk of the database is full", "file", _ROOM),
    "OverflowError": TroubleRow("the database cannot hold a value", "", _OURS),
    "UnicodeEncodeError": TroubleRow("the database cannot hold a value", "", _OURS),
}
# Codes and classes of errors that lie in a value: the database is well
_OF_VALUES: Final = frozenset({"22", "54", "SQLITE_TOOBIG", "OverflowError", "UnicodeEncodeError"})
_UNKNOWN: Final = "the database fails in a way that has no words here"


def unavailable(error: BaseException, place: DatabasePlace) -> StoreError:
    """Return the gateway's error for an error of a database, its library or the network."""
    code = code_of(error)
    row = next((TROUBLES[one] for one in _shorter(code) if one in TROUBLES), None)
    if row is None:
        return StoreUnavailable(f"{_UNKNOWN} ({code})", code, _UNKNOWN)
    kind: type[StoreError] = StoreUnavailable if _OF_VALUES.isdisjoint(_shorter(code)) else StoreValueRefused
    return kind(_said(row, place), code, row.words, row.remedy)


def code_of(error: BaseException) -> str:
    """Return the code of an error as in the table: SQLSTATE, SQLite's, the operating system's, or its class name."""
    state = getattr(error, "sqlstate", None)
    if state:
        exact = f"{state}/{getattr(error, 'server_source_function', None)}"
        return exact if exact in TROUBLES else str(state)
    kind = type(error).__name__
    if (code := getattr(error, "sqlite_errorname", None)) or kind in TROUBLES:
        return str(code or kind)
    if isinstance(error, ssl.SSLError | socket.gaierror):
        return "SSLError" if isinstance(error, ssl.SSLError) else "gaierror"
    number = error.errno if isinstance(error, OSError) else None
    return errno.errorcode.get(number or 0, kind)


def place_of(url: str) -> DatabasePlace:
    """Return the location in a `postgresql://` URL; empty if its parts cannot be told from its password."""
    try:
        parts = urlsplit(url)
        options, known = dict(parse_qsl(parts.query)), parts.netloc.rpartition("@")
    except ValueError:
        return DatabasePlace()
    if "@" in parts.path + parts.query + parts.fragment:  # the password has an unencoded / ? or #
        return DatabasePlace()
    hosts = [options["host"]] if "host" in options else known[2].split(",")
    port = options.get("port", "5432")
    address = ",".join(one if ":" in one.rpartition("]")[2] else f"{one}:{port}" for one in hosts)
    user = unquote(known[0].partition(":")[0]) or options.get("user", "")
    return DatabasePlace(user, address, unquote(parts.path[1:]) or options.get("database", options.get("dbname", "")))


def _shorter(code: str) -> Iterator[str]:
    """Yield the code, then the codes of its more and more general kinds."""
    yield code
    if code.startswith("SQLITE_"):
        while (code := code.rpartition("_")[0]) != "SQLITE":
            yield code
    elif len(code) == 5:
        yield code[:2]


def _said(row: TroubleRow, place: DatabasePlace) -> str:
    """Return the explanation of a row, with as much of the location as is known."""
    at = f" at {place.address}" if place.address else ""
    behind = {
        "user": f"{f' for user {place.user}' if place.user else ''}{at}",
        "address": at,
        "name": f"{f' ({place.name})' if place.name else ''}{at}",
        "file": f": {place.file}" if place.file else at,
        "": "",
    }
    return row.words + behind[row.of]
