"""`autoscribe-gateway operators …`: arguments and help of the commands for local accounts of the console.

Carries out no clause of a standard. Exit codes: 0 done, 2 bad input. gateway/cli/operator_accounts.py does the work. A
password is typed or piped, never an argument: arguments of a command are seen by everybody on the machine.
"""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from gateway.cli.command_line import CommandGroup, Config, load
from gateway.cli.run_command import act_on_store as _act_on_store
from gateway.cli.run_command import ask as _ask

operators = typer.Typer(help="Add and remove local accounts of the console.", no_args_is_help=True, cls=CommandGroup)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the account; `operators list` shows them.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Reason = Annotated[str, typer.Option("--reason", help="Reason for the audit trail. Write no patient names.")]
Roles = Literal["watcher", "reader", "operator", "admin"]


@operators.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits, and . _ - behind the first.")],
    role: Annotated[Roles, typer.Option("--role", help="Most that it may do; only a watcher sees no patients.")],
    reason: Reason = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Add a local account of the console. Asks for its password, or reads it from standard input."""
    from gateway.cli import operator_accounts as work

    configuration, password = load(config), _password()
    sys.exit(
        _act_on_store(
            configuration,
            "operators add",
            lambda engine, _: work.add(engine, name, role, password, reason),
            reason,
            as_json=as_json,
        )
    )


@operators.command("list")
def list_operators(config: Config = None, as_json: Json = False) -> None:
    """List the local accounts of the console, with role and lock."""
    from gateway.cli.operator_accounts import list_all

    sys.exit(_ask(load(config), list_all, as_json=as_json))


@operators.command()
def remove(name: Name, reason: Reason, config: Config = None) -> None:
    """Remove a local account of the console, and end its sessions at once."""
    from gateway.cli import operator_accounts as work

    configuration = load(config)
    sys.exit(
        _act_on_store(configuration, "operators remove", lambda engine, _: work.remove(engine, name, reason), reason)
    )


@operators.command()
def password(name: Name, reason: Reason = "", config: Config = None) -> None:
    """Give a local account a new password, unlock it, and end its sessions."""
    from gateway.cli import operator_accounts as work

    configuration, given = load(config), _password()
    sys.exit(
        _act_on_store(
            configuration,
            "operators password",
            lambda engine, _: work.set_password(engine, name, given, reason),
            reason,
        )
    )


@operators.command("sign-out")
def sign_out(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="`oidc:` and a `sub`, or `local:` and an account.")],
    reason: Reason,
    config: Config = None,
) -> None:
    """End all sessions of a person at the console, at once."""
    from gateway.cli import operator_accounts as work

    configuration = load(config)
    sys.exit(
        _act_on_store(
            configuration, "operators sign-out", lambda engine, _: work.sign_out(engine, subject, reason), reason
        )
    )


def _password() -> str:
    """Return the first line of standard input, or what somebody types twice, unseen."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    typed: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return typed
