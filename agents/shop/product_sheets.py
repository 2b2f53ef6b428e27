"""What keeps an agent to the shop's facts: a middleware that puts the sheets before the model, and checks what it says.

Before each call the products are picked by the words of the customer's turns (`sight.py`), and the prompt with their sheets
goes before the last of these: given as a system text, SmolLM2-135M named none of the products (tried in November 2026).
A turn about what the shop does not have is answered here, the same each time, and no model is asked.

An answer that names a figure which the thread's sheets and tool results do not have is not shown (`checked_chat.py`): the
model is asked once more and told of it, and where it fails again the facts themselves are the answer.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from itertools import takewhile
from typing import Any, cast

from langchain.agents.middleware import AgentMiddleware, AgentState, hook_config
from langchain.agents.middleware.types import ModelRequest, ModelResponse
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.prompts import PromptTemplate
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.config import get_config
from langgraph.runtime import Runtime
from sagechain.chains.conversations import STREAM_CLOSED, History

from ..middleware.turns import this_turn
from .checked_chat import CheckedChat, unfounded
from .database import MOST_PRODUCTS, ShopDatabase
from .facts import Facts
from .matching_products import in_the_catalogue, is_about_orders, offer, products_in_sight

REMEMBERED_TURNS = 10  # of the customer, whose products' figures still count as told


class Advising(AgentMiddleware[AgentState[Any], Any, Any]):
    """Puts the shop's facts before the model, and holds its answers to them.

    Args:
        shop: whose facts they are.
        chat: the agent's model; its tokens are counted, so that the prompt fits.
        prompt: what the model is told, with the sheets as `products`.
        tools: what the model may call; without any, turns about orders are answered as others are.
    """

    def __init__(
        self, shop: ShopDatabase, chat: BaseChatModel, prompt: PromptTemplate, tools: Sequence[BaseTool] = ()
    ) -> None:
        super().__init__()
        self._shop, self._prompt, self._orders = shop, prompt, bool(tools)
        # A model that does not tell its context's size gets everything, and nothing is counted.
        told = [HumanMessage(self._most_told(tools))] if (chat.profile or {}).get("max_input_tokens") else []
        self._history = History(chat, told, None)

    def before_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Drop what the model is not sent: turns that it has no room for, and calls that an earlier turn left open."""
        left = self._without_room(state["messages"])
        for place, message in enumerate(state["messages"]):
            if isinstance(message, AIMessage) and message.tool_calls:
                results = list(takewhile(_is_result, state["messages"][place + 1 :]))
                answered = {result.tool_call_id for result in results if isinstance(result, ToolMessage)}
                if any(call["id"] not in answered for call in message.tool_calls):
                    left += [message, *results]
        return {"messages": [RemoveMessage(cast(str, message.id)) for message in left]} if left else None

    async def abefore_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """As `before_agent`."""
        return self.before_agent(state, runtime)

    @hook_config(can_jump_to=["end"])
    def before_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Answer a turn about what the shop does not have."""
        if not state["messages"] or state["messages"][-1].type != "human":
            return None
        turns = _turns(state["messages"])
        if products_in_sight(self._shop, turns) or (self._orders and is_about_orders(turns)):
            return None
        return {"messages": [AIMessage(offer(self._shop, turns[-1]))], "jump_to": "end"}

    @hook_config(can_jump_to=["end"])
    async def abefore_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """As `before_model`."""
        return self.before_model(state, runtime)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Ask the model with the sheets before the last turn; once more where nothing of its answer could be shown."""
        response = handler(self._told(request))
        figure = _held_back(response)
        return response if figure is None else handler(self._told(request, figure))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`."""
        response = await handler(self._told(request))
        figure = _held_back(response)
        return response if figure is None else await handler(self._told(request, figure))

    def _without_room(self, messages: list[AnyMessage]) -> list[AnyMessage]:
        """The oldest turns; and words that were too long for an answer, which would keep others from theirs."""
        try:
            return messages[: len(messages) - len(self._history.window(messages))]
        except ValueError:
            said = list(takewhile(lambda message: message.type == "human", reversed(messages)))
            return said[1:]

    def _told(self, request: ModelRequest[Any], held_back: str | None = None) -> ModelRequest[Any]:
        """The request with the sheets, and with the figure for which an answer to it was held back."""
        turns = _turns(request.messages)
        products = products_in_sight(self._shop, turns)
        sheets = "\n\n".join(product.sheet for product in products)
        prompt = self._prompt.format(products=sheets or f"{in_the_catalogue(self._shop)}.")
        note = f"\n\n({_NOTE.format(figure=held_back)})" if held_back else ""
        messages = self._history.window(request.messages)
        last = max(i for i, message in enumerate(messages) if message.type == "human")
        messages[last] = HumanMessage(f"{prompt}\n\n{messages[last].text}{note}")
        earlier = [each.sheet for turn in turns[-REMEMBERED_TURNS:] for each in self._shop.search(turn)]
        chat = CheckedChat.over(
            request.model,
            facts=Facts([sheets, *earlier, *_results(request.messages)]),
            instead=self._quoted(_results(this_turn(request.messages)), sheets),
            quoted=held_back is not None,
            left=get_config().get("configurable", {}).get(STREAM_CLOSED),
        )
        return request.override(model=chat, messages=cast("list[AnyMessage]", messages))

    def _quoted(self, results: list[str], sheets: str) -> str:
        """The facts themselves: what tools have told in this turn, else the sheets."""
        if results or sheets:
            return "\n\n".join(results or ["Our catalogue says:", sheets])
        return f"I don't know that from our catalogue. {in_the_catalogue(self._shop)}."

    def _most_told(self, tools: Sequence[BaseTool]) -> str:
        """As much as can stand before a turn: tools, prompt, and the longest sheets."""
        sheets = sorted((product.sheet for product in self._shop.products), key=len)[-MOST_PRODUCTS:]
        shown = "".join(json.dumps(convert_to_openai_tool(tool)) for tool in tools)
        return self._prompt.format(products="\n\n".join(sheets)) + _NOTE + shown


_NOTE = (
    "An answer to this was held back because it named {figure}, which is nowhere in the catalogue. Name only figures that "
    "stand above."
)


def _held_back(response: ModelResponse[Any]) -> str | None:
    """The figure for which nothing of an answer was shown."""
    reply = response.result[-1]
    return None if reply.text else unfounded(reply)


def _is_result(message: AnyMessage) -> bool:
    return isinstance(message, ToolMessage)


def _turns(messages: Sequence[AnyMessage]) -> list[str]:
    return [message.text for message in messages if message.type == "human"]


def _results(messages: Sequence[AnyMessage]) -> list[str]:
    """What tools have told; what could not be called is repeated from the model, and no fact."""
    return [m.text for m in messages if isinstance(m, ToolMessage) and m.status != "error"]
