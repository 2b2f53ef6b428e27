"""A chatbot for Llama 2, and for any other model: it remembers, has a system text and examples, and can be reset.

    python -m sagechain.agents.llama2_chatbot -m "sagemaker:NAME?family=llama2&wire=llama2-dialog" --accept-eula

    graph = chain(load_chat_model("local:smollm2"))
    graph.invoke({"messages": [("human", "My name is Ada.")]}, {"configurable": {"thread_id": "ada"}})
    reset(graph, "ada")     # sagechain.chains.reset

Examples, default parameters and the turns of the script without arguments are in `llama2_chatbot.yaml`.
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
    announced,
    model_parameters,
    run,
    talk,
    typed_turns,
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
    """The chatbot as a compiled graph over `{"messages": […]}`, with threads by `{"configurable": {"thread_id": …}}`.

    Args:
        model: a chat model, or an LLM.
        system: the system text; the library's `chatbot` prompt if not given.
        examples: questions with the answers one would like; those in `llama2_chatbot.yaml` if not given, `()` for none.
        checkpointer: stores the threads; in memory if not given.
    """
    from sagechain.chains import conversation
    from sagechain.command import with_defaults
    from sagechain.prompts import load_prompt

    defaults = read_yaml(__package__, "llama2_chatbot.yaml")
    if examples is None:
        examples = [(example["question"], example["answer"]) for example in defaults["examples"]]
    if system is None:
        system = load_prompt("chatbot").format()
    chat = with_defaults(model, defaults["parameters"])
    return conversation(chat, system=system, examples=examples, checkpointer=checkpointer)


def script(
    turns: Annotated[
        list[str] | None,
        typer.Argument(metavar="TURN...", help="Your messages; /reset forgets. A short example if not given."),
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    system: Annotated[str | None, typer.Option("-s", "--system", help="The system text.")] = None,
    interactive: InteractiveOption = False,
    accept_eula: EulaOption = False,
    parameters: ParameterOption = None,
) -> None:
    """Talk with a chatbot that remembers, answers in the style of its examples, and forgets on /reset.

    Example: python -m sagechain.agents.llama2_chatbot "My name is Ada." "What is my name?"
    """
    from sagechain.chains import reset
    from sagechain.llms import load_chat_model

    graph = chain(load_chat_model(model, **model_parameters(parameters, accept_eula)), system=system)
    prepared = turns or read_yaml(__package__, "llama2_chatbot.yaml")["turns"]
    talk(graph, typed_turns() if interactive else announced(prepared), reset=reset)


if __name__ == "__main__":
    run(script)
