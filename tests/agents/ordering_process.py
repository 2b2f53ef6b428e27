"""A process that places orders until it is killed, and one that kills it, 50 times, and starts it again each time.

    python -m tests.agents.ordering_process FOLDER

The process that kills has everything imported, so that the one it forks is at work at once.
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
from langgraph.types import Command
from sagechain.agents.llama2_assistant import chain
from sagechain.agents.shop.catalogue import products_of_fernhill
from sagechain.agents.shop.database import ShopDatabase
from sagechain.agents.shop.graph import ShopVisit, waiting

from tests.agents.scripted_chat import ScriptedChat, calls

KILLS = 50
STOCK = 100_000
REJECTED = 5  # every so-manieth thread is


class Ordering(ScriptedChat):
    """Orders what the customer asked for, then repeats what the tool has told."""

    def _next(self, messages: list[Any], kwargs: dict[str, Any]) -> AIMessage:
        if messages[-1].type == "tool":
            return AIMessage(messages[-1].text)
        return calls("place_order", f"call-{uuid4()}", name="Heron 2 tent", quantity=2)


def shop_in(folder: Path) -> ShopDatabase:
    return ShopDatabase(
        folder / "shop.sqlite", [each.model_copy(update={"stock": STOCK}) for each in products_of_fernhill()]
    )


def visit_in(folder: Path) -> ShopVisit:
    keeper = SqliteSaver(sqlite3.connect(folder / "threads.sqlite", check_same_thread=False))
    return chain(Ordering(script=[]), database=shop_in(folder), checkpointer=keeper)


def is_rejected(thread: int) -> bool:
    return thread % REJECTED == 0


def settle(visit: ShopVisit, folder: Path, thread: int) -> None:
    """Take a thread from wherever it is to its end. What is decided is written down when it is decided."""
    config: Any = {"configurable": {"thread_id": str(thread)}}
    if visit.is_cut_off(config):
        visit.invoke(None, config)
    state = visit.get_state(config)
    if not state.values or (state.tasks and not waiting(state)):
        visit.invoke({"messages": [HumanMessage("I want to order two Heron 2 tents.")]}, config)
        state = visit.get_state(config)
    if waiting(state):
        decision = "reject" if is_rejected(thread) else "approve"
        _note(folder / "decided", f"{thread} {decision}")
        visit.invoke(Command(resume={"decisions": [{"type": decision}]}), config)


def work(folder: Path, ready: int) -> None:
    """Settle the thread that was begun last, then begin others for ever."""
    visit, begun = visit_in(folder), noted(folder / "begun")
    os.write(ready, b".")
    thread = int(begun[-1]) if begun else 1
    while True:
        _note(folder / "begun", str(thread))
        settle(visit, folder, thread)
        _note(folder / "settled", str(thread))
        thread += 1


def noted(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def _note(file: Path, line: str) -> None:
    with file.open("a") as notes:
        notes.write(f"{line}\n")


def main(folder: Path, seed: int) -> None:
    """Kill 50 times at random moments; then settle the last thread in peace."""
    moments, (is_ready, ready) = random.Random(seed), os.pipe()
    chain(Ordering(script=[]), database=shop_in(folder))  # so that all is imported
    for _ in range(KILLS):
        child = os.fork()
        if child == 0:
            work(folder, ready)
        os.read(is_ready, 1)
        time.sleep(moments.uniform(0.0, 0.2))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    settle(visit_in(folder), folder, int(noted(folder / "begun")[-1]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
