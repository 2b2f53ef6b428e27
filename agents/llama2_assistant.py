"""An assistant for Llama 2, and for any other model, that serves a shop's customer: advice from the catalogue, and orders.

    python -m sagechain.agents.llama2_assistant "I am looking for a tent for two people."
    python -m sagechain.agents.llama2_assistant -i --thread ada
    python -m sagechain.agents.llama2_assistant --beams 4 -m "local:smollm2?engine=transformers"

    graph = chain(load_chat_model("local:smollm2"))
    graph.invoke({"messages": [("human", "Which tents do you have?")]}, {"configurable": {"thread_id": "ada"}})

It is LangChain's `create_agent` with the shop's tools, the sheets of matching products before each turn, and limits on a
turn (`middleware/`). An order is placed once, after the customer has approved it. The default parameters, for long answers,
are those of the prompt `shop-assistant` in the library.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from sagechain.command import (
    DEFAULT_MODEL,
    EulaOption,
    InteractiveOption,
    ModelOption,
    ParameterOption,
    announced,
    model_parameters,
    print_note,
    run,
    talk,
    typed_turns,
)
from sagechain.prompts import read_yaml

if TYPE_CHECKING:
    from langchain_core.language_models import BaseLanguageModel
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from .shop.conversation import ShopConversation
    from .shop.database import ShopDatabase


MAX_MODEL_CALLS = 8
MAX_TOOL_CALLS = 12
MAX_SECONDS = 600.0
MAX_TOKENS = 64_000
MAX_TOOL_SECONDS = 30.0  # well above the 5 s that a tool waits for a busy database


def chain(
    model: "BaseLanguageModel[Any]",
    *,
    database: "ShopDatabase | None" = None,
    checkpointer: "BaseCheckpointSaver[Any] | None" = None,
    takes_orders: bool = True,
) -> "ShopConversation":
    """The assistant as a compiled graph over `{"messages": […]}`, with threads by `{"configurable": {"thread_id": …}}`.

    An order stops the graph with an interrupt, until `Command(resume={interrupt.id: {"decisions": [{"type": "approve"}]}})`
    (or `edit`, `reject`) resumes it. A turn makes at most 8 model calls and 12 tool calls, in 10 minutes and 64,000 tokens.

    Args:
        model: a chat model, or an LLM. One that cannot call tools advises from the catalogue, and cannot place orders.
        database: the shop; the one in the user's data folder if not given (`SAGECHAIN_SHOP` names another file).
        checkpointer: stores the threads; in memory if not given. With a durable one an approved order survives a crash.
        takes_orders: whether the model gets the tools at all.
    """
    from langchain.agents import create_agent
    from langchain.agents.middleware import AgentMiddleware, ModelCallLimitMiddleware, ToolCallLimitMiddleware
    from langchain_core.language_models.chat_models import BaseChatModel
    from sagechain.chains.stores import PrunableInMemorySaver
    from sagechain.command import with_defaults
    from sagechain.prompts import load_prompt

    from .middleware import InvalidCalls, RepeatedCalls, ToolTimeLimit, TurnLimit, tool_errors
    from .shop.approvals import approval_middleware
    from .shop.conversation import ShopConversation
    from .shop.product_sheets import ProductSheets
    from .shop.tools import PLACE_ORDER, shop_tools

    prompt, shop = load_prompt("shop-assistant"), database or open_shop()
    chat = with_defaults(model, prompt.metadata["parameters"])
    calls_tools = type(chat).bind_tools is not BaseChatModel.bind_tools
    tools = shop_tools(shop) if takes_orders and calls_tools else []
    # `after_model` runs from the last middleware to the first: calls are refused before an approval is requested.
    middleware: list[AgentMiddleware[Any, Any, Any]] = [
        ProductSheets(shop, chat, prompt, tools),
        TurnLimit(seconds=MAX_SECONDS, tokens=MAX_TOKENS),
        *(each for tool in tools if tool.name == PLACE_ORDER for each in approval_middleware(shop, tool)),
        tool_errors(),
        ToolTimeLimit(seconds=MAX_TOOL_SECONDS),
        RepeatedCalls(),
        InvalidCalls(),
        ToolCallLimitMiddleware(run_limit=MAX_TOOL_CALLS),
        ModelCallLimitMiddleware(run_limit=MAX_MODEL_CALLS),
    ]
    agent = create_agent(chat, tools, middleware=middleware, checkpointer=checkpointer or PrunableInMemorySaver())
    return cast(ShopConversation, ShopConversation.from_graph(agent))


def open_shop(file: Path | None = None) -> "ShopDatabase":
    """The shop in a file: the given one, the one that `SAGECHAIN_SHOP` names, or the one in the user's data folder."""
    from platformdirs import user_data_path

    from .shop.database import ShopDatabase

    path = file or os.environ.get("SAGECHAIN_SHOP")
    return ShopDatabase(Path(path) if path else user_data_path("sagechain") / "shop.sqlite")


