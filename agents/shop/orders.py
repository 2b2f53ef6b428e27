"""Orders: each is written in one transaction with the reduction of the stock, once, even if its tool call is repeated.

A tool call has a key, which is unique in the table. A process may die before the transaction, and nothing has happened; or
after it, and the repeated call finds its order.
"""

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from .catalogue import Product
from .database import ShopDatabase

_COLUMNS = "number, product, quantity, total, placed_at"


@dataclass(frozen=True)
class Order:
    """An order in the database."""

    number: int
    product: str
    quantity: int
    total: int
    """Dollars."""
    placed_at: str
    """Date and time, UTC."""

    @property
    def summary(self) -> str:
        """What is ordered, and its price."""
        return f"{self.quantity} x {self.product} for {self.total} dollars"


class OutOfStock(Exception):
    """The stock is smaller than the order."""

    def __init__(self, stock: int) -> None:
        super().__init__(f"{stock} in stock")
        self.stock = stock


class PriceChanged(Exception):
    """The product has another price than the order; `price` is in dollars."""

    def __init__(self, price: int) -> None:
        super().__init__(f"{price} dollars")
        self.price = price


class KeyTaken(Exception):
    """The key belongs to an order of something else."""


def place(shop: ShopDatabase, key: str, product: Product, quantity: int) -> Order:
    """Write an order, or find the one that was written with this key.

    Args:
        shop: the shop whose stock is reduced.
        key: identifies the tool call (`order_key`).
        product: what is ordered, at the price that was approved.
        quantity: pieces, 1 or more.

    Raises:
        OutOfStock: there are fewer pieces; nothing was written.
        PriceChanged: the price is another one now; nothing was written.
        KeyTaken: the key belongs to an order of something else.
    """
    with shop.transaction() as connection:
        if (row := connection.execute(f"SELECT {_COLUMNS} FROM orders WHERE key = ?", (key,)).fetchone()) is not None:
            order = Order(*row)
            if (order.product, order.quantity) != (product.name, quantity):
                raise KeyTaken(f"order {order.number}")
            return order
        row = connection.execute("SELECT stock, price FROM products WHERE name = ?", (product.name,)).fetchone()
        stock, price = row or (0, product.price)
        if stock < quantity:
            raise OutOfStock(stock)
        if price != product.price:
            raise PriceChanged(price)
        connection.execute("UPDATE products SET stock = stock - ? WHERE name = ?", (quantity, product.name))
        return _write_order(connection, key, product, quantity)


def order_key(thread: object, *call: object) -> str:
    """Identifies a tool call of a thread."""
    return "/".join([quote(str(thread), safe=""), *map(str, call)])


def find_order(shop: ShopDatabase, number: int, *, thread: object = None) -> Order | None:
    """The order with this number; with a thread, only if it was placed there."""
    if not 0 < number < 2**63:  # the integers of SQLite
        return None
    with shop.connect() as connection:
        row = connection.execute(f"SELECT key, {_COLUMNS} FROM orders WHERE number = ?", (number,)).fetchone()
    if row is None or (thread is not None and row[0].partition("/")[0] != order_key(thread)):
        return None
    return Order(*row[1:])


def _write_order(connection: sqlite3.Connection, key: str, product: Product, quantity: int) -> Order:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    row = connection.execute(
        f"INSERT INTO orders (key, product, quantity, total, placed_at) VALUES (?, ?, ?, ?, ?) RETURNING {_COLUMNS}",
        (key, product.name, quantity, quantity * product.price, now),
    ).fetchone()
    return Order(*row)
