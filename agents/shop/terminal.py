"""Serve a customer in the terminal: turns, and the question before an order is placed. Nothing is ever approved unasked.

    Order 2 x Heron 2 tent for 378 dollars? [y/N/edit]

Where nobody can be asked (standard input is no terminal), the order waits in its thread, and a later run approves or
rejects it. Threads are kept in the shop's own file. What was approved before a crash is finished first.
"""

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import typer
from sagechain.command import NOT_NOW, answer, note, show

if TYPE_CHECKING:
    import asyncio

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.types import Interrupt

    from .database import ShopDatabase
    from .graph import ShopVisit

Decision = dict[str, Any]


def serve(
    visit_over: "Callable[[BaseCheckpointSaver[Any]], ShopVisit]",
    shop: "ShopDatabase",
    thread: str,
    turns: Iterable[str],
    *,
    decision: bool | None = None,
) -> None:
    """Take the turns one after another.

    Args:
        visit_over: makes the graph over the checkpointer that keeps its threads.
        shop: whose file they are kept in.
        thread: the visit's name.
        turns: what the customer says; `/reset` forgets, `/exit` ends.
        decision: what becomes of the order that waits already: approved, rejected, or asked about if None.

    Raises:
        ValueError: a decision, and no order that waits.
    """
    import asyncio

    from sagechain.chains import open_store

    with open_store(shop.path) as store, asyncio.Runner() as runner:
        _Counter(runner, visit_over(store), shop, thread).serve(turns, decision)


def new_thread() -> str:
    """A name that no visit has yet."""
    from datetime import datetime

    return f"{datetime.now():%Y-%m-%d-%H%M%S-%f}"


class _Counter:
    def __init__(self, runner: "asyncio.Runner", visit: "ShopVisit", shop: "ShopDatabase", thread: str) -> None:
        self._runner, self._visit, self._shop, self._thread = runner, visit, shop, thread
        self._config: RunnableConfig = {"configurable": {"thread_id": thread}}

    def serve(self, turns: Iterable[str], decision: bool | None) -> None:
        if self._runner.run(self._visit.ais_cut_off(self._config)):
            note("(The last visit was cut off; it goes on.)")
            self._runner.run(show(self._visit, None, self._config))
        if decision is not None:
            self._decide(decision)
        self._settle()
        for turn in turns:
            if turn == "/exit":
                return
            if turn == "/reset":
                self._forget()
            elif turn:
                self._runner.run(answer(self._visit, turn, self._config))
                self._settle()

    def _forget(self) -> None:
        from sagechain.chains import areset

        self._runner.run(areset(self._visit, self._thread))
        note("(forgotten)")

    def _decide(self, approved: bool) -> None:
        if (asked := self._asked()) is None:
            raise ValueError(f"--approve, --reject: no order waits in thread {self._thread!r}")
        orders = asked.value["action_requests"]
        for order in orders:
            note(f"{order['description']} {'yes' if approved else 'no'}")
        self._go_on(asked, [{"type": "approve" if approved else "reject"} for _ in orders])

    def _settle(self) -> None:
        """Ask about each order that waits, as long as there are any; without anyone to ask, say how to go on, and end."""
        while (asked := self._asked()) is not None:
            orders = asked.value["action_requests"]
            decisions = [_decision(self._shop, order) for order in orders] if sys.stdin.isatty() else [None]
            if None in decisions:
                for order in orders:
                    note(f"(This waits for approval: {order['description']})")
                note(f"(To go on: --thread {self._thread} --approve, or --reject.)")
                raise typer.Exit(NOT_NOW)
            self._go_on(asked, [each for each in decisions if each is not None])

    def _go_on(self, asked: "Interrupt", decisions: list[Decision]) -> None:
        """Answer what was asked; by its id, since another process may have gone on in the thread meanwhile."""
        from langgraph.types import Command

        self._runner.run(show(self._visit, Command(resume={asked.id: {"decisions": decisions}}), self._config))

    def _asked(self) -> "Interrupt | None":
        """What the thread waits for."""
        return next(iter(self._runner.run(self._visit.aget_state(self._config)).interrupts), None)


def _decision(shop: "ShopDatabase", order: dict[str, Any]) -> Decision | None:
    """What the customer decides; None where nobody answers."""
    from langchain_core.tools import ToolException

    from .approvals import asked

    args = dict(order["args"])
    while True:
        try:
            said = _read(f"{asked(shop, args['name'], args['quantity'])} [y/N/edit] ")
        except ToolException as error:
            note(f"({error})")
            said = "edit"
        if said is None:
            return None
        if said.lower() in ("y", "yes"):
            changed = {"name": order["name"], "args": args}
            return {"type": "approve"} if args == order["args"] else {"type": "edit", "edited_action": changed}
        if said.lower() != "edit":
            return {"type": "reject"}
        name, quantity = _read(f"Product [{args['name']}] "), _read(f"How many [{args['quantity']}] ")
        if name is None or quantity is None:
            return None
        args = {"name": name or args["name"], "quantity": int(quantity) if quantity.isdigit() else args["quantity"]}


def _read(question: str) -> str | None:
    """A line from the terminal; None where it has ended."""
    print(question, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    return line.strip() if line else None
