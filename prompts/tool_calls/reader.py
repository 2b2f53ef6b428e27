"""Read the tool calls in what a model wrote.

    reader = ToolCallReader(tool_format)
    for chunk in chunks:
        for part in reader.feed(chunk):   # text
            ...
    for part in reader.flush(truncated=False):   # text, ToolCall or InvalidToolCall
        ...

Text that can't begin a call is returned immediately (`text_gate.py`). The rest is read once, when the answer is whole
(`answer.py`), so the calls are the same however the answer is split into chunks. Nothing is lost and nothing raises: what
was meant as a call but can't be made (truncated, an unknown name, arguments that don't match the schema) becomes an
`InvalidToolCall` with its text and an error that the model can act on. Part of a tag at the end is not shown.
"""

from collections.abc import Iterator

from ..escaping import NO_ESCAPING, Escaping
from ..output_format import ToolCallFormat
from .answer import read_answer
from .callable_tools import CallableTools
from .formats import length_of_partial_tag
from .text_gate import TextGate
from .validation import AnswerPart, CallValidator


class ToolCallReader:
    """Separates calls from text.

    Args:
        tool_format: the tools, and which of them may be called.
        escaping: what was escaped in the prompt; arguments that repeat it are unescaped.
        declared_only: only calls in the declared form count: the decoding was constrained to it.
    """

    def __init__(
        self, tool_format: ToolCallFormat, escaping: Escaping = NO_ESCAPING, *, declared_only: bool = False
    ) -> None:
        self._tools = CallableTools(tool_format)
        self._validator = CallValidator(self._tools, parallel=tool_format.parallel is not False, escaping=escaping)
        self._declared_only = declared_only
        self._gate = TextGate(self._tools)
        self._chunks: list[str] = []
        self._shown = 0

    def feed(self, chunk: str) -> Iterator[AnswerPart]:
        """The text that the chunk completes."""
        if self._tools.names:
            self._chunks.append(chunk)
            chunk = self._gate.feed(chunk)
        self._shown += len(chunk)
        if chunk:
            yield chunk

    def flush(self, *, truncated: bool = False) -> Iterator[AnswerPart]:
        """The remaining parts at the end of the answer.

        Args:
            truncated: the answer ended at the token limit, so its last call may be incomplete.
        """
        text = "".join(self._chunks)
        partial = length_of_partial_tag(text, truncated=truncated)
        if partial <= len(text) - self._shown:
            text = text[: len(text) - partial]
        found = read_answer(text, self._tools, truncated=truncated, declared_only=self._declared_only)
        if found and isinstance(found[0], str):
            found[0] = found[0][self._shown :]
        any_text, after_call = self._shown > 0, False
        for part in self._validator.validate(found):
            if not isinstance(part, str):
                after_call = True
                yield part
            elif part:
                yield f"\n{part}" if any_text and after_call else part
                any_text, after_call = True, False
