"""Run a command and exit: print the answer to its question; if it acts or shows patients' data, note that before.

Carries out no clause of a standard; decision D42. Without an audit in the settings, the command just runs.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, NoReturn

from gateway.cli.command_line import exit_code

if TYPE_CHECKING:
    from gateway.feed.operator.arguments import CommandAnswer
    from gateway.settings import Configuration
    from gateway.store.database.postgres import Postgres
    from gateway.store.database.sqlite import Sqlite

    Engine = Sqlite | Postgres

Shows = Callable[[Collection[str], Collection[str]], None]


def act(
    configuration: Configuration, command: str, work: Callable[[Shows], Awaitable[int]], reason: str = "", *about: str
) -> NoReturn:
    """Run the work of a command, and exit with its code; `about` are texts as typed, of which ids are noted.

    The work gets a function to call with the addresses and the patients that it is about to show.

    Raises:
        AuditUnavailable: the act cannot be noted: it is not done.
    """
    sys.exit(exit_code(_acted(configuration, command, work, reason, about)))


def ask(
    configuration: Configuration,
    question: Callable[[Engine], Awaitable[CommandAnswer]],
    *,
    as_json: bool = False,
    writes: bool = False,
) -> NoReturn:
    """Print the answer to a question about the store, and exit with its code."""
    sys.exit(exit_code(_answered(configuration, question, as_json=as_json, writes=writes)))


def act_on_store(  # noqa: PLR0913 (what an act on the store is)
    configuration: Configuration,
    command: str,
    question: Callable[[Engine, Shows], Awaitable[CommandAnswer]],
    reason: str = "",
    *about: str,
    as_json: bool = False,
    writes: bool = True,
    destination: str | None = None,
) -> NoReturn:
    """Run a command on the store, print its answer, and exit with its code.

    A `destination` that the settings lack is refused before the store is opened, which may make its file.

    Raises:
        AuditUnavailable: the act cannot be noted: it is not done.
    """

    def work(shows: Shows) -> Awaitable[int]:
        from gateway.feed.operator.arguments import destination_named

        if destination is not None:
            destination_named(configuration, destination, enabled=False)
        return _answered(configuration, lambda engine: question(engine, shows), as_json=as_json, writes=writes)

    act(configuration, command, work, reason, *about)


async def _answered(
    configuration: Configuration, question: Callable[[Engine], Awaitable[CommandAnswer]], *, as_json: bool, writes: bool
) -> int:
    from gateway.feed.operator.arguments import say_answer
    from gateway.ingest.assembly import store_for_command

    async with store_for_command(configuration, writes=writes) as engine:
        answer = await question(engine)
    return say_answer(answer, print, as_json=as_json)


async def _acted(
    configuration: Configuration,
    command: str,
    work: Callable[[Shows], Awaitable[int]],
    reason: str,
    about: Collection[str],
) -> int:
    from gateway.audit.acts import acting, addresses_in
    from gateway.audit.seal_key import prepared
    from gateway.settings import require_audit_place

    folder = configuration.audit_dir
    if folder is None:
        return await work(lambda _, __: None)
    require_audit_place(configuration)
    key = prepared(folder, configuration.audit_seal_key)
    async with acting(folder, key, command, reason, addresses_in(about)) as going:
        return await work(going.shows)
