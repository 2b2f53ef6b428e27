"""`sagechain chat`: a conversation that remembers, in the terminal or over a pipe (one turn a line).

Each conversation is a thread with a name in a store; one that ended, or whose process died, is continued by `-c`.
"""

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from sagechain.command import (
    DEFAULT_MODEL,
    ModelOption,
    ParameterOption,
    parameters_by_name,
    print_note,
    talk,
    typed_turns,
)

from .store_option import StoreOption, open_threads

if TYPE_CHECKING:
    from sagechain.chains import Store


def chat(
    model: ModelOption = DEFAULT_MODEL,
    system: Annotated[
        str | None, typer.Option("-s", "--system", help="The system text; a friendly one if not given.")
    ] = None,
    thread: Annotated[
        str | None, typer.Option("--thread", metavar="NAME", help="The conversation to start or to continue.")
    ] = None,
    resume: Annotated[bool, typer.Option("-c", "--continue", help="Continue the last conversation.")] = False,
    location: StoreOption = None,
    summarise: Annotated[
        bool, typer.Option("--summarise", help="Let the model summarise the turns that its context has no room for.")
    ] = False,
    parameters: ParameterOption = None,
) -> None:
    """Talk with a model that remembers. /reset forgets, /exit ends.

    Example: sagechain chat -m "sagemaker:my-falcon?family=falcon" --thread ada
    """
    if thread is not None and resume:
        raise typer.BadParameter("give --thread or --continue, not both")
    from sagechain.chains import conversation, reset
    from sagechain.chains.stores import check_name
    from sagechain.llms import load_chat_model
    from sagechain.prompts import load_prompt

    with open_threads(location) as store:
        name = _last_thread(store) if resume else thread if thread is not None else _new_name()
        check_name(name)
        chat_model = load_chat_model(model, **parameters_by_name(parameters))
        graph = conversation(
            chat_model,
            system=load_prompt("chatbot").format() if system is None else system,
            checkpointer=store,
            summarise=summarise,
        )
        turns = next((info.turns for info in store.threads() if info.name == name), 0)
        if turns or sys.stdin.isatty():
            print_note(f"(Thread {name}, {turns} turns so far.)")
        talk(graph, typed_turns(), thread=name, reset=reset)


def _last_thread(store: "Store") -> str:
    """The thread with the latest turn. Raises ValueError if no thread is stored."""
    threads = store.threads()
    if not threads:
        raise ValueError("--continue: no conversation is stored yet; start one without --continue")
    return threads[0].name


def _new_name() -> str:
    from datetime import datetime

    return f"{datetime.now():%Y-%m-%d-%H%M%S-%f}"
