"""Serve a customer in the terminal. An order is placed only after the customer's answer:

    Order 2 x Heron 2 tent for 378 dollars? [y/N/edit]

If standard input is not a terminal, the order waits in its thread, and a later run approves or rejects it. What was
approved before a crash is finished first.
"""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer
from sagechain.command import NOT_READY, print_answer, print_note, print_text, talk

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.types import Interrupt

    from .conversation import ShopConversation
    from .database import ShopDatabase


class ShopTerminal:
    """One thread of the assistant in the terminal.

    Args:
        graph: the assistant, over a checkpointer that stores its threads.
        shop: the shop's database.
        thread: the thread's name.
    """

    def __init__(self, graph: "ShopConversation", shop: "ShopDatabase", thread: str) -> None:
        self._graph, self._shop, self._thread = graph, shop, thread
        self._config: RunnableConfig = {"configurable": {"thread_id": thread}}

    def serve(self, turns: Iterable[str], *, approve: bool | None = None, order: str | None = None) -> None:
        """Answer the turns one after another.

        Args:
            turns: the customer's messages; `/reset` forgets, `/exit` ends.
            approve: whether the order that waits from an earlier run is approved; None leaves it to the customer.
            order: the id that was printed with it; without one, whatever order waits now is decided.

        Raises:
            ValueError: `approve` is given, and no order waits or another one.
            typer.Exit: an order waits, and standard input is not a terminal.
        """
        from sagechain.chains import reset

        if self._graph.is_unfinished(self._config):
            print_note("(The last run was interrupted; it continues.)")
            print_answer(self._graph, None, self._config)
        if approve is not None:
            self._decide(approve, order)
        self._ask_about_orders()
        talk(self._graph, turns, reset=reset, thread=self._thread, after_answer=self._ask_about_orders)

    def _decide(self, approve: bool, order_id: str | None) -> None:
        if (interrupt := self._interrupt()) is None:
            raise ValueError(f"--approve, --reject: no order waits in thread {self._thread!r}")
        if order_id is not None and order_id != interrupt.id:
            raise ValueError(
                f"--order: another order waits in thread {self._thread!r} now; start without it to see which"
            )
        orders = interrupt.value["action_requests"]
        for order in orders:
            print_note(f"{order['description']} {'yes' if approve else 'no'}")
        self._resume(interrupt, [{"type": "approve" if approve else "reject"} for _ in orders])

    def _ask_about_orders(self) -> None:
        """Let the customer decide on the waiting orders; without a terminal, print how to continue, and exit."""
        while (interrupt := self._interrupt()) is not None:
            orders = interrupt.value["action_requests"]
            decisions = [_ask(self._shop, order) for order in orders] if sys.stdin.isatty() else [None]
            if None in decisions:
                for order in orders:
                    print_note(f"(Waiting for approval: {order['description']})")
                print_note(f"(To continue: --thread {self._thread} --order {interrupt.id} --approve, or --reject.)")
                raise typer.Exit(NOT_READY)
            self._resume(interrupt, decisions)

    def _resume(self, interrupt: "Interrupt", decisions: list[Any]) -> None:
        """Resume by the interrupt's id, since another process may have continued the thread meanwhile."""
        from langgraph.types import Command

        print_answer(self._graph, Command(resume={interrupt.id: {"decisions": decisions}}), self._config)

    def _interrupt(self) -> "Interrupt | None":
        """What the thread waits for."""
        return next(iter(self._graph.get_state(self._config).interrupts), None)


def _ask(shop: "ShopDatabase", order: dict[str, Any]) -> dict[str, Any] | None:
    """The customer's decision on an order; None at the end of standard input."""
    from langchain_core.tools import ToolException

    from .approvals import approval_question

    args = dict(order["args"])
    while True:
        try:
            answer = _read_line(f"{approval_question(shop, args['name'], args['quantity'])} [y/N/edit] ")
        except ToolException as error:
            print_note(f"({error})")
            answer = "edit"
        if answer is None:
            return None
        if answer.lower() in ("y", "yes"):
            edited = {"name": order["name"], "args": args}
            return {"type": "approve"} if args == order["args"] else {"type": "edit", "edited_action": edited}
        if answer.lower() != "edit":
            return {"type": "reject"}
        name, quantity = _read_line(f"Product [{args['name']}] "), _read_line(f"How many [{args['quantity']}] ")
        if name is None or quantity is None:
            return None
        args = {"name": name or args["name"], "quantity": int(quantity) if quantity.isdigit() else args["quantity"]}


def _read_line(question: str) -> str | None:
    print_text(question, end="", file=sys.stderr)
    line = sys.stdin.readline()
    return line.strip() if line else None
