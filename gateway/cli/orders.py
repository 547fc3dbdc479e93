"""`autoscribe-gateway orders …`: arguments and help of the commands about a hospital's orders.

Carries out no clause of a standard. Exit codes: 0 done, 1 refused or nothing found, 2 bad input.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.command_line import CommandGroup, Config, Json, Reason, load
from gateway.cli.run_command import act as _act
from gateway.cli.run_command import act_on_store as _act_on_store
from gateway.runtime.command_words import OrderState

orders = typer.Typer(
    help="See which order each study answers, decide where that is unclear, and settle messages that were held.",
    no_args_is_help=True,
    cls=CommandGroup,
)

Message = Annotated[int, typer.Argument(metavar="NUMBER", help="Number of a message, as `orders messages` has it.")]
Study = Annotated[str, typer.Argument(metavar="STUDY", help="Study id, stu_<32 hex>.")]


@orders.command("list")
def list_orders(
    state: Annotated[
        OrderState | None, typer.Option("--state", help="Only studies in this state; default: all without an order.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="INSTANT", help="Only what became so at or after this day or time.")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List studies with the state of their match, and why they have no order."""
    from gateway.feed.operator import study_decisions as work

    configuration, request = load(config), work.ListRequest(state, since)
    _act_on_store(
        configuration,
        "orders list",
        lambda engine, _: work.list_orders(engine, configuration, request),
        as_json=as_json,
        writes=False,
    )


@orders.command()
def show(
    what: Annotated[str, typer.Argument(metavar="STUDY|ORDER", help="Study id, or the number of an order.")],
    reason: Reason = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show a study's match and the orders near it, or an order and the studies near it, by their numbers."""
    from gateway.cli.order_show import show as show_orders

    configuration = load(config)
    _act_on_store(
        configuration,
        "orders show",
        lambda engine, shows: show_orders(engine, configuration, what, reason, shows),
        reason,
        what,
        as_json=as_json,
        writes=False,
    )


@orders.command("try")
def try_message(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="File with one HL7 v2 message, as the hospital sends it.")
    ],
    source: Annotated[
        str | None, typer.Option("--source", metavar="NAME", help="Source that would send it, if there are several.")
    ] = None,
    reason: Reason = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show, with patient data, what a message says, what it would store, and which studies it would match, or why not.

    Nothing of it is stored.
    """
    from gateway.cli.order_try import TryRequest
    from gateway.cli.order_try import try_message as tried

    configuration, request = load(config), TryRequest(file, source, reason)
    trying = partial(tried, configuration, request, print, as_json=as_json)
    _act(configuration, "orders try", trying, reason)


@orders.command("match")
def match(
    study: Study,
    order: Annotated[list[int], typer.Argument(metavar="ORDER", help="Number of an order; several of one group.")],
    reason: Reason,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Decide that a study answers these orders. Exit 1 if it must not, such as for another patient's order."""
    from gateway.feed.operator import study_decisions as work

    configuration = load(config)
    _act_on_store(
        configuration,
        "orders match",
        lambda engine, _: work.match_orders(engine, configuration, study, order, reason),
        reason,
        study,
        as_json=as_json,
    )


@orders.command()
def release(study: Study, reason: Reason, config: Config = None, as_json: Json = False) -> None:
    """Decide that a study goes without an order: its report waits no longer."""
    from gateway.feed.operator import study_decisions as work

    configuration = load(config)
    decision = partial(work.release, study_id=study, reason=reason)
    _act_on_store(configuration, "orders release", lambda engine, _: decision(engine), reason, study, as_json=as_json)


@orders.command("messages")
def list_messages(config: Config = None, as_json: Json = False) -> None:
    """List messages of hospitals that were held or that failed, with the reason; only numbers and codes."""
    from gateway.cli import order_messages as work

    configuration = load(config)
    _act_on_store(
        configuration, "orders messages", lambda engine, _: work.list_messages(engine), as_json=as_json, writes=False
    )


@orders.command("message")
def show_message(message: Message, reason: Reason = "", config: Config = None, as_json: Json = False) -> None:
    """Show a message that was held or that failed, with patient data. Exit 1 if there is none of that number."""
    from gateway.cli import order_messages as work

    configuration = load(config)
    _act_on_store(
        configuration,
        "orders message",
        lambda engine, _: work.show_message(engine, message, reason),
        reason,
        as_json=as_json,
        writes=False,
    )


@orders.command()
def retry(message: Message, reason: Reason, config: Config = None) -> None:
    """Try to apply a message again. Exit 1 if its bytes are deleted."""
    from gateway.cli import order_messages as work

    configuration = load(config)
    _act_on_store(configuration, "orders retry", lambda engine, _: work.retry(engine, message, reason), reason)


@orders.command("set-aside")
def set_aside(message: Message, reason: Reason, config: Config = None) -> None:
    """Settle a message for good, without applying it: what waits for it goes on."""
    from gateway.cli import order_messages as work

    configuration = load(config)
    setting = partial(work.set_message_aside, number=message, reason=reason)
    _act_on_store(configuration, "orders set-aside", lambda engine, _: setting(engine), reason)
