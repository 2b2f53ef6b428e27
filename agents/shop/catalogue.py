"""The shop's catalogue: what a customer may see of a product, and what is internal.

`load_products()` reads `products.yaml`. `database.py` stores products without what is internal, and returns only `Product`.
"""

from pydantic import BaseModel, ConfigDict, Field
from sagechain.prompts import read_yaml


class Product(BaseModel):
    """What a customer, and so a model, may see of a product."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str
    category: str
    price: int = Field(gt=0)
    """Dollars."""
    features: tuple[str, ...]
    selling_points: tuple[str, ...]

    @property
    def sheet(self) -> str:
        """The product on four lines."""
        return (
            f"Name: {self.name}\nPrice: {self.price} dollars\nFeatures: {', '.join(self.features)}\n"
            f"Selling points: {'; '.join(self.selling_points)}"
        )


class Internal(BaseModel):
    """What only the shop may see of a product."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    id: str
    purchase_price: float
    supplier: str
    stock_note: str


class Listing(Product):
    """A product of the catalogue's file."""

    stock: int = Field(ge=0)
    """Pieces in stock when the shop's database is created."""
    internal: Internal = Field(repr=False, exclude=True)


def load_products() -> list[Listing]:
    """The products in `products.yaml`."""
    return [Listing.model_validate(product) for product in read_yaml("sagechain.agents", "products.yaml")]
