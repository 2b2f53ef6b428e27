"""A shop's catalogue: what a customer may see, what stays inside, and which products a question is about.

Products are found by the words of the question, without a model: the same question always finds the same products, and
one that finds none is known to be about nothing that the shop has. A word counts 3 in a product's name or category and 1
in its features; plurals count as singulars; ties keep the catalogue's order.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Self

from pydantic import BaseModel, ConfigDict, Field
from sagechain.agents.command_line import data

MOST_PRODUCTS = 4  # shown to a model at once: some 80 tokens each, of a context of 2,048

# Words that say nothing about what is asked for.
_NO_MATTER = frozenset(
    """a about all also am an and any are as at be been best but buy by can cost could do does for from get good had has
    have hello hi how i if in is it its just like look looking me mean mine more most much my need no not of on one or our
    please price recommend sell shop should show so some stock tell than thank thanks that the their them then there these
    they thing this those to too under use want was we what when where which who will with without would you your""".split()  # noqa: SIM905
)
# A turn that asks for something, rather than about what was named before …
_ASKS_FOR = re.compile(
    r"\b(do|have) you (have|sell|stock|got|offer)|\b(is|are) there\b|\blooking for\b|\bi('d| would)? (need|want|like)\b"
    r"|\bshow me\b",
    re.IGNORECASE,
)
# … unless it points back.
_POINTS_BACK = re.compile(r"\b(it|its|them|they|these|those|this|that|ones?|both|either)\b", re.IGNORECASE)


class Internal(BaseModel):
    """What only the shop knows of a product."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    purchase_price: float
    supplier: str
    stock_note: str


class Product(BaseModel):
    """A product; `sheet` is all of it that leaves the shop."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    category: str
    price: int = Field(gt=0)
    """Dollars."""
    features: tuple[str, ...]
    selling_points: tuple[str, ...]
    internal: Internal = Field(repr=False, exclude=True)

    @property
    def sheet(self) -> str:
        """What a customer, and so a model, may see."""
        return (
            f"Name: {self.name}\nPrice: {self.price} dollars\nFeatures: {', '.join(self.features)}\n"
            f"Selling points: {'; '.join(self.selling_points)}"
        )

    @cached_property
    def weights(self) -> dict[str, int]:
        """What each word of the product counts in a search."""
        return dict.fromkeys(_words(" ".join(self.features)), 1) | dict.fromkeys(
            _words(f"{self.name} {self.category}"), 3
        )


class Catalogue(BaseModel):
    """The products of a shop."""

    model_config = ConfigDict(frozen=True)

    products: tuple[Product, ...]

    @classmethod
    def of_fernhill(cls) -> Self:
        """The catalogue in `products.yaml`."""
        return cls.model_validate({"products": data("products.yaml")})

    @property
    def categories(self) -> list[str]:
        """What kinds of products there are, in the catalogue's order."""
        return list(dict.fromkeys(product.category for product in self.products))

    def matching(self, question: str) -> list[Product]:
        """The products that a question names, the best first; not more than `MOST_PRODUCTS`."""
        asked = _words(question)
        points = {product.name: sum(product.weights.get(word, 0) for word in asked) for product in self.products}
        found = sorted((p for p in self.products if points[p.name]), key=lambda p: -points[p.name])
        return found[:MOST_PRODUCTS]

    def in_sight(self, turns: Sequence[str]) -> list[Product]:
        """The products that a conversation is about: of its last turn, then those of the turns before it.

        None where the last turn asks for something that the catalogue does not have.
        """
        found = self.matching(turns[-1])
        if not found and _ASKS_FOR.search(turns[-1]) and not _POINTS_BACK.search(turns[-1]):
            return []
        earlier = [product for turn in reversed(turns[:-1]) for product in self.matching(turn)]
        return list({product.name: product for product in [*found, *earlier]}.values())[:MOST_PRODUCTS]

    def offer(self, turn: str) -> str:
        """The answer to a turn that names nothing of the catalogue: that it has none of it, and what there is."""
        *others, last = self.categories
        there_is = f"We have {', '.join(others)} and {last}: ask me about any of these."
        return f"Our catalogue has nothing on that. {there_is}" if _words(turn) else there_is


def _words(text: str) -> list[str]:
    """The words of a text that matter, each once, in the singular."""
    words = re.findall(r"[a-zäöüéèß]+", text.lower())
    return list(dict.fromkeys(_singular(word) for word in words if word not in _NO_MATTER and len(word) > 2))


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word
