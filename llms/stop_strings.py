r"""Cut generated text at stop strings, exactly, even when one is split over two stream chunks.

Some wires carry `stop` and some drop it, so every LLM here passes its text through a `StopCutter`:

    >>> cutter = StopCutter(["</s>", "\nUser:"])
    >>> cutter.feed("Paris.\nUs")   # "\nUs" may begin a stop, so it is buffered
    'Paris.'
    >>> cutter.feed("er: and")      # it does
    ''
    >>> cutter.stopped
    True

Of overlapping stop strings the one that is complete first wins, and of those the one that began first, so the cut does not
depend on how the text was chunked. Closing the connection after a stop is the caller's job (`text_generation.py`).
"""

from collections.abc import Iterable


class StopCutter:
    """Passes text on up to the first stop string.

    Args:
        stops: literal strings, none empty. Without any, all text passes immediately.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        self.stops = tuple(stops)
        if "" in self.stops:
            raise ValueError("stop: an empty stop string would end every answer before it begins")
        self.stopped = False
        self._buffered = ""

    def feed(self, text: str) -> str:
        """The text that may be shown, now that `text` has arrived."""
        if self.stopped:
            return ""
        seen, self._buffered = self._buffered + text, ""
        cut = self._first_complete(seen)
        if cut is not None:
            self.stopped = True
            return seen[:cut]
        shown = len(seen) - self._length_of_started_stop(seen)
        self._buffered = seen[shown:]
        return seen[:shown]

    def flush(self) -> str:
        """The buffered text, when no more text comes."""
        rest, self._buffered = self._buffered, ""
        return rest

    def _first_complete(self, seen: str) -> int | None:
        found = [(start + len(stop), start) for stop in self.stops if (start := seen.find(stop)) >= 0]
        return min(found)[1] if found else None

    def _length_of_started_stop(self, seen: str) -> int:
        longest = max((len(stop) for stop in self.stops), default=1) - 1
        for length in range(min(longest, len(seen)), 0, -1):
            if any(stop.startswith(seen[-length:]) for stop in self.stops):
                return length
        return 0
