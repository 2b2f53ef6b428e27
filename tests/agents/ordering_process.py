"""A process that places orders until it is killed, and one that kills it at random moments and starts it again.

    python -m tests.agents.ordering_process FOLDER SEED KILLS

The killing process has imported everything, so that the processes it forks start immediately.
"""

import os
import random
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from sagechain.agents.llama2_assistant import chain
from sagechain.agents.shop.catalogue import load_products
from sagechain.agents.shop.conversation import ShopConversation, waiting_orders
from sagechain.agents.shop.database import ShopDatabase

from tests.agents.ordering import REQUEST, decide_by
from tests.agents.scripted_chat import ScriptedChat, calls

STOCK = 100_000
REJECTED = 5  # of this many threads one is rejected


class OrderingChat(ScriptedChat):
    """Orders what the customer wants, then repeats the tool's result."""

    def _next(self, messages: list[Any], kwargs: dict[str, Any]) -> AIMessage:
        if messages[-1].type == "tool":
            return AIMessage(messages[-1].text)
        return calls("place_order", f"call-{uuid4()}", name="Heron 2 tent", quantity=2)


def open_shop(folder: Path) -> ShopDatabase:
    products = [product.model_copy(update={"stock": STOCK}) for product in load_products()]
    return ShopDatabase(folder / "shop.sqlite", products)


def open_graph(folder: Path) -> ShopConversation:
    checkpointer = SqliteSaver(sqlite3.connect(folder / "threads.sqlite", check_same_thread=False))
    return chain(OrderingChat(script=[]), database=open_shop(folder), checkpointer=checkpointer)


def is_rejected(thread: int) -> bool:
    return thread % REJECTED == 0


def settle(graph: ShopConversation, folder: Path, thread: int) -> None:
    """Continue a thread from any state to its end. Each decision is written to a file as well."""
    config: Any = {"configurable": {"thread_id": str(thread)}}
    if graph.is_unfinished(config):
        graph.invoke(None, config)
    state = graph.get_state(config)
    if not state.values or (state.tasks and not waiting_orders(state)):
        graph.invoke({"messages": [HumanMessage(REQUEST)]}, config)
        state = graph.get_state(config)
    if waiting_orders(state):
        decision = "reject" if is_rejected(thread) else "approve"
        _append(folder / "decisions", f"{thread} {decision}")
        graph.invoke(decide_by(graph, [{"type": decision}], config), config)


def work(folder: Path, ready: int) -> None:
    """Settle the thread that was started last, then start others without end."""
    graph, started = open_graph(folder), read_lines(folder / "started")
    os.write(ready, b".")
    thread = int(started[-1]) if started else 1
    while True:
        _append(folder / "started", str(thread))
        settle(graph, folder, thread)
        thread += 1


def read_lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def _append(file: Path, line: str) -> None:
    with file.open("a") as lines:
        lines.write(f"{line}\n")


def main(folder: Path, seed: int, kills: int) -> None:
    """Kill a working process at random moments, then settle the last thread undisturbed."""
    moments, (is_ready, ready) = random.Random(seed), os.pipe()
    chain(OrderingChat(script=[]), database=open_shop(folder))  # imports everything
    for _ in range(kills):
        child = os.fork()
        if child == 0:
            work(folder, ready)
        os.read(is_ready, 1)
        time.sleep(moments.uniform(0.0, 0.2))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    settle(open_graph(folder), folder, int(read_lines(folder / "started")[-1]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
