"""From what an LLM gave to LangChain's chat messages: blanks, figures, and what is told of the answer.

A whole answer becomes an `AIMessage`, the pieces of a streamed one `AIMessageChunk`s that add up to the same.
"""

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import GenerationChunk


class Replies:
    """Makes the messages of one call.

    Args:
        about: what every message tells of its model.
        asked_tokens: counts the tokens of the prompt, where the server does not tell; None where nobody can.
        counted: the tokens of a text, likewise.
    """

    def __init__(
        self,
        about: Mapping[str, Any],
        asked_tokens: Callable[[], int | None],
        counted: Callable[[str], int | None],
    ) -> None:
        self._about, self._asked_tokens, self._counted = about, asked_tokens, counted
        self._held, self._text = "", ""
        self._begun = self._shown = self._told_usage = False

    def message(self, answer: GenerationChunk) -> AIMessage:
        """A whole answer."""
        info = answer.generation_info or {}
        return AIMessage(
            content=answer.text.strip(),
            response_metadata={**_reason(info), **self._about},
            usage_metadata=self._usage(info, answer.text),
        )

    def chunk(self, piece: GenerationChunk) -> AIMessageChunk | None:
        """A piece of a streamed answer; None where there is nothing to show yet. One at least is shown."""
        text, info = self._without_blanks_around(piece.text), piece.generation_info or {}
        if not text and not info and self._shown:
            return None
        self._shown = True
        usage = self._usage(info, "") if "input_tokens" in info and "output_tokens" in info else None
        self._told_usage = self._told_usage or usage is not None
        metadata = {**_reason(info), **self._about} if "finish_reason" in info else {}
        return AIMessageChunk(content=text, response_metadata=metadata, usage_metadata=usage)

    def end(self) -> AIMessageChunk | None:
        """What is left to tell when a stream has ended: the usage, where the server told none."""
        usage = None if self._told_usage else self._usage({}, self._text)
        return None if usage is None else AIMessageChunk(content="", usage_metadata=usage)

    def _without_blanks_around(self, text: str) -> str:
        """What may be shown: blanks are kept back until more comes, so that the pieces come to what `message` gives."""
        self._text += text
        text = self._held + text
        text = text if self._begun else text.lstrip()
        shown = text.rstrip()
        self._held, self._begun = text[len(shown) :], self._begun or bool(shown)
        return shown

    def _usage(self, info: Mapping[str, Any], text: str) -> UsageMetadata | None:
        """The server's figures, and ours where it gives none but the model's tokenizer is at hand."""
        asked = info["input_tokens"] if "input_tokens" in info else self._asked_tokens()
        answered = info["output_tokens"] if "output_tokens" in info else self._counted(text)
        if asked is None or answered is None:
            return None
        return UsageMetadata(input_tokens=asked, output_tokens=answered, total_tokens=asked + answered)


def _reason(info: Mapping[str, Any]) -> dict[str, Any]:
    return {"finish_reason": info["finish_reason"]} if "finish_reason" in info else {}
