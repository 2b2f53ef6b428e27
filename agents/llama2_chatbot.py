"""A chatbot for Llama 2 (and any other model): it remembers, has a system text, is shown examples, and can be reset.

    python -m sagechain.agents.llama2_chatbot -m "sagemaker:NAME?family=llama2&wire=llama2-dialog" --accept-eula

    graph = chain(load_chat_model("local:smollm2"))
    graph.invoke({"messages": [("human", "My name is Ada.")]}, {"configurable": {"thread_id": "ada"}})
    reset(graph, "ada")     # sagechain.chains.reset

Examples, parameters and the turns that it shows without arguments are in `llama2_chatbot.yaml`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sagechain.command import (
    DEFAULT_MODEL,
    EulaOption,
    InteractiveOption,
    ModelOption,
    ParameterOption,
    chosen,
    run,
    shown,
    talk,
    typed,
)
from sagechain.prompts import read_yaml

if TYPE_CHECKING:
    from langchain_core.language_models import BaseLanguageModel
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from sagechain.chains.conversations import Conversation


def chain(
    model: "BaseLanguageModel[Any]",
    *,
    system: str | None = None,
    examples: Sequence[tuple[str, str]] | None = None,
    checkpointer: "BaseCheckpointSaver[Any] | None" = None,
) -> "Conversation":
    """The chatbot as a compiled graph over `{"messages": […]}`; threads go by `{"configurable": {"thread_id": …}}`.

    Args:
        model: a chat model, or an LLM.
        system: what the model is told first; the library's `chatbot` prompt if not given.
        examples: questions with the answers one would like; those in `llama2_chatbot.yaml` if not given, `()` for none.
        checkpointer: keeps the threads; in memory if not given.
    """
    from sagechain.chains import conversation
    from sagechain.prompts import load_prompt

    from .default_parameters import suited

    given = read_yaml(__package__, "llama2_chatbot.yaml")
    if examples is None:
        examples = [(each["question"], each["answer"]) for each in given["examples"]]
    told = load_prompt("chatbot").format() if system is None else system
    return conversation(suited(model, given["parameters"]), system=told, examples=examples, checkpointer=checkpointer)


def script(
    turns: Annotated[
        list[str] | None,
        typer.Argument(metavar="TURN...", help="What you say; /reset forgets. A short show if not given."),
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    system: Annotated[str | None, typer.Option("-s", "--system", help="What the model is told first.")] = None,
    interactive: InteractiveOption = False,
    accept_eula: EulaOption = False,
    given: ParameterOption = None,
) -> None:
    """A chatbot that remembers, answers in the style of its examples, and forgets on /reset.

    Example: python -m sagechain.agents.llama2_chatbot "My name is Ada." "What is my name?"
    """
    from sagechain.llms import load_chat_model

    graph = chain(load_chat_model(model, **chosen(given, accept_eula)), system=system)
    talk(graph, typed() if interactive else shown(turns or read_yaml(__package__, "llama2_chatbot.yaml")["turns"]))


if __name__ == "__main__":
    run(script)
