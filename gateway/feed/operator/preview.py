"""Show an operator how many messages a command would send, and ask for consent on the terminal.

Carries out no clause of a standard; decision D37. A script cannot be asked and passes `--yes`.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.feed.operator.arguments import CommandAnswer, RefusedCommand, Say, counted, say_answer, wrong
from gateway.ingest.assembly import store_for_command
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, instant_text
from gateway.store.feed.outbox import ToSend


@dataclass(frozen=True, slots=True)
class Consent:
    """The operator's choice beforehand: only count (`dry_run`), or send without a question (`yes`)."""

    dry_run: bool = False
    yes: bool = False

    @property
    def is_given(self) -> bool:
        """True if the command may send without a question."""
        return self.yes and not self.dry_run


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Messages that a command would send, and sentences about what it would not; `is_refused`: some it must not."""

    amount: ToSend
    notes: tuple[str, ...] = ()
    is_refused: bool = False


@dataclass(frozen=True, slots=True)
class SendingAct:
    """Command that sends messages to a destination: `foresee` counts them, `act` sends them."""

    name: str
    foresee: Callable[[Engine], Awaitable[Foreseen | RefusedCommand]]
    act: Callable[[Engine], Awaitable[CommandAnswer]]


async def act_if_agreed(configuration: Configuration, sending: SendingAct, consent: Consent, say: Say) -> int:
    """Show what a command would send, send it if the operator agrees, and print the answer; return the exit code.

    Raises:
        ConfigError: there is something to send, no consent was given, and there is no terminal to ask on.
        StoreUnavailable: the store cannot be reached.
    """
    async with store_for_command(configuration, writes=not consent.dry_run) as engine:
        if not consent.is_given:
            foreseen = await sending.foresee(engine)
            if isinstance(foreseen, RefusedCommand):
                return say_answer(foreseen, say)
            if not is_agreed(foreseen.amount, sending.name, consent, say):
                for note in foreseen.notes:
                    say(note)
                return int(foreseen.is_refused or not consent.dry_run)
        answer = await sending.act(engine)
    return say_answer(answer, say)


def is_agreed(amount: ToSend, name: str, consent: Consent, say: Say) -> bool:
    """Print what a destination would be sent; return True if it is to be sent.

    No question is asked if there is nothing to send.

    Raises:
        ConfigError: there is something to send, no consent was given, and there is no terminal to ask on.
    """
    if amount.messages:
        say(f"{name} would be sent {in_words(amount)}")
    elif consent.dry_run:
        say(f"{name} would be sent nothing")
    if consent.dry_run:
        say("nothing is sent: --dry-run")
        return False
    if not amount.messages:
        return True
    if not sys.stdin.isatty():
        problem = "missing, and there is no terminal to ask on: nothing is sent"
        raise wrong("--yes", problem, "See what --dry-run says, then write --yes.")
    sys.stderr.write("Send it? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in {"y", "yes"}:
        return True
    say("nothing is sent")
    return False


def in_words(amount: ToSend) -> str:
    """Return the amount in words: `12 messages at least (14 reports of 12 studies), 2 critical, signed … to …`."""
    text = counted(amount.messages, "message")
    if amount.reports:
        text += f" at least ({counted(amount.reports, 'report')} of {counted(amount.studies, 'study')})"
    text += f", {amount.critical} critical"
    if amount.oldest is None or amount.newest is None:
        return text
    return f"{text}, signed {instant_text(amount.oldest)} to {instant_text(amount.newest)}"
