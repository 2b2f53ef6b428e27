"""The transcript of a thread: every message of every finished turn, as rows that are added, and removed only by `undo`.

Beside it are a thread's settings: what a program needs to continue it, such as the model and the system text.

A thread's state contains only the messages that the model is still sent. The transcript is in the same database; threads
are listed, shown and exported from it:

    transcript = Transcript(run)            # run: executes a statement with its values and returns rows
    transcript.append("ada", messages)      # those that it lacks
    transcript.threads()                    # [ThreadInfo(name="ada", turns=1, messages=2, …)]

A message is identified by its id, so the same messages can be appended repeatedly. Transactions are the caller's
(`base.py`); SQLite and PostgreSQL accept the same statements.
"""

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage, message_to_dict, messages_from_dict

from ..turns import starts_turn

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
SETTINGS_TABLE = "CREATE TABLE IF NOT EXISTS thread_settings (thread TEXT PRIMARY KEY, settings TEXT NOT NULL)"
COLUMNS = (
    "SELECT thread, position, message_id, turn, created_at, message FROM transcript LIMIT 0",
    "SELECT thread, settings FROM thread_settings LIMIT 0",
)
LAST = "SELECT position, message_id, turn, message FROM transcript WHERE thread = ? ORDER BY position DESC LIMIT 1"
KNOWN = "SELECT message_id FROM transcript WHERE thread = ?"
INSERT = "INSERT INTO transcript (thread, position, message_id, turn, created_at, message) VALUES (?, ?, ?, ?, ?, ?)"
ENTRIES = """
SELECT position, turn, created_at, message FROM transcript
WHERE thread = ? AND position > ? ORDER BY position LIMIT ?"""
NEWEST = """
SELECT position, turn, created_at, message FROM transcript
WHERE thread = ? AND turn > (SELECT MAX(turn) FROM transcript WHERE thread = ?) - ? ORDER BY position"""
# Reads only the first and last row of each thread.
THREADS = """
SELECT last.thread, last.turn, last.position + 1, opening.created_at, last.created_at, opening.message
FROM (SELECT thread, MAX(position) AS position FROM transcript GROUP BY thread) AS ends
JOIN transcript AS last ON last.thread = ends.thread AND last.position = ends.position
JOIN transcript AS opening ON opening.thread = ends.thread AND opening.position = 0
ORDER BY last.created_at DESC, last.thread"""
ALL = 2**62  # more than a thread has messages
DELETE_ROW = "DELETE FROM transcript WHERE thread = ? AND position = ?"
DELETE = ("DELETE FROM transcript WHERE thread = ?", "DELETE FROM thread_settings WHERE thread = ?")
SETTINGS = "SELECT settings FROM thread_settings WHERE thread = ?"
SET_SETTINGS = """
INSERT INTO thread_settings (thread, settings) VALUES (?, ?)
ON CONFLICT (thread) DO UPDATE SET settings = excluded.settings"""


@dataclass(frozen=True)
class ThreadInfo:
    """A summary of a thread; times are seconds since the epoch, `first_words` is the text of its first message."""

    name: str
    turns: int
    messages: int
    first_at: float
    last_at: float
    first_words: str


@dataclass(frozen=True)
class Entry:
    """A message of a thread: its position from 0, its turn from 1, and when its turn ended (seconds since the epoch)."""

    position: int
    turn: int
    created_at: float
    message: BaseMessage


class Transcript:
    """The transcripts and settings of all threads of a database.

    Args:
        run: executes a statement with values for its question marks and returns the rows.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def append(self, thread: str, messages: Sequence[BaseMessage]) -> None:
        """Add the messages that the transcript lacks.

        Args:
            thread: the thread's name.
            messages: finished turns, oldest first; some or all may be in the transcript already.
        """
        last = self._run(LAST, [thread])
        position, last_id, turn, text = last[0] if last else (-1, None, 0, None)
        previous = None if text is None else _message(text)
        ids = [message.id or f"message {place}" for place, message in enumerate(messages)]
        if last_id in ids:
            known = set(ids[: ids.index(last_id) + 1])
        else:
            known = {row[0] for row in self._run(KNOWN, [thread])} if last else set()
        now = time.time()
        for name, message in zip(ids, messages, strict=True):
            if name in known:
                continue
            position, turn = position + 1, max(1, turn + starts_turn(message, previous))
            self._run(INSERT, [thread, position, name, turn, now, _json(message)])
            known.add(name)
            previous = message

    def threads(self) -> list[ThreadInfo]:
        """All threads, the most recent turn first."""
        return [
            ThreadInfo(name, turns, messages, first, last, _message(text).text)
            for name, turns, messages, first, last, text in self._run(THREADS, [])
        ]

    def entries(self, thread: str, after: int = -1, most: int | None = None) -> list[Entry]:
        """A thread's messages behind a position, oldest first; an unknown thread has none."""
        rows = self._run(ENTRIES, [thread, after, ALL if most is None else most])
        return [Entry(place, turn, at, _message(text)) for place, turn, at, text in rows]

    def newest(self, thread: str, turns: int) -> list[Entry]:
        """The messages of a thread's last turns, oldest first."""
        rows = self._run(NEWEST, [thread, thread, turns])
        return [Entry(place, turn, at, _message(text)) for place, turn, at, text in rows]

    def remove_last(self, thread: str, message_ids: Collection[str]) -> None:
        """Remove the last messages, as long as their ids are among these."""
        while (last := self._run(LAST, [thread])) and last[0][1] in message_ids:
            self._run(DELETE_ROW, [thread, last[0][0]])

    def delete(self, thread: str) -> None:
        """Delete a thread and its settings."""
        for statement in DELETE:
            self._run(statement, [thread])

    def settings(self, thread: str) -> dict[str, Any]:
        """A thread's settings; empty if none are stored."""
        rows = self._run(SETTINGS, [thread])
        return dict(json.loads(rows[0][0])) if rows else {}

    def set_settings(self, thread: str, settings: Mapping[str, Any]) -> None:
        """Store a thread's settings in place of the earlier ones."""
        self._run(SET_SETTINGS, [thread, json.dumps(settings)])


def _json(message: BaseMessage) -> str:
    # A tool may return any object as its artifact, which no model sees: objects that are not JSON are stored as their repr.
    fields = message_to_dict(message)
    try:
        return json.dumps(fields, default=repr)
    except TypeError:  # keys that are not strings
        return json.dumps(
            {**fields, "data": {**fields["data"], "artifact": repr(fields["data"].get("artifact"))}}, default=repr
        )


def _message(text: str) -> BaseMessage:
    return messages_from_dict([json.loads(text)])[0]
