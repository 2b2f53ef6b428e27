"""`sagechain chat`: a conversation that remembers, in the terminal or over a pipe (one turn a line)."""

import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sagechain.apps.cli.options import DEFAULT_MODEL, ModelOption, ParameterOption, parameters, warn_if_cut

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from sagechain.chains.conversations import Conversation

THREAD = "chat"


def chat(
    model: ModelOption = DEFAULT_MODEL,
    system: Annotated[
        str | None, typer.Option("-s", "--system", help="What the model is told first; a friendly text if not given.")
    ] = None,
    given: ParameterOption = None,
) -> None:
    """Talk with a model that remembers. /reset forgets, /exit ends.

    Example: sagechain chat -m "sagemaker:my-falcon?family=falcon"
    """
    import asyncio

    from sagechain.chains import conversation, reset
    from sagechain.llms import load_chat_model
    from sagechain.prompts import load_prompt

    told = load_prompt("chatbot").format() if system is None else system
    graph = conversation(load_chat_model(model, **parameters(given)), system=told)
    with asyncio.Runner() as runner:
        while (turn := _next_turn()) not in (None, "/exit"):
            if turn == "/reset":
                reset(graph, THREAD)
                print("(forgotten)", file=sys.stderr)
            elif turn:
                runner.run(_answer(graph, turn))


async def _answer(graph: "Conversation", turn: str) -> None:
    # Async all the way: a Ctrl-C then ends the model's work at once (see `chains/conversations.py`).
    from langchain_core.messages import HumanMessage

    thread: RunnableConfig = {"configurable": {"thread_id": THREAD}}
    reason = None
    parts: AsyncIterator[Any] = graph.astream({"messages": [HumanMessage(turn)]}, thread, stream_mode="messages")
    async for piece, _ in parts:
        print(piece.text, end="", flush=True)
        reason = piece.response_metadata.get("finish_reason", reason)
    print(flush=True)
    warn_if_cut(reason)


def _next_turn() -> str | None:
    """The next line; None at the end of the input."""
    if sys.stdin.isatty():
        print("> ", end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    return line.strip() if line else None
