"""Parts that all commands share: options, loading settings, shell completion, and exit codes.

Carries out no clause of a standard. `--help` and every Tab in a shell import the command modules. So these modules
import nothing slow, and each command imports its implementation inside its body.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperGroup

from gateway.runtime.command_words import CONFIG_VARIABLE

if TYPE_CHECKING:
    from gateway.settings import Configuration

Run = Callable[[Coroutine[Any, Any, int | None]], int | None]
PORT: Final = {"min": 0, "max": 65535}
Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help=f"Settings (TOML); else {CONFIG_VARIABLE}.")
]
Reason = Annotated[str, typer.Option("--reason", help="Reason for the audit trail. Write no patient names.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_FAULTS: Final = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


class CommandGroup(TyperGroup):
    """A group of commands whose help shows each description in full; the library's own list truncates them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; default the library's flags to False, since converting None would import pydantic."""
        for one in self.get_params(ctx):
            if getattr(one, "is_flag", False) and one.default is None:
                one.default = False
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands to the help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.commands[name].help or "") for name in self.list_commands(ctx)])


def load(path: Path | None) -> Configuration:
    """Read the settings from the file and the environment.

    Raises:
        ConfigError: the first setting that is wrong.
    """
    from gateway.settings import load as read

    return read(path)


def exit_code(work: Coroutine[Any, Any, int | None], run: Run | None = None) -> int:
    """Run a command to its end, with `asyncio.run` or another `run`, and return its exit code; 130 after Ctrl-C."""
    import asyncio
    import signal

    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # from here on there may be something to end in order
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return (run or asyncio.run)(work) or 0
    except KeyboardInterrupt:
        return 130


def destination_names(context: typer.Context, incomplete: str) -> list[str]:
    """List destination names that start with the typed text, for completion; none if the file cannot be read."""
    import tomllib

    try:
        path = Path(context.params.get("config") or os.environ[CONFIG_VARIABLE])
        names = [one["name"] for one in tomllib.loads(path.read_text("utf-8-sig"))["destination"]]
        return [name for name in names if name.startswith(incomplete)]
    except _FAULTS:
        return []
