"""A customer who orders two tents from the assistant, over a scripted model."""

from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.types import Command
from sagechain.agents.llama2_assistant import chain
from sagechain.agents.shop.conversation import ShopConversation
from sagechain.agents.shop.database import ShopDatabase

from tests.agents.scripted_chat import ScriptedChat, calls, says

THREAD: Any = {"configurable": {"thread_id": "a"}}
REQUEST = "I would like to order two Heron 2 tents."
ORDER = calls("place_order", "c1", name="Heron 2 tent", quantity=2)
QUESTION = "Order 2 x Heron 2 tent for 378 dollars?"
PLACED = "Order 1001 is placed: 2 x Heron 2 tent for 378 dollars."


def turn(text: str) -> Any:
    return {"messages": [HumanMessage(text)]}


def send(graph: Any, text: str) -> str:
    """The answer to one turn."""
    answer: str = graph.invoke(turn(text), THREAD)["messages"][-1].text
    return answer


def decide(graph: Any, *types: str, thread: Any = THREAD) -> Any:
    """What resumes a graph whose orders wait."""
    return decide_by(graph, [{"type": each} for each in types], thread)


def decide_by(graph: Any, decisions: list[dict[str, Any]], thread: Any = THREAD) -> Any:
    """What resumes a graph with these decisions on the orders that wait now."""
    [interrupt] = graph.get_state(thread).interrupts
    return Command(resume={interrupt.id: {"decisions": decisions}})


def ordering_graph(shop: ShopDatabase, checkpointer: Any = None, order: AIMessage = ORDER) -> ShopConversation:
    """The assistant over a model that orders, and then confirms the order."""
    return chain(ScriptedChat(script=[order, says(PLACED)]), database=shop, checkpointer=checkpointer)
