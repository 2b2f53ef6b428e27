"""The shop's database: an SQLite file with products, an index of their words, and orders. Several processes may use it.

    shop = ShopDatabase(Path("shop.sqlite"))
    [product.name for product in shop.search("a tent for two people")]     # ["Heron 2 tent", "Heron 4 tent", …]

What is internal to the shop stands in a table of its own, which nothing here reads. Orders are written by `orders.py`.
"""

import json
import re
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from .catalogue import Listing, Product, products_of_fernhill

MOST_PRODUCTS = 4  # found at once: some 80 tokens each, of a context of 2,048
BUSY_SECONDS = 5.0  # so long a writer waits for another one

SCHEMA = """
CREATE TABLE IF NOT EXISTS products (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE COLLATE NOCASE, category TEXT NOT NULL,
    price INTEGER NOT NULL CHECK (price > 0), features TEXT NOT NULL, selling_points TEXT NOT NULL,
    stock INTEGER NOT NULL CHECK (stock >= 0));
CREATE TABLE IF NOT EXISTS internals (
    product TEXT PRIMARY KEY, id TEXT NOT NULL, purchase_price REAL NOT NULL, supplier TEXT NOT NULL,
    stock_note TEXT NOT NULL);
CREATE VIRTUAL TABLE IF NOT EXISTS product_text USING fts5 (
    name, category, features, tokenize = "porter unicode61 remove_diacritics 2");
CREATE TABLE IF NOT EXISTS orders (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, product TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity > 0), total INTEGER NOT NULL, placed_at TEXT NOT NULL);
INSERT INTO sqlite_sequence (name, seq) SELECT 'orders', 1000
    WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'orders');
"""
PUBLIC = "p.name, p.category, p.price, p.features, p.selling_points"

# Words that say nothing about what is asked for.
_NO_MATTER = frozenset(
    """a about all also am an and any are as at available be been best but buy by can cost could do does for from get
    good had has have hello hi how i if in is it its just left like look looking many me mean mine more most much my need
    no not of on one or our please price recommend sell shop should show so some stock tell than thank thanks that the
    their them then there these they thing this those to too under use want was we what when where which who will with
    without would you your""".split()  # noqa: SIM905
)


class ShopDatabase:
    """The products and orders of a shop.

    Args:
        path: the file; it is made, and filled, where there is none.
        products: what the shop lists; those in `products.yaml` if not given. Of a product that the file has already, all
            but its stock is brought up to date.

    Raises:
        ValueError: the file is no SQLite database.
        OSError: the folder cannot be made.
    """

    def __init__(self, path: Path, products: Sequence[Listing] | None = None) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._fill(products_of_fernhill() if products is None else products)
        except sqlite3.DatabaseError as error:
            raise ValueError(f"database: {str(path)!r} cannot be used as a shop's database: {error}") from error

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own, for one thread."""
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, begun as a writer: what it reads is still so when it writes. It is whole or not at all."""
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise

    @property
    def categories(self) -> list[str]:
        """What kinds of products there are, in the catalogue's order."""
        with self.reading() as connection:
            return [kind for (kind,) in connection.execute("SELECT category FROM products GROUP BY 1 ORDER BY min(id)")]

    @property
    def products(self) -> list[Product]:
        """All products, in the catalogue's order."""
        return self._products("FROM products p ORDER BY p.id")

    def search(self, question: str) -> list[Product]:
        """The products that a question names, the best first; not more than `MOST_PRODUCTS`.

        A word counts three times as much in a name or category as in a feature; a rare word counts more than a common
        one, and plurals count as singulars (BM25 over FTS5's Porter stemmer). Close scores keep the catalogue's order.
        """
        words = mattering_words(question)
        if not words:
            return []
        # Quoted, a word is never syntax of FTS5, whatever it is.
        asked = " OR ".join(f'"{word}"' for word in words)
        return self._products(
            "FROM product_text JOIN products p ON p.id = product_text.rowid WHERE product_text MATCH ?"
            " ORDER BY round(bm25(product_text, 3, 3, 1)), p.id LIMIT ?",
            asked,
            MOST_PRODUCTS,
        )

    def product(self, name: str) -> Product | None:
        """The product of a name, in upper or lower case."""
        return next(iter(self._products("FROM products p WHERE p.name = ?", " ".join(name.split()))), None)

    def near(self, name: str) -> list[str]:
        """Names that somebody may have meant by one that there is not, the best first."""
        with self.reading() as connection:
            names = [each for (each,) in connection.execute("SELECT name FROM products ORDER BY id")]
        alike = get_close_matches(name.lower(), [each.lower() for each in names], n=2)
        found = [each for each in names if each.lower() in alike] + [each.name for each in self.search(name)]
        return list(dict.fromkeys(found))[:MOST_PRODUCTS]

    def stock(self, product: Product) -> int:
        """How many pieces there are now."""
        with self.reading() as connection:
            row = connection.execute("SELECT stock FROM products WHERE name = ?", (product.name,)).fetchone()
        return int(row[0]) if row else 0

    def _products(self, found: str, *values: Any) -> list[Product]:
        with self.reading() as connection:
            rows = connection.execute(f"SELECT {PUBLIC} {found}", values).fetchall()
        return [
            Product(name=n, category=c, price=p, features=json.loads(f), selling_points=json.loads(s))
            for n, c, p, f, s in rows
        ]

    def _fill(self, products: Sequence[Listing]) -> None:
        # `user_version` tells whether schema and products are those already; it has 31 bits.
        version = zlib.crc32((SCHEMA + repr([(p, p.internal) for p in products])).encode()) >> 1
        with self.reading() as connection:
            if connection.execute("PRAGMA user_version").fetchone()[0] == version:
                return
            # Stays with the file: readers and a writer do not wait for one another.
            connection.execute("PRAGMA journal_mode = WAL")
        with self.writing() as connection:
            for statement in SCHEMA.split(";\n"):
                connection.execute(statement)
            names = json.dumps([product.name for product in products])
            for table, column in (("products", "name"), ("internals", "product")):
                connection.execute(
                    f"DELETE FROM {table} WHERE {column} NOT IN (SELECT value FROM json_each(?))", (names,)
                )
            connection.execute("DELETE FROM product_text")
            for product in products:
                _list(connection, product)
            connection.execute(f"PRAGMA user_version = {version}")


def mattering_words(text: str) -> list[str]:
    """The words of a text that tell what is asked for, each once."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    return list(dict.fromkeys(word for word in words if word not in _NO_MATTER and len(word) > 2))


def _list(connection: sqlite3.Connection, product: Listing) -> None:
    features = ", ".join(product.features)
    [row] = connection.execute(
        "INSERT INTO products (name, category, price, features, selling_points, stock) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET name = excluded.name, category = excluded.category, price = excluded.price,"
        " features = excluded.features, selling_points = excluded.selling_points RETURNING id",
        (
            product.name,
            product.category,
            product.price,
            json.dumps(product.features),
            json.dumps(product.selling_points),
            product.stock,
        ),
    ).fetchall()
    connection.execute(
        "INSERT INTO product_text (rowid, name, category, features) VALUES (?, ?, ?, ?)",
        (row[0], product.name, product.category, features),
    )
    inside = product.internal
    connection.execute(
        "INSERT OR REPLACE INTO internals VALUES (?, ?, ?, ?, ?)",
        (product.name, inside.id, inside.purchase_price, inside.supplier, inside.stock_note),
    )
