"""Chat in the terminal. Answers go to standard output as they are generated, everything else to standard error.

    talk(graph, typed_turns(), reset=sagechain.chains.reset)

`/reset` forgets the thread, `/exit` ends.
"""

import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .visible_text import print_text

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.graph.state import CompiledStateGraph

    Graph = CompiledStateGraph[Any, Any, Any, Any]


def print_note(text: str) -> None:
    """Print a line that is not part of an answer."""
    print_text(text, file=sys.stderr)


def warn_if_truncated(finish_reason: str | None) -> None:
    """Print a note if the answer is truncated.

    Every wire reports `length` both for the token limit and for the end of the model's context.
    """
    if finish_reason == "length":
        print_note(
            "(The answer was truncated: it reached the token limit, or the end of the model's context. "
            "-p max_new_tokens=… raises the limit.)"
        )


def talk(
    graph: "Graph",
    turns: Iterable[str],
    *,
    reset: "Callable[[Any, str], None]",
    thread: str = "terminal",
    after_answer: Callable[[], None] = lambda: None,
) -> None:
    """Answer the turns one after another in one thread.

    Args:
        graph: accepts `{"messages": […]}`.
        turns: the person's messages, `/reset` and `/exit` among them.
        reset: forgets a thread of the graph.
        thread: the thread's name.
        after_answer: called after each answer.
    """
    from langchain_core.messages import HumanMessage

    for turn in turns:
        if turn == "/exit":
            return
        if turn == "/reset":
            reset(graph, thread)
            print_note("(forgotten)")
        elif turn:
            print_answer(graph, {"messages": [HumanMessage(turn)]}, {"configurable": {"thread_id": thread}})
            after_answer()


def announced(turns: Iterable[str]) -> Iterator[str]:
    """Prepared turns; each is printed before its answer."""
    for turn in turns:
        print_note(f"> {turn}")
        yield turn


def typed_turns() -> Iterator[str]:
    """Turns from the terminal or a pipe, one a line."""
    while True:
        if sys.stdin.isatty():
            print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        yield line.strip()


def print_answer(graph: "Graph", input: Any, config: "RunnableConfig") -> None:
    """Run the graph, and print the model's messages as they are generated; results of tools are not printed.

    It runs in an event loop, so that Ctrl-C cancels the generation immediately.
    """
    import asyncio

    asyncio.run(_print_answer(graph, input, config))


async def _print_answer(graph: "Graph", input: Any, config: "RunnableConfig") -> None:
    from langchain_core.messages import AIMessage

    finish_reason, message_id = None, None
    parts: AsyncIterator[Any] = graph.astream(input, config, stream_mode="messages")
    async for chunk, _ in parts:
        if not isinstance(chunk, AIMessage):
            continue
        finish_reason = chunk.response_metadata.get("finish_reason", finish_reason)
        if chunk.text:
            # The text before a tool call and the text after it are two messages.
            print_text("\n" * (message_id not in (None, chunk.id)) + chunk.text, end="")
            message_id = chunk.id
    print(flush=True)
    warn_if_truncated(finish_reason)
