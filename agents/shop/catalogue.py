"""A shop's catalogue as it is written down: what a customer may see of a product, and what stays inside.

`products_of_fernhill()` reads `products.yaml`; `database.py` keeps the products from then on. Only `Product` comes back
from there: what is internal is no part of it.
"""

from pydantic import BaseModel, ConfigDict, Field
from sagechain.prompts import read_yaml


class Product(BaseModel):
    """What a customer, and so a model, may see of a product."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    """What only the shop knows of a product."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    purchase_price: float
    supplier: str
    stock_note: str


class Listing(Product):
    """A product as the shop lists it."""

    stock: int = Field(ge=0)
    """Pieces there are when the shop's database is made."""
    internal: Internal = Field(repr=False, exclude=True)


def products_of_fernhill() -> list[Listing]:
    """The products in `products.yaml`."""
    return [Listing.model_validate(each) for each in read_yaml("sagechain.agents", "products.yaml")]
