"""Serve a customer in the terminal: turns, and the question before an order is placed. Nothing is ever approved unasked.

    Order 2 x Heron 2 tent for 378 dollars? [y/N/edit]

Where nobody can be asked (standard input is no terminal), the order waits in its thread, and a later run approves or
rejects it. Threads are kept in the shop's own file. What was approved before a crash is finished first.
"""

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import typer
from sagechain.command import NOT_READY, print_answer, print_note, talk

if TYPE_CHECKING:
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
    from sagechain.chains import open_store

    with open_store(shop.path) as store:
        _Counter(visit_over(store), shop, thread).serve(turns, decision)


def new_thread() -> str:
    """A name that no visit has yet."""
    from datetime import datetime

    return f"{datetime.now():%Y-%m-%d-%H%M%S-%f}"


class _Counter:
    def __init__(self, visit: "ShopVisit", shop: "ShopDatabase", thread: str) -> None:
        self._visit, self._shop, self._thread = visit, shop, thread
        self._config: RunnableConfig = {"configurable": {"thread_id": thread}}

    def serve(self, turns: Iterable[str], decision: bool | None) -> None:
        from sagechain.chains import reset

        if self._visit.is_cut_off(self._config):
            print_note("(The last visit was cut off; it goes on.)")
            print_answer(self._visit, None, self._config)
        if decision is not None:
            self._decide(decision)
        self._settle()
        talk(self._visit, turns, reset=reset, thread=self._thread, after_answer=self._settle)

    def _decide(self, approved: bool) -> None:
        if (asked := self._asked()) is None:
            raise ValueError(f"--approve, --reject: no order waits in thread {self._thread!r}")
        orders = asked.value["action_requests"]
        for order in orders:
            print_note(f"{order['description']} {'yes' if approved else 'no'}")
        self._go_on(asked, [{"type": "approve" if approved else "reject"} for _ in orders])

    def _settle(self) -> None:
        """Ask about each order that waits, as long as there are any; without anyone to ask, say how to go on, and end."""
        while (asked := self._asked()) is not None:
            orders = asked.value["action_requests"]
            decisions = [_decision(self._shop, order) for order in orders] if sys.stdin.isatty() else [None]
            if None in decisions:
                for order in orders:
                    print_note(f"(This waits for approval: {order['description']})")
                print_note(f"(To go on: --thread {self._thread} --approve, or --reject.)")
                raise typer.Exit(NOT_READY)
            self._go_on(asked, [each for each in decisions if each is not None])

    def _go_on(self, asked: "Interrupt", decisions: list[Decision]) -> None:
        """Answer what was asked; by its id, since another process may have gone on in the thread meanwhile."""
        from langgraph.types import Command

        print_answer(self._visit, Command(resume={asked.id: {"decisions": decisions}}), self._config)

    def _asked(self) -> "Interrupt | None":
        """What the thread waits for."""
        return next(iter(self._visit.get_state(self._config).interrupts), None)


def _decision(shop: "ShopDatabase", order: dict[str, Any]) -> Decision | None:
    """What the customer decides; None where nobody answers."""
    from langchain_core.tools import ToolException

    from .approvals import asked

    args = dict(order["args"])
    while True:
        try:
            said = _read(f"{asked(shop, args['name'], args['quantity'])} [y/N/edit] ")
        except ToolException as error:
            print_note(f"({error})")
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
