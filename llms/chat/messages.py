"""From a model's answer to LangChain's messages: text, tool calls, usage and metadata.

    builder = MessageBuilder({"model_name": "my-falcon"}, prompt_tokens, text_tokens, tools=tools)
    builder.message(answer)                        # an AIMessage
    MessageStream(builder).messages(chunks)        # AIMessageChunks whose sum is that message

Tool calls are read out of the text, or come from a server that returns them apart (`native_tool_calls.py`).
"""

import json
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatResult, GenerationChunk
from sagechain.prompts import NO_ESCAPING, Escaping, ToolCallFormat
from sagechain.prompts.tool_calls import AnswerPart, ToolCallReader

from ..errors import StreamInterrupted
from ..generation import TEXTS_BESIDE
from .native_tool_calls import NativeToolCallStream, to_tool_calls, unrepairable

TOOL_CALL_ERRORS = "tool_call_errors"
"""In `response_metadata`: what is wrong with invalid tool calls, by their ids; LangChain's chunks have no place for it."""


@dataclass(frozen=True)
class MessageBuilder:
    """Builds the messages of one generation.

    Args:
        metadata: goes into the `response_metadata` of every message.
        prompt_tokens: counts the tokens of the prompt, for a server that does not report them; None if unknown.
        text_tokens: counts the tokens of an answer, likewise.
        tools: the tools that the answer's text may call; None without tools, or if the server returns tool calls apart.
        constrained: whether the decoding followed the form of the tool calls, so that no other form is one.
        escaping: what was escaped in the prompt; arguments that repeat it are unescaped.
    """

    metadata: Mapping[str, Any]
    prompt_tokens: Callable[[], int | None]
    text_tokens: Callable[[str], int | None]
    tools: ToolCallFormat | None = None
    constrained: bool = False
    escaping: Escaping = NO_ESCAPING

    def result(self, answers: list[GenerationChunk]) -> ChatResult:
        """The messages of whole answers."""
        return ChatResult(generations=[ChatGeneration(message=self.message(answer)) for answer in answers])

    def message(self, answer: GenerationChunk) -> AIMessage:
        """The message of a whole answer."""
        info = answer.generation_info or {}
        parts = self._parts(answer.text, info)
        calls = [part for part in parts if not isinstance(part, str)]
        valid: list[Any] = [call for call in calls if call["type"] == "tool_call"]
        invalid: list[Any] = [call for call in calls if call["type"] == "invalid_tool_call"]
        errors = {call["id"]: call["error"] for call in invalid}
        return AIMessage(
            content="".join(part for part in parts if isinstance(part, str)).strip(),
            tool_calls=valid,
            invalid_tool_calls=invalid,
            response_metadata={
                **_finish_reason(info),
                **self.metadata,
                **({TOOL_CALL_ERRORS: errors} if errors else {}),
            },
            additional_kwargs=_texts_beside(info),
            usage_metadata=self.usage(info, answer.text),
        )

    def _parts(self, text: str, info: Mapping[str, Any]) -> list[AnswerPart]:
        parts: list[AnswerPart] = [text]
        if (reader := self.tool_call_reader()) is not None:
            parts = [*reader.feed(text), *reader.flush(truncated=_is_truncated(info))]
        return [*parts, *to_tool_calls(info.get("tool_calls", ()), truncated=_is_truncated(info))]

    def tool_call_reader(self) -> ToolCallReader | None:
        """A reader of the tool calls in the answer's text; None if it may have none."""
        if self.tools is None:
            return None
        return ToolCallReader(self.tools, self.escaping, declared_only=self.constrained)

    def usage(self, info: Mapping[str, Any], text: str) -> UsageMetadata | None:
        """The token counts that the server reports, else those of the tokenizer; None if one of them is unknown."""
        prompt = info["input_tokens"] if "input_tokens" in info else self.prompt_tokens()
        answer = info["output_tokens"] if "output_tokens" in info else self.text_tokens(text)
        if prompt is None or answer is None:
            return None
        return UsageMetadata(input_tokens=prompt, output_tokens=answer, total_tokens=prompt + answer)


