"""A middleware that puts the sheets of matching products before the customer's last turn.

The prompt with the sheets is part of that turn, not a system text: SmolLM2-135M named none of the products of a system
text (tried in November 2026). A turn that looks for something the shop does not have is answered without the model.
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
from langgraph.runtime import Runtime
from sagechain.chains.conversations import History

from .database import MAX_PRODUCTS, ShopDatabase
from .matching_products import categories_sentence, is_about_orders, matching_products, offer


class ProductSheets(AgentMiddleware[AgentState[Any], Any, Any]):
    """Adds product sheets to each request to the model, and trims the thread to what the model's context has room for.

    Args:
        shop: where products are searched.
        chat: the agent's model, which counts tokens.
        prompt: the assistant's prompt, with the sheets as `products`.
        tools: the agent's tools; without tools a turn about orders is like any other.
    """

    def __init__(
        self, shop: ShopDatabase, chat: BaseChatModel, prompt: PromptTemplate, tools: Sequence[BaseTool] = ()
    ) -> None:
        super().__init__()
        self._shop, self._prompt, self._takes_orders = shop, prompt, bool(tools)
        # For a model that states no context nothing is counted, and only the number of turns is limited.
        has_context = bool((chat.profile or {}).get("max_input_tokens"))
        self._history = History(chat, [HumanMessage(self._longest_prompt(tools))] if has_context else [], None)

    def before_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Remove the turns that the context has no room for, and calls that an earlier turn left without a result."""
        removed = [*self._beyond_context(state["messages"]), *_unanswered_calls(state["messages"])]
        return {"messages": [RemoveMessage(cast(str, message.id)) for message in removed]} if removed else None

    async def abefore_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """As `before_agent`."""
        return self.before_agent(state, runtime)

    @hook_config(can_jump_to=["end"])
    def before_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Answer a turn that names no product."""
        if not state["messages"] or state["messages"][-1].type != "human":
            return None
        turns = _turns(state["messages"])
        if matching_products(self._shop, turns) or (self._takes_orders and is_about_orders(turns)):
            return None
        return {"messages": [AIMessage(offer(self._shop, turns[-1]))], "jump_to": "end"}

    @hook_config(can_jump_to=["end"])
    async def abefore_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """As `before_model`."""
        return self.before_model(state, runtime)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Send the request with the sheets before the last turn."""
        return handler(self._with_sheets(request))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`."""
        return await handler(self._with_sheets(request))

    def _with_sheets(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        products = matching_products(self._shop, _turns(request.messages))
        sheets = "\n\n".join(product.sheet for product in products) or f"{categories_sentence(self._shop)}."
        messages = self._history.window(request.messages)
        last = max(i for i, message in enumerate(messages) if message.type == "human")
        messages[last] = HumanMessage(f"{self._prompt.format(products=sheets)}\n\n{messages[last].text}")
        return request.override(messages=cast("list[AnyMessage]", messages))

    def _longest_prompt(self, tools: Sequence[BaseTool]) -> str:
        """The longest text that can be sent with the turns: the prompt with the longest sheets, and the tools."""
        sheets = sorted((product.sheet for product in self._shop.products), key=len)[-MAX_PRODUCTS:]
        schemas = "".join(json.dumps(convert_to_openai_tool(tool)) for tool in tools)
        return self._prompt.format(products="\n\n".join(sheets)) + schemas

    def _beyond_context(self, messages: list[AnyMessage]) -> list[AnyMessage]:
        """The oldest turns. A last turn that is itself too long fails later, and must not make the next one fail too."""
        try:
            return messages[: len(messages) - len(self._history.window(messages))]
        except ValueError:
            unanswered_turns = list(takewhile(lambda message: message.type == "human", reversed(messages)))
            return unanswered_turns[1:]


def _unanswered_calls(messages: list[AnyMessage]) -> list[AnyMessage]:
    """Messages with a tool call that has no result, and the results of their other calls: servers refuse such a history."""
    found: list[AnyMessage] = []
    for place, message in enumerate(messages):
        if isinstance(message, AIMessage) and message.tool_calls:
            results = list(takewhile(lambda later: isinstance(later, ToolMessage), messages[place + 1 :]))
            answered = {result.tool_call_id for result in results if isinstance(result, ToolMessage)}
            if any(call["id"] not in answered for call in message.tool_calls):
                found += [message, *results]
    return found


def _turns(messages: Sequence[AnyMessage]) -> list[str]:
    return [message.text for message in messages if message.type == "human"]
