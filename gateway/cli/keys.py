"""`autoscribe-gateway keys …`: make a secret key, and print it or its public half.

Carries out no clause of a standard; decisions D11 and D42.
Proved by tests/gateway/cli/test_main.py.
"""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.command_line import CommandGroup, Config, load

keys = typer.Typer(help="Make secrets.", no_args_is_help=True, cls=CommandGroup)


@keys.command("seal")
def keys_seal(config: Config = None) -> None:
    """Make the key that seals the audit, in the file of audit.seal_key; print its public half. Keep that elsewhere."""
    from gateway.audit.seal_key import seal_key
    from gateway.audit.segment import hex_of
    from gateway.settings import require_audit_place

    configuration = load(config)
    require_audit_place(configuration)
    print(hex_of(seal_key(configuration.audit_seal_key).public_key()))


@keys.command("site")
def keys_site(
    number: Annotated[
        int, typer.Option("--version", min=1, max=9999, help="Version of the key: 1 for a site's first.")
    ] = 1,
) -> None:
    """Make a site key for GATEWAY_MAPPING__SITE_KEY. Keep it secret and never change it."""
    print(new_site_key(number))


def new_site_key(number: int = 1) -> str:
    """Return a new site key of this version."""
    import secrets

    return f"v{number}.{secrets.token_hex(32)}"
