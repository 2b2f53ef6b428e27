"""The model's tools in the shop: five LangChain tools over its database.

Their results contain `Product` and `Order` alone: nothing internal, and no number that the model wrote. The
result of a call with a wrong argument names what the model can use instead.
"""

from typing import Annotated

from langchain.tools import ToolRuntime
from langchain_core.tools import BaseTool, ToolException, tool
from pydantic import Field

from ..middleware.turns import last_reply
from .catalogue import Product
from .database import ShopDatabase
from .orders import KeyTaken, OutOfStock, PriceChanged, find_order, order_key, place

PLACE_ORDER = "place_order"
QUOTED_PRICES = (
    "quoted_prices"  # in the graph's state: product → dollars a piece, when its order's approval was requested
)

Name = Annotated[str, Field(description="The product's full name, as the catalogue has it")]


def shop_tools(shop: ShopDatabase) -> list[BaseTool]:
    """The tools over a shop. Those of orders need a graph: thread, message and call id are an order's key."""

    @tool
    def search_catalogue(
        query: Annotated[str, Field(description="What the customer looks for, in a few words")],
    ) -> str:
        """Find products of the shop by words."""
        if products := shop.search(query):
            return "\n\n".join(product.sheet for product in products)
        return f"The catalogue has nothing on that. It has {', '.join(shop.categories)}."

    @tool
    def product_details(name: Name) -> str:
        """Tell price, features and selling points of one product."""
        return _find_product(shop, name).sheet

    @tool
    def check_stock(name: Name) -> str:
        """Tell how many pieces of a product are in stock."""
        product = _find_product(shop, name)
        return f"{product.name}: {shop.stock(product)} in stock."

    @tool(PLACE_ORDER)
    def place_order(
        name: Name,
        quantity: Annotated[int, Field(description="How many pieces, 1 or more")],
        runtime: ToolRuntime,
    ) -> str:
        """Order a product for the customer, who is asked for approval first."""
        product = find_orderable(shop, name, quantity)
        price = runtime.state.get(QUOTED_PRICES, {}).get(product.name, product.price)
        try:
            order = place(shop, _order_key(runtime), product.model_copy(update={"price": price}), quantity)
        except OutOfStock as error:
            return out_of_stock_message(product, error.stock)
        except PriceChanged as error:
            raise ToolException(
                f"Not ordered: {product.name} costs {error.price} dollars by now, and the customer approved "
                f"{price}. Ask whether to order it so."
            ) from error
        except KeyTaken as error:
            raise ToolException(f"Not ordered: this call has placed {error} before. Make a new call.") from error
        return f"Order {order.number} is placed: {order.summary}."

    @tool
    def order_status(
        order_number: Annotated[int, Field(description="The order's number")], runtime: ToolRuntime
    ) -> str:
        """Tell what an order of the customer is of, and when it was placed."""
        # Whoever writes in a thread is its customer; orders of other threads are others' business.
        if (order := find_order(shop, order_number, thread=_thread(runtime))) is None:
            raise ToolException("There is no order of that number. Ask the customer for the number of the order.")
        return f"Order {order.number}: {order.summary}, placed on {order.placed_at} UTC."

    tools: list[BaseTool] = [search_catalogue, product_details, check_stock, place_order, order_status]
    for each in tools:
        each.handle_tool_error = True
    return tools


def find_orderable(shop: ShopDatabase, name: str, quantity: int) -> Product:
    """The product with this name. Raises ToolException for an unknown name, or a quantity below 1."""
    product = _find_product(shop, name)
    if quantity < 1:
        raise ToolException("Not ordered: the quantity must be 1 or more.")
    return product


def out_of_stock_message(product: Product, stock: int) -> str:
    """What the model gets in place of an order that is larger than the stock."""
    return f"Not ordered: there are {stock} of {product.name} in stock. Order {stock} or fewer, or something else."


def _find_product(shop: ShopDatabase, name: str) -> Product:
    if (product := shop.product(name)) is not None:
        return product
    names = shop.similar_names(name)
    alternatives = f"near: {', '.join(names)}" if names else f"the catalogue has {', '.join(shop.categories)}"
    raise ToolException(f"There is no product of that name; {alternatives}. Give a name exactly.")


def _thread(runtime: ToolRuntime) -> str:
    return str(runtime.config.get("configurable", {}).get("thread_id"))


def _order_key(runtime: ToolRuntime) -> str:
    """Identifies a tool call. Its id alone does not: some servers number the calls of each message from the start."""
    reply = last_reply(runtime.state["messages"])
    return order_key(_thread(runtime), reply.id if reply else None, runtime.tool_call_id)
