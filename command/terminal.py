"""Talk with a conversation in the terminal: turns that are given, or typed a line each. `/reset` forgets, `/exit` ends.

Answers go to standard output as they come, all else to standard error.
"""

import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .runner import note, warn_if_cut

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from sagechain.chains.conversations import Conversation

THREAD = "terminal"


def talk(graph: "Conversation", turns: Iterable[str]) -> None:
    """Take the turns one after another, in one thread."""
    import asyncio

    from sagechain.chains import reset

    thread: RunnableConfig = {"configurable": {"thread_id": THREAD}}
    with asyncio.Runner() as runner:
        for turn in turns:
            if turn == "/exit":
                return
            if turn == "/reset":
                reset(graph, THREAD)
                note("(forgotten)")
            elif turn:
                runner.run(answer(graph, turn, thread))


def shown(turns: Iterable[str]) -> Iterator[str]:
    """Turns that nobody typed, each put before its answer."""
    for turn in turns:
        note(f"> {turn}")
        yield turn


def typed() -> Iterator[str]:
    """A turn a line, from the terminal or a pipe."""
    while True:
        if sys.stdin.isatty():
            print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        yield line.strip()


async def answer(graph: "Conversation", turn: str, thread: "RunnableConfig") -> None:
    """Show the answer to a turn as it comes. Async, so that a Ctrl-C ends the model's work at once."""
    from langchain_core.messages import HumanMessage

    await show(graph, {"messages": [HumanMessage(turn)]}, thread)


async def show(graph: "Conversation", given: Any, thread: "RunnableConfig") -> None:
    """Show what the model says as it comes, and nothing of what tools say to it."""
    from langchain_core.messages import AIMessage

    reason, said = None, None
    parts: AsyncIterator[Any] = graph.astream(given, thread, stream_mode="messages")
    async for piece, _ in parts:
        if not isinstance(piece, AIMessage):
            continue
        reason = piece.response_metadata.get("finish_reason", reason)
        if piece.text:
            # What is said before a tool is called, and after it, are messages of their own.
            print("\n" if said not in (None, piece.id) else "", piece.text, sep="", end="", flush=True)
            said = piece.id
    print(flush=True)
    warn_if_cut(reason)
