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

    Attributes:
        shown: the text of the chunks so far.
    """

    def __init__(
        self,
        about: Mapping[str, Any],
        asked_tokens: Callable[[], int | None],
        counted: Callable[[str], int | None],
    ) -> None:
        self._about, self._asked_tokens, self._counted = about, asked_tokens, counted
        self.shown = ""
        self._held, self._text = "", ""
        self._begun = self._begun_to_show = False
        self._figures: dict[str, Any] = {}

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
        self._figures |= {name: info[name] for name in ("input_tokens", "output_tokens") if name in info}
        if not text and "finish_reason" not in info and self._begun_to_show:
            return None
        self._begun_to_show = True
        self.shown += text
        metadata = {**_reason(info), **self._about} if "finish_reason" in info else {}
        return AIMessageChunk(content=text, response_metadata=metadata)

    def end(self) -> AIMessageChunk | None:
        """What is left to tell when a stream has ended: its usage, of which servers tell in any piece, some in each."""
        usage = self._usage(self._figures, self._text)
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
