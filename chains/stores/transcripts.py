"""The transcript of a thread: every message of every finished turn, as rows that are added and never changed.

A thread's state holds only what the model is still sent. The transcript stands beside it, in the same database, and from it
threads are listed, shown and exported:

    transcript = Transcript(run)            # run: one statement and its values, to a list of rows
    transcript.append("ada", messages)      # those that are not there yet
    transcript.threads()                    # [ThreadInfo(name="ada", turns=1, messages=2, …)]

A message is known by its id, so that the same messages may be given again and again. Transactions are the caller's
(`stores.py`), the statements are SQLite's and PostgreSQL's alike.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage, message_to_dict, messages_from_dict

from ..conversations.turns import begins_turn

Run = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

TABLE = """
CREATE TABLE IF NOT EXISTS transcript (
    thread TEXT NOT NULL,
    position INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    turn INTEGER NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (thread, position),
    UNIQUE (thread, message_id)
)"""
COLUMNS = "SELECT thread, position, message_id, turn, created_at, message FROM transcript LIMIT 0"
LAST = "SELECT position, message_id, turn, message FROM transcript WHERE thread = ? ORDER BY position DESC LIMIT 1"
KNOWN = "SELECT message_id FROM transcript WHERE thread = ?"
INSERT = "INSERT INTO transcript (thread, position, message_id, turn, created_at, message) VALUES (?, ?, ?, ?, ?, ?)"
ENTRIES = """
SELECT position, turn, created_at, message FROM transcript
WHERE thread = ? AND position > ? ORDER BY position LIMIT ?"""
# Read at the ends of each thread only, however long it is.
THREADS = """
SELECT last.thread, last.turn, last.position + 1, opening.created_at, last.created_at, opening.message
FROM (SELECT thread, MAX(position) AS position FROM transcript GROUP BY thread) AS ends
JOIN transcript AS last ON last.thread = ends.thread AND last.position = ends.position
JOIN transcript AS opening ON opening.thread = ends.thread AND opening.position = 0
ORDER BY last.created_at DESC, last.thread"""
ALL = 2**62  # more than a thread has messages
DELETE = "DELETE FROM transcript WHERE thread = ?"


@dataclass(frozen=True)
class ThreadInfo:
    """A thread in short; times are seconds since the epoch, `first_words` the text of its first message."""

    name: str
    turns: int
    messages: int
    first_at: float
    last_at: float
    first_words: str


@dataclass(frozen=True)
class Entry:
    """A message of a thread: its place from 0 on, its turn from 1 on, when its turn was over (seconds since the epoch)."""

    position: int
    turn: int
    created_at: float
    message: BaseMessage


class Transcript:
    """The transcripts of all threads of a database.

    Args:
        run: runs a statement with values for its question marks, and gives its rows.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def append(self, thread: str, messages: Sequence[BaseMessage]) -> None:
        """Add those of a thread's newest messages that are not there yet.

        Args:
            thread: its name.
            messages: whole turns, oldest first; a part of them, or all, may be there already.
        """
        last = self._run(LAST, [thread])
        position, last_id, turn, text = last[0] if last else (-1, None, 0, None)
        before = None if text is None else _message(text)
        ids = [message.id or f"message {place}" for place, message in enumerate(messages)]
        if last_id in ids:
            known = set(ids[: ids.index(last_id) + 1])
        else:
            known = {row[0] for row in self._run(KNOWN, [thread])} if last else set()
        now = time.time()
        for name, message in zip(ids, messages, strict=True):
            if name in known:
                continue
            position, turn = position + 1, max(1, turn + begins_turn(message, before))
            self._run(INSERT, [thread, position, name, turn, now, _json(message)])
            known.add(name)
            before = message

    def threads(self) -> list[ThreadInfo]:
        """All threads, that which was talked in last first."""
        return [
            ThreadInfo(name, turns, messages, first, last, _message(text).text)
            for name, turns, messages, first, last, text in self._run(THREADS, [])
        ]

    def entries(self, thread: str, after: int = -1, most: int | None = None) -> list[Entry]:
        """A thread's messages behind a position, oldest first; none of a thread that is unknown."""
        rows = self._run(ENTRIES, [thread, after, ALL if most is None else most])
        return [Entry(place, turn, at, _message(text)) for place, turn, at, text in rows]

    def delete(self, thread: str) -> None:
        """Forget a thread."""
        self._run(DELETE, [thread])


def _json(message: BaseMessage) -> str:
    # A tool may hand any object on as its artifact, which no model sees: what is no JSON is kept as Python shows it.
    told = message_to_dict(message)
    try:
        return json.dumps(told, default=repr)
    except TypeError:  # keys that are no texts
        return json.dumps(
            {**told, "data": {**told["data"], "artifact": repr(told["data"].get("artifact"))}}, default=repr
        )


def _message(text: str) -> BaseMessage:
    return messages_from_dict([json.loads(text)])[0]
