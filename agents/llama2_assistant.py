"""An assistant for Llama 2 (and any other model) that serves a shop's customer: advice from the catalogue, and orders.

    python -m sagechain.agents.llama2_assistant "I am looking for a tent for two people."
    python -m sagechain.agents.llama2_assistant -i --thread ada
    python -m sagechain.agents.llama2_assistant --beams 4 -m "local:smollm2?engine=transformers"

    graph = chain(load_chat_model("local:smollm2"))
    graph.invoke({"messages": [("human", "Which tents do you have?")]}, {"configurable": {"thread_id": "ada"}})

It is LangChain's `create_agent` over the shop's tools (`shop/tools.py`), kept to the facts (`shop/advising.py`) and within
bounds (`bounds/`); an order is placed when the customer has approved it (`shop/approving.py`), once (`shop/orders.py`).
Answers are long and warm: the parameters stand with the prompt `shop-assistant` in the library.
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
    carriers,
    model_parameters,
    print_note,
    run,
    talk,
    typed_turns,
    with_defaults,
)
from sagechain.prompts import read_yaml

if TYPE_CHECKING:
    from langchain_core.language_models import BaseLanguageModel
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from .shop.database import ShopDatabase
    from .shop.graph import ShopVisit


MODEL_CALLS = 8
TOOL_CALLS = 12
SECONDS = 600.0
TOKENS = 64_000
TOOL_SECONDS = 30.0  # well above the 5 s for which a busy database is waited for


def chain(
    model: "BaseLanguageModel[Any]",
    *,
    database: "ShopDatabase | None" = None,
    checkpointer: "BaseCheckpointSaver[Any] | None" = None,
    takes_orders: bool = True,
) -> "ShopVisit":
    """The assistant as a compiled graph over `{"messages": […]}`; threads go by `{"configurable": {"thread_id": …}}`.

    An order stops the graph with an interrupt, until `Command(resume={"decisions": [{"type": "approve"}]})` (or `edit`,
    `reject`) goes on. A turn makes at most 8 model calls and 12 tool calls, in 10 minutes and 64,000 tokens.

    Args:
        model: a chat model, or an LLM. One that cannot call tools advises from the catalogue, and takes no orders.
        database: the shop; the one in the user's data folder if not given (`SAGECHAIN_SHOP` names another file).
        checkpointer: keeps the threads; in memory if not given. A durable one finishes what was approved after a crash.
        takes_orders: whether the model is given the tools at all.
    """
    from langchain.agents import create_agent
    from langchain.agents.middleware import AgentMiddleware, ModelCallLimitMiddleware, ToolCallLimitMiddleware
    from langchain_core.language_models.chat_models import BaseChatModel
    from sagechain.chains.stores import PrunableInMemorySaver
    from sagechain.prompts import load_prompt

    from .middleware import InvalidCalls, RepeatedCalls, ToolTimeLimit, TurnLimit, tool_errors
    from .shop.approvals import approval
    from .shop.graph import ShopVisit
    from .shop.product_sheets import Advising
    from .shop.tools import PLACE_ORDER, shop_tools

    prompt, shop = load_prompt("shop-assistant"), database or open_shop()
    chat = with_defaults(model, prompt.metadata["parameters"])
    calls_tools = type(chat).bind_tools is not BaseChatModel.bind_tools
    tools = shop_tools(shop) if takes_orders and calls_tools else []
    # What comes after a model call runs from the last to the first: calls are refused before anyone is asked to approve.
    middleware: list[AgentMiddleware[Any, Any, Any]] = [
        Advising(shop, chat, prompt, tools),
        TurnLimit(seconds=SECONDS, tokens=TOKENS),
        *(each for tool in tools if tool.name == PLACE_ORDER for each in approval(shop, tool)),
        tool_errors(),
        ToolTimeLimit(seconds=TOOL_SECONDS),
        RepeatedCalls(),
        InvalidCalls(),
        ToolCallLimitMiddleware(run_limit=TOOL_CALLS),
        ModelCallLimitMiddleware(run_limit=MODEL_CALLS),
    ]
    agent = create_agent(chat, tools, middleware=middleware, checkpointer=checkpointer or PrunableInMemorySaver())
    return cast(ShopVisit, ShopVisit.from_graph(agent))


def open_shop(file: Path | None = None) -> "ShopDatabase":
    """The shop in a file; if none is given, in the one that `SAGECHAIN_SHOP` names, else in the user's data folder."""
    from platformdirs import user_data_path

    from .shop.database import ShopDatabase

    named = file or os.environ.get("SAGECHAIN_SHOP")
    return ShopDatabase(Path(named) if named else user_data_path("sagechain") / "shop.sqlite")


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
    thread: Annotated[
        str | None, typer.Option("--thread", metavar="NAME", help="The visit to begin or to go on with.")
    ] = None,
    decision: Annotated[
        bool | None, typer.Option("--approve/--reject", help="What becomes of the order that waits in the thread.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--shop", metavar="FILE", envvar="SAGECHAIN_SHOP", help="Where shop and visits are kept (SQLite)."
        ),
    ] = None,
    accept_eula: EulaOption = False,
    parameters: ParameterOption = None,
) -> None:
    """Serve a customer of a shop: advice from its catalogue, and orders, each when you have approved it.

    Example: python -m sagechain.agents.llama2_assistant "I need a warm sleeping bag."

    Beam search, where a model has it: --beams 4 -m "local:smollm2?engine=transformers"
    """
    if decision is not None and thread is None:
        raise typer.BadParameter("--approve and --reject need --thread NAME, which has the order that waits")
    options = model_parameters(parameters, accept_eula)
    asked = turns or ([] if decision is not None else read_yaml(__package__, "llama2_assistant.yaml")["turns"])
    if beams is not None:
        _compare(model, options, beams, turns or asked[:1])
        return
    from sagechain.llms import load_chat_model

    from .shop.terminal import new_thread, serve

    chat, shop = load_chat_model(model, **options), open_shop(file)
    serve(
        lambda keeper: chain(chat, database=shop, checkpointer=keeper),
        shop,
        thread or new_thread(),
        typed_turns() if interactive else announced(asked),
        decision=decision,
    )


def _compare(model: str, options: dict[str, Any], beams: int, turns: Sequence[str]) -> None:
    """The same turns by both searches; a model that cannot search by beams says so before anything is asked."""
    from sagechain.chains import reset
    from sagechain.llms import load_chat_model

    carry, refuse = carriers("num_beams")
    print_note(f"(Beam search reaches the model by {', '.join(carry)}; it is refused by {', '.join(refuse)}.)")
    searches = read_yaml(__package__, "llama2_assistant.yaml")["searches"]
    searched = {**searches["beams"], "num_beams": beams, **options}
    greedy = {**searches["greedy"], **options}
    graphs = [chain(load_chat_model(model, **each), takes_orders=False) for each in (greedy, searched)]
    for name, graph in zip(("Greedy search", f"Beam search, {beams} beams"), graphs, strict=True):
        print_note(f"{name}:")
        talk(graph, announced(turns), reset=reset)


if __name__ == "__main__":
    run(script)