class MessageStream:
    """The messages of one streamed answer."""

    def __init__(self, builder: MessageBuilder) -> None:
        self._builder = builder
        self._reader = builder.tool_call_reader()
        self._native_calls = NativeToolCallStream()
        self._trimmer = _BlankTrimmer()
        self._received, self._shown = list[str](), list[str]()
        self._is_first, self._metadata_sent = True, False
        self._info: dict[str, Any] = {}
        self._calls = 0
        self._errors: dict[str, str] = {}

    def messages(self, chunks: Iterable[GenerationChunk]) -> Iterator[AIMessageChunk]:
        """The chunks as messages; one at least. A StreamInterrupted has the text that was shown."""
        with self._interruption():
            for chunk in chunks:
                if (message := self._message(chunk)) is not None:
                    yield message
        if (message := self._last_message()) is not None:
            yield message

    async def amessages(self, chunks: AsyncIterable[GenerationChunk]) -> AsyncGenerator[AIMessageChunk, None]:
        """As `messages`."""
        with self._interruption():
            async for chunk in chunks:
                if (message := self._message(chunk)) is not None:
                    yield message
        if (message := self._last_message()) is not None:
            yield message

    @contextmanager
    def _interruption(self) -> Iterator[None]:
        try:
            yield
        except StreamInterrupted as error:
            raise StreamInterrupted(error.endpoint, error.message, "".join(self._shown)) from error.__cause__

    def _message(self, chunk: GenerationChunk) -> AIMessageChunk | None:
        """The message of a chunk; None if there is nothing to show yet."""
        info = chunk.generation_info or {}
        self._received.append(chunk.text)
        self._info |= {name: info[name] for name in ("input_tokens", "output_tokens", "finish_reason") if name in info}
        text, calls = self._read([chunk.text] if self._reader is None else self._reader.feed(chunk.text))
        calls += [self._native_calls.chunk(delta) for delta in info.get("tool_calls", ())]
        beside = _texts_beside(info)
        if not (text or calls or beside or "finish_reason" in info or self._is_first):
            return None
        self._is_first = False
        metadata: dict[str, Any] = {}
        if "finish_reason" in info and not self._metadata_sent:
            metadata = {**_finish_reason(info), **self._builder.metadata}
            self._metadata_sent = True
        return AIMessageChunk(
            content=text, tool_call_chunks=calls, additional_kwargs=beside, response_metadata=metadata
        )

    def _last_message(self) -> AIMessageChunk | None:
        """What remains at the end of the stream: buffered tool calls, and the usage, which some servers report in parts."""
        truncated = _is_truncated(self._info)
        text, calls = self._read([] if self._reader is None else self._reader.flush(truncated=truncated))
        spoiling_chunks, errors = self._native_calls.end(truncated=truncated)
        calls += spoiling_chunks
        errors = {**self._errors, **errors}
        usage = self._builder.usage(self._info, "".join(self._received))
        metadata = {
            **({} if self._metadata_sent else self._builder.metadata),
            **({TOOL_CALL_ERRORS: errors} if errors else {}),
        }
        if usage is None and not (text or calls or metadata):
            return None
        return AIMessageChunk(content=text, tool_call_chunks=calls, usage_metadata=usage, response_metadata=metadata)

    def _read(self, parts: Iterable[AnswerPart]) -> tuple[str, list[ToolCallChunk]]:
        text, calls = "", list[ToolCallChunk]()
        for part in parts:
            if isinstance(part, str):
                text += part
            else:
                calls.append(self._tool_call_chunk(part))
                self._calls += 1
        text = self._trimmer.feed(text)
        self._shown.append(text)
        return text, calls

    def _tool_call_chunk(self, call: ToolCall | InvalidToolCall) -> ToolCallChunk:
        if call["type"] == "tool_call":
            args = json.dumps(call["args"], ensure_ascii=False)
        else:
            self._errors[str(call["id"])] = str(call["error"])
            args = unrepairable(call["args"] or "")
        return tool_call_chunk(name=call["name"], args=args, id=call["id"], index=self._calls)


class _BlankTrimmer:
    """Strips a streamed text: blanks wait for the text after them, and those at the beginning and end are dropped."""

    def __init__(self) -> None:
        self._blanks: list[str] = []
        self._has_text = False

    def feed(self, text: str) -> str:
        shown = text.rstrip() if self._has_text else text.strip()
        blanks = text[len(text.rstrip()) :]
        if not shown:
            self._blanks.append(text)
            return ""
        shown = "".join([*(self._blanks if self._has_text else ()), shown])
        self._blanks, self._has_text = [blanks], True
        return shown


def _finish_reason(info: Mapping[str, Any]) -> dict[str, Any]:
    return {"finish_reason": info["finish_reason"]} if "finish_reason" in info else {}


def _texts_beside(info: Mapping[str, Any]) -> dict[str, Any]:
    """Reasoning and a refusal, under the names that LangChain's other chat models use in `additional_kwargs`."""
    return {name: info[name] for name in TEXTS_BESIDE if info.get(name)}


def _is_truncated(info: Mapping[str, Any]) -> bool:
    return bool(info.get("finish_reason") == "length")
