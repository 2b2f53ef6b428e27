"""What a model may do in the shop: five LangChain tools over its database.

Their results are made of `Product` and `Order` alone, so nothing internal is in them, and never repeat what the model
wrote: whatever number they tell is the shop's own. What a model asks wrongly is answered with what it can ask instead.
"""

from typing import Annotated

from langchain.tools import ToolRuntime
from langchain_core.tools import BaseTool, ToolException, tool
from pydantic import Field

from ..middleware.turns import last_reply
from .catalogue import Product
from .database import ShopDatabase
from .orders import Order, OtherOrder, OtherPrice, OutOfStock, place, placed

PLACE_ORDER = "place_order"
QUOTED = "quoted"  # in the graph's state: what the products of an order cost when its approval was asked for

Name = Annotated[str, Field(description="The product's full name, as the catalogue has it")]


def shop_tools(shop: ShopDatabase) -> list[BaseTool]:
    """The tools over a shop. `place_order` needs a graph, whose thread and call it is known by."""

    @tool
    def search_catalogue(
        query: Annotated[str, Field(description="What the customer looks for, in a few words")],
    ) -> str:
        """Find products of the shop by words."""
        if found := shop.search(query):
            return "\n\n".join(product.sheet for product in found)
        return f"The catalogue has nothing on that. It has {', '.join(shop.categories)}."

    @tool
    def product_details(name: Name) -> str:
        """Tell price, features and selling points of one product."""
        return known(shop, name).sheet

    @tool
    def check_stock(name: Name) -> str:
        """Tell how many pieces of a product are in stock."""
        product = known(shop, name)
        return f"{product.name}: {shop.stock(product)} in stock."

    @tool(PLACE_ORDER)
    def place_order(
        name: Name,
        quantity: Annotated[int, Field(description="How many pieces, 1 or more")],
        runtime: ToolRuntime,
    ) -> str:
        """Order a product for the customer, who is asked for approval first."""
        product = orderable(shop, name, quantity)
        approved = product.model_copy(update={"price": runtime.state.get(QUOTED, {}).get(product.name, product.price)})
        try:
            order = place(shop, _key(runtime), approved, quantity)
        except OutOfStock as error:
            return short_of(product, error.left)
        except OtherPrice as error:
            raise ToolException(
                f"Not ordered: {product.name} costs {error.price} dollars by now, and the customer approved "
                f"{approved.price}. Ask whether to order it so."
            ) from error
        except OtherOrder as error:
            raise ToolException(f"Not ordered: this call has placed {error} before. Make a new call.") from error
        return f"Order {order.number} is placed: {described(order)}."

    @tool
    def order_status(order_number: Annotated[int, Field(description="The order's number")]) -> str:
        """Tell what an order is of, and when it was placed."""
        if (order := placed(shop, order_number)) is None:
            raise ToolException("There is no order of that number. Ask the customer for the number of the order.")
        return f"Order {order.number}: {described(order)}, placed on {order.placed_at} UTC."

    made: list[BaseTool] = [search_catalogue, product_details, check_stock, place_order, order_status]
    for each in made:
        each.handle_tool_error = True
    return made


def known(shop: ShopDatabase, name: str) -> Product:
    """The product of a name. Raises ToolException with the names near it."""
    if (product := shop.product(name)) is not None:
        return product
    near = shop.near(name)
    instead = f"near: {', '.join(near)}" if near else f"the catalogue has {', '.join(shop.categories)}"
    raise ToolException(f"There is no product of that name; {instead}. Give a name exactly.")


def orderable(shop: ShopDatabase, name: str, quantity: int) -> Product:
    """The product of a name, in a quantity that makes sense. Raises ToolException."""
    product = known(shop, name)
    if quantity < 1:
        raise ToolException("Not ordered: the quantity must be 1 or more.")
    return product


def short_of(product: Product, left: int) -> str:
    """That there is not so much of a product."""
    return f"Not ordered: there are {left} of {product.name} in stock. Order {left} or fewer, or something else."


def _key(runtime: ToolRuntime) -> str:
    """What a call is known by. Servers may begin to count calls anew in every message, but a message is known by its id."""
    thread, reply = runtime.config.get("configurable", {}).get("thread_id"), last_reply(runtime.state["messages"])
    return f"{thread}/{reply.id if reply else None}/{runtime.tool_call_id}"


def described(order: Order) -> str:
    """What an order is of."""
    return f"{order.quantity} x {order.product} for {order.total} dollars"
