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
        self._matchers = [_Matcher(stop) for stop in self.stops]
        self._buffered: list[str] = []
        self._buffered_length = 0

    def feed(self, text: str) -> str:
        """The text that may be shown, now that `text` has arrived."""
        if self.stopped:
            return ""
        ends = [(end, -len(matcher.stop)) for matcher in self._matchers if (end := matcher.feed(text)) is not None]
        if ends:
            self.stopped = True
            end, minus_length = min(ends)
            shown = self._buffered_length + end + minus_length
        else:
            shown = self._buffered_length + len(text) - max((matcher.matched for matcher in self._matchers), default=0)
        self._buffered.append(text)
        self._buffered_length += len(text)
        if not shown and not self.stopped:
            return ""
        seen = self.flush()
        if not self.stopped:
            self._buffered, self._buffered_length = [seen[shown:]], len(seen) - shown
        return seen[:shown]

    def flush(self) -> str:
        """The buffered text, when no more text comes."""
        rest, self._buffered, self._buffered_length = "".join(self._buffered), [], 0
        return rest


class _Matcher:
    """Finds one stop string in text that arrives in chunks, in linear time (Knuth, Morris and Pratt's search)."""

    def __init__(self, stop: str) -> None:
        self.stop = stop
        self.matched = 0
        """How many characters of the stop string the text so far ends with."""
        self._shorter = [0]  # for each beginning of the stop string, the longest other one that it ends with
        length = 0
        for character in stop[1:]:
            length = self._next(length, character)
            self._shorter.append(length)

    def _next(self, matched: int, character: str) -> int:
        while matched and self.stop[matched] != character:
            matched = self._shorter[matched - 1]
        return matched + (self.stop[matched] == character)

    def feed(self, text: str) -> int | None:
        """Where in `text` the first stop string ends; None if it is not complete."""
        position = 0
        while position < len(text):
            if not self.matched and (position := text.find(self.stop[0], position)) < 0:
                return None
            self.matched = self._next(self.matched, text[position])
            position += 1
            if self.matched == len(self.stop):
                return position
        return None
