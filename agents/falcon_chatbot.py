"""The uses of Falcon (and any other model): code, translation, sentiment, question answering, recipes, summaries, chat.

    python -m sagechain.agents.falcon_chatbot                                     # all uses, with their example values
    python -m sagechain.agents.falcon_chatbot sentiment -v text="What a day!"     # one, with your own
    python -m sagechain.agents.falcon_chatbot -i                                  # a chat that remembers

    chain(load_chat_model("local:smollm2"), "sentiment").invoke({"text": "What a day!"})

Prompts, example values and the parameters that suit each stand in the prompt library.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from sagechain.command import (
    DEFAULT_MODEL,
    EulaOption,
    InteractiveOption,
    ModelOption,
    ParameterOption,
    VariableOption,
    chosen,
    note,
    run,
    talk,
    typed,
    variables,
    warn_if_cut,
)

if TYPE_CHECKING:
    from langchain_core.language_models import BaseLanguageModel
    from langchain_core.messages import AIMessage
    from langchain_core.runnables import Runnable
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from sagechain.chains.conversations import Conversation

USES = ("code-generation", "translation", "sentiment", "question-answering", "recipe", "summary")


def chain(model: "BaseLanguageModel[Any]", use: str) -> "Runnable[dict[str, str], AIMessage]":
    """One use as a Runnable from its variables to the model's message.

    Args:
        model: a chat model, or an LLM.
        use: the prompt's name: `sagechain.prompts.list_prompts()`.

    Raises:
        ValueError: an unknown use; at the call, a variable that is missing.
    """
    from sagechain.prompts import load_prompt

    from .default_parameters import suited

    prompt = load_prompt(use)
    return prompt | suited(model, prompt.metadata["parameters"])


def remembered(
    model: "BaseLanguageModel[Any]", *, checkpointer: "BaseCheckpointSaver[Any] | None" = None
) -> "Conversation":
    """The chat as a compiled graph over `{"messages": […]}`; threads go by `{"configurable": {"thread_id": …}}`."""
    from sagechain.chains import conversation
    from sagechain.prompts import load_prompt

    from .default_parameters import suited

    prompt = load_prompt("chatbot")
    chat = suited(model, prompt.metadata["parameters"])
    return conversation(chat, system=prompt.format(), checkpointer=checkpointer)


def script(
    uses: Annotated[
        list[str] | None, typer.Argument(metavar="USE...", help=f"{', '.join(USES)}. All of them if none is given.")
    ] = None,
    values: VariableOption = None,
    model: ModelOption = DEFAULT_MODEL,
    interactive: InteractiveOption = False,
    accept_eula: EulaOption = False,
    given: ParameterOption = None,
) -> None:
    """Show what one model is used for: code, translation, sentiment, answers from a passage, recipes, summaries, chat.

    Example: python -m sagechain.agents.falcon_chatbot translation -v text="Good morning." -v language=French
    """
    if values and (not uses or len(uses) > 1):
        raise typer.BadParameter("-v fills one use; name it.")
    wanted = [(use, _filled(use, variables(values))) for use in uses or USES]
    from sagechain.llms import load_chat_model

    chat = load_chat_model(model, **chosen(given, accept_eula))
    if interactive:
        talk(remembered(chat), typed())
        return
    for use, filled in wanted:
        _show(chain(chat, use), use, filled)


def _filled(use: str, values: dict[str, str]) -> dict[str, str]:
    """A use's variables: your own values, and the library's examples. Raises ValueError on a name it does not have."""
    from sagechain.prompts import check_known, load_prompt

    known = load_prompt(use).metadata["variables"]
    check_known(f"variable of {use}", values, known or ["none"])
    return {name: variable["example"] for name, variable in known.items()} | values


def _show(one: "Runnable[dict[str, str], AIMessage]", use: str, filled: dict[str, str]) -> None:
    note(f"— {use}: {'; '.join(f'{name}={value!r}' for name, value in filled.items())}")
    reason = None
    for piece in one.stream(filled):
        print(piece.text, end="", flush=True)
        reason = piece.response_metadata.get("finish_reason", reason)
    print(flush=True)
    warn_if_cut(reason)


if __name__ == "__main__":
    run(script)
