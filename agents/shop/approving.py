"""Orders wait for the customer's approval, by LangChain's `HumanInTheLoopMiddleware`: approve, edit or reject.

Nobody is asked to approve what cannot be ordered: `PossibleOrders` answers such calls before. Put both into `create_agent`
in this order, and any middleware that refuses calls after them.
"""

from typing import Any

from langchain.agents.middleware import AgentMiddleware, AgentState, HumanInTheLoopMiddleware, InterruptOnConfig
from langchain.agents.middleware.types import ToolCallRequest
from langchain_core.messages import ToolCall, ToolMessage
from langchain_core.tools import BaseTool, ToolException
from langgraph.runtime import Runtime
from pydantic import BaseModel, ValidationError
from sagechain.agents.bounds.turns import open_calls, refusal
from sagechain.agents.shop.database import ShopDatabase
from sagechain.agents.shop.tools import PLACE_ORDER, orderable, short_of


def approval(shop: ShopDatabase) -> HumanInTheLoopMiddleware[Any, Any, Any]:
    """Asks for approval of each order that is still to be placed."""

    def question(tool_call: ToolCall, state: AgentState[Any], runtime: Runtime[Any]) -> str:
        return asked(shop, tool_call["args"]["name"], tool_call["args"]["quantity"])

    return HumanInTheLoopMiddleware(
        {
            PLACE_ORDER: InterruptOnConfig(
                allowed_decisions=["approve", "edit", "reject"], description=question, when=_is_open
            )
        },
        edit_notice="The customer changed this order before it was placed, and wants it so.",
    )


def asked(shop: ShopDatabase, name: str, quantity: int) -> str:
    """What a customer is asked before an order is placed. Raises ToolException where none such can be."""
    product = orderable(shop, name, quantity)
    return f"Order {quantity} x {product.name} for {quantity * product.price} dollars?"


class PossibleOrders(AgentMiddleware[AgentState[Any], Any, Any]):
    """Answers orders that cannot be placed, with the reason, so that nobody is asked to approve them.

    Args:
        shop: whose products and stock decide.
        place_order: the tool, whose arguments they must be.
    """

    def __init__(self, shop: ShopDatabase, place_order: BaseTool) -> None:
        super().__init__()
        schema = place_order.tool_call_schema
        assert isinstance(schema, type)
        assert issubclass(schema, BaseModel)
        self._shop, self._schema = shop, schema

    def after_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Refuse what cannot be ordered."""
        orders = [call for call in open_calls(state["messages"]) if call["name"] == PLACE_ORDER]
        answers = [answer for call in orders if (answer := self._answer(call)) is not None]
        return {"messages": answers} if answers else None

    async def aafter_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """As `after_model`."""
        return self.after_model(state, runtime)

    def _answer(self, call: ToolCall) -> ToolMessage | None:
        try:
            order: Any = self._schema.model_validate(call["args"])
            product = orderable(self._shop, order.name, order.quantity)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
            return refusal(call, f"Not ordered: {wrong}. Call {PLACE_ORDER} with a product's name and a quantity.")
        except ToolException as error:
            return refusal(call, str(error))
        if (left := self._shop.stock(product)) < order.quantity:
            return ToolMessage(short_of(product, left), tool_call_id=call["id"], name=PLACE_ORDER)
        return None


def _is_open(request: ToolCallRequest) -> bool:
    """Whether the call is still to be made; one that was refused needs no approval."""
    return request.tool_call["id"] in {call["id"] for call in open_calls(request.state["messages"])}
