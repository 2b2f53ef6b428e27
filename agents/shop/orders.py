"""Orders: written in one transaction with the stock they take, once, however often the call that places one is repeated.

A call is known by its key, which the table holds unique. A process may die before the transaction (nothing has happened),
or after it (the same call, made again, finds its order).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .catalogue import Product
from .database import ShopDatabase

_COLUMNS = "number, product, quantity, total, placed_at"


@dataclass(frozen=True)
class Order:
    """An order that was placed."""

    number: int
    product: str
    quantity: int
    total: int
    """Dollars."""
    placed_at: str
    """Date and time, UTC."""


class OutOfStock(Exception):
    """There are not so many; `left` are there."""

    def __init__(self, left: int) -> None:
        super().__init__(f"{left} in stock")
        self.left = left


class OtherPrice(Exception):
    """The product costs another `price` now, in dollars."""

    def __init__(self, price: int) -> None:
        super().__init__(f"{price} dollars")
        self.price = price


class OtherOrder(Exception):
    """The call has placed another order before."""


def place(shop: ShopDatabase, key: str, product: Product, quantity: int) -> Order:
    """The order of a call; made now, or found where the call was made before.

    Args:
        shop: whose stock it takes.
        key: what the call is known by.
        product: what is ordered, at the price that was approved.
        quantity: pieces, 1 or more.

    Raises:
        OutOfStock: there are fewer; nothing was written.
        OtherPrice: it costs more or less by now; nothing was written.
        OtherOrder: the key belongs to an order of something else.
    """
    with shop.writing() as connection:
        if (row := connection.execute(f"SELECT {_COLUMNS} FROM orders WHERE key = ?", (key,)).fetchone()) is not None:
            order = Order(*row)
            if (order.product, order.quantity) != (product.name, quantity):
                raise OtherOrder(f"order {order.number}")
            return order
        found = connection.execute("SELECT stock, price FROM products WHERE name = ?", (product.name,)).fetchone()
        left, price = found or (0, product.price)
        if left < quantity:
            raise OutOfStock(left)
        if price != product.price:
            raise OtherPrice(price)
        connection.execute("UPDATE products SET stock = stock - ? WHERE name = ?", (quantity, product.name))
        return _written(connection, key, product, quantity)


def placed(shop: ShopDatabase, number: int) -> Order | None:
    """The order of a number."""
    if not 0 < number < 2**63:  # SQLite has no other integers
        return None
    with shop.reading() as connection:
        row = connection.execute(f"SELECT {_COLUMNS} FROM orders WHERE number = ?", (number,)).fetchone()
    return Order(*row) if row else None


def _written(connection: Any, key: str, product: Product, quantity: int) -> Order:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    row = connection.execute(
        f"INSERT INTO orders (key, product, quantity, total, placed_at) VALUES (?, ?, ?, ?, ?) RETURNING {_COLUMNS}",
        (key, product.name, quantity, quantity * product.price, now),
    ).fetchone()
    return Order(*row)
