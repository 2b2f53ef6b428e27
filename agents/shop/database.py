"""The shop's database: an SQLite file with products, an index of their words, and orders. Several processes may use it.

    shop = ShopDatabase(Path("shop.sqlite"))
    [product.name for product in shop.search("a tent for two people")]     # ["Heron 2 tent", "Heron 4 tent", …]

Orders are written by `orders.py`.
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

from sagechain.chains.stores import make_private_file

from .catalogue import Listing, Product, load_products

MAX_PRODUCTS = 4  # results of a search: about 80 tokens each, of a context of 2,048
BUSY_SECONDS = 5.0  # longest wait for another process that writes

SCHEMA = """
CREATE TABLE IF NOT EXISTS products (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE COLLATE NOCASE, category TEXT NOT NULL,
    price INTEGER NOT NULL CHECK (price > 0), features TEXT NOT NULL, selling_points TEXT NOT NULL,
    stock INTEGER NOT NULL CHECK (stock >= 0));
CREATE VIRTUAL TABLE IF NOT EXISTS product_text USING fts5 (
    name, category, features, tokenize = "porter unicode61 remove_diacritics 2");
CREATE TABLE IF NOT EXISTS orders (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, product TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity > 0), total INTEGER NOT NULL, placed_at TEXT NOT NULL);
INSERT INTO sqlite_sequence (name, seq) SELECT 'orders', 1000
    WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'orders');
"""
COLUMNS = "p.name, p.category, p.price, p.features, p.selling_points"

# Words that do not name a product.
_STOP_WORDS = frozenset(
    """a about all also am an and any are as at available be been best but buy by can cost could do does for from get
    good had has have hello hi how i if in is it its just left like look looking many me mean mine more most much my need
    no not of on one or our please price recommend sell shop should show so some stock tell than thank thanks that the
    their them then there these they thing this those to too under use want was we what when where which who will with
    without would you your""".split()  # noqa: SIM905
)


class ShopDatabase:
    """The products and orders of a shop, in a file for its owner only.

    Args:
        path: the file; it is created and filled if it does not exist.
        products: what the shop sells; the products of `products.yaml` if not given. In a file that exists all but their
            stock is updated.

    Raises:
        ValueError: the file is not an SQLite database.
        OSError: the folder cannot be created.
    """

    def __init__(self, path: Path, products: Sequence[Listing] | None = None) -> None:
        self.path = path
        make_private_file(path)
        try:
            self._fill(load_products() if products is None else products)
        except sqlite3.DatabaseError as error:
            raise ValueError(f"database: {str(path)!r} cannot be used as a shop's database: {error}") from error

    @contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        """A new connection, for one thread."""
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction that has the write lock from its start, so that what it reads is still true when it writes."""
        with self.connect() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise

    @property
    def categories(self) -> list[str]:
        """The categories of the products, in the catalogue's order."""
        with self.connect() as connection:
            return [name for (name,) in connection.execute("SELECT category FROM products GROUP BY 1 ORDER BY min(id)")]

    @property
    def products(self) -> list[Product]:
        """All products, in the catalogue's order."""
        return self._select("FROM products p ORDER BY p.id")

    def search(self, text: str) -> list[Product]:
        """The products that a text names, the best first; at most `MAX_PRODUCTS`.

        A word counts three times as much in a name or category as in a feature; a rare word counts more than a common
        one, and plurals count as singulars (BM25 over FTS5's Porter stemmer). Close scores keep the catalogue's order.
        """
        words = search_words(text)
        if not words:
            return []
        # In quotes a word is never syntax of FTS5.
        query = " OR ".join(f'"{word}"' for word in words)
        return self._select(
            "FROM product_text JOIN products p ON p.id = product_text.rowid WHERE product_text MATCH ?"
            " ORDER BY round(bm25(product_text, 3, 3, 1)), p.id LIMIT ?",
            query,
            MAX_PRODUCTS,
        )

    def product(self, name: str) -> Product | None:
        """The product with this name, in upper or lower case."""
        return next(iter(self._select("FROM products p WHERE p.name = ?", " ".join(name.split()))), None)

    def similar_names(self, name: str) -> list[str]:
        """Names of products that are similar to an unknown name, the best first."""
        names = [product.name for product in self.products]
        alike = get_close_matches(name.lower(), [known.lower() for known in names], n=2)
        candidates = [known for known in names if known.lower() in alike] + [each.name for each in self.search(name)]
        return list(dict.fromkeys(candidates))[:MAX_PRODUCTS]

    def stock(self, product: Product) -> int:
        """Pieces in stock now."""
        with self.connect() as connection:
            row = connection.execute("SELECT stock FROM products WHERE name = ?", (product.name,)).fetchone()
        return int(row[0]) if row else 0

    def _select(self, clauses: str, *values: Any) -> list[Product]:
        with self.connect() as connection:
            rows = connection.execute(f"SELECT {COLUMNS} {clauses}", values).fetchall()
        return [
            Product(name=n, category=c, price=p, features=json.loads(f), selling_points=json.loads(s))
            for n, c, p, f, s in rows
        ]

    def _fill(self, products: Sequence[Listing]) -> None:
        # `user_version`, which has 31 bits, shows whether the file has this schema and these products already.
        version = zlib.crc32((SCHEMA + repr(products)).encode()) >> 1
        with self.connect() as connection:
            if connection.execute("PRAGMA user_version").fetchone()[0] == version:
                return
            # A setting of the file: readers and a writer do not wait for one another.
            connection.execute("PRAGMA journal_mode = WAL")
        with self.transaction() as connection:
            for statement in SCHEMA.split(";\n"):
                connection.execute(statement)
            names = json.dumps([product.name for product in products])
            connection.execute("DELETE FROM products WHERE name NOT IN (SELECT value FROM json_each(?))", (names,))
            connection.execute("DELETE FROM product_text")
            for product in products:
                _write_product(connection, product)
            connection.execute(f"PRAGMA user_version = {version}")


def search_words(text: str) -> list[str]:
    """The words of a text that may name a product, each once."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    return list(dict.fromkeys(word for word in words if word not in _STOP_WORDS and len(word) > 2))


def _write_product(connection: sqlite3.Connection, product: Listing) -> None:
    row = product.model_dump(include={"name", "category", "price", "stock"})
    row |= {"features": json.dumps(product.features), "selling_points": json.dumps(product.selling_points)}
    [(rowid,)] = connection.execute(
        "INSERT INTO products (name, category, price, features, selling_points, stock)"
        " VALUES (:name, :category, :price, :features, :selling_points, :stock)"
        " ON CONFLICT (name) DO UPDATE SET name = excluded.name, category = excluded.category, price = excluded.price,"
        " features = excluded.features, selling_points = excluded.selling_points RETURNING id",
        row,
    ).fetchall()
    connection.execute(
        "INSERT INTO product_text (rowid, name, category, features) VALUES (?, ?, ?, ?)",
        (rowid, product.name, product.category, ", ".join(product.features)),
    )
