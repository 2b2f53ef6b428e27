"""Orders wait for the customer's approval, by LangChain's `HumanInTheLoopMiddleware`: approve, edit or reject.

Nobody is asked to approve what cannot be ordered: `PossibleOrders` answers such calls before. Put `approval(…)` into
`create_agent` before any middleware that refuses calls.
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
from .tools import PLACE_ORDER, QUOTED, orderable, short_of

_DECISIONS = TypeAdapter(list[Annotated[ApproveDecision | EditDecision | RejectDecision, Discriminator("type")]])


def approval(shop: ShopDatabase, place_order: BaseTool) -> list[AgentMiddleware[Any, Any, Any]]:
    """Asks for approval of each order that can be placed, and answers those that cannot.

    Args:
        shop: whose products and stock decide.
        place_order: the tool, whose arguments an order must have.
    """

    def question(tool_call: ToolCall, state: AgentState[Any], runtime: Runtime[Any]) -> str:
        try:
            return asked(shop, tool_call["args"]["name"], tool_call["args"]["quantity"])
        except ToolException as error:
            # LangChain asks again when the decision has come: the shop may have stopped to list the product by then.
            return str(error)

    config = InterruptOnConfig(allowed_decisions=["approve", "edit", "reject"], description=question, when=_is_open)
    notice = "The customer changed this order before it was placed, and wants it so."
    person: AgentMiddleware[Any, Any, Any] = HumanInTheLoopMiddleware({PLACE_ORDER: config}, edit_notice=notice)
    return [person, PossibleOrders(shop, place_order)]


def asked(shop: ShopDatabase, name: str, quantity: int) -> str:
    """What a customer is asked before an order is placed. Raises ToolException where none such can be."""
    product = orderable(shop, name, quantity)
    return f"Order {quantity} x {product.name} for {quantity * product.price} dollars?"


def decided(resume: Any, interrupts: Sequence[Interrupt]) -> dict[str, Any]:
    """What resumes a thread, checked before it is saved: from what does not decide its orders it could not go on.

    Args:
        resume: `{"decisions": […]}`, one for each order, or that under the id of the interrupt that was answered.
        interrupts: what the thread waits for.

    Raises:
        ValueError: nothing waits, or something else; another number of decisions, or one that is malformed.
    """
    if not interrupts:
        raise ValueError("resume: no order waits for approval in this thread")
    [waiting] = interrupts
    given = resume.get(waiting.id, resume) if isinstance(resume, dict) else resume
    orders = waiting.value["action_requests"]
    try:
        decisions = _DECISIONS.validate_python(given["decisions"])
    except (KeyError, TypeError) as error:
        shape = "{'decisions': [{'type': 'approve'}]}"
        raise ValueError(f"resume: {resume!r} decides nothing that waits in this thread; give {shape}") from error
    except ValidationError as error:
        raise ValueError(f"decisions: {_in_words(error)}; give 'approve', 'reject' or 'edit' as the type") from error
    if len(decisions) != len(orders):
        raise ValueError(
            f"decisions: {len(decisions)} for the {len(orders)} orders that wait; give one for each, in order"
        )
    for decision in decisions:
        if decision["type"] == "edit" and (name := decision["edited_action"]["name"]) != PLACE_ORDER:
            raise ValueError(f"decisions: an order cannot be edited into a call of {name!r}; name {PLACE_ORDER!r}")
    return {"decisions": given["decisions"]}


class OrderState(AgentState[Any]):
    """What the products of an order cost when its approval was asked for, in dollars."""

    quoted: NotRequired[Annotated[dict[str, int], PrivateStateAttr]]


class PossibleOrders(AgentMiddleware[OrderState, Any, Any]):
    """Answers orders that cannot be placed, with the reason, so that nobody is asked to approve them.

    Of the others it notes the price, which must still be so when they are placed, and keeps the arguments as they were
    read: a quantity of `"2"` is 2.

    Args:
        shop: whose products and stock decide.
        place_order: the tool, whose arguments they must be.
    """

    state_schema = OrderState

    def __init__(self, shop: ShopDatabase, place_order: BaseTool) -> None:
        super().__init__()
        schema = place_order.tool_call_schema
        assert isinstance(schema, type)
        assert issubclass(schema, BaseModel)
        self._shop, self._schema = shop, schema

    def after_model(self, state: OrderState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Refuse what cannot be ordered."""
        orders = [call for call in open_calls(state["messages"]) if call["name"] == PLACE_ORDER]
        if not orders or (reply := last_reply(state["messages"])) is None:
            return None
        answers: list[AnyMessage] = []
        read: dict[str | None, dict[str, Any]] = {}
        quoted: dict[str, int] = {}
        for call in orders:
            found = self._read(call)
            if isinstance(found, ToolMessage):
                answers.append(found)
            else:
                read[call["id"]], quoted[found[1].name] = found[0], found[1].price
        calls = [{**call, "args": read.get(call["id"], call["args"])} for call in reply.tool_calls]
        return {"messages": [reply.model_copy(update={"tool_calls": calls}), *answers], QUOTED: quoted}

    async def aafter_model(self, state: OrderState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """As `after_model`."""
        return self.after_model(state, runtime)

    def _read(self, call: ToolCall) -> tuple[dict[str, Any], Product] | ToolMessage:
        """The order's arguments and product, or why it cannot be placed."""
        try:
            order: Any = self._schema.model_validate(call["args"])
            product = orderable(self._shop, order.name, order.quantity)
        except ValidationError as error:
            wrong = _in_words(error)
            return refusal(call, f"Not ordered: {wrong}. Call {PLACE_ORDER} with a product's name and a quantity.")
        except ToolException as error:
            return refusal(call, str(error))
        if (left := self._shop.stock(product)) < order.quantity:
            return ToolMessage(short_of(product, left), tool_call_id=call["id"], name=PLACE_ORDER)
        return order.model_dump(), product


def _in_words(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))


def _is_open(request: ToolCallRequest) -> bool:
    """Whether the call is still to be made; one that was refused needs no approval."""
    return request.tool_call["id"] in {call["id"] for call in open_calls(request.state["messages"])}
