"""Five tools of a shop, for tests of tool calls."""

from collections.abc import Callable
from typing import Any, Literal


def search_catalogue(query: str, limit: int = 5, in_stock: bool | None = None) -> list[dict[str, Any]]:
    """Search the catalogue."""
    raise NotImplementedError


def product_details(product_id: int) -> dict[str, Any]:
    """All that is known of a product."""
    raise NotImplementedError


def check_stock(product_id: int, size: Literal["S", "M", "L"] = "M") -> int:
    """How many of a product there are."""
    raise NotImplementedError


def place_order(items: list[dict[str, int]], note: str = "") -> str:
    """Order products: for each its `product_id` and `quantity`."""
    raise NotImplementedError


def list_orders() -> list[str]:
    """The customer's orders."""
    raise NotImplementedError


TOOLS: list[Callable[..., Any]] = [search_catalogue, product_details, check_stock, place_order, list_orders]
