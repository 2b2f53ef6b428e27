"""Which products a conversation is about, by the words of the customer's turns; what is answered where it is about none.

No model is asked for this: the same turns always find the same products, and a turn that finds none is known to be about
nothing that the shop has.
"""

import re
from collections.abc import Sequence

from .catalogue import Product
from .database import MOST_PRODUCTS, ShopDatabase, mattering_words

# A turn that asks for something, rather than about what was named before …
_ASKS_FOR = re.compile(
    r"\b(do|have) you (have|sell|stock|got|offer)|\b(is|are) there\b|\blooking for\b|\bi('d| would)? (need|want|like)\b"
    r"|\bshow me\b",
    re.IGNORECASE,
)
# … unless it points back.
_POINTS_BACK = re.compile(r"\b(it|its|them|they|these|those|this|that|ones?|both|either)\b", re.IGNORECASE)
# Words by which a turn goes on about products without naming them: what begins it, or what it weighs.
_GOES_ON = re.compile(
    r"^\W*(and|or|but|so|then|ok(ay)?|yes|yeah|no|sure|which|what about|how about)\b"
    r"|\b(weigh|heav|light|warm|cold|siz|big|small|large|long|short|wide|thick|colou?r|material|pric|cheap|expensive|cost"
    r"|dollar|money|compar|differ|better|best|recommend|suggest|choose|choice|pick|decid|tak(e|ing)|prefer|quality|last"
    r"|other|else|another|first|second)|\w+[^r]est\b",
    re.IGNORECASE,
)
_ABOUT_ORDERS = re.compile(r"\b(order|buy|bought|purchas|deliver)", re.IGNORECASE)


def products_in_sight(shop: ShopDatabase, turns: Sequence[str]) -> list[Product]:
    """The products that a conversation is about: of its last turn, then those of the turns before it.

    None where the last turn is about something else, or asks for what the catalogue does not have.
    """
    found = shop.search(turns[-1])
    if not found and _leaves(turns[-1]):
        return []
    in_sight = {product.name: product for product in found}
    for turn in reversed(turns[:-1]):
        if len(in_sight) >= MOST_PRODUCTS:
            break
        in_sight = {product.name: product for product in [*in_sight.values(), *shop.search(turn)]}
    return list(in_sight.values())[:MOST_PRODUCTS]


def is_about_orders(turns: Sequence[str]) -> bool:
    """Whether the last turn speaks of an order, or goes on from one that does."""
    if _ABOUT_ORDERS.search(turns[-1]):
        return True
    return not _leaves(turns[-1]) and any(_ABOUT_ORDERS.search(turn) for turn in turns)


def offer(shop: ShopDatabase, turn: str) -> str:
    """The answer to a turn that names nothing of the catalogue: that one does not know, and what there is."""
    there_is = f"{in_the_catalogue(shop)}: ask me about any of these."
    return f"I don't know: our catalogue has nothing on that. {there_is}" if mattering_words(turn) else there_is


def in_the_catalogue(shop: ShopDatabase) -> str:
    """What kinds of products there are."""
    *others, last = shop.categories
    return f"We have {', '.join(others)} and {last}" if others else f"We have {last}"


def _leaves(turn: str) -> bool:
    """Whether a turn that names no product has left those that were named before it."""
    if _POINTS_BACK.search(turn):
        return False
    return bool(mattering_words(turn)) and bool(_ASKS_FOR.search(turn) or not _GOES_ON.search(turn))
