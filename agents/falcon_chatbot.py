"""The uses of Falcon, and of any other model: code, translation, sentiment, question answering, recipes, summaries, chat.

    python -m sagechain.agents.falcon_chatbot                                     # all uses, with their example values
    python -m sagechain.agents.falcon_chatbot sentiment -v text="What a day!"     # one, with your own
    python -m sagechain.agents.falcon_chatbot -i                                  # a chat that remembers

    chain(load_chat_model("local:smollm2"), "sentiment").invoke({"text": "What a day!"})

Prompts, example values and default parameters come from the prompt library.
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
    model_parameters,
    print_note,
    print_text,
    run,
    talk,
    typed_turns,
    variables_by_name,
    warn_if_truncated,
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
    from sagechain.command import with_defaults
    from sagechain.prompts import load_prompt

    prompt = load_prompt(use)
    return prompt | with_defaults(model, prompt.metadata["parameters"])


def remembered(
    model: "BaseLanguageModel[Any]", *, checkpointer: "BaseCheckpointSaver[Any] | None" = None
) -> "Conversation":
    """The chat as a compiled graph over `{"messages": […]}`, with threads by `{"configurable": {"thread_id": …}}`."""
    from sagechain.chains import conversation
    from sagechain.command import with_defaults
    from sagechain.prompts import load_prompt

    prompt = load_prompt("chatbot")
    chat = with_defaults(model, prompt.metadata["parameters"])
    return conversation(chat, system=prompt.format(), checkpointer=checkpointer)


def script(
    uses: Annotated[
        list[str] | None, typer.Argument(metavar="USE...", help=f"{', '.join(USES)}. All of them if not given.")
    ] = None,
    variables: VariableOption = None,
    model: ModelOption = DEFAULT_MODEL,
    interactive: InteractiveOption = False,
    accept_eula: EulaOption = False,
    parameters: ParameterOption = None,
) -> None:
    """Show the uses of one model: code, translation, sentiment, answers from a passage, recipes, summaries, chat.

    Example: python -m sagechain.agents.falcon_chatbot translation -v text="Good morning." -v language=French
    """
    if variables and (not uses or len(uses) > 1):
        raise typer.BadParameter("-v sets a variable of one use; name that use as the argument.")
    examples = {use: _with_examples(use, variables_by_name(variables)) for use in uses or USES}
    from sagechain.chains import reset
    from sagechain.llms import load_chat_model

    chat = load_chat_model(model, **model_parameters(parameters, accept_eula))
    if interactive:
        talk(remembered(chat), typed_turns(), reset=reset)
        return
    for use, values in examples.items():
        _show(use, chain(chat, use), values)


def _with_examples(use: str, values: dict[str, str]) -> dict[str, str]:
    """The user's values, and the library's examples for other variables. Raises ValueError on an unknown variable."""
    from sagechain.prompts import check_known, load_prompt

    variables = load_prompt(use).metadata["variables"]
    check_known(f"variable of {use}", values, variables or ["none"])
    return {name: variable["example"] for name, variable in variables.items()} | values


def _show(use: str, runnable: "Runnable[dict[str, str], AIMessage]", values: dict[str, str]) -> None:
    print_note(f"— {use}: {'; '.join(f'{name}={value!r}' for name, value in values.items())}")
    finish_reason = None
    for chunk in runnable.stream(values):
        print_text(chunk.text, end="")
        finish_reason = chunk.response_metadata.get("finish_reason", finish_reason)
    print(flush=True)
    warn_if_truncated(finish_reason)


if __name__ == "__main__":
    run(script)
