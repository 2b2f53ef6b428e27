"""The beginning of a streamed answer that is text however the answer continues.

    gate = TextGate(tools)
    gate.feed("Let me look. <tool")   # "Let me look."
    gate.feed("_call>")               # ""; from here on nothing passes

What the rest means, the end of the answer decides (`answer.py`): after a call may come a `</think>`, or prose.
"""

import re

from ..reasoning_tags import REASONING_END
from .callable_tools import CallableTools
from .formats import begins_declared_call, begins_reasoning, may_begin_call

_BLANKS = re.compile(r"\s*+")
_LINE_OR_TAG = re.compile(r"[\n<]")
_PARTIAL_TAG = re.compile(r"[<\[][^<\[]*\Z")
_LONGEST_TAG = 24


class TextGate:
    """Passes text until a call may begin; blanks wait for the text after them, which may be a call.

    Args:
        tools: the tools that may be called.
    """

    def __init__(self, tools: CallableTools) -> None:
        self._tools = tools
        self._undecided = ""
        self._blanks: list[str] = []
        self._at_start = self._at_line_start = True
        self._in_reasoning = self._closed = False

    def feed(self, chunk: str) -> str:
        """The text that may be shown, now that the chunk has arrived."""
        if self._closed:
            return ""
        text = self._undecided + chunk
        end = self._end_of_text(text)
        self._undecided = text[end:]
        shown = text[:end].rstrip()
        blanks = text[len(shown) : end]
        if not shown:
            self._blanks.append(blanks)
            return ""
        shown = "".join([*self._blanks, shown])
        self._blanks = [blanks]
        return shown

    def _end_of_text(self, text: str) -> int:
        position = 0
        while True:
            if self._in_reasoning:
                end = REASONING_END.search(text, position)
                if end is None:
                    return _before_partial_tag(text, position)
                self._in_reasoning, self._at_line_start, position = False, True, end.end()
            if self._at_line_start:
                position = _end_of_blanks(text, position)
                if position == len(text):
                    return position
                if self._begins_call(text, position) is not False:
                    return position
                self._at_line_start = False
                if self._in_reasoning:
                    continue
            found = _LINE_OR_TAG.search(text, position)
            if found is None:
                return len(text)
            position = found.end()
            self._at_line_start = found[0] == "\n"
            if (
                not self._at_line_start
                and self._decide(begins_declared_call(text, found.start(), final=False)) is not False
            ):
                return found.start()

    def _begins_call(self, text: str, position: int) -> bool | None:
        """Whether a call may begin there, at the start of a line; a reasoning block at the very start has none."""
        if self._at_start:
            begins = begins_reasoning(text, position)
            if begins is None:
                return None
            self._at_start, self._in_reasoning = False, begins
            if begins:
                return False
        return self._decide(may_begin_call(text, position, self._tools, final=False))

    def _decide(self, begins: bool | None) -> bool | None:
        self._closed = begins is True
        return begins


def _end_of_blanks(text: str, position: int) -> int:
    blanks = _BLANKS.match(text, position)
    assert blanks is not None
    return blanks.end()


def _before_partial_tag(text: str, position: int) -> int:
    found = _PARTIAL_TAG.search(text, max(position, len(text) - _LONGEST_TAG))
    return found.start() if found else len(text)
