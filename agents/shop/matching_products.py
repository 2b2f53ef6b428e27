"""The products that a conversation is about, found by the words of the customer's turns; no model is needed for that."""

import re
from collections.abc import Sequence

from .catalogue import Product
from .database import MAX_PRODUCTS, ShopDatabase, search_words

# A turn that looks for something new, rather than for more about the products named before …
_LOOKS_FOR = re.compile(
    r"\b(do|have) you (have|sell|stock|got|offer)|\b(is|are) there\b|\blooking for\b|\bi('d| would)? (need|want|like)\b"
    r"|\bshow me\b",
    re.IGNORECASE,
)
# … unless it refers to them.
_REFERS = re.compile(r"\b(it|its|them|they|these|those|this|that|ones?|both|either)\b", re.IGNORECASE)
_ORDERS = re.compile(r"\b(order|buy|bought|purchas|deliver)", re.IGNORECASE)


def matching_products(shop: ShopDatabase, turns: Sequence[str]) -> list[Product]:
    """The products that the last turn names, then those of the turns before it; at most `MAX_PRODUCTS`.

    Empty if the last turn looks for something that the catalogue does not have.
    """
    products = {product.name: product for product in shop.search(turns[-1])}
    if not products and _is_new_subject(turns[-1]):
        return []
    for turn in reversed(turns[:-1]):
        if len(products) >= MAX_PRODUCTS:
            break
        products = {product.name: product for product in [*products.values(), *shop.search(turn)]}
    return list(products.values())[:MAX_PRODUCTS]


def is_about_orders(turns: Sequence[str]) -> bool:
    """Whether the last turn mentions an order, or continues a conversation that does."""
    return any(map(_ORDERS.search, turns[-1:] if _is_new_subject(turns[-1]) else turns))


def offer(shop: ShopDatabase, turn: str) -> str:
    """The answer to a turn that names no product: what the shop sells."""
    answer = f"{categories_sentence(shop)}: ask me about any of these."
    return f"I don't know: our catalogue has nothing on that. {answer}" if search_words(turn) else answer


def categories_sentence(shop: ShopDatabase) -> str:
    """The categories of the products, as the start of a sentence."""
    *others, last = shop.categories
    return f"We have {', '.join(others)} and {last}" if others else f"We have {last}"


def _is_new_subject(turn: str) -> bool:
    return bool(search_words(turn) and _LOOKS_FOR.search(turn) and not _REFERS.search(turn))
