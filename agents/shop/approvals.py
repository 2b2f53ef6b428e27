"""Orders wait for the customer's approval, by LangChain's `HumanInTheLoopMiddleware`: approve, edit or reject.

An order that cannot be placed is refused without a question to the customer (`OrderChecks`). Put `approval_middleware(…)`
into `create_agent` before any middleware that refuses calls.
"""

from collections.abc import Sequence
from typing import Annotated, Any, NotRequired

from langchain.agents.middleware import AgentMiddleware, AgentState, HumanInTheLoopMiddleware, InterruptOnConfig
from langchain.agents.middleware.human_in_the_loop import ApproveDecision, EditDecision, RejectDecision
from langchain.agents.middleware.types import PrivateStateAttr, ToolCallRequest
from langchain_core.messages import AnyMessage, ToolCall, ToolMessage
from langchain_core.tools import BaseTool, ToolException
from langgraph.runtime import Runtime
from langgraph.types import Interrupt
from pydantic import BaseModel, Discriminator, TypeAdapter, ValidationError

from ..middleware.turns import last_reply, open_calls, refusal
from .catalogue import Product
from .database import ShopDatabase
from .tools import PLACE_ORDER, QUOTED_PRICES, find_orderable, out_of_stock_message

_DECISIONS = TypeAdapter(list[Annotated[ApproveDecision | EditDecision | RejectDecision, Discriminator("type")]])


def approval_middleware(shop: ShopDatabase, place_order: BaseTool) -> list[AgentMiddleware[Any, Any, Any]]:
    """Requests approval of each order that can be placed, and refuses the others.

    Args:
        shop: where products and stock are looked up.
        place_order: the tool; orders must have its arguments.
    """

    def describe(tool_call: ToolCall, state: AgentState[Any], runtime: Runtime[Any]) -> str:
        try:
            return approval_question(shop, tool_call["args"]["name"], tool_call["args"]["quantity"])
        except ToolException as error:
            # LangChain describes the order again after the decision, when the shop may no longer sell the product.
            return str(error)

    config = InterruptOnConfig(allowed_decisions=["approve", "edit", "reject"], description=describe, when=_is_open)
    notice = "The customer changed this order before it was placed, and wants it so."
    person: AgentMiddleware[Any, Any, Any] = HumanInTheLoopMiddleware({PLACE_ORDER: config}, edit_notice=notice)
    return [person, OrderChecks(shop, place_order)]


def approval_question(shop: ShopDatabase, name: str, quantity: int) -> str:
    """The question to the customer. Raises ToolException for an order that cannot be placed."""
    product = find_orderable(shop, name, quantity)
    return f"Order {quantity} x {product.name} for {quantity * product.price} dollars?"


def check_decisions(resume: Any, interrupts: Sequence[Interrupt]) -> dict[str, Any]:
    """Validate the value that resumes a thread: LangGraph would save a wrong one, and the thread could not continue.

    Args:
        resume: `{interrupt.id: {"decisions": […]}}` with one decision for each order of that interrupt: a decision without
            an id, or under an older one, might approve an order that its person never saw.
        interrupts: those that the thread waits for.

    Raises:
        ValueError: the thread waits for nothing, or for something else; a wrong number of decisions, or a malformed one.

    Returns:
        The decisions, to be passed to LangGraph before anybody else may continue the thread.
    """
    if not interrupts:
        raise ValueError("resume: no order waits for approval in this thread")
    [interrupt] = interrupts
    orders = interrupt.value["action_requests"]
    if not isinstance(resume, dict) or set(resume) != {interrupt.id}:
        raise ValueError(
            f"resume: {resume!r} does not decide an order that waits in this thread; name the order's interrupt: "
            "{interrupt.id: {'decisions': [{'type': 'approve'}]}}"
        )
    value = resume[interrupt.id]
    try:
        decisions = _DECISIONS.validate_python(value["decisions"])
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"resume: {value!r} is not a decision; give {{'decisions': [{{'type': 'approve'}}]}}"
        ) from error
    except ValidationError as error:
        raise ValueError(f"decisions: {_in_one_line(error)}; give 'approve', 'reject' or 'edit' as the type") from error
    if len(decisions) != len(orders):
        raise ValueError(
            f"decisions: {len(decisions)} for the {len(orders)} orders that wait; give one for each, in order"
        )
    for decision in decisions:
        if decision["type"] == "edit" and (name := decision["edited_action"]["name"]) != PLACE_ORDER:
            raise ValueError(f"decisions: an order cannot be edited into a call of {name!r}; name {PLACE_ORDER!r}")
    # Without the id LangGraph saves the decision before the graph continues, so that it survives a crash there.
    return {"decisions": value["decisions"]}


class OrderState(AgentState[Any]):
    """The prices of the products in dollars, as they were when the approval of their orders was requested."""

    quoted_prices: NotRequired[Annotated[dict[str, int], PrivateStateAttr]]


class OrderChecks(AgentMiddleware[OrderState, Any, Any]):
    """Refuses orders that cannot be placed, without a question to the customer.

    For the others it stores the price, which must be the same when they are placed, and replaces the arguments by the
    validated ones: a quantity of `"2"` becomes 2.
    """

    state_schema = OrderState

    def __init__(self, shop: ShopDatabase, place_order: BaseTool) -> None:
        super().__init__()
        schema = place_order.tool_call_schema
        assert isinstance(schema, type)
        assert issubclass(schema, BaseModel)
        self._shop, self._schema = shop, schema

    def after_model(self, state: OrderState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Check the orders of the model's last message."""
        orders = [call for call in open_calls(state["messages"]) if call["name"] == PLACE_ORDER]
        if not orders or (reply := last_reply(state["messages"])) is None:
            return None
        refusals: list[AnyMessage] = []
        arguments: dict[str | None, dict[str, Any]] = {}
        prices: dict[str, int] = {}
        for call in orders:
            checked = self._check(call)
            if isinstance(checked, ToolMessage):
                refusals.append(checked)
            else:
                arguments[call["id"]], prices[checked[1].name] = checked[0], checked[1].price
        calls = [{**call, "args": arguments.get(call["id"], call["args"])} for call in reply.tool_calls]
        return {"messages": [reply.model_copy(update={"tool_calls": calls}), *refusals], QUOTED_PRICES: prices}

    async def aafter_model(self, state: OrderState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """As `after_model`."""
        return self.after_model(state, runtime)

    def _check(self, call: ToolCall) -> tuple[dict[str, Any], Product] | ToolMessage:
        """The order's arguments and product, or the refusal."""
        try:
            order: Any = self._schema.model_validate(call["args"])
            product = find_orderable(self._shop, order.name, order.quantity)
        except ValidationError as error:
            reason = _in_one_line(error)
            return refusal(call, f"Not ordered: {reason}. Call {PLACE_ORDER} with a product's name and a quantity.")
        except ToolException as error:
            return refusal(call, str(error))
        if (stock := self._shop.stock(product)) < order.quantity:
            return ToolMessage(out_of_stock_message(product, stock), tool_call_id=call["id"], name=PLACE_ORDER)
        return order.model_dump(), product


def _in_one_line(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))


def _is_open(request: ToolCallRequest) -> bool:
    """Whether the call has no result yet; one that was refused needs no approval."""
    return request.tool_call["id"] in {call["id"] for call in open_calls(request.state["messages"])}
