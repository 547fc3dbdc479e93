"""`autoscribe-gateway clients …`: arguments and help of the commands for the clients of the FHIR facade.

Carries out no clause of a standard. Exit codes: 0 done, 2 bad input. gateway/cli/registered_clients.py does the work.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.command_line import CommandGroup, Config, Json, Reason, load
from gateway.cli.command_line import exit_code as _run
from gateway.cli.run_command import act as _act

clients = typer.Typer(
    help="Register the clients of the FHIR facade, and their keys.", no_args_is_help=True, cls=CommandGroup
)

Client = Annotated[str, typer.Argument(metavar="CLIENT", help="Client id; `clients list` shows it.")]
Jwks = Annotated[Path | None, typer.Option("--jwks", metavar="FILE", help="Public keys of the client (JWKS).")]
JwksUrl = Annotated[
    str | None, typer.Option("--jwks-url", metavar="URL", help="URL of the client's public keys (https).")
]


@clients.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the client, for people.")],
    scope: Annotated[
        list[str],
        typer.Option("--scope", metavar="SCOPE", help="Most that it may have, as system/Patient.rs; repeatable."),
    ],
    facility: Annotated[
        list[str] | None,
        typer.Option("--facility", metavar="NAME", help="Facility that it is limited to; repeatable. Default: all."),
    ] = None,
    jwks: Jwks = None,
    jwks_url: JwksUrl = None,
    external: Annotated[
        str | None,
        typer.Option("--external", metavar="CLIENT", help="Client id at the external issuer, in place of keys."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="INSTANT", help="Day or time from which it gets no token.")
    ] = None,
    reason: Reason = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Register a client with its scopes, and its public keys or its id at the external issuer; print its client id."""
    from gateway.cli import registered_clients as work

    keys, facilities = work.KeysGiven(jwks, jwks_url), tuple(facility or ())
    new = work.NewClient(name, tuple(scope), keys, expires, reason, external, facilities)
    configuration = load(config)
    _act(configuration, "clients add", lambda _: work.add(configuration, new, print, as_json=as_json), reason)


@clients.command("list")
def list_clients(config: Config = None, as_json: Json = False) -> None:
    """List the clients with their scopes, keys and state."""
    from gateway.cli import registered_clients as work

    sys.exit(_run(work.list_all(load(config), print, as_json=as_json)))


@clients.command()
def disable(client: Client, reason: Reason, config: Config = None) -> None:
    """Disable a client and revoke its tokens; it holds in every process within 5 seconds."""
    from gateway.cli import registered_clients as work

    configuration = load(config)
    _act(configuration, "clients disable", lambda _: work.disable(configuration, client, reason, print), reason)


@clients.command()
def enable(client: Client, reason: Reason = "", config: Config = None) -> None:
    """Enable a disabled client. Tokens that the gateway gave it stay revoked; those of an external issuer do not."""
    from gateway.cli import registered_clients as work

    configuration = load(config)
    act = partial(work.enable, configuration, client, reason, print)
    _act(configuration, "clients enable", lambda _: act(), reason)


@clients.command()
def rotate(
    client: Client,
    jwks: Jwks = None,
    jwks_url: JwksUrl = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="INSTANT", help="Day or time when the older keys end. Default: with --finish."),
    ] = None,
    finish: Annotated[bool, typer.Option("--finish", help="Remove the older keys now.")] = False,
    reason: Reason = "",
    config: Config = None,
) -> None:
    """Add new keys beside the older ones of a client, or remove the older ones (--finish)."""
    from gateway.cli import registered_clients as work

    given = work.KeysGiven(jwks, jwks_url)
    configuration, rotates = load(config), work.finish_rotation if finish else work.rotate
    rotation = partial(rotates, configuration, client, given, until, reason, print)
    _act(configuration, "clients rotate", lambda _: rotation(), reason)
