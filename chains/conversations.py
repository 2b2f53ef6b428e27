"""A conversation that remembers: a LangGraph graph with one node, and a checkpointer that keeps its threads.

graph = conversation(load_chat_model("local:smollm2"), system="Be brief.")
thread = {"configurable": {"thread_id": "ada"}}
graph.invoke({"messages": [("human", "My name is Ada.")]}, thread)["messages"][-1].content
reset(graph, "ada")
"""

from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.messages import AnyMessage, SystemMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from sagechain.llms import PromptedChatModel

Conversation = CompiledStateGraph[MessagesState, Any, MessagesState, MessagesState]


def conversation(
    model: BaseLanguageModel[Any],
    *,
    system: str | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
) -> Conversation:
    """A compiled graph over `{"messages": […]}`; threads go by `{"configurable": {"thread_id": …}}`.

    The node is sync and async: `invoke`, `stream` and their async forms all work, and a cancelled `astream` ends the
    model's work.

    Args:
        model: a chat model, or an LLM, which is put into a `PromptedChatModel` (its own family, else `plain`).
        system: what the model is told before every turn; it is not part of the thread.
        checkpointer: keeps the threads; in memory if not given.
    """
    chat = PromptedChatModel(llm=model) if isinstance(model, BaseLLM) else model
    if not isinstance(chat, BaseChatModel):
        raise ValueError(f"model: give a chat model or an LLM, not {type(model).__name__}; set parameters on the model")
    first = [SystemMessage(system)] if system else []

    def answer(state: MessagesState, config: RunnableConfig) -> dict[str, list[AnyMessage]]:
        return {"messages": [chat.invoke([*first, *state["messages"]], config)]}

    async def aanswer(state: MessagesState, config: RunnableConfig) -> dict[str, list[AnyMessage]]:
        return {"messages": [await chat.ainvoke([*first, *state["messages"]], config)]}

    graph = StateGraph(MessagesState)
    # A sync node alone would run the model to its end after a cancel; an async one alone has no `invoke`.
    graph.add_node("answer", RunnableLambda(answer, afunc=aanswer))
    graph.add_edge(START, "answer")
    graph.add_edge("answer", END)
    return graph.compile(checkpointer=checkpointer or InMemorySaver())


def reset(graph: Conversation, thread_id: str) -> None:
    """Forget a thread.

    Raises:
        ValueError: the graph keeps no threads.
    """
    _checkpointer(graph).delete_thread(thread_id)


async def areset(graph: Conversation, thread_id: str) -> None:
    """As `reset`, for a checkpointer that is async."""
    await _checkpointer(graph).adelete_thread(thread_id)


def _checkpointer(graph: Conversation) -> BaseCheckpointSaver[Any]:
    if not isinstance(graph.checkpointer, BaseCheckpointSaver):
        raise ValueError("graph: it has no checkpointer, so there is no thread to forget")
    return graph.checkpointer
