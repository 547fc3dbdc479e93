"""Commands beside the functions that answer them: what a command prints is the print of its function's answer."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from fakes.commanded import Site

from gateway.feed.operator.arguments import CommandAnswer, printed


async def answer_of(site: Site, function: str, *command: str) -> CommandAnswer:
    """Run a command; assert that it prints the answer of this function, and nothing else; return the answer."""
    module, _, name = function.rpartition(".")
    answer_function, answers = getattr(import_module(f"gateway.{module}"), name), []

    async def recorded(*arguments: Any, **named: Any) -> CommandAnswer:
        answers.append(await answer_function(*arguments, **named))
        return answers[-1]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(f"gateway.{function}", recorded)
        code, out, err = await site.run(*command)
    assert answers, err
    assert out.splitlines() == "\n".join(printed(answers[-1], as_json="--json" in command)).splitlines(), command
    assert code == answers[-1].exit_code
    return answers[-1]