def script(
    turns: Annotated[
        list[str] | None,
        typer.Argument(metavar="TURN...", help="Your messages; /reset forgets. A short example if not given."),
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    interactive: InteractiveOption = False,
    beams: Annotated[
        int | None,
        typer.Option("--beams", min=2, metavar="N", help="Answer by greedy search, then by beam search with N beams."),
    ] = None,
    thread: Annotated[
        str | None, typer.Option("--thread", metavar="NAME", help="The conversation to start or to continue.")
    ] = None,
    approve: Annotated[
        bool | None, typer.Option("--approve/--reject", help="Decide on the order that waits in the thread.")
    ] = None,
    order: Annotated[
        str | None, typer.Option("--order", metavar="ID", help="Decide only if this order waits; its ID is printed.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--shop", metavar="FILE", envvar="SAGECHAIN_SHOP", help="The file of the shop and its threads (SQLite)."
        ),
    ] = None,
    accept_eula: EulaOption = False,
    parameters: ParameterOption = None,
) -> None:
    """Serve a customer of a shop: advice from its catalogue, and orders, each after your approval.

    Example: python -m sagechain.agents.llama2_assistant "I need a warm sleeping bag."

    Beam search, where a model has it: --beams 4 -m "local:smollm2?engine=transformers"
    """
    if approve is not None and thread is None:
        raise typer.BadParameter("--approve and --reject need --thread NAME: the thread whose order waits for approval")
    options = model_parameters(parameters, accept_eula)
    example = read_yaml(__package__, "llama2_assistant.yaml")["turns"]
    if beams is not None:
        _compare_searches(model, options, beams, turns or example[:1])
        return
    from datetime import datetime

    from sagechain.chains import open_store
    from sagechain.llms import load_chat_model

    from .shop.terminal import ShopTerminal

    chat, shop = load_chat_model(model, **options), open_shop(file)
    with open_store(shop.path) as store:
        graph = chain(chat, database=shop, checkpointer=store)
        terminal = ShopTerminal(graph, shop, thread or f"{datetime.now():%Y-%m-%d-%H%M%S-%f}")
        prepared = turns or ([] if approve is not None else example)
        terminal.serve(typed_turns() if interactive else announced(prepared), approve=approve, order=order)


def _compare_searches(model: str, options: dict[str, Any], beams: int, turns: Sequence[str]) -> None:
    """Answer the turns by greedy search and by beam search. A model without beam search is refused before a request."""
    from sagechain.chains import reset
    from sagechain.command import carriers
    from sagechain.llms import load_chat_model

    carrying, refusing = carriers("num_beams")
    print_note(f"(Beam search is available over {', '.join(carrying)}, and not over {', '.join(refusing)}.)")
    searches = read_yaml(__package__, "llama2_assistant.yaml")["searches"]
    greedy = {**searches["greedy"], **options}
    beam_search = {**searches["beams"], "num_beams": beams, **options}
    graphs = [chain(load_chat_model(model, **each), takes_orders=False) for each in (greedy, beam_search)]
    for name, graph in zip(("Greedy search", f"Beam search, {beams} beams"), graphs, strict=True):
        print_note(f"{name}:")
        talk(graph, announced(turns), reset=reset)


if __name__ == "__main__":
    run(script)
