"""`sagechain chat`: a conversation that remembers, in the terminal or over a pipe (one turn a line).

Conversations are kept in a store, each a thread by name: one that ended, or whose process died, goes on with `-c`.
"""

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from sagechain.command import answer, note, typed

from .options import DEFAULT_MODEL, ModelOption, ParameterOption, parameters
from .store_option import KeptInOption, store

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from sagechain.chains import Store


def chat(
    model: ModelOption = DEFAULT_MODEL,
    system: Annotated[
        str | None, typer.Option("-s", "--system", help="What the model is told first; a friendly text if not given.")
    ] = None,
    thread: Annotated[
        str | None, typer.Option("--thread", metavar="NAME", help="The conversation to begin or to go on with.")
    ] = None,
    go_on: Annotated[bool, typer.Option("-c", "--continue", help="Go on with the last conversation.")] = False,
    kept_in: KeptInOption = None,
    summarise: Annotated[
        bool, typer.Option("--summarise", help="Have the model sum up what its context has no room for any more.")
    ] = False,
    given: ParameterOption = None,
) -> None:
    """Talk with a model that remembers. /reset forgets, /exit ends.

    Example: sagechain chat -m "sagemaker:my-falcon?family=falcon" --thread ada
    """
    if thread is not None and go_on:
        raise typer.BadParameter("give --thread or --continue, not both")
    import asyncio

    from sagechain.chains import areset, conversation
    from sagechain.chains.stores import check_name
    from sagechain.llms import load_chat_model
    from sagechain.prompts import load_prompt

    told = load_prompt("chatbot").format() if system is None else system
    # Lines are read here, so that a Ctrl-C ends the reading; all else is async, so that it ends the model's work at once.
    with store(kept_in) as kept, asyncio.Runner() as runner:
        name = _last(kept) if go_on else _new_name() if thread is None else thread
        check_name(name)
        chat_model = load_chat_model(model, **parameters(given))
        graph = conversation(chat_model, system=told, checkpointer=kept, summarise=summarise)
        config: RunnableConfig = {"configurable": {"thread_id": name}}
        turns = _turns(kept, name)
        if turns or sys.stdin.isatty():
            note(f"(Thread {name}, {turns} turns so far.)")
        for turn in typed():
            if turn == "/exit":
                return
            if turn == "/reset":
                runner.run(areset(graph, name))
                note("(forgotten)")
            elif turn:
                runner.run(answer(graph, turn, config))


def _turns(kept: "Store", name: str) -> int:
    return next((info.turns for info in kept.threads() if info.name == name), 0)


def _last(kept: "Store") -> str:
    """The thread that was talked in last. Raises ValueError where there is none."""
    found = kept.threads()
    if not found:
        raise ValueError("--continue: no conversation is kept yet; begin one without it")
    return found[0].name


def _new_name() -> str:
    from datetime import datetime

    return f"{datetime.now():%Y-%m-%d-%H%M%S-%f}"
