"""An assistant for Llama 2 (and any other model) that helps a shop's customer decide, from the shop's own catalogue.

    python -m sagechain.agents.llama2_assistant "I am looking for a tent for two people."
    python -m sagechain.agents.llama2_assistant --beams 4 -m "local:smollm2?engine=transformers"

    graph = chain(load_chat_model("local:smollm2"))
    graph.invoke({"messages": [("human", "Which tents do you have?")]}, {"configurable": {"thread_id": "ada"}})

The sheets of the products that the conversation is about go to the model, and never what is internal (`catalogue.py`);
what the catalogue does not have is said without a model (`catalogue_chat.py`). Answers are long and warm: the parameters
stand with the prompt `shop-assistant` in the library.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sagechain.agents.command_line import (
    DEFAULT_MODEL,
    EulaOption,
    InteractiveOption,
    ModelOption,
    ParameterOption,
    chosen,
    data,
    note,
    run,
)
from sagechain.agents.talking import shown, talk, typed

if TYPE_CHECKING:
    from langchain_core.language_models import BaseLanguageModel
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from sagechain.agents.catalogue import Catalogue
    from sagechain.chains.threads import Conversation


def chain(
    model: "BaseLanguageModel[Any]",
    *,
    catalogue: "Catalogue | None" = None,
    checkpointer: "BaseCheckpointSaver[Any] | None" = None,
) -> "Conversation":
    """The assistant as a compiled graph over `{"messages": […]}`; threads go by `{"configurable": {"thread_id": …}}`.

    Args:
        model: a chat model, or an LLM.
        catalogue: the shop's products; those in `products.yaml` if not given.
        checkpointer: keeps the threads; in memory if not given.
    """
    from sagechain.agents.catalogue import Catalogue
    from sagechain.agents.catalogue_chat import CatalogueChat
    from sagechain.agents.suiting import suited
    from sagechain.chains import conversation
    from sagechain.prompts import load_prompt

    prompt = load_prompt("shop-assistant")
    chat = CatalogueChat(
        chat=suited(model, prompt.metadata["parameters"]),
        catalogue=catalogue or Catalogue.of_fernhill(),
        prompt=prompt,
    )
    return conversation(chat, checkpointer=checkpointer)


def script(
    turns: Annotated[
        list[str] | None,
        typer.Argument(metavar="TURN...", help="What you ask; /reset forgets. A short show if not given."),
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    interactive: InteractiveOption = False,
    beams: Annotated[
        int | None,
        typer.Option("--beams", min=2, metavar="N", help="Answer by greedy search, then by beam search with N beams."),
    ] = None,
    accept_eula: EulaOption = False,
    given: ParameterOption = None,
) -> None:
    """Help a customer of a shop decide, from the shop's catalogue.

    Example: python -m sagechain.agents.llama2_assistant "I need a warm sleeping bag."

    Beam search, where a model has it: --beams 4 -m "local:smollm2?engine=transformers"
    """
    options = chosen(given, accept_eula)
    asked = turns or data("llama2_assistant.yaml")["turns"]
    if beams is not None:
        _compare(model, options, beams, turns or asked[:1])
        return
    from sagechain.llms import load_chat_model

    talk(chain(load_chat_model(model, **options)), typed() if interactive else shown(asked))


def _compare(model: str, options: dict[str, Any], beams: int, turns: Sequence[str]) -> None:
    """The same turns by both searches; a model that cannot search by beams says so before anything is asked."""
    from sagechain.agents.suiting import carriers
    from sagechain.llms import load_chat_model

    carry, refuse = carriers("num_beams")
    note(f"(Beam search reaches the model by {', '.join(carry)}; it is refused by {', '.join(refuse)}.)")
    searches = data("llama2_assistant.yaml")["searches"]
    searched = chain(load_chat_model(model, **{**searches["beams"], "num_beams": beams, **options}))
    greedy = chain(load_chat_model(model, **{**searches["greedy"], **options}))
    for name, graph in (("Greedy search", greedy), (f"Beam search, {beams} beams", searched)):
        note(f"{name}:")
        talk(graph, shown(turns))


if __name__ == "__main__":
    run(script)
