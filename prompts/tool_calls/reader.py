"""Read the tool calls in what a model wrote.

    reader = ToolCallReader(tool_format)
    for chunk in chunks:
        for part in reader.feed(chunk):   # text, ToolCall or InvalidToolCall
            ...
    for part in reader.flush(truncated=False):
        ...

The parts are the same however the answer is split into chunks. Text that can't begin a call is returned immediately, and a
call as soon as its last bracket arrives. Nothing is lost and nothing raises: what was meant as a call but can't be made
(truncated, an unknown name, arguments that don't match the schema) becomes an `InvalidToolCall` with its text and an error
that the model can act on.

The reader knows what is open around the next call: tags, fences, lists. `search.py` finds the call at one position, and
`validation.py` checks it.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from ..escaping import NO_ESCAPING, Escaping
from ..json_text.extent import ExtentScanner
from ..output_format import ToolCallFormat
from .callable_tools import CallableTools
from .envelopes import RawCall
from .formats import CLOSING_TAG, PARTIAL_CLOSING_TAG, NeedsMore, fence_at, opening_tag_at
from .search import TRUNCATED, CallFinder, Enclosure, FoundCalls
from .validation import AnswerPart, CallValidator

_MAY_BEGIN_CALL = re.compile(r"[<\[{]|```|`{1,2}\Z|^[^\S\n]*(?=[\w*])", re.MULTILINE)
_MAY_END_VALUE = re.compile(r"[}\])>`\n]")


class ToolCallReader:
    """Separates calls from text.

    Args:
        tool_format: the tools, and which of them may be called.
        escaping: what was escaped in the prompt; arguments that repeat it are unescaped.
    """

    def __init__(self, tool_format: ToolCallFormat, escaping: Escaping = NO_ESCAPING) -> None:
        self._tools = CallableTools(tool_format)
        self._validator = CallValidator(self._tools, parallel=tool_format.parallel, escaping=escaping)
        self._buffer = ""
        self._scanners: dict[int, ExtentScanner] = {}
        self._enclosure: Enclosure | None = None
        self._at_line_start = True
        self._in_open_value = False
        self._any_text = self._call_since_text = False
        self._final = self._truncated = False

    def feed(self, chunk: str) -> Iterator[AnswerPart]:
        """The parts that the chunk completes."""
        self._buffer += chunk
        if self._in_open_value and not _MAY_END_VALUE.search(chunk):
            return
        yield from self._complete_parts()

    def flush(self, *, truncated: bool = False) -> Iterator[AnswerPart]:
        """The remaining parts at the end of the answer.

        Args:
            truncated: the answer ended at the token limit, so its last call may be incomplete.
        """
        self._final, self._truncated = True, truncated
        yield from self._complete_parts()

    def _complete_parts(self) -> Iterator[AnswerPart]:
        if not self._tools.names:
            yield from [self._buffer] if self._buffer else []
            self._buffer = ""
            return
        while self._buffer or (self._final and self._in_empty_tag):
            self._in_open_value = False
            found = self._next_in_text() if self._enclosure is None else self._next_in_enclosure(self._enclosure)
            if isinstance(found, NeedsMore):
                self._in_open_value = found is NeedsMore.END_OF_VALUE
                return
            yield from map(self._on_own_line, self._validator.validate(found))

    @property
    def _in_empty_tag(self) -> bool:
        return self._enclosure is not None and self._enclosure.declared and self._enclosure.is_empty

    def _on_own_line(self, part: AnswerPart) -> AnswerPart:
        """The part; text after a call gets a line break before it, since blanks around calls are dropped."""
        if not isinstance(part, str):
            self._call_since_text = True
            return part
        text = f"\n{part}" if self._any_text and self._call_since_text else part
        self._any_text, self._call_since_text = True, False
        return text

    def _next_in_text(self) -> list[str | RawCall] | NeedsMore:
        """The next text, with the calls after it if their form is whole."""
        for match in _MAY_BEGIN_CALL.finditer(self._buffer):
            is_line_start = match[0].strip() == ""
            if is_line_start and match.start() == 0 and not self._at_line_start:
                continue
            position = match.end() if is_line_start else match.start()
            found = self._finder.calls_at(position, at_line_start=is_line_start)
            if isinstance(found, NeedsMore):
                return self._take_text(position) or found
            if found is not None:
                text = self._buffer[:position].rstrip()
                self._take(found)
                return [*([text] if text else []), *found.parts]
        return self._take_text(len(self._buffer)) or NeedsMore.TEXT

    def _next_in_enclosure(self, enclosure: Enclosure) -> list[str | RawCall] | NeedsMore:
        """What comes next in a tag, fence or list, or right after a call."""
        self._drop(len(self._buffer) - len(self._buffer.lstrip()))
        if not self._buffer:
            return self._end_empty_tag(enclosure) if self._final and self._in_empty_tag else NeedsMore.TEXT
        if closing_tag := CLOSING_TAG.match(self._buffer):
            self._drop(closing_tag.end())
            calls = self._end_empty_tag(enclosure) if self._in_empty_tag else []
            self._enclosure = replace(enclosure, declared=False, tool_name=None, is_empty=False)
            return calls
        if enclosure.fenced and self._buffer.startswith("```") and not enclosure.is_empty:
            self._drop(3)
            self._enclosure = replace(enclosure, fenced=False, declared=False)
            return []
        if not self._final and PARTIAL_CLOSING_TAG.match(self._buffer):
            return NeedsMore.TEXT
        tag = opening_tag_at(self._buffer, 0, final=self._final)
        if isinstance(tag, NeedsMore):
            return tag
        if tag is not None:
            self._drop(tag.end)
            tool_name = tag.tool_name or (enclosure.tool_name if enclosure.is_empty else None)
            self._enclosure = replace(enclosure, declared=True, tool_name=tool_name, is_empty=True)
            return []
        if enclosure.declared and self._buffer[0] in ("[" if enclosure.is_empty else "[,;)]}"):
            self._drop(1)
            return []
        return self._calls_in_enclosure(enclosure)

    def _calls_in_enclosure(self, enclosure: Enclosure) -> list[str | RawCall] | NeedsMore:
        fence = fence_at(self._buffer, 0, final=self._final) if enclosure.declared else None
        if isinstance(fence, NeedsMore):
            return fence
        if fence is not None:
            self._drop(fence.end)
            self._enclosure = replace(enclosure, fenced=True)
            return []
        if enclosure.declared and self._buffer[0] == "{":
            found = self._finder.object_at(0, enclosure)
        else:
            found = self._finder.calls_at(0, at_line_start=True, enclosure=enclosure)
        if found is None and self._in_empty_tag:
            body = self._finder.tag_body(enclosure)
            if isinstance(body, FoundCalls):
                self._take(body)
                return body.parts
            return body
        if isinstance(found, NeedsMore):
            return found
        if found is None:
            self._enclosure = None
            return []
        fenced = enclosure.fenced or found.enclosure.fenced
        self._take(replace(found, enclosure=replace(enclosure, fenced=fenced, tool_name=None, is_empty=False)))
        return found.parts

    @property
    def _finder(self) -> CallFinder:
        return CallFinder(
            self._buffer, self._tools, self._final, self._truncated, self._validator.any_call, self._scanners
        )

    def _take_text(self, end: int) -> list[str | RawCall]:
        """The text before `end`, without the blanks after it, which are dropped if a call follows."""
        is_rest = self._final and end == len(self._buffer)
        text = self._buffer[:end] if is_rest else self._buffer[:end].rstrip()
        self._drop(len(text))
        self._at_line_start = self._at_line_start and not text
        return [text] if text else []

    def _take(self, found: FoundCalls) -> None:
        self._drop(found.end)
        self._enclosure, self._at_line_start = found.enclosure, True

    def _drop(self, end: int) -> None:
        if end:
            self._buffer = self._buffer[end:]
            self._scanners.clear()

    def _end_empty_tag(self, enclosure: Enclosure) -> list[str | RawCall]:
        """The call of a tag without content: of the tool that the tag names, or an invalid one."""
        self._enclosure = replace(enclosure, is_empty=False)
        if self._truncated and not self._buffer:
            return [RawCall("", enclosure.tool_name, error=TRUNCATED)]
        return [RawCall("", enclosure.tool_name, error="" if enclosure.tool_name else "the call is empty")]
