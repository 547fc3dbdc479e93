"""`autoscribe-gateway keys …`: make a secret key, and print it or its public half.

Carries out no clause of a standard; decisions D11 and D42.
Proved by tests/gateway/cli/test_main.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gateway.cli.command_line import CommandGroup, Config, load

Algorithm = Literal["RS384", "ES384"]
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


@keys.command("ehr")
def keys_ehr(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File of the private key, for ehr_key_file.")],
    algorithm: Annotated[Algorithm, typer.Option("--algorithm", help="RS384 or ES384, as the EHR wants.")] = "ES384",
) -> None:
    """Make the key by which the gateway signs in at an EHR, in FILE if that is missing; print its public JWK Set."""
    from gateway.runtime.client_key import made_client_key, printed_keys

    print(printed_keys(made_client_key(file, algorithm)))
