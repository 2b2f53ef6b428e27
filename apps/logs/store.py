"""The log's file: SQLite with a full-text index, readable by its owner only.

    with open_log() as log:
        log.add(Entry(command="ask", model="local:smollm2", prompt="Hi", answer="Hello!"))
        log.search("hello")

What is stored is the text and figures of an `Entry`: no credentials, no environment, no endpoint settings.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

BUSY_SECONDS = 2.0  # how long an answer that is printed already waits for another process that writes
VERSION = 1  # of the tables, in SQLite's `user_version`

_TABLES = """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, created_at TEXT NOT NULL, command TEXT NOT NULL, conversation INTEGER,
    model TEXT NOT NULL, system TEXT, prompt TEXT NOT NULL, answer TEXT NOT NULL, parameters TEXT NOT NULL,
    finish_reason TEXT, input_tokens INTEGER, output_tokens INTEGER, seconds REAL, error TEXT);
CREATE VIRTUAL TABLE texts USING fts5(system, prompt, answer, content='entries', content_rowid='id');
CREATE TRIGGER added AFTER INSERT ON entries BEGIN
    INSERT INTO texts(rowid, system, prompt, answer) VALUES (new.id, new.system, new.prompt, new.answer);
END;
"""


@dataclass
class Entry:
    """One question and its answer, or the error that came instead.

    Args:
        command: `ask`, `solve` or `complete`.
        model: its URI.
        prompt: the user's text, files included.
        system: the system text that was given.
        parameters: generation parameters that were given.
        conversation: the id of the conversation's first entry; None for its own.
        answer: the text so far.
        finish_reason: `stop`, `length` …
        seconds: from the request to the last chunk.
        error: what ended the answer, in one line.
        id, created_at: set by the log; the time is UTC in ISO 8601.
    """

    command: str
    model: str
    prompt: str
    system: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    conversation: int | None = None
    answer: str = ""
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float | None = None
    error: str | None = None
    id: int | None = None
    created_at: str = ""


_COLUMNS = tuple(each.name for each in fields(Entry))


class Log:
    """The entries of one file; made by `open_log`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, entry: Entry) -> int:
        """Store an entry, and return its id."""
        row = asdict(entry) | {
            "created_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "parameters": json.dumps(dict(entry.parameters), ensure_ascii=False, default=str),
        }
        del row["id"]
        texts = {name: _storable(value) for name, value in row.items()}
        with self._connection:
            cursor = self._connection.execute(
                f"INSERT INTO entries ({', '.join(texts)}) VALUES ({', '.join('?' * len(texts))})", list(texts.values())
            )
            assert cursor.lastrowid is not None
            if entry.conversation is None:
                self._connection.execute("UPDATE entries SET conversation = id WHERE id = ?", [cursor.lastrowid])
        return cursor.lastrowid

    def latest(self, count: int | None, *, model: str | None = None, query: str | None = None) -> list[Entry]:
        """The latest entries, the oldest of them first.

        Args:
            count: how many; None for all.
            model: only entries whose model's URI contains this.
            query: only entries whose texts contain all of these words; a text between double quotes is one phrase.
        """
        conditions, values = ["1"], list[Any]()
        if model:
            conditions.append("INSTR(LOWER(model), LOWER(?))")
            values.append(model)
        if query is not None:
            conditions.append("id IN (SELECT rowid FROM texts WHERE texts MATCH ?)")
            values.append(match_expression(query))
        statement = (
            f"SELECT {', '.join(_COLUMNS)} FROM entries WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?"
        )
        rows = self._connection.execute(statement, [*values, -1 if count is None else count])
        return [_entry(row) for row in rows][::-1]

    def find(self, number: int) -> Entry | None:
        """The entry with this id."""
        statement = f"SELECT {', '.join(_COLUMNS)} FROM entries WHERE id = ?"
        return next((_entry(row) for row in self._connection.execute(statement, [number])), None)

    def last_conversation(self, command: str) -> list[Entry]:
        """The entries of the latest conversation with a command, without those that failed."""
        statement = f"""SELECT {", ".join(_COLUMNS)} FROM entries WHERE error IS NULL AND conversation =
            (SELECT conversation FROM entries WHERE command = ? AND error IS NULL ORDER BY id DESC LIMIT 1) ORDER BY id"""
        return [_entry(row) for row in self._connection.execute(statement, [command])]

    def count(self) -> int:
        """The number of entries."""
        return int(self._connection.execute("SELECT COUNT(*) FROM entries").fetchone()[0])


def match_expression(query: str) -> str:
    """A person's words as an FTS5 expression in which nothing of theirs is an operator.

    Raises:
        ValueError: nothing to search for.
    """
    phrases = []
    for index, part in enumerate(query.replace("\0", " ").split('"')):
        phrases += [part] if index % 2 else part.split()
    # A phrase without a letter or digit has no token, and would match nothing.
    phrases = [phrase for phrase in phrases if any(map(str.isalnum, phrase))]
    if not phrases:
        raise ValueError("search: give a word or more; letters and digits are indexed")
    return " ".join(f'"{phrase}"' for phrase in phrases)


@contextmanager
def open_log(file: Path, *, create: bool = True) -> Iterator[Log]:
    """The log in a file.

    Args:
        file: the database.
        create: create it, and its folder, if it is missing.

    Raises:
        ValueError: the file is missing, or is not a log.
        sqlite3.Error, OSError: it cannot be read or written.
    """
    if not file.exists():
        if not create:
            raise ValueError(f"log: nothing is logged yet in {str(file)!r}; `sagechain logs on` starts it")
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(file, timeout=BUSY_SECONDS)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if not version and not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            with connection:
                connection.executescript(f"BEGIN IMMEDIATE;{_TABLES}PRAGMA user_version = {VERSION};COMMIT;")
        elif version != VERSION:
            raise ValueError(f"log: {str(file)!r} is not a log of sagechain")
        yield Log(connection)
    finally:
        connection.close()


def _entry(row: tuple[Any, ...]) -> Entry:
    columns = dict(zip(_COLUMNS, row, strict=True))
    return Entry(**columns | {"parameters": json.loads(columns["parameters"])})


def _storable(value: Any) -> Any:
    """Halves of characters, which SQLite refuses, as `\\ud83d`."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
